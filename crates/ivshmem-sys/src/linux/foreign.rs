//! Closes descriptors that other processes sent, and sockets on which they may have sent some, without waiting.
//!
//! Closing the last copy of a descriptor can take as long as its sender chooses: a TCP socket with `SO_LINGER` waits until
//! its data are read, a large memfd frees its pages one by one, and every file that can be polled waits for the mutex of each
//! epoll that watches it, which another process can hold without limit. Closing a Unix socket closes the descriptors that
//! were sent on it and not received, and before Linux 6.10 also those that other processes left in cycles of sockets.
//! Therefore separate threads close them, and never a thread that serves other processes or has a time limit.
// UNSAFETY: close_range has no wrapper in rustix.
#![expect(unsafe_code, reason = "a system call that rustix does not wrap")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags, fcntl_get_seals, makedev, statx};
use rustix::net::sockopt::socket_type;
use rustix::net::{Shutdown, shutdown};
use rustix::thread::{Pid, gettid};

use super::closer::{Closer, REST, spawn};
use super::{eventfd, ioctl, peer};

/// A descriptor that another process sent. Dropping it never waits for that process; dropping a file waits up to 100 ms for
/// a thread of this process.
#[derive(Debug)]
pub struct ForeignFd {
    fd: Option<OwnedFd>,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Eventfd,
    Ram,
    Socket,
    Other(OpenFile),
}

impl ForeignFd {
    /// Whether it is an eventfd.
    pub fn is_eventfd(&self) -> bool {
        matches!(self.kind, Kind::Eventfd)
    }

    /// Whether it is memory of this system: a memfd, or a file on a tmpfs or hugetlbfs. No operation on such a file depends
    /// on another process, unlike one on a file system in user space.
    pub fn is_ram(&self) -> bool {
        matches!(self.kind, Kind::Ram)
    }

    /// Device and inode, as cached by the kernel, without a request to the file system.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let known = statx(self, c"", flags, StatxFlags::INO)?;
        Ok((makedev(known.stx_dev_major, known.stx_dev_minor), known.stx_ino))
    }

    /// A description of its file system, if that may be a file system in user space (FUSE); otherwise `None`. The sender chooses
    /// the process that serves such a file system. While that process does not answer, mapping the file can block all threads of
    /// this process from their memory. The check sends no request to the file system.
    ///
    /// # Errors
    /// If this process may not open another file.
    pub fn untrusted_place(&self) -> io::Result<Option<String>> {
        if !matches!(self.kind, Kind::Other(_)) || has_no_path(self.as_fd().as_raw_fd()) {
            return Ok(None);
        }
        let place = match self.mount().and_then(|mount| file_system(&mount)) {
            Ok(Some(system)) if system.starts_with("fuse") => {
                format!("a file system in user space ({system})")
            }
            Ok(Some(_)) => return Ok(None),
            Ok(None) => "a file system that is not mounted where this process sees it".to_owned(),
            Err(e) if matches!(e.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => return Err(e),
            Err(e) => format!("a file system that this process cannot tell ({e})"),
        };
        Ok(Some(place))
    }

    /// The id of its mount.
    fn mount(&self) -> io::Result<String> {
        match mount(self.as_fd().as_raw_fd()) {
            // Before Linux 5.14, a process that may not be traced cannot read /proc/self/fdinfo.
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
                let known = statx(self, c"", flags, StatxFlags::MNT_ID)?;
                if known.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
                    Err(e)
                } else {
                    Ok(known.stx_mnt_id.to_string())
                }
            }
            mount => mount,
        }
    }

    /// The plain descriptor. Closing it may wait for its sender.
    pub fn into_owned(mut self) -> OwnedFd {
        self.fd.take().expect("taken on drop only")
    }
}

impl From<OwnedFd> for ForeignFd {
    fn from(fd: OwnedFd) -> Self {
        // The kernel alone answers these calls, without a request to a file system.
        let kind = if eventfd::is_eventfd(&fd) {
            Kind::Eventfd
        } else if fcntl_get_seals(&fd).is_ok() {
            // Only those file systems support seals.
            Kind::Ram
        } else if socket_type(&fd).is_ok() {
            Kind::Socket
        } else {
            Kind::Other(OpenFile::new())
        };
        Self { fd: Some(fd), kind }
    }
}

