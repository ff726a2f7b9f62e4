use std::io;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Doorbell;
use crate::device::{Device, DeviceKind, OpenError};
use crate::doorbell::{Doorbell as Bell, Handshake, Reconnect, Timeouts, check_closing};
use crate::region::{CacheMode, Memory, Region};
use crate::sys::linux::foreign::{self, ForeignFd};
use crate::sys::linux::mapping::Mapping;
use crate::sys::linux::{file, socket};
use crate::wire::MAX_VECTORS;

pub(super) fn connect(options: Doorbell) -> Result<Device, OpenError> {
    let Doorbell { path, timeout, quiet, vectors, reconnect, read_only } = options;
    if let Some(expected) = vectors.filter(|v| *v > MAX_VECTORS) {
        return Err(OpenError::BadVectors { path, expected });
    }
    let began = Instant::now();
    let timeouts = Timeouts { timeout, quiet, vectors };
    let from_server = |reason| OpenError::Server { path: path.clone(), reason };
    check_closing(timeout).map_err(from_server)?;
    let left = timeout.saturating_sub(began.elapsed());
    let socket = socket::connect(&path, left).map_err(|source| not_connected(&path, source))?;
    let established = Handshake::new(socket, timeouts, began).finish().map_err(from_server)?;
    let (memory, identity) = map_in_time(&path, established.memory, read_only, began, timeout)?;
    let reconnect = reconnect.then(|| Reconnect { path: path.clone(), timeouts, memory: identity });
    let bell = Bell::start(established.connection, established.session, reconnect)
        .map_err(|source| OpenError::Io { path, doing: "receive interrupts from", source })?;
    Ok(Device { kind: DeviceKind::Doorbell, memory, doorbell: Some(bell), guest: None })
}

/// The error for a failed connection to the path.
fn not_connected(path: &Path, source: io::Error) -> OpenError {
    let path = path.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound => OpenError::NoServer { path, why: "there is no such socket" },
        io::ErrorKind::PermissionDenied => OpenError::Denied { path, doing: "connect to" },
        io::ErrorKind::ConnectionRefused if is_socket(&path) => {
            OpenError::NoServer { path, why: "nobody listens at this socket" }
        }
        io::ErrorKind::ConnectionRefused => OpenError::NotASocket { path },
        io::ErrorKind::InvalidFilename => OpenError::LongPath { path },
        io::ErrorKind::TimedOut => OpenError::Overloaded { path },
        _ => OpenError::Io { path, doing: "connect to", source },
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|facts| facts.file_type().is_socket())
}

/// Maps the memory from the server. Returns the memory, and device and inode of its file.
fn map_in_time(
    path: &Path,
    fd: ForeignFd,
    read_only: bool,
    began: Instant,
    timeout: Duration,
) -> Result<(Memory, (u64, u64)), OpenError> {
    if fd.is_ram() {
        let (mapping, identity) = map(path, &fd, read_only)?;
        // The mapping keeps the file open as well, so closing the descriptor frees no pages.
        let fd = fd.into_owned();
        // Without the descriptor, reading allocates pages for holes.
        let mapping = if read_only { mapping.keep_file(fd, 0) } else { mapping };
        return Ok((memory(mapping), identity));
    }
    // Other file systems may depend on another machine, so another thread maps the file.
    let (done, is_done) = mpsc::channel();
    let its_path = path.to_path_buf();
    let thread = thread::Builder::new()
        .name("ivshmem-map".into())
        .spawn(move || {
            let mapped = map(&its_path, &fd, read_only);
            _ = done.send(mapped.map(|(mapping, identity)| (memory(mapping), identity)));
        })
        .map_err(|source| OpenError::Io { path: path.to_path_buf(), doing: "map the memory of", source })?;
    let left = timeout.saturating_sub(began.elapsed()).max(MAP_TIMEOUT);
    is_done.recv_timeout(left).unwrap_or_else(|_| {
        foreign::give_up(thread);
        let problem = format!(
            "lies in a file system that does not answer within {} ms; let the server take it from a tmpfs or hugetlbfs",
            left.as_millis()
        );
        Err(OpenError::BadMemory { path: path.to_path_buf(), problem })
    })
}

/// The minimum time for mapping, if the handshake has used up the timeout.
const MAP_TIMEOUT: Duration = Duration::from_millis(100);

/// Checks and maps the memory. It does not trust the server's descriptor.
fn map(path: &Path, fd: &ForeignFd, read_only: bool) -> Result<(Mapping, (u64, u64)), OpenError> {
    let bad = |problem: String| OpenError::BadMemory { path: path.to_path_buf(), problem };
    let failed = |what: String, e: io::Error| bad(format!("{what} ({e}){}", crate::remedy(&e)));
    let facts = file::facts(fd).map_err(|e| failed("cannot be looked at".to_owned(), e))?;
    if let Some(oddity) = facts.oddity {
        return Err(bad(format!("is {oddity}, not memory")));
    }
    let len = usize::try_from(facts.len)
        .map_err(|_| bad(format!("has {} bytes, more than this program can address", facts.len)))?;
    if len == 0 {
        return Err(bad("has 0 bytes".to_string()));
    }
    let mapping = Mapping::without_reserve(fd, 0, len, read_only)
        .map_err(|e| failed(format!("has {len} bytes and cannot be mapped"), e))?;
    Ok((mapping, facts.identity))
}

fn memory(mapping: Mapping) -> Memory {
    Memory::new(Region::new(mapping, CacheMode::Cached))
}
