//! Which eventfds a process holds, by the kernel's own number for each.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// The numbers of all eventfds that a process holds: its own and those it was given.
///
/// # Panics
/// When the process is gone.
pub(crate) fn eventfds(pid: u32) -> BTreeSet<u64> {
    let infos = std::fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    // A descriptor that was closed in the meantime is not an error.
    infos.filter_map(|entry| number(&std::fs::read_to_string(entry.unwrap().path()).ok()?)).collect()
}

/// The number of one eventfd of this process.
///
/// # Errors
/// When it is something else.
pub(crate) fn eventfd_number(fd: &impl AsFd) -> io::Result<u64> {
    number(&own_info(fd)?).ok_or_else(|| io::Error::other("not an eventfd"))
}

/// What stands in an eventfd's counter, without taking it: 0 after somebody has.
///
/// # Errors
/// When it is something else.
pub(crate) fn pending(fd: &impl AsFd) -> io::Result<u64> {
    let info = own_info(fd)?;
    let count = info.lines().find_map(|line| line.strip_prefix("eventfd-count:"));
    count
        .and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .ok_or_else(|| io::Error::other("not an eventfd"))
}

/// How many descriptors a process has open.
pub(crate) fn count(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn own_info(fd: &impl AsFd) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", fd.as_fd().as_raw_fd()))
}

fn number(fdinfo: &str) -> Option<u64> {
    fdinfo.lines().find_map(|line| line.strip_prefix("eventfd-id:"))?.trim().parse().ok()
}
