use std::fmt;

/// The address of a PCI device: domain, bus, device and function, for example `0000:00:05.0`. Addresses are ordered by these
/// numbers, as in the kernel's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

impl PciAddress {
    /// An address in domain 0; `None` if a number is out of range.
    #[cfg(windows)]
    pub(crate) fn new(bus: u32, device: u32, function: u32) -> Option<Self> {
        let address = Self {
            domain: 0,
            bus: bus.try_into().ok()?,
            device: device.try_into().ok()?,
            function: function.try_into().ok()?,
        };
        (address.device < 32 && address.function < 8).then_some(address)
    }

    /// Parses `0000:00:05.0`, or `00:05.0` in domain 0. `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (rest, function) = text.rsplit_once('.')?;
        let (rest, device) = rest.rsplit_once(':')?;
        let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
        let address = Self {
            domain: hexadecimal(domain, 8)?,
            bus: hexadecimal(bus, 2)?.try_into().ok()?,
            device: hexadecimal(device, 2)?.try_into().ok()?,
            function: hexadecimal(function, 1)?.try_into().ok()?,
        };
        (address.device < 32 && address.function < 8).then_some(address)
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function:x}")
    }
}

fn hexadecimal(digits: &str, most: usize) -> Option<u32> {
    // The standard library would accept a sign.
    let good = (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if good { u32::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_and_without_its_domain() {
        for (text, full) in [
            ("0000:00:05.0", "0000:00:05.0"),
            ("00:05.0", "0000:00:05.0"),
            ("0:5.0", "0000:00:05.0"),
            ("10000:ff:1f.7", "10000:ff:1f.7"),
            ("0000:0A:0b.1", "0000:0a:0b.1"),
        ] {
            assert_eq!(PciAddress::parse(text).map(|a| a.to_string()).as_deref(), Some(full), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            "0",
            "5.0",
            "00:05",
            "00:20.0",
            "00:05.8",
            "00:05.0.0",
            "00:+5.0",
            "100:05.0",
            "00:5.0 ",
            "0:0:0:5.0",
            "::.",
            "00:05.00",
            "/sys",
            "1af4:1110",
        ] {
            assert_eq!(PciAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn addresses_are_ordered_by_their_numbers() {
        let parse = |text| PciAddress::parse(text).unwrap();
        assert!(parse("00:05.0") < parse("00:10.0"));
        assert!(parse("00:1f.7") < parse("01:00.0"));
        assert!(parse("0000:ff:1f.7") < parse("10000:00:00.0"));
    }
}
