//! Which device a selector means.

use super::{PciAddress, PciDevice};
use crate::device::OpenError;
use crate::device::size;

/// The one device that the selector names among all there are, in address order.
pub(super) fn select<'a>(devices: &'a [PciDevice], selector: &str) -> Result<&'a PciDevice, OpenError> {
    let matching = matching(devices, selector)?;
    let problem = match matching[..] {
        [one] => return Ok(one),
        [] if devices.is_empty() => {
            "this machine has no ivshmem device; give it one with QEMU's -device ivshmem-doorbell or ivshmem-plain"
                .to_string()
        }
        [] => format!("no ivshmem device is that; there is {}", list(devices)),
        _ => {
            let text = format!("it is {} of several devices; name one of {}", matching.len(), list(devices));
            return Err(OpenError::BadSelector { selector: selector.to_string(), problem: text });
        }
    };
    Err(OpenError::NoDevice { selector: selector.to_string(), problem })
}

fn matching<'a>(devices: &'a [PciDevice], selector: &str) -> Result<Vec<&'a PciDevice>, OpenError> {
    let bad = |problem: String| OpenError::BadSelector { selector: selector.to_string(), problem };
    if selector.is_empty() {
        return Ok(devices.iter().collect());
    }
    if let Some(text) = selector.strip_prefix("size=") {
        let size = size(text).map_err(bad)?;
        return Ok(devices.iter().filter(|device| device.size() == size).collect());
    }
    if let Some(address) = PciAddress::parse(selector) {
        return Ok(devices.iter().filter(|device| device.address() == address).collect());
    }
    if selector.bytes().all(|b| b.is_ascii_digit()) {
        // One too large for any number is too large for any list.
        let index = selector.parse().unwrap_or(usize::MAX);
        return Ok(devices.get(index).into_iter().collect());
    }
    Err(bad(
        "a device is named by its address (0000:00:05.0 or 00:05.0), its index (0) or its size (size=64M), \
             or by nothing when there is only one"
            .to_string(),
    ))
}

fn list(devices: &[PciDevice]) -> String {
    let name = |(index, device): (usize, &PciDevice)| {
        format!("{} (index {index}, size={})", device.address(), device.size())
    };
    devices.iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn device(address: &str, size: u64) -> PciDevice {
        PciDevice {
            address: PciAddress::parse(address).unwrap(),
            size,
            revision: 1,
            vectors: Some(2),
            driver: None,
            iommu_group: None,
        }
    }

    #[test]
    fn a_device_is_found_by_address_index_size_or_alone() {
        let devices = [device("00:05.0", 1 << 20), device("00:06.0", 4 << 20)];
        for (selector, index) in
            [("0000:00:05.0", 0), ("00:06.0", 1), ("0", 0), ("1", 1), ("size=1M", 0), ("size=4194304", 1)]
        {
            let found = select(&devices, selector).unwrap();
            assert_eq!(found.address(), devices[index].address(), "{selector}");
        }
        assert_eq!(select(&devices[..1], "").unwrap().address(), devices[0].address());
    }

    #[test]
    fn what_is_not_there_or_not_clear_is_told_with_what_there_is() {
        let devices = [device("00:05.0", 1 << 20), device("00:06.0", 1 << 20)];
        for (selector, kind) in [
            ("", ErrorKind::InvalidArgument),
            ("size=1M", ErrorKind::InvalidArgument),
            ("00:07.0", ErrorKind::NotFound),
            ("2", ErrorKind::NotFound),
            ("99999999999999999999999", ErrorKind::NotFound),
            ("size=2M", ErrorKind::NotFound),
        ] {
            let error = select(&devices, selector).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            for part in ["0000:00:05.0", "0000:00:06.0", "index 1", "size=1048576"] {
                assert!(error.to_string().contains(part), "{error} has no {part}");
            }
        }
        for selector in ["x", "size=", "size=1Z", "-1", "00:40.0"] {
            let error = select(&devices, selector).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        let error = select(&[], "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("-device ivshmem-doorbell"), "{error}");
    }
}