impl AsRawFd for ForeignFd {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for ForeignFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("taken on drop only").as_fd()
    }
}

impl Drop for ForeignFd {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        match std::mem::replace(&mut self.kind, Kind::Socket) {
            Kind::Eventfd => EVENTFDS.close(fd),
            Kind::Socket => SOCKETS.close(fd),
            Kind::Ram => FILES.close(File { open: None, fd }),
            Kind::Other(open) => {
                let closing = Closing::new(&fd);
                FILES.close(File { open: Some(open), fd });
                // A program that this process starts waits for the files that are in the descriptor table then. Wait until a
                // thread has removed this file from the table, but not until it is closed.
                until(REST, || !closing.is_open());
            }
        }
    }
}

/// The id of an open file's mount. `NotFound` for a closed descriptor, and for a file without a path: reading
/// /proc/self/fdinfo of an epoll blocks while another process holds its mutex.
fn mount(number: RawFd) -> io::Result<String> {
    if has_no_path(number) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(mount.ok_or(io::ErrorKind::InvalidData)?.trim().to_owned())
}

/// The type of a mount's file system, as in /proc/filesystems; `None` if this process sees no such mount.
fn file_system(mount: &str) -> io::Result<Option<String>> {
    // The names of directories may have any bytes; the kernel escapes their spaces.
    let mounts = std::fs::read("/proc/self/mountinfo")?;
    let mounts = String::from_utf8_lossy(&mounts);
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount));
    let system = line.and_then(|line| line.split_once(" - ")?.1.split(' ').next());
    Ok(system.map(str::to_owned))
}

/// Whether an open descriptor has no path: the kernel gives pipes, sockets and eventfds names such as "pipe:[1]".
fn has_no_path(number: RawFd) -> bool {
    let name = std::fs::read_link(format!("/proc/self/fd/{number}"));
    name.is_ok_and(|name| {
        !name.as_os_str().as_encoded_bytes().starts_with(b"/") && !name.starts_with("(unreachable)")
    })
}

/// A file that is being closed: its number, and its mount, which a sender cannot choose.
#[derive(Clone, Debug, PartialEq)]
struct Closing {
    number: RawFd,
    mount: Option<String>,
}

impl Closing {
    fn new(fd: &OwnedFd) -> Self {
        Self { number: fd.as_raw_fd(), mount: mount(fd.as_raw_fd()).ok() }
    }

    /// Whether the number may still refer to this file. Sends no request to the file system.
    fn is_open(&self) -> bool {
        match mount(self.number) {
            Ok(now) => self.mount.as_ref().is_none_or(|mount| *mount == now),
            Err(e) => e.kind() != io::ErrorKind::NotFound || !Path::new("/proc/self/fdinfo").exists(),
        }
    }
}

/// Counts the descriptors in the table that other processes sent and that may be files. Closing any copy of a file may wait.
#[derive(Debug)]
struct OpenFile(());

static OPEN_FILES: AtomicUsize = AtomicUsize::new(0);

impl OpenFile {
    fn new() -> Self {
        OPEN_FILES.fetch_add(1, Ordering::SeqCst);
        Self(())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        OPEN_FILES.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Read lock that a thread holds from receiving descriptors until it has classified them.
pub(super) fn arriving() -> RwLockReadGuard<'static, ()> {
    ARRIVING.read().unwrap_or_else(PoisonError::into_inner)
}

/// A thread holds the write lock while it copies the descriptor table.
static ARRIVING: RwLock<()> = RwLock::new(());

/// A Unix socket that is connected to another process, or listens for such connections. Dropping it ends the connection at
/// once and never waits for that process.
#[derive(Debug)]
pub struct ForeignSocket(Option<OwnedFd>);

impl From<OwnedFd> for ForeignSocket {
    fn from(socket: OwnedFd) -> Self {
        Self(Some(socket))
    }
}

impl AsFd for ForeignSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("taken on drop only").as_fd()
    }
}

