//! Selecting a device of a Linux guest.

use super::PciDevice;
use crate::device::PciAddress;
use crate::device::select::Selectable;

impl Selectable for PciDevice {
    const NONE: &str = "give it one with QEMU's -device ivshmem-doorbell or ivshmem-plain";
    const NAMES: &str = "its address (0000:00:05.0 or 00:05.0), its index (0) or its size (size=64M), \
                         or by nothing when there is only one";

    fn size(&self) -> u64 {
        self.size
    }

    fn address(&self) -> Option<PciAddress> {
        Some(self.address)
    }

    fn is_name(_: &str) -> bool {
        false
    }

    fn is_named(&self, _: &str) -> bool {
        false
    }

    fn name(&self) -> String {
        self.address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::device::select::select;

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
        for selector in ["x", "size=", "size=1Z", "-1", "00:40.0", "\\\\?\\pci"] {
            let error = select(&devices, selector).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        let error = select::<PciDevice>(&[], "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(error.to_string().contains("-device ivshmem-doorbell"), "{error}");
    }
}
