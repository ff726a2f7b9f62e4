//! Descriptors that other processes sent, and sockets on which they may have sent some: closing them without waiting.
//!
//! Closing the last copy of a descriptor can take as long as its sender likes: a TCP socket with `SO_LINGER` waits until
//! its data are read, a large memfd frees its pages one by one, and whatever can be polled waits for the mutex of each epoll that
//! watches it, which another process can hold as long as it likes. Closing a Unix socket closes what was sent on it and not
//! received, and before Linux 6.10 also what other processes left in cycles of sockets. So a thread that serves others
//! or has a time limit never does it; a thread of its own does.
// UNSAFETY: close_range has no wrapper in rustix.
#![expect(unsafe_code, reason = "a system call that rustix does not wrap")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags, fcntl_get_seals, makedev, statx};
use rustix::net::sockopt::socket_type;
use rustix::net::{Shutdown, shutdown};
use rustix::thread::{Pid, gettid};

use super::{eventfd, ioctl, peer};

/// A descriptor that another process sent. Dropping it never waits for that process; that of a file waits up to 100 ms for a
/// thread of this one.
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

    /// Whether it is memory of this system: a memfd, or a file on a tmpfs or hugetlbfs. No operation on such a file asks
    /// another process, as one on a file system in user space does.
    pub fn is_ram(&self) -> bool {
        matches!(self.kind, Kind::Ram)
    }

    /// Which file it is (device and inode) as far as this system knows, without asking its file system.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let known = statx(self, c"", flags, StatxFlags::INO)?;
        Ok((makedev(known.stx_dev_major, known.stx_dev_minor), known.stx_ino))
    }

    /// What it lies in, when that may be a file system in user space (FUSE), which asks a process of the sender's choice: while that
    /// does not answer, mapping the file can keep all threads of this process from their memory. Told without asking it.
    ///
    /// # Errors
    /// When this process may not open another file.
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
            // Before Linux 5.14 a process that may not be traced cannot read that file.
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

    /// The plain descriptor, whose closing may wait for its sender.
    pub fn into_owned(mut self) -> OwnedFd {
        self.fd.take().expect("taken on drop only")
    }
}

impl From<OwnedFd> for ForeignFd {
    fn from(fd: OwnedFd) -> Self {
        // Told by the kernel alone: no file system is asked.
        let kind = if eventfd::is_eventfd(&fd) {
            Kind::Eventfd
        } else if fcntl_get_seals(&fd).is_ok() {
            // Those file systems know seals, the others do not.
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
                // A program that this process starts waits for the files that are in the table then. This waits for a thread
                // to take it out, and not for the end of its closing.
                until(REST, || !closing.is_open());
            }
        }
    }
}

/// The id of the mount on which an open file lies. `NotFound` for a closed descriptor, and for anything without a path: reading
/// /proc/self/fdinfo of an epoll blocks while another process holds its mutex.
fn mount(number: RawFd) -> io::Result<String> {
    if has_no_path(number) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"))?;
    let mount = info.lines().find_map(|line| line.strip_prefix("mnt_id:"));
    Ok(mount.ok_or(io::ErrorKind::InvalidData)?.trim().to_owned())
}

/// The type of the file system of a mount, as in /proc/filesystems; `None` when this process sees no such mount.
fn file_system(mount: &str) -> io::Result<Option<String>> {
    // Names of directories are any bytes, but have no spaces.
    let mounts = std::fs::read("/proc/self/mountinfo")?;
    let mounts = String::from_utf8_lossy(&mounts);
    let line = mounts.lines().find(|line| line.split(' ').next() == Some(mount));
    let system = line.and_then(|line| line.split_once(" - ")?.1.split(' ').next());
    Ok(system.map(str::to_owned))
}

/// Whether an open descriptor has no path: the kernel names pipes, sockets and eventfds like "pipe:[1]".
fn has_no_path(number: RawFd) -> bool {
    let name = std::fs::read_link(format!("/proc/self/fd/{number}"));
    name.is_ok_and(|name| {
        !name.as_os_str().as_encoded_bytes().starts_with(b"/") && !name.starts_with("(unreachable)")
    })
}

/// A file that is being closed: its number, and its mount, which no sender chooses.
#[derive(Clone, Debug, PartialEq)]
struct Closing {
    number: RawFd,
    mount: Option<String>,
}

impl Closing {
    fn new(fd: &OwnedFd) -> Self {
        Self { number: fd.as_raw_fd(), mount: mount(fd.as_raw_fd()).ok() }
    }