impl Drop for ForeignSocket {
    fn drop(&mut self) {
        let Some(socket) = self.0.take() else { return };
        // After this nothing can be sent on the socket, so an empty queue stays empty.
        let ended = shutdown(&socket, Shutdown::Both).is_ok();
        // A listening socket does not report a number of bytes, and its connections may have data.
        let is_empty = ended && ioctl::inq(socket.as_fd()).is_ok_and(|bytes| bytes == 0);
        match peer::takes_descriptors(socket.as_fd()) {
            // A kernel with this option collects cycles of sockets in a separate thread.
            Some(false) => drop(socket),
            Some(true) if is_empty => drop(socket),
            // At worst a cycle makes these threads wait; then the other sockets go to SOCKETS.
            None if is_empty && EMPTY.unclosed() < EMPTY.max_workers => EMPTY.close(socket),
            _ => SOCKETS.close(socket),
        }
    }
}

/// The number of descriptors from servers that cannot be closed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclosed {
    /// The number of files, and of threads that wait for a file system or for an eventfd to close.
    pub files: usize,
    /// The number of sockets, including connections with unread data.
    pub sockets: usize,
}

/// Waits until there is room for the descriptors of another server.
///
/// # Errors
/// If at least [`MAX_FILES`] files or [`MAX_SOCKETS`] sockets still cannot be closed after `timeout`.
pub fn wait_for_room(timeout: Duration) -> Result<(), Unclosed> {
    let mut unclosed = Unclosed { files: 0, sockets: 0 };
    let has_room = until(timeout, || {
        let files = FILES.unclosed() + given_up().len() + EVENTFDS.busy();
        unclosed = Unclosed { files, sockets: SOCKETS.unclosed() };
        unclosed.files < MAX_FILES && unclosed.sockets < MAX_SOCKETS
    });
    if has_room { Ok(()) } else { Err(unclosed) }
}

/// Counts an abandoned thread, which waits for a file system that does not answer.
pub fn give_up(thread: JoinHandle<()>) {
    given_up().push(thread);
}

fn given_up() -> MutexGuard<'static, Vec<JoinHandle<()>>> {
    static GIVEN_UP: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());
    let mut threads = GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
    threads.retain(|thread| !thread.is_finished());
    threads
}

/// A file to close.
struct File {
    open: Option<OpenFile>,
    fd: OwnedFd,
}

/// For sockets that another process sent, sockets with unread data, listening sockets, and those for which EMPTY has no free
/// thread.
static SOCKETS: Closer<OwnedFd> = Closer::new(4, usize::MAX, usize::MAX, close_sockets);
/// For sockets without unread data.
static EMPTY: Closer<OwnedFd> = Closer::new(4, usize::MAX, usize::MAX, drop);
/// For eventfds. A server may send thousands, which are usually closed at once.
static EVENTFDS: Closer<OwnedFd> = Closer::new(4 * MAX_FILES, 64, 1, drop);
/// For files. Closing one may wait for the process behind a file system, and then delays only other files.
static FILES: Closer<File> = Closer::new(4 * MAX_FILES, 1, 1, close_files);

/// With this many files that cannot be closed, the process connects to no new server. Each connected server can send a few more
/// files, so there are more threads than this: a file that waits for a thread delays the programs that this process starts.
pub const MAX_FILES: usize = 16;
/// With this many sockets that cannot be closed, the process connects to no new server.
pub const MAX_SOCKETS: usize = 64;
/// Closes files one after the other. A file that is being closed is no longer in the descriptor table, however long the
/// closing takes.
fn close_files(batch: Vec<File>) {
    for File { open, fd } in batch {
        let Some(open) = open else {
            drop(fd);
            continue;
        };
        let closing = Closing::new(&fd);
        being_closed().push(closing.clone());
        drop(open);
        drop(fd);
        let mut being_closed = being_closed();
        if let Some(index) = being_closed.iter().position(|other| *other == closing) {
            being_closed.swap_remove(index);
        }
    }
}

fn being_closed() -> MutexGuard<'static, Vec<Closing>> {
    static BEING_CLOSED: Mutex<Vec<Closing>> = Mutex::new(Vec::new());
    BEING_CLOSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the descriptor table has no file that another process sent; closing such a file may wait.
fn no_file_is_open() -> bool {
    OPEN_FILES.load(Ordering::SeqCst) == 0 && !being_closed().iter().any(Closing::is_open)
}

