//! Sockets that a service manager opened for this process, as described in sd_listen_fds(3).
// UNSAFETY: an inherited descriptor is only a number.
#![expect(unsafe_code, reason = "an owner for a descriptor that is known by its number")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::{FdFlags, fcntl_setfd};

/// The first inherited descriptor; 0 to 2 are the standard streams.
const FIRST: RawFd = 3;

/// The sockets that LISTEN_PID and LISTEN_FDS announce for this process. Sets close-on-exec on them. Only the first call
/// returns them.
pub fn sockets() -> Vec<OwnedFd> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let [pid, count] = ["LISTEN_PID", "LISTEN_FDS"].map(|name| std::env::var(name).unwrap_or_default());
    let count = announced(&pid, &count, std::process::id());
    if count == 0 || TAKEN.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    (FIRST..FIRST + count).filter_map(take).collect()
}

/// The announced number of descriptors; 0 if they are for another process.
fn announced(pid: &str, count: &str, own: u32) -> RawFd {
    if pid.parse() != Ok(own) {
        return 0;
    }
    count.parse().ok().filter(|count| (0..=MOST).contains(count)).unwrap_or(0)
}

/// More descriptors than any service has. A larger number is treated as invalid.
const MOST: RawFd = 64;

/// `None` if no descriptor has this number.
fn take(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: by the protocol the descriptor was opened for this process to own, and `sockets` takes it only once. Nothing
    // else in the process can own it, since it was open before the process began.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    match fcntl_setfd(&fd, FdFlags::CLOEXEC) {
        Ok(()) => Some(fd),
        Err(_) => {
            // It is not open, so there is nothing to close.
            std::mem::forget(fd);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_announced_to_this_very_process_is_taken() {
        assert_eq!(announced("7", "2", 7), 2);
        for (pid, count) in
            [("8", "2"), ("", "2"), ("7", ""), ("7", "-1"), ("7", "65"), ("7", "x"), ("x", "2")]
        {
            assert_eq!(announced(pid, count, 7), 0, "{pid:?} {count:?}");
        }
    }
}