    /// Whether the number may stand for it still. Asks no file system.
    fn is_open(&self) -> bool {
        match mount(self.number) {
            Ok(now) => self.mount.as_ref().is_none_or(|mount| *mount == now),
            Err(e) => e.kind() != io::ErrorKind::NotFound || !Path::new("/proc/self/fdinfo").exists(),
        }
    }
}

/// Counts what is in the descriptor table, came from another process, and may be a file whose every copy waits when it is closed.
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

/// Held by a thread that receives descriptors until it knows what they are.
pub(super) fn arriving() -> RwLockReadGuard<'static, ()> {
    ARRIVING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held for writing by a thread that copies the descriptor table.
static ARRIVING: RwLock<()> = RwLock::new(());

/// A connected Unix socket whose other end belongs to another process, or one that listens for such. Dropping it ends the
/// connection at once and never waits for that process.
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
        // Nothing more can be sent from here on, so a queue that is empty stays empty.
        let ended = shutdown(&socket, Shutdown::Both).is_ok();
        // A socket that listens tells no number of bytes, and may have connections with something in them.
        let is_empty = ended && ioctl::inq(socket.as_fd()).is_ok_and(|bytes| bytes == 0);
        match peer::takes_descriptors(socket.as_fd()) {
            // Such a kernel collects cycles of sockets in a thread of its own.
            Some(false) => drop(socket),
            Some(true) if is_empty => drop(socket),
            // A cycle makes this wait at worst; then the others take the longer way.
            None if is_empty && EMPTY.unclosed() < EMPTY.max_workers => EMPTY.close(socket),
            _ => SOCKETS.close(socket),
        }
    }
}

/// How many descriptors that servers sent cannot be closed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unclosed {
    /// Files, and threads that wait for a file system or to close an eventfd.
    pub files: usize,
    /// Sockets, and connections by which something came.
    pub sockets: usize,
}

/// Waits until there is room for the descriptors of another server.
///
/// # Errors
/// After `patience`, when [`MAX_FILES`] or [`MAX_SOCKETS`] cannot be closed.
pub fn wait_for_room(patience: Duration) -> Result<(), Unclosed> {
    let mut unclosed = Unclosed { files: 0, sockets: 0 };
    let has_room = until(patience, || {
        let files = FILES.unclosed() + given_up().len() + EVENTFDS.busy();
        unclosed = Unclosed { files, sockets: SOCKETS.unclosed() };
        unclosed.files < MAX_FILES && unclosed.sockets < MAX_SOCKETS
    });
    if has_room { Ok(()) } else { Err(unclosed) }
}

/// Counts a thread that nobody waits for any more, with a file whose file system does not answer.
pub fn give_up(thread: JoinHandle<()>) {
    given_up().push(thread);
}

fn given_up() -> MutexGuard<'static, Vec<JoinHandle<()>>> {
    static GIVEN_UP: Mutex<Vec<JoinHandle<()>>> = Mutex::new(Vec::new());
    let mut threads = GIVEN_UP.lock().unwrap_or_else(PoisonError::into_inner);
    threads.retain(|thread| !thread.is_finished());
    threads
}

/// Descriptors to be closed, and the threads that do it.
struct Closer<T> {
    queue: Mutex<Queue<T>>,
    more: Condvar,
    max_workers: usize,
    /// How many a worker takes at a time.
    batch: usize,
    close_all: fn(Vec<T>),
}

#[derive(Debug)]
struct Queue<T> {
    fds: Vec<T>,
    /// Those, and what workers close now.
    unclosed: usize,
    workers: usize,
    /// Those of them that close nothing now.
    idle: usize,
}

/// A file to be closed.
struct File {
    open: Option<OpenFile>,
    fd: OwnedFd,
}

/// For sockets by which something came.
static SOCKETS: Closer<OwnedFd> = Closer::new(4, usize::MAX, close_sockets);
/// For sockets by which nothing came.
static EMPTY: Closer<OwnedFd> = Closer::new(4, usize::MAX, drop);
/// One that cannot be closed keeps its batch waiting.
static EVENTFDS: Closer<OwnedFd> = Closer::new(4 * MAX_FILES, 64, drop);
/// Closing one may wait for the process behind a file system, and then only other files wait with it.
static FILES: Closer<File> = Closer::new(4 * MAX_FILES, 1, close_files);

/// With so many files that cannot be closed no new server is heard. Those that are heard by then can send a few more each, for
/// which there are more threads: a file that waits for its turn holds up the programs that this process starts.
pub const MAX_FILES: usize = 16;
/// With so many sockets that cannot be closed no new server is heard.
pub const MAX_SOCKETS: usize = 64;
/// How long a worker waits for more before it ends. Starting one takes longer than everything else in `close`.
const REST: Duration = Duration::from_millis(100);
const STACK: usize = 128 << 10;