/// Closes sockets by ending a thread that has the only copies.
///
/// A socket does not linger if an exiting thread closes its last copy (`PF_EXITING` in the kernel). For this the thread gets
/// its own descriptor table. Even this thread waits if a socket contains a file with data to write back to a process that does
/// not answer (FUSE).
fn close_sockets(batch: Vec<OwnedFd>) {
    let (ready, is_ready) = mpsc::channel();
    let (end, may_end) = mpsc::channel::<()>();
    if until(REST, || ending().len() < MAX_ENDING) {
        spawn(move || {
            ending().push(gettid());
            if copy_table().is_ok() {
                let _ = ready.send(());
            }
            drop(ready);
            let _ = may_end.recv();
            // Close nothing here: the copies of other descriptors may be the last ones as well by now.
        });
    } else {
        drop(ready);
    }
    // An error means that the thread or its table could not be created. Then this thread closes the sockets, and may wait.
    let _ = is_ready.recv();
    drop(batch);
    drop(end);
}

/// The maximum number of threads with their own tables. A thread whose table has a copy of a file of this program waits at its
/// end while the file's file system does not answer, and keeps the copies that it has not closed yet.
const MAX_ENDING: usize = 4;

/// The threads that were started to have their own tables and have not ended.
fn ending() -> MutexGuard<'static, Vec<Pid>> {
    static ENDING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
    let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    ending.retain(|thread| Path::new("/proc/self/task").join(thread.to_string()).exists());
    ending
}

/// Gives the calling thread its own descriptor table, with copies of all descriptors. Needs Linux 5.9.
///
/// # Errors
/// Also while a file from another process is open, because the thread would close the copy at its end.
fn copy_table() -> io::Result<()> {
    let mut result = Err(io::ErrorKind::ResourceBusy.into());
    until(REST, || {
        let _none_arrives = ARRIVING.write().unwrap_or_else(PoisonError::into_inner);
        let is_free = no_file_is_open();
        if is_free {
            result = unshare_table();
        }
        is_free
    });
    result
}

/// Whether `is_true` returns true within `timeout`. Checks every millisecond.
fn until(timeout: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if is_true() {
            return true;
        }
        if begin.elapsed() >= timeout {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn unshare_table() -> io::Result<()> {
    // close_range and not unshare, which sandboxes for containers refuse. No descriptor has the number to close.
    let (first, last) = (u32::MAX, u32::MAX);
    // SAFETY: no memory is passed, and no open descriptor is closed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A number that no other test of this process reaches.
    const NUMBER: RawFd = 900;

    fn copy_at(number: RawFd, fd: &impl AsFd) -> OwnedFd {
        let copy = rustix::io::fcntl_dupfd_cloexec(fd, number).unwrap();
        assert_eq!(copy.as_raw_fd(), number);
        copy
    }

    #[test]
    fn what_is_no_file_is_not_asked_for_its_mount() {
        let epoll = rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap();
        let (pipe, _other_end) = rustix::pipe::pipe().unwrap();
        for fd in [epoll, pipe, eventfd::create().unwrap()] {
            assert_eq!(mount(fd.as_raw_fd()).unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        assert!(mount(OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap()).as_raw_fd()).is_ok());
    }

    /// The only test of this process with files from other processes.
    #[test]
    fn a_file_that_is_about_to_be_closed_counts_as_open_until_its_number_stands_for_something_else() {
        let file = copy_at(NUMBER, &std::fs::File::open("/proc/self/exe").unwrap());
        assert!(no_file_is_open());
        let foreign = ForeignFd::from(file.try_clone().unwrap());
        assert!(!no_file_is_open());
        drop(foreign.into_owned());
        being_closed().push(Closing::new(&file));
        assert!(!no_file_is_open());
        drop(file);
        assert!(no_file_is_open());
        let same = copy_at(NUMBER, &std::fs::File::open("/proc/self/exe").unwrap());
        assert!(!no_file_is_open(), "it may be the same");
        drop(same);
        let _other = copy_at(NUMBER, &std::fs::File::open("/proc/self/status").unwrap());
        assert!(no_file_is_open(), "it lies in another file system");
        being_closed().clear();
    }
}
