//! Eventfds that are shared with other processes, which may have changed their flags and counters.
//!
//! All holders of an eventfd share one open file: `O_NONBLOCK` and the counter are common property, so nothing here
//! relies on a flag that we set, and a count is never more than "not zero".

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{CWD, readlinkat_raw};
use rustix::io::{Errno, ReadWriteFlags, preadv2, write};
use rustix::path::DecInt;

/// What a platform calls an owned event.
pub type Event = OwnedFd;
/// What it calls a borrowed one.
pub type EventRef<'a> = BorrowedFd<'a>;

/// A new eventfd with counter 0, non-blocking and closed on exec.
pub fn create() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)
}

/// A new event that stays raised once it is: an eventfd that nobody takes.
pub fn create_latch() -> io::Result<OwnedFd> {
    create()
}

/// The event without its ownership.
pub fn borrow(event: &Event) -> EventRef<'_> {
    event.as_fd()
}

/// Adds 1 without ever blocking. A counter that is full is a success: the interrupt is pending already.
pub fn ring(fd: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        // A peer may have cleared O_NONBLOCK and filled the counter; a write would then block for ever.
        if is_full(fd)? {
            return Ok(());
        }
        match write(fd, &1_u64.to_ne_bytes()) {
            Ok(_) | Err(Errno::AGAIN) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Whether the counter has no room for a ring, so that a write blocks unless `O_NONBLOCK` is set.
pub fn is_full(fd: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
        match poll(&mut ready, Some(&Timespec::default())) {
            // The kernel itself can add one to a full counter, which poll reports as an error and not as writable.
            Ok(_) => return Ok(!ready[0].revents().contains(PollFlags::OUT)),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Takes what is pending, without blocking whatever the descriptor's flags are. Tells whether anything was.
pub fn take(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut count = [0; 8];
    loop {
        // An offset of -1 makes preadv2 behave like read, and RWF_NOWAIT overrides a cleared O_NONBLOCK.
        match preadv2(fd, &mut [io::IoSliceMut::new(&mut count)], u64::MAX, ReadWriteFlags::NOWAIT) {
            Ok(_) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Waits until one of two descriptors is readable, or the deadline has passed. Tells which are.
pub fn wait_either(
    a: BorrowedFd<'_>,
    b: BorrowedFd<'_>,
    deadline: Option<Instant>,
) -> io::Result<(bool, bool)> {
    let mut fds = [PollFd::new(&a, PollFlags::IN), PollFd::new(&b, PollFlags::IN)];
    loop {
        let left = deadline.map(|d| timespec(d.saturating_duration_since(Instant::now())));
        match poll(&mut fds, left.as_ref()) {
            Ok(_) => return Ok((!fds[0].revents().is_empty(), !fds[1].revents().is_empty())),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// What ended a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The event, which is taken.
    Rung,
    /// The latch.
    Over,
    /// The deadline.
    TimedOut,
}

/// Waits for the event, and takes it, until a latch is raised or the deadline has passed.
pub fn wait(event: BorrowedFd<'_>, over: BorrowedFd<'_>, deadline: Option<Instant>) -> io::Result<Waited> {
    loop {
        match wait_either(event, over, deadline)? {
            (_, true) => return Ok(Waited::Over),
            (false, false) => return Ok(Waited::TimedOut),
            // Another thread may have been faster.
            (true, false) if take(event)? => return Ok(Waited::Rung),
            (true, false) => {}
        }
    }
}

/// A duration as the kernel takes it; what is longer than it can say is cut to its maximum.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 })
}

/// Whether a descriptor that came from outside is an eventfd, by the kernel's own name for it.
pub fn is_eventfd(fd: &impl AsFd) -> bool {
    const NAME: &[u8] = b"anon_inode:[eventfd]";
    let mut path = *b"/proc/self/fd/\0\0\0\0\0\0\0\0\0\0\0";
    let number = DecInt::from_fd(fd.as_fd());
    path[PROC.len()..PROC.len() + number.as_bytes().len()].copy_from_slice(number.as_bytes());
    let Ok(path) = CStr::from_bytes_until_nul(&path) else { return false };
    // One byte more than the name has, so that a longer one is not taken for it.
    let mut name = [0; NAME.len() + 1];
    readlinkat_raw(CWD, path, &mut name).is_ok_and(|len| &name[..len] == NAME)
}

const PROC: &str = "/proc/self/fd/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_merge_and_are_taken_once() {
        let fd = create().unwrap();
        assert!(!take(fd.as_fd()).unwrap());
        ring(fd.as_fd()).unwrap();
        ring(fd.as_fd()).unwrap();
        assert!(take(fd.as_fd()).unwrap());
        assert!(!take(fd.as_fd()).unwrap());
    }

    #[test]
    fn nothing_blocks_when_a_peer_fills_the_counter_and_clears_nonblock() {
        let fd = create().unwrap();
        rustix::fs::fcntl_setfl(&fd, rustix::fs::OFlags::empty()).unwrap();
        assert!(!take(fd.as_fd()).unwrap());
        write(&fd, &(u64::MAX - 2).to_ne_bytes()).unwrap();
        assert!(!is_full(fd.as_fd()).unwrap());
        ring(fd.as_fd()).unwrap();
        assert!(is_full(fd.as_fd()).unwrap());
        ring(fd.as_fd()).unwrap();
        assert!(take(fd.as_fd()).unwrap());
        assert!(!is_full(fd.as_fd()).unwrap());
    }

    #[test]
    fn waiting_ends_with_the_deadline_or_the_event() {
        let (a, b) = (create().unwrap(), create().unwrap());
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(wait_either(a.as_fd(), b.as_fd(), Some(soon)).unwrap(), (false, false));
        assert!(Instant::now() >= soon);
        ring(b.as_fd()).unwrap();
        assert_eq!(wait_either(a.as_fd(), b.as_fd(), None).unwrap(), (false, true));
        assert!(is_eventfd(&a) && !is_eventfd(&std::io::stdin()));
    }
}
