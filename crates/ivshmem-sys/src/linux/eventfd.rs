//! Eventfds that are shared with other processes, which may change their flags and counters.
//!
//! All holders of an eventfd share one open file description, including `O_NONBLOCK` and the counter. Therefore no
//! function here relies on a flag that this process has set, and a count means only "not zero".

// UNSAFETY: a write from memory that is not readable, which no safe function supports.
#![expect(unsafe_code, reason = "mmap, and write with an address")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr::{null_mut, with_exposed_provenance};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::fstat;
use rustix::io::{Errno, ReadWriteFlags, preadv2, write};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use rustix::param::page_size;

use super::file::unsigned;

/// An owned event on this platform.
pub type Event = OwnedFd;
/// A borrowed event on this platform.
pub type EventRef<'a> = BorrowedFd<'a>;

/// Creates an eventfd with counter 0, non-blocking and closed on exec.
pub fn create() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?)
}

/// Borrows an event.
pub fn borrow(event: &Event) -> EventRef<'_> {
    event.as_fd()
}

/// Adds 1 to the counter without blocking. A full counter is a success, because an interrupt is already pending.
pub fn ring(fd: BorrowedFd<'_>) -> io::Result<()> {
    loop {
        // A peer may have cleared O_NONBLOCK and filled the counter; a write would then block without limit.
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

/// Whether the counter is full, so that a write blocks unless `O_NONBLOCK` is set.
pub fn is_full(fd: BorrowedFd<'_>) -> io::Result<bool> {
    loop {
        let mut ready = [PollFd::new(&fd, PollFlags::OUT)];
        match poll(&mut ready, Some(&Timespec::default())) {
            // The kernel itself can add 1 to a full counter, which poll reports as an error and not as writable.
            Ok(_) => return Ok(!ready[0].revents().contains(PollFlags::OUT)),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Takes a pending interrupt without blocking, whatever the descriptor's flags are. Returns whether one was pending.
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

/// Waits until a descriptor is readable or the deadline has passed. Returns whether it is readable.
pub fn wait_readable(fd: BorrowedFd<'_>, deadline: Instant) -> io::Result<bool> {
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    poll_until(&mut fds, Some(deadline))?;
    Ok(!fds[0].revents().is_empty())
}

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The event was raised. The wait has taken it.
    Rung,
    /// The wake event was raised. The wait has taken it.
    Woken,
    /// The deadline has passed.
    TimedOut,
}

/// Waits for `event` or `wake` and takes one, or until the deadline has passed. If both are raised, it takes `wake`.
pub fn wait(event: BorrowedFd<'_>, wake: BorrowedFd<'_>, deadline: Option<Instant>) -> io::Result<Waited> {
    let mut fds = [&event, &wake].map(|fd| PollFd::new(fd, PollFlags::IN));
    loop {
        poll_until(&mut fds, deadline)?;
        let [rung, woken] = fds.each_ref().map(|fd| !fd.revents().is_empty());
        // Another thread may have taken the event first.
        match () {
            () if woken && take(wake)? => return Ok(Waited::Woken),
            () if rung && take(event)? => return Ok(Waited::Rung),
            () if !rung && !woken => return Ok(Waited::TimedOut),
            () => {}
        }
    }
}

/// Waits until one of the descriptors is ready or the deadline has passed.
fn poll_until(fds: &mut [PollFd<'_>], deadline: Option<Instant>) -> io::Result<()> {
    loop {
        let left = deadline.map(|d| timespec(d.saturating_duration_since(Instant::now())));
        match poll(fds, left.as_ref()) {
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// Converts a duration for the kernel. A duration beyond its range becomes the maximum.
pub fn timespec(duration: Duration) -> Timespec {
    Timespec::try_from(duration).unwrap_or(Timespec { tv_sec: i64::MAX, tv_nsec: 999_999_999 })
}

/// Whether a descriptor from another process is an eventfd that can be read and written. It needs no /proc, does not wait, and
/// does not change the counter.
///
/// Three conditions must hold. Of all files on Linux, only eventfds satisfy all of them:
/// - The file has the anonymous inode that the kernel uses for eventfds, timerfds, epolls and similar files. The other two
///   checks access only such files.
/// - A non-blocking read of fewer bytes than the counter has fails with EINVAL. Files that support no non-blocking read, for
///   example a fanotify, fail with another error, and an `O_PATH` descriptor cannot be read.
/// - A write first copies its eight bytes, and fails with EFAULT if they are not readable. For epolls, timerfds, signalfds
///   and userfaultfds, which have no write, it fails with EINVAL.
pub fn is_eventfd(fd: &impl AsFd) -> bool {
    static OURS: OnceLock<(u64, u64)> = OnceLock::new();
    let Some(ours) = known(&OURS, || inode(&create()?)) else { return false };
    if !inode(fd).is_ok_and(|theirs| theirs == *ours) {
        return false;
    }
    let mut few = [0; 4];
    let read = preadv2(fd, &mut [io::IoSliceMut::new(&mut few)], u64::MAX, ReadWriteFlags::NOWAIT);
    read == Err(Errno::INVAL) && write_of_nothing_readable(fd.as_fd()) == Err(Errno::FAULT)
}

/// Device and inode of a file.
fn inode(fd: &impl AsFd) -> io::Result<(u64, u64)> {
    let stat = fstat(fd)?;
    Ok((unsigned(stat.st_dev), unsigned(stat.st_ino)))
}

/// Writes eight bytes from an address that is not readable.
fn write_of_nothing_readable(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    static PAGE: OnceLock<usize> = OnceLock::new();
    let page = known(&PAGE, || {
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        // SAFETY: the kernel chooses the address, so no address in use changes. The page stays mapped as long as the process.
        let page = unsafe { mmap_anonymous(null_mut(), page_size(), ProtFlags::empty(), flags) }?;
        Ok(page.expose_provenance())
    });
    let page = page.ok_or(Errno::NOMEM)?;
    // SAFETY: the kernel tries to read the bytes and fails; there is no reference to them.
    let written = unsafe { libc::write(fd.as_raw_fd(), with_exposed_provenance(*page), size_of::<u64>()) };
    if written < 0 {
        Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO))
    } else {
        Ok(())
    }
}

/// The value of `cell`, which the first successful call of `find_out` sets. `None` if it fails; a later call tries again.
fn known<T>(cell: &OnceLock<T>, find_out: impl FnOnce() -> io::Result<T>) -> Option<&T> {
    if cell.get().is_none() {
        let _ = cell.set(find_out().ok()?);
    }
    cell.get()
}

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
        let (event, wake) = (create().unwrap(), create().unwrap());
        let waited = |deadline| wait(event.as_fd(), wake.as_fd(), deadline).unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(waited(Some(soon)), Waited::TimedOut);
        assert!(Instant::now() >= soon);
        assert!(!wait_readable(event.as_fd(), soon).unwrap());
        ring(event.as_fd()).unwrap();
        ring(wake.as_fd()).unwrap();
        assert!(wait_readable(event.as_fd(), soon).unwrap());
        assert_eq!(
            [waited(None), waited(None), waited(Some(soon))],
            [Waited::Woken, Waited::Rung, Waited::TimedOut]
        );
    }

    #[test]
    fn an_eventfd_is_known_whatever_its_counter_and_flags_and_stays_as_it_is() {
        use rustix::fs::{OFlags, fcntl_setfl};
        let plain = create().unwrap();
        assert!(is_eventfd(&plain) && !take(plain.as_fd()).unwrap());
        let rung = create().unwrap();
        ring(rung.as_fd()).unwrap();
        assert!(is_eventfd(&rung) && take(rung.as_fd()).unwrap() && !take(rung.as_fd()).unwrap());
        let full = create().unwrap();
        write(&full, &(u64::MAX - 1).to_ne_bytes()).unwrap();
        // The checks do not wait even with O_NONBLOCK cleared.
        fcntl_setfl(&full, OFlags::empty()).unwrap();
        assert!(is_eventfd(&full) && is_full(full.as_fd()).unwrap());
        let semaphore = eventfd(2, EventfdFlags::SEMAPHORE).unwrap();
        assert!(is_eventfd(&semaphore));
        let mut count = [0; 8];
        rustix::io::read(&semaphore, &mut count).unwrap();
        rustix::io::read(&semaphore, &mut count).unwrap();
        assert!(!take(semaphore.as_fd()).unwrap(), "there were two, and no more");
    }

    #[test]
    fn whatever_else_there_is_is_no_eventfd() {
        use rustix::event::epoll;
        use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, inotify, memfd_create, open, openat};
        use rustix::process::{PidfdFlags, getpid, pidfd_open};
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let event = create().unwrap();
        let path = format!("/proc/self/fd/{}", event.as_raw_fd());
        let by_path = open(&path, OFlags::PATH, Mode::empty()).unwrap();
        assert_eq!(std::fs::read_link(&path).unwrap().to_str(), Some("anon_inode:[eventfd]"));
        let (reader, writer) = std::io::pipe().unwrap();
        let (one, _two) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut others: Vec<(&str, OwnedFd)> = vec![
            ("O_PATH of an eventfd", by_path),
            ("epoll", epoll::create(epoll::CreateFlags::CLOEXEC).unwrap()),
            ("timerfd", timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).unwrap()),
            ("inotify", inotify::init(inotify::CreateFlags::NONBLOCK).unwrap()),
            ("memfd", memfd_create("m", MemfdFlags::CLOEXEC).unwrap()),
            ("pidfd", pidfd_open(getpid(), PidfdFlags::NONBLOCK).unwrap()),
            ("pipe", reader.into()),
            ("other end of a pipe", writer.into()),
            ("socket", one.into()),
            ("null", openat(CWD, "/dev/null", OFlags::RDWR, Mode::empty()).unwrap()),
            ("directory", openat(CWD, "/", OFlags::PATH, Mode::empty()).unwrap()),
        ];
        others.extend(exotic());
        for (name, fd) in others {
            assert!(!is_eventfd(&fd), "{name}");
        }
    }

    /// Kinds of files that rustix does not create, except those that this system or its sandbox forbids.
    fn exotic() -> Vec<(&'static str, OwnedFd)> {
        use std::os::fd::FromRawFd;
        let mut mask = [0_u64; 16];
        // One signal.
        mask[0] = 1 << 9;
        let one: [u64; 2] = [0, 0];
        // Attributes of a bpf map: an array of one element.
        let map: [u32; 32] = std::array::from_fn(|i| [2, 4, 4, 1].get(i).copied().unwrap_or(0));
        let perf: [u32; 32] = std::array::from_fn(|i| [1, 128].get(i).copied().unwrap_or(0));
        let made = [
            // SAFETY: the kernel reads the mask, of 8 bytes.
            ("signalfd", unsafe {
                libc::syscall(libc::SYS_signalfd4, -1, mask.as_ptr(), 8, libc::SFD_NONBLOCK)
            }),
            // SAFETY: no memory is passed.
            ("userfaultfd", unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_NONBLOCK | 1) }),
            // SAFETY: no memory is passed.
            ("fanotify", unsafe { libc::syscall(libc::SYS_fanotify_init, 0, libc::O_RDWR) }),
            // SAFETY: the kernel reads the attributes, of 128 bytes.
            ("bpf map", unsafe { libc::syscall(libc::SYS_bpf, 0, map.as_ptr(), 128) }),
            // SAFETY: the kernel reads the attributes, of 128 bytes.
            ("perf", unsafe { libc::syscall(libc::SYS_perf_event_open, perf.as_ptr(), 0, -1, -1, 0) }),
            // SAFETY: the kernel reads the attributes, of 8 bytes.
            ("landlock", unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, [1_u64].as_ptr(), 8, 0) }),
            // SAFETY: the kernel reads and writes the structure, of 120 bytes.
            ("io_uring", unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, [0_u64; 15].as_mut_ptr()) }),
            // SAFETY: no memory is passed.
            ("fscontext", unsafe { libc::syscall(libc::SYS_fsopen, c"tmpfs".as_ptr(), 0) }),
            // SAFETY: the kernel reads no memory for this command.
            ("memfd_secret", unsafe { libc::syscall(libc::SYS_memfd_secret, one[0]) }),
        ];
        let there = made.into_iter().filter(|(_, fd)| *fd >= 0).map(|(name, fd)| {
            let fd = i32::try_from(fd).unwrap();
            // SAFETY: opened above, without another owner.
            (name, unsafe { OwnedFd::from_raw_fd(fd) })
        });
        there.collect()
    }
}
