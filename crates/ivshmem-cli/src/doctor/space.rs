//! Whether there is room for memory: huge pages of the host, or space of a file system.

use std::fs;
use std::path::Path;

use rustix::fs::{statfs, statvfs};

use super::Finding;
use crate::values::units;

/// HUGETLBFS_MAGIC and TMPFS_MAGIC of linux/magic.h: 32 bits, in a field whose width and sign differ between machines.
const HUGETLBFS: i128 = 0x9584_58f6;
const TMPFS: i128 = 0x0102_1994;

/// Whether `missing` more bytes of a file fit into the file system of `place`, the file or its directory.
pub(super) fn examine(path: &Path, place: &Path, missing: u64) -> Option<Finding> {
    let system = statfs(place).ok()?;
    match i128::from(system.f_type) & 0xffff_ffff {
        HUGETLBFS => huge(path, u64::try_from(system.f_bsize).ok()?, missing),
        TMPFS => full(path, place, missing),
        _ => None,
    }
}

fn huge(path: &Path, page: u64, missing: u64) -> Option<Finding> {
    let count = |name: &str| -> Option<u64> {
        let file = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/{name}", page >> 10);
        fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    // Those that are promised to somebody are not free, though the kernel counts them so.
    let free = count("free_hugepages")?.saturating_sub(count("resv_hugepages")?);
    let wanted = missing.div_ceil(page);
    (wanted > free).then(|| {
        let more = count("nr_hugepages").unwrap_or(0) + wanted - free;
        Finding::problem(
            "hugepages-short",
            format!(
                "{} needs {wanted} more huge pages of {}, and {free} are free; touching one that is not there kills \
                 the program or the machine",
                path.display(),
                units(page)
            ),
            format!(
                "as root: echo {more} >/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages (at boot: \
                 hugepagesz={} hugepages={more} on the kernel's command line)",
                page >> 10,
                units(page)
            ),
        )
    })
}

fn full(path: &Path, place: &Path, missing: u64) -> Option<Finding> {
    let space = statvfs(place).ok()?;
    // A tmpfs without a limit says 0 of 0.
    let free = (space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize))?;
    (missing > free).then(|| {
        Finding::problem(
            "no-space",
            format!(
                "{} needs {missing} bytes more than it has taken yet, and its file system has {free} left; touching a \
                 page that cannot be taken kills the program or the machine",
                path.display()
            ),
            "free some space there, or make the file system larger: mount -o remount,size=SIZE MOUNTPOINT, as root",
        )
    })
}
