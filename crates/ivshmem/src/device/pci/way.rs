//! The interface of VFIO through which to open a device.

use std::path::{Path, PathBuf};

use super::PciDevice;
use super::function::Function;
use crate::device::Finding;

pub(super) const CONTAINER: &str = "/dev/vfio/vfio";
pub(super) const IOMMUFD: &str = "/dev/iommu";

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Way {
    Group(GroupWay),
    /// The device's own node.
    Itself(PathBuf),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct GroupWay {
    pub(super) number: String,
    pub(super) node: PathBuf,
    pub(super) without_iommu: bool,
}

impl Way {
    /// The interface that this system offers for the device.
    pub(super) fn find(device: &PciDevice) -> Result<Self, Finding> {
        let function = Function::new(device.address());
        let group = function.group().ok_or(Finding::NoIommu)?;
        // The only entry of this directory has the name of the device's own node.
        let itself = function.path("vfio-dev").read_dir().ok().and_then(|mut names| names.next()?.ok());
        let itself = itself.and_then(|entry| entry.file_name().into_string().ok());
        Self::choose(group, itself, |path| path.exists())
    }

    /// Prefers the group, because every kernel of the last ten years has this interface and not every one has the other.
    fn choose(
        group: String,
        itself: Option<String>,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Self, Finding> {
        if exists(Path::new(CONTAINER)) {
            for (prefix, without_iommu) in [("", false), ("noiommu-", true)] {
                let node = PathBuf::from(format!("/dev/vfio/{prefix}{group}"));
                if exists(&node) {
                    return Ok(Self::Group(GroupWay { number: group, node, without_iommu }));
                }
            }
        }
        let node = itself.map(|name| Path::new("/dev/vfio/devices").join(name));
        match node.filter(|node| exists(node) && exists(Path::new(IOMMUFD))) {
            Some(node) => Ok(Self::Itself(node)),
            None => {
                let what = format!(
                    "there is neither {CONTAINER} with /dev/vfio/{group}, nor {IOMMUFD} with a device's node"
                );
                Err(Finding::VfioMissing { what })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(itself: Option<&str>, there: &[&str]) -> Result<Way, Finding> {
        Way::choose("7".to_string(), itself.map(str::to_string), |path| {
            there.iter().any(|t| Path::new(t) == path)
        })
    }

    #[test]
    fn a_group_is_taken_before_a_device_of_its_own() {
        let group = |node: &str, without_iommu| {
            Way::Group(GroupWay { number: "7".into(), node: node.into(), without_iommu })
        };
        let all = [CONTAINER, "/dev/vfio/7", IOMMUFD, "/dev/vfio/devices/vfio0"];
        assert_eq!(choose(Some("vfio0"), &all), Ok(group("/dev/vfio/7", false)));
        assert_eq!(choose(None, &all[..2]), Ok(group("/dev/vfio/7", false)));
        assert_eq!(choose(None, &[CONTAINER, "/dev/vfio/noiommu-7"]), Ok(group("/dev/vfio/noiommu-7", true)));
        // Without group support, a kernel has no container, or a container without groups.
        for there in [&all[2..], &[CONTAINER, IOMMUFD, "/dev/vfio/devices/vfio0"]] {
            assert_eq!(choose(Some("vfio0"), there), Ok(Way::Itself("/dev/vfio/devices/vfio0".into())));
        }
    }

    #[test]
    fn without_any_way_vfio_is_missing() {
        for (itself, there) in [
            (None, &[][..]),
            (None, &[CONTAINER]),
            (Some("vfio0"), &["/dev/vfio/devices/vfio0"]),
            (Some("vfio0"), &[IOMMUFD]),
            (None, &["/dev/vfio/7"]),
        ] {
            assert_eq!(choose(itself, there).unwrap_err().name(), "vfio-missing", "{itself:?} {there:?}");
        }
    }
}