impl<T: Send + 'static> Closer<T> {
    /// More than one worker, so that a descriptor whose closing waits in spite of everything does not hold up the next ones.
    const fn new(max_workers: usize, batch: usize, close_all: fn(Vec<T>)) -> Self {
        let queue = Mutex::new(Queue { fds: Vec::new(), unclosed: 0, workers: 0, idle: 0 });
        Self { queue, more: Condvar::new(), max_workers, batch, close_all }
    }

    /// Never waits. When no thread can be started, the descriptor stays open until the next call of this or of `unclosed`.
    fn close(&'static self, fd: T) {
        let mut queue = self.queue();
        queue.fds.push(fd);
        queue.unclosed += 1;
        self.start(&mut queue);
    }

    fn unclosed(&'static self) -> usize {
        let mut queue = self.queue();
        // Those for which no thread could be started before.
        self.start(&mut queue);
        queue.unclosed
    }

    /// How many workers close something now, and how many more could.
    fn busy(&'static self) -> usize {
        let mut queue = self.queue();
        self.start(&mut queue);
        queue.workers - queue.idle + queue.fds.len() / self.batch
    }

    fn start(&'static self, queue: &mut Queue<T>) {
        while queue.fds.len() > queue.idle.saturating_mul(self.batch)
            && queue.workers < self.max_workers
            && spawn(|| self.work())
        {
            queue.workers += 1;
            queue.idle += 1;
        }
        self.more.notify_all();
    }

    /// Closes what is in the queue, and ends when nothing more comes.
    fn work(&self) {
        let mut queue = self.queue();
        loop {
            queue = self
                .more
                .wait_timeout_while(queue, REST, |queue| queue.fds.is_empty())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            queue.idle -= 1;
            if queue.fds.is_empty() {
                queue.workers -= 1;
                return;
            }
            let count = self.batch.min(queue.fds.len());
            let batch = queue.fds.drain(..count).collect();
            drop(queue);
            (self.close_all)(batch);
            queue = self.queue();
            queue.unclosed -= count;
            queue.idle += 1;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        // Nothing panics under this lock but an allocation that fails, and that aborts.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(function: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name("ivshmem-close".into()).stack_size(STACK).spawn(function).is_ok()
}

/// Closes files one after the other. While one is being closed it is out of the descriptor table, however long that takes.
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

/// Whether the descriptor table has no file of another process whose closing may wait.
fn no_file_is_open() -> bool {
    OPEN_FILES.load(Ordering::SeqCst) == 0 && !being_closed().iter().any(Closing::is_open)
}

/// Closes sockets by ending a thread that has the only copies.
///
/// A socket does not linger when its last copy is closed by a thread that exits (`PF_EXITING` in the kernel). For that the
/// thread gets a descriptor table of its own. A file that was left in a socket and has data to write back to a process that does
/// not answer (FUSE) makes even that thread wait.
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
            // Nothing is closed here: the copies of other descriptors may be the last ones as well by now.
        });
    } else {
        drop(ready);
    }
    // An error means that there is no such thread or table. Then this thread closes them, and waits if it must.
    let _ = is_ready.recv();
    drop(batch);
    drop(end);
}

/// More threads than this do not have tables of their own: one that has a copy of a file of the program whose file system does
/// not answer waits at its end, and keeps the copies that it has not closed.
const MAX_ENDING: usize = 4;

/// The threads that were started to have tables of their own and have not ended.
fn ending() -> MutexGuard<'static, Vec<Pid>> {
    static ENDING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
    let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    ending.retain(|thread| Path::new("/proc/self/task").join(thread.to_string()).exists());
    ending
}

/// Gives the calling thread a descriptor table of its own, with copies of all descriptors. Linux 5.9 or newer.
///
/// # Errors
/// Also while a file of another process is open, as its copy would be closed at the end of this thread.
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

/// Whether something becomes true within a time.
fn until(patience: Duration, mut is_true: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if is_true() {
            return true;
        }
        if begin.elapsed() >= patience {
            return false;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn unshare_table() -> io::Result<()> {
    // This way in place of unshare, which sandboxes for containers refuse. No descriptor has the number that it closes.
    let (first, last) = (u32::MAX, u32::MAX);
    // SAFETY: no memory is passed, and no descriptor that others own is closed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No other test of this process comes to it.
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

    /// Alone among the tests of this process that has such files.
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
