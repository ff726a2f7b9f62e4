//! Whether there is space for memory: huge pages of the host, or space on a file system.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use ivshmem::{shell_word, size};
use rustix::fs::statvfs;

use super::places::{InMemory, mount_point};
use super::users::as_root;
use crate::finding::Finding;

/// Whether `size` bytes of a file fit into its file system, minus the space that the file has already. For a file that does
/// not exist, the nearest existing directory counts.
pub(super) fn examine(path: &Path, known: Option<&Metadata>, size: u64) -> Option<Finding> {
    let place = path.ancestors().find(|above| above.exists())?;
    // st_blocks counts units of 512 bytes, on every file system.
    let missing = size.saturating_sub(known.map_or(0, |facts| facts.blocks() * 512));
    match InMemory::of(place)? {
        InMemory::Huge(page) => huge(path, page, missing),
        InMemory::Tmpfs => full(path, place, missing),
    }
}

fn huge(path: &Path, page: u64, missing: u64) -> Option<Finding> {
    let count = |name: &str| -> Option<u64> {
        let file = format!("/sys/kernel/mm/hugepages/hugepages-{}kB/{name}", page >> 10);
        fs::read_to_string(file).ok()?.trim().parse().ok()
    };
    // Reserved pages are not free, although the kernel counts them as free.
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
                size::format(page)
            ),
            within_the_host(missing, || {
                format!(
                    "{}; at boot: hugepagesz={} hugepages={more} on the kernel's command line",
                    as_root(&format!(
                        "echo {more} >/sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages",
                        page >> 10
                    )),
                    size::format(page)
                )
            }),
        )
    })
}

fn full(path: &Path, place: &Path, missing: u64) -> Option<Finding> {
    let space = statvfs(place).ok()?;
    // A tmpfs without a limit reports 0 of 0.
    let free = (space.f_blocks > 0).then(|| space.f_bavail.saturating_mul(space.f_frsize))?;
    (missing > free).then(|| {
        let total = space.f_blocks.saturating_mul(space.f_frsize).saturating_add(missing - free);
        // Slightly more than needed, because files have an overhead.
        let total = total.div_ceil(1 << 20).saturating_add(1);
        let point = shell_word(mount_point(place).display());
        Finding::problem(
            "no-space",
            format!(
                "{} needs {missing} bytes more than it has taken yet, and its file system has {free} left; touching a \
                 page that cannot be taken kills the program or the machine",
                path.display()
            ),
            within_the_host(missing, || {
                format!(
                    "free some space there, or make the file system larger, {}",
                    as_root(&format!("mount -o remount,size={total}M {point}"))
                )
            }),
        )
    })
}

/// Returns the remedy that provides more memory, unless the host lacks it: the kernel would kill programs to get it.
fn within_the_host(missing: u64, remedy: impl FnOnce() -> String) -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let available = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    match available.map(|kib| kib << 10) {
        Some(available) if missing > available => {
            format!("make the memory smaller: this host has {}M for everything", available >> 20)
        }
        _ => remedy(),
    }
}
