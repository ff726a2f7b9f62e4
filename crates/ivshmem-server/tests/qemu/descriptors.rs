//! The eventfds that a process holds, identified by the kernel's id of each.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The ids of all eventfds that a process holds: its own and received ones.
///
/// # Panics
/// When the process is gone.
pub(crate) fn eventfds(pid: u32) -> BTreeSet<u64> {
    let infos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    // A descriptor that was closed in the meantime is not an error.
    infos.filter_map(|entry| number(&std::fs::read_to_string(entry.unwrap().path()).ok()?)).collect()
}

/// The id of one eventfd of this process.
///
/// # Errors
/// When the descriptor is not an eventfd.
pub(crate) fn eventfd_number(fd: &impl AsFd) -> io::Result<u64> {
    number(&own_info(fd)?).ok_or_else(|| io::Error::other("not an eventfd"))
}

/// The value of an eventfd's counter, without resetting it: 0 after its owner has read it.
///
/// # Errors
/// When the descriptor is not an eventfd.
pub(crate) fn pending(fd: &impl AsFd) -> io::Result<u64> {
    let info = own_info(fd)?;
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"));
    count
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("not an eventfd"))
}

/// Number of open descriptors of a process.
pub(crate) fn count(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn own_info(fd: &impl AsFd) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))
}

fn number(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("eventfd-id:"))?.trim().parse().ok()
}
