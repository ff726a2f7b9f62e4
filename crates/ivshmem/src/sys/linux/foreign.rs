//! Descriptors that other processes sent, and sockets on which they may have sent some: closing them without waiting.
//!
//! Closing the last copy of a descriptor can take as long as its sender likes: a TCP socket with `SO_LINGER` waits until
//! its data are read, a large memfd frees its pages one by one. Closing a Unix socket closes what was sent on it and not
//! received, and before Linux 6.10 also what other processes left in cycles of sockets. So a thread that serves others
//! or has a time limit never does it; a thread of its own does, see [`close`].
// UNSAFETY: close_range has no wrapper in rustix.
#![expect(unsafe_code, reason = "a system call that rustix does not wrap")]

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::fs::{AtFlags, StatxFlags, fcntl_get_seals, makedev, statx};
use rustix::net::sockopt::socket_type;
use rustix::net::{Shutdown, shutdown};

use super::{eventfd, ioctl, peer};

/// A descriptor that another process sent. Dropping it never waits for that process.
#[derive(Debug)]
pub struct ForeignFd(Option<OwnedFd>);

impl ForeignFd {
    /// The descriptor as an eventfd, whose closing waits for nobody.
    ///
    /// # Errors
    /// Gives it back when it is none.
    pub fn into_eventfd(self) -> Result<OwnedFd, Self> {
        if eventfd::is_eventfd(&self) { Ok(self.into_owned()) } else { Err(self) }
    }

    /// Whether it is memory of this system: a memfd, or a file on a tmpfs or hugetlbfs. No operation on such a file asks
    /// another process, as one on a file system in user space does.
    pub fn is_ram(&self) -> bool {
        // Those file systems know seals, the others do not.
        fcntl_get_seals(self).is_ok()
    }

    /// Which file it is (device and inode) as far as this system knows, without asking its file system.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let known = statx(self, c"", flags, StatxFlags::INO)?;
        Ok((makedev(known.stx_dev_major, known.stx_dev_minor), known.stx_ino))
    }

    /// Drops it, knowing that another copy of it is open.
    pub(super) fn drop_copy(self) {
        // Only for files does closing a copy that is not the last one do anything.
        if self.is_ram() || is_socket(self.as_fd()) || eventfd::is_eventfd(&self) {
            drop(self.into_owned());
        }
    }

    /// The plain descriptor, whose closing may wait for its sender.
    pub fn into_owned(mut self) -> OwnedFd {
        self.0.take().expect("taken on drop only")
    }
}

impl From<OwnedFd> for ForeignFd {
    fn from(fd: OwnedFd) -> Self {
        Self(Some(fd))
    }
}

impl AsFd for ForeignFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_ref().expect("taken on drop only").as_fd()
    }
}

impl Drop for ForeignFd {
    fn drop(&mut self) {
        if let Some(fd) = self.0.take() {
            close(fd);
        }
    }
}

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
            None if is_empty && !EMPTY.is_full() => EMPTY.close(socket),
            _ => SOCKETS.close(socket),
        }
    }
}

/// Closes a descriptor in another thread. Never waits: when no thread can be started, the descriptor stays open until
/// the next call.
pub fn close(fd: OwnedFd) {
    if is_socket(fd.as_fd()) { SOCKETS.close(fd) } else { FILES.close(fd) }
}

/// Whether so many files are being closed that one more would have to wait for its turn, and take a descriptor meanwhile. One
/// that is being closed takes none, and a program that this process starts does not wait for it.
pub fn is_full() -> bool {
    FILES.is_full()
}

/// Told by the kernel alone: no file system is asked.
fn is_socket(fd: BorrowedFd<'_>) -> bool {
    socket_type(fd).is_ok()
}

/// Descriptors to be closed, and the threads that do it.
struct Closer {
    queue: Mutex<Queue>,
    more: Condvar,
    max_workers: usize,
    /// How many a worker takes at a time.
    batch: usize,
    close_all: fn(Vec<OwnedFd>),
}

#[derive(Debug)]
struct Queue {
    fds: Vec<OwnedFd>,
    workers: usize,
    /// Those of them that wait for more.
    idle: usize,
}

/// For sockets by which something came. Their threads have copies of all descriptors of the process for a moment, so that
/// what the process itself closes then is closed that much later; hence this is for them alone.
static SOCKETS: Closer = Closer::new(4, usize::MAX, close_sockets);
/// For sockets by which nothing came.
static EMPTY: Closer = Closer::new(4, usize::MAX, drop);
/// Closing one may wait for the process behind a file system, and then only other files wait with it.
static FILES: Closer = Closer::new(MAX_FILES, 1, drop);

/// Files that are closed at the same time.
pub const MAX_FILES: usize = 16;
/// How long a worker waits for more before it ends. Starting one takes longer than everything else in `close`.
const REST: Duration = Duration::from_millis(100);
const STACK: usize = 128 << 10;

impl Closer {
    /// More than one worker, so that a descriptor whose closing waits in spite of everything does not hold up the next ones.
    const fn new(max_workers: usize, batch: usize, close_all: fn(Vec<OwnedFd>)) -> Self {
        let queue = Mutex::new(Queue { fds: Vec::new(), workers: 0, idle: 0 });
        Self { queue, more: Condvar::new(), max_workers, batch, close_all }
    }

    fn close(&'static self, fd: OwnedFd) {
        let mut queue = self.queue();
        queue.fds.push(fd);
        if queue.fds.len() > queue.idle && queue.workers < self.max_workers && spawn(|| self.work()) {
            queue.workers += 1;
        } else {
            self.more.notify_one();
        }
    }

    /// Whether all threads that it may have are at work, or none can be started.
    fn is_full(&self) -> bool {
        let queue = self.queue();
        queue.idle == 0 && (queue.workers == self.max_workers || queue.fds.len() > self.max_workers)
    }

    /// Closes what is in the queue, and ends when nothing more comes.
    fn work(&self) {
        let mut queue = self.queue();
        loop {
            queue.idle += 1;
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
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics under this lock but an allocation that fails, and that aborts.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn spawn(function: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name("ivshmem-close".into()).stack_size(STACK).spawn(function).is_ok()
}

/// Closes sockets by ending a thread that has the only copies.
///
/// A socket does not linger when its last copy is closed by a thread that exits (`PF_EXITING` in the kernel), which makes
/// this closing finite whatever the sender does. For that the thread gets a descriptor table of its own.
fn close_sockets(batch: Vec<OwnedFd>) {
    let (ready, is_ready) = mpsc::channel();
    let (end, may_end) = mpsc::channel::<()>();
    spawn(move || {
        if copy_table().is_ok() {
            let _ = ready.send(());
        }
        drop(ready);
        let _ = may_end.recv();
        // Nothing is closed here: the copies of other descriptors may be the last ones as well by now.
    });
    // An error means that there is no such thread or table. Then this thread closes them, and waits if it must.
    let _ = is_ready.recv();
    drop(batch);
    drop(end);
}

/// Gives the calling thread a descriptor table of its own, with copies of all descriptors. Linux 5.9 or newer.
fn copy_table() -> io::Result<()> {
    // This way in place of unshare, which sandboxes for containers refuse. No descriptor has the number that it closes.
    let (first, last) = (u32::MAX, u32::MAX);
    // SAFETY: no memory is passed, and no descriptor that others own is closed.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
