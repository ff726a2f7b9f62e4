//! Locks of open files.
// UNSAFETY: rustix wraps the locks of processes only, not those of open files.
#![expect(unsafe_code, reason = "fcntl with F_OFD_SETLK and F_OFD_GETLK")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

/// A lock of an open file description on the whole file (F_OFD_SETLK). It is independent of flock's locks.
///
/// It belongs to the open file description, not to the process: two descriptors of one description do not exclude each
/// other.
#[derive(Debug)]
pub struct FileLock<'fd>(BorrowedFd<'fd>);

impl<'fd> FileLock<'fd> {
    /// Takes the lock, for which the file must be open for writing. Retries every millisecond, and fails with EAGAIN if
    /// another open file description still holds the lock after `timeout`.
    pub fn take(fd: &'fd impl AsFd, timeout: Duration) -> io::Result<Self> {
        let fd = fd.as_fd();
        let limit = Instant::now() + timeout;
        loop {
            match set(fd, libc::F_WRLCK) {
                Ok(()) => return Ok(Self(fd)),
                Err(Errno::AGAIN | Errno::ACCESS) if Instant::now() < limit => {
                    sleep(Duration::from_millis(1))
                }
                Err(Errno::ACCESS) => return Err(Errno::AGAIN.into()),
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Keeps the lock until the open file description is closed.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

/// Whether another open file description has such a lock for writing on the file.
pub fn is_held(fd: &impl AsFd) -> io::Result<bool> {
    let found = call(fd.as_fd(), libc::F_OFD_GETLK, libc::F_WRLCK)?;
    Ok(libc::c_int::from(found.l_type) == libc::F_WRLCK)
}

impl Drop for FileLock<'_> {
    fn drop(&mut self) {
        // A mapping keeps the open file description and with it the lock, so closing the descriptor does not suffice.
        let _ = set(self.0, libc::F_UNLCK);
    }
}

/// The system call that takes 64-bit offsets. A 32-bit C library's fcntl may use another one.
#[cfg(target_pointer_width = "32")]
const FCNTL: libc::c_long = libc::SYS_fcntl64;
#[cfg(not(target_pointer_width = "32"))]
const FCNTL: libc::c_long = libc::SYS_fcntl;

fn set(fd: BorrowedFd<'_>, kind: libc::c_int) -> Result<(), Errno> {
    call(fd, libc::F_OFD_SETLK, kind).map(drop)
}

/// Returns the structure, into which F_OFD_GETLK writes.
fn call(fd: BorrowedFd<'_>, command: libc::c_int, kind: libc::c_int) -> Result<libc::flock64, Errno> {
    // SAFETY: a structure of integers, for which zero is valid; a length of zero means the whole file.
    let mut lock = unsafe { std::mem::zeroed::<libc::flock64>() };
    lock.l_type = libc::c_short::try_from(kind).expect("a small number");
    lock.l_whence = libc::c_short::try_from(libc::SEEK_SET).expect("a small number");
    // SAFETY: the kernel uses only this structure, and the descriptor is open.
    let result = unsafe { libc::syscall(FCNTL, fd.as_raw_fd(), command, &raw mut lock) };
    if result == 0 {
        Ok(lock)
    } else {
        Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_opening_has_the_lock_and_the_next_one_waits_as_long_as_it_wants_to() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (one, two) = (path.reopen().unwrap(), path.reopen().unwrap());
        let lock = FileLock::take(&one, Duration::ZERO).unwrap();
        let start = Instant::now();
        let error = FileLock::take(&two, Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
        assert!(start.elapsed() >= Duration::from_millis(50));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| FileLock::take(&two, Duration::from_secs(60)).map(drop));
            drop(lock);
            waiting.join().unwrap().unwrap();
        });
        let reader = std::fs::File::open(path.path()).unwrap();
        let error = FileLock::take(&reader, Duration::ZERO).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(Errno::BADF.raw_os_error()), "open for reading only");
    }

    #[test]
    fn a_lock_is_seen_by_other_openings_and_kept_as_long_as_its_own() {
        let path = tempfile::NamedTempFile::new().unwrap();
        let (one, reader) = (path.reopen().unwrap(), std::fs::File::open(path.path()).unwrap());
        assert!(!is_held(&reader).unwrap());
        FileLock::take(&one, Duration::ZERO).unwrap().keep();
        assert!(is_held(&reader).unwrap() && !is_held(&one).unwrap());
        drop(one);
        assert!(!is_held(&reader).unwrap());
    }
}
