//! Selects one of a guest's devices.

use super::address::PciAddress;
use super::error::OpenError;
use super::target::size;

/// A device that a selector can identify.
pub(super) trait Selectable {
    /// The remedy if the guest has no device.
    const NONE: &str;
    /// The forms of a selector, for error texts.
    const NAMES: &str;

    fn size(&self) -> u64;

    /// Its address on the bus, if that is known.
    fn address(&self) -> Option<PciAddress>;

    /// Whether this can be the name of such a device, apart from address, index and size.
    fn is_name(selector: &str) -> bool;

    /// Whether it has this name.
    fn is_named(&self, name: &str) -> bool;

    /// Its name in lists.
    fn name(&self) -> String;
}

/// The one of `devices`, which are in order, that the selector identifies.
pub(super) fn select<'a, D: Selectable>(devices: &'a [D], selector: &str) -> Result<&'a D, OpenError> {
    let matching = matching(devices, selector)?;
    let problem = match matching[..] {
        [one] => return Ok(one),
        [] if devices.is_empty() => format!("this machine has no ivshmem device; {}", D::NONE),
        [] => format!("no ivshmem device is that; there are {}", list(devices)),
        _ => {
            let count = matching.len();
            let what = if selector.is_empty() {
                format!("this machine has {count} devices")
            } else {
                format!("{count} devices are that")
            };
            let problem = format!("{what}; name one of {}", list(devices));
            return Err(OpenError::BadSelector { selector: selector.to_string(), problem });
        }
    };
    Err(OpenError::NoDevice { selector: selector.to_string(), problem })
}

fn matching<'a, D: Selectable>(devices: &'a [D], selector: &str) -> Result<Vec<&'a D>, OpenError> {
    let bad = |problem: String| OpenError::BadSelector { selector: selector.to_string(), problem };
    if selector.is_empty() {
        return Ok(devices.iter().collect());
    }
    if let Some(text) = selector.strip_prefix("size=") {
        let size = size(text).map_err(bad)?;
        return Ok(devices.iter().filter(|device| device.size() == size).collect());
    }
    if let Some(address) = PciAddress::parse(selector) {
        return Ok(devices.iter().filter(|device| device.address() == Some(address)).collect());
    }
    if selector.bytes().all(|b| b.is_ascii_digit()) {
        // An index that is too large for the type is too large for the list.
        let index = selector.parse().unwrap_or(usize::MAX);
        return Ok(devices.get(index).into_iter().collect());
    }
    if D::is_name(selector) {
        return Ok(devices.iter().filter(|device| device.is_named(selector)).collect());
    }
    Err(bad(format!("a device is named by {}", D::NAMES)))
}

fn list<D: Selectable>(devices: &[D]) -> String {
    let name =
        |(index, device): (usize, &D)| format!("{} (index {index}, size={})", device.name(), device.size());
    devices.iter().enumerate().map(name).collect::<Vec<_>>().join(", ")
}
