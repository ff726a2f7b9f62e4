//! Descriptors that other processes sent, and sockets on which they may have sent some: closing them without waiting.
//!
//! Closing the last copy of a descriptor can take as long as its sender likes: a TCP socket with `SO_LINGER` waits until
//! its data are read, a large memfd frees its pages one by one. Closing a Unix socket closes what was sent on it and not
//! received, and before Linux 6.10 also what other processes left in cycles of sockets. So a thread that serves others
//! or has a time limit never does it; a thread of its own does.
// UNSAFETY: close_range has no wrapper in rustix.
#![expect(unsafe_code, reason = "a system call that rustix does not wrap")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, StatxFlags, fcntl_get_seals, makedev, statx};
use rustix::net::sockopt::socket_type;
use rustix::net::{Shutdown, shutdown};
use rustix::thread::{Pid, gettid};

use super::{eventfd, ioctl, peer};

/// A descriptor that another process sent. Dropping it never waits for that process.
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
    /// The descriptor as an eventfd, whose closing waits for nobody.
    ///
    /// # Errors
    /// Gives it back when it is none.
    pub fn into_eventfd(self) -> Result<OwnedFd, Self> {
        if matches!(self.kind, Kind::Eventfd) { Ok(self.into_owned()) } else { Err(self) }
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

impl AsFd for ForeignFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_ref().expect("taken on drop only").as_fd()
    }
}

impl Drop for ForeignFd {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        match std::mem::replace(&mut self.kind, Kind::Socket) {
            Kind::Eventfd => drop(fd),
            Kind::Socket => SOCKETS.close(fd),
            Kind::Ram => FILES.close(File { open: None, fd }),
            Kind::Other(open) => FILES.close(File { open: Some(open), fd }),
        }
    }
}

/// Counts a file of another process that is in the descriptor table, and whose every copy waits when it is closed.
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
            None if is_empty && EMPTY.wait_for_room(Duration::ZERO) => EMPTY.close(socket),
            _ => SOCKETS.close(socket),
        }
    }
}

/// Waits until fewer than [`MAX_FILES`] files are being closed, and gives up after `patience`. One that waits for its turn takes a
/// descriptor, and holds up a program that this process starts; one that is being closed does not.
pub fn wait_for_room(patience: Duration) -> bool {
    FILES.wait_for_room(patience)
}

/// Descriptors to be closed, and the threads that do it.
struct Closer<T> {
    queue: Mutex<Queue<T>>,
    more: Condvar,
    /// A thread has closed something.
    less: Condvar,
    max_workers: usize,
    /// There is room while fewer descriptors than this are being closed or wait for it.
    room: usize,
    /// How many a worker takes at a time.
    batch: usize,
    close_all: fn(Vec<T>),
}

#[derive(Debug)]
struct Queue<T> {
    fds: Vec<T>,
    workers: usize,
    /// Those of them that close nothing now.
    idle: usize,
}

/// A file to be closed.
struct File {
    // Dropped first, in this order: a file that is being closed is out of the table, however long that takes.
    open: Option<OpenFile>,
    fd: OwnedFd,
}

/// For sockets by which something came.
static SOCKETS: Closer<OwnedFd> = Closer::new(4, 4, usize::MAX, close_sockets);
/// For sockets by which nothing came.
static EMPTY: Closer<OwnedFd> = Closer::new(4, 4, usize::MAX, drop);
/// Closing one may wait for the process behind a file system, and then only other files wait with it.
static FILES: Closer<File> = Closer::new(2 * MAX_FILES, MAX_FILES, 1, close_files);

/// With so many files that are being closed no new server is heard. Those that are heard by then can send some more.
pub const MAX_FILES: usize = 16;
/// How long a worker waits for more before it ends. Starting one takes longer than everything else in `close`.
const REST: Duration = Duration::from_millis(100);
const STACK: usize = 128 << 10;

impl<T: Send + 'static> Closer<T> {
    /// More than one worker, so that a descriptor whose closing waits in spite of everything does not hold up the next ones.
    const fn new(max_workers: usize, room: usize, batch: usize, close_all: fn(Vec<T>)) -> Self {
        let queue = Mutex::new(Queue { fds: Vec::new(), workers: 0, idle: 0 });
        Self { queue, more: Condvar::new(), less: Condvar::new(), max_workers, room, batch, close_all }
    }

    /// Never waits: when no thread can be started, the descriptor stays open until the next call.
    fn close(&'static self, fd: T) {
        let mut queue = self.queue();
        queue.fds.push(fd);
        if queue.fds.len() > queue.idle && queue.workers < self.max_workers && spawn(|| self.work()) {
            queue.workers += 1;
            queue.idle += 1;
        } else {
            self.more.notify_one();
        }
    }

    fn wait_for_room(&self, patience: Duration) -> bool {
        let is_full = |queue: &mut Queue<T>| queue.fds.len() + queue.workers - queue.idle >= self.room;
        let waited = self.less.wait_timeout_while(self.queue(), patience, is_full);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
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
            queue.idle += 1;
            self.less.notify_all();
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

fn close_files(batch: Vec<File>) {
    for File { open, fd } in batch {
        drop(open);
        drop(fd);
    }
}

/// Closes sockets by ending a thread that has the only copies.
///
/// A socket does not linger when its last copy is closed by a thread that exits (`PF_EXITING` in the kernel), which makes
/// this closing finite whatever the sender does. For that the thread gets a descriptor table of its own.
fn close_sockets(batch: Vec<OwnedFd>) {
    let (ready, is_ready) = mpsc::channel();
    let (end, may_end) = mpsc::channel::<()>();
    if until(|| ending().len() < MAX_ENDING) {
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

/// The threads that have tables of their own, or had.
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
    until(|| {
        let _none_arrives = ARRIVING.write().unwrap_or_else(PoisonError::into_inner);
        let is_free = OPEN_FILES.load(Ordering::SeqCst) == 0;
        if is_free {
            result = unshare_table();
        }
        is_free
    });
    result
}

/// Whether something becomes true soon.
fn until(mut is_true: impl FnMut() -> bool) -> bool {
    let begin = Instant::now();
    loop {
        if is_true() {
            return true;
        }
        if begin.elapsed() >= REST {
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
