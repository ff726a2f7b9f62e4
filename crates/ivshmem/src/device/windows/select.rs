//! Selecting a device of a Windows guest.

use super::WindowsDevice;
use crate::device::PciAddress;
use crate::device::select::Selectable;

impl Selectable for WindowsDevice {
    const NONE: &str = "give it one with QEMU's -device ivshmem-doorbell or ivshmem-plain, \
                        and install virtio-win's IVSHMEM driver for it";
    const NAMES: &str = r"its path (\\?\pci#...), its index (0), its size (size=64M) or its address (00:05.0), \
                         or by nothing when there is only one";

    fn size(&self) -> u64 {
        self.size()
    }

    fn address(&self) -> Option<PciAddress> {
        self.location
    }

    fn is_name(selector: &str) -> bool {
        selector.starts_with(r"\\?\") || selector.starts_with(r"\\.\")
    }

    /// Compares paths without case, as Windows does.
    fn is_named(&self, path: &str) -> bool {
        self.path.to_string_lossy().eq_ignore_ascii_case(path)
    }

    fn name(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::device::select::select;

    fn device(path: &str, size: u64, location: Option<&str>) -> WindowsDevice {
        let location = location.and_then(PciAddress::parse);
        WindowsDevice { path: path.into(), size: Ok(size), location }
    }

    #[test]
    fn a_device_is_found_by_path_index_size_address_or_alone() {
        let devices = [
            device(r"\\?\pci#ven_1af4&dev_1110#1#{df57}", 1 << 20, Some("00:05.0")),
            device(r"\\?\pci#ven_1af4&dev_1110#2#{df57}", 4 << 20, None),
        ];
        for (selector, index) in [
            (r"\\?\pci#ven_1af4&dev_1110#2#{df57}", 1),
            (r"\\?\PCI#VEN_1AF4&DEV_1110#1#{DF57}", 0),
            ("0", 0),
            ("1", 1),
            ("size=4M", 1),
            ("00:05.0", 0),
        ] {
            let found = select(&devices, selector).unwrap();
            assert_eq!(found.path(), devices[index].path(), "{selector}");
        }
        assert_eq!(select(&devices[..1], "").unwrap().path(), devices[0].path());
    }

    #[test]
    fn what_is_not_there_is_told_with_what_there_is() {
        let devices = [device(r"\\?\pci#1", 1 << 20, None), device(r"\\?\pci#2", 1 << 20, None)];
        for (selector, kind) in [
            ("", ErrorKind::InvalidArgument),
            ("size=1M", ErrorKind::InvalidArgument),
            (r"\\?\pci#3", ErrorKind::NotFound),
            ("00:05.0", ErrorKind::NotFound),
            ("2", ErrorKind::NotFound),
        ] {
            let error = select(&devices, selector).unwrap_err();
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(r"\\?\pci#2 (index 1, size=1048576)"), "{error}");
        }
        let error = select(&devices, "COM1").unwrap_err();
        assert!(error.to_string().contains(r"its path (\\?\pci#"), "{error}");
        let error = select::<WindowsDevice>(&[], "").unwrap_err();
        assert!(error.to_string().contains("virtio-win's IVSHMEM driver"), "{error}");
    }
}
