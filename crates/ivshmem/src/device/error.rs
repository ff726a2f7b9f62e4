use std::io;
use std::path::{Path, PathBuf};

use super::address::PciAddress;
use super::finding::Finding;
use super::windows::DriverError;
use crate::doorbell::ConnectionError;
use crate::face::shell_word;
use crate::wire::MAX_VECTORS;
use crate::{ErrorKind, Face};

/// Why opening a device failed. A failed open leaves no file that it created, and no file longer than before, with the
/// exceptions in [`Plain::open`](super::Plain::open).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file does not exist, and the caller set no size to create it.
    #[error("{}", self.text(Face::Rust))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created because its directory does not exist.
    #[error("cannot create {}: there is no directory {}; create that first", .path.display(), .parent.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// The missing directory.
        parent: PathBuf,
    },
    /// The path is a symbolic link whose target does not exist.
    #[error("{} is a link to {}, which does not exist; remove the link or create its target", .path.display(), .target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// The path is a symbolic link, and the options forbid links.
    #[error(
        "{} is a link to {}, which anybody may have put there, and which is not followed; name its target, or remove the link",
        .path.display(), .target.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// The target of the link.
        target: PathBuf,
    },
    /// The file exists, and the options require a new one.
    #[error("{}", self.text(Face::Rust))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The operating system denies access.
    #[error(
        "no permission to {doing} {}; change the mode or owner of the {}, or the user",
        .path.display(), if *doing == "create" { "directory" } else { "file" }
    )]
    Denied {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
    },
    /// The file at the path cannot be mapped.
    #[error("{} is {what}; memory is a regular file, or a memfd", .path.display())]
    NotMappable {
        /// The path.
        path: PathBuf,
        /// The type of the file.
        what: &'static str,
    },
    /// The size is impossible for this file.
    #[error("{}: a size of {size} bytes {problem}", .path.display())]
    BadSize {
        /// The file.
        path: PathBuf,
        /// The requested or actual size, in bytes.
        size: u64,
        /// The problem, the limit and the remedy.
        problem: String,
    },
    /// The file is empty, and the caller set no size to make it longer.
    #[error("{}", self.text(Face::Rust))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The window is not inside the file.
    #[error("{}: a window of {len} bytes at offset {offset} is not inside the file, which has {size} bytes", .path.display())]
    BadWindow {
        /// The file.
        path: PathBuf,
        /// The start of the window in the file, in bytes.
        offset: u64,
        /// The length of the window, in bytes.
        len: u64,
        /// The length of the file, in bytes.
        size: u64,
    },
    /// There is not enough memory, disk space or huge pages.
    #[error("no space for {size} bytes in {}; free some, or make the file system larger", .path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// The number of bytes that need space.
        size: u64,
    },
    /// The system counts enough huge pages as free or as available on demand, but this process cannot get them.
    #[error(
        "no space for {size} bytes in {}, although the system counts enough huge pages; raise the limit of this process's \
         control group (hugetlb.SIZE.max and hugetlb.SIZE.rsvd.max; with cgroup v1 hugetlb.SIZE.limit_in_bytes and \
         hugetlb.SIZE.rsvd.limit_in_bytes); or add huge pages on the NUMA nodes that its cpuset allows; or, if pages are to be \
         added on demand (nr_overcommit_hugepages), make memory free for them; or take a smaller size",
        .path.display()
    )]
    Limited {
        /// The file.
        path: PathBuf,
        /// The number of bytes that need huge pages.
        size: u64,
    },
    /// Two options exclude each other, or one is not supported here.
    #[error("{}", self.text(Face::Rust))]
    BadOption {
        /// The file.
        path: PathBuf,
        /// The options and the remedy.
        problem: &'static str,
    },
    /// The mode has bits that are not permissions.
    #[error(
        "{}: mode 0o{mode:o}, which is {mode} in decimal: permissions are 0 to 0o777, in octal: 0o660, not 660",
        .path.display()
    )]
    BadMode {
        /// The file.
        path: PathBuf,
        /// The requested mode.
        mode: u32,
    },
    /// The id is 4,294,967,295, which the system interprets as "none".
    #[error("{}: {id} is no id: users and groups are 0 to 4294967294; leave the owner out to keep yours", .path.display())]
    BadId {
        /// The file.
        path: PathBuf,
        /// The requested id.
        id: u32,
    },
    /// No server listens at the socket's path.
    #[error("{}", self.text(Face::Rust))]
    NoServer {
        /// The socket's path.
        path: PathBuf,
        /// The reason.
        why: &'static str,
    },
    /// The file at the path is not a socket.
    #[error("{}", self.text(Face::Rust))]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The server's queue of new connections stayed full until the timeout.
    #[error("the server at {} accepts nobody; look whether it hangs", .path.display())]
    Overloaded {
        /// The socket's path.
        path: PathBuf,
    },
    /// The server refused the connection, sent nothing before the timeout, or violated the protocol.
    #[error("{}: {reason}", .path.display())]
    Server {
        /// The socket's path.
        path: PathBuf,
        /// The reason.
        reason: ConnectionError,
    },
    /// The path is too long for a socket: at most 107 bytes.
    #[error("{} is too long: a socket's path has at most 107 bytes", .path.display())]
    LongPath {
        /// The path.
        path: PathBuf,
    },
    /// The memory from the server is unusable.
    #[error("what the server at {} gave as memory {problem}", .path.display())]
    BadMemory {
        /// The socket's path.
        path: PathBuf,
        /// The problem.
        problem: String,
    },
    /// The caller expects more vectors than a device can have.
    #[error("{}: {expected} vectors cannot come, a device has at most {MAX_VECTORS}", .path.display())]
    BadVectors {
        /// The socket's path.
        path: PathBuf,
        /// The expected number of vectors.
        expected: u16,
    },
    /// No device of this guest matches the selector.
    #[error("{}", self.text(Face::Rust))]
    NoDevice {
        /// The selector.
        selector: String,
        /// The devices of this guest, or the remedy if there are none.
        problem: String,
    },
    /// The selector is invalid, or matches several devices.
    #[error("{}", self.text(Face::Rust))]
    BadSelector {
        /// The selector.
        selector: String,
        /// The problem.
        problem: String,
    },
    /// A device of this guest does not support the operation now.
    #[error("{address}: {finding}")]
    Guest {
        /// The device.
        address: PciAddress,
        /// The cause and the remedy.
        finding: Finding,
    },
    /// The driver of a Windows guest's device returned an error.
    #[error("{device}: {error}")]
    Driver {
        /// The path of the device.
        device: String,
        /// The cause and the remedy, with the Windows error number.
        error: DriverError,
    },
    /// The string is not a target.
    #[error("cannot open {target:?}: {problem}; targets are {TARGETS}")]
    BadTarget {
        /// The string.
        target: String,
        /// The problem.
        problem: String,
    },
    /// This system does not support this kind of device.
    #[error("{what} is not supported on this system; targets are {TARGETS}")]
    Unsupported {
        /// The kind of device.
        what: &'static str,
    },
    /// Any other failure of the operating system.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        doing: &'static str,
        /// The error of the system.
        source: io::Error,
    },
}

/// The forms of a target on this system.
#[cfg(windows)]
pub(super) const TARGETS: &str = "windows:NUMBER and auto";
#[cfg(not(windows))]
pub(super) const TARGETS: &str = "plain:PATH, plain:PATH?size=64M, doorbell:PATH, pci:ADDRESS and auto";

impl OpenError {
    /// The error text, with a remedy in the words of `face`. `Display` uses the words of [`Face::Rust`]. An error of the
    /// system is not part of the text; it is the `source`.
    pub fn text(&self, face: Face) -> String {
        match self {
            Self::Missing { path } => {
                let create = format!("`ivshmem create {} 64M` makes it", plain(path));
                let remedy = face.pick(
                    "give a size, by size() or as in plain:PATH?size=64M, to create it",
                    "give a size, as in Ivshmem.plain(path, size) or plain:PATH?size=64M, to create it",
                    &create,
                );
                format!("{} does not exist; {remedy}", path.display())
            }
            Self::Empty { path } => {
                let create = format!("`ivshmem create --grow {} 64M` gives it a size", plain(path));
                let remedy = face.pick(
                    "give a size, by size() or as in plain:PATH?size=64M, to make it grow",
                    "give a size, as in Ivshmem.plain(path, size) or plain:PATH?size=64M, to make it grow",
                    &create,
                );
                format!("{} is empty; {remedy}", path.display())
            }
            Self::Exists { path } => {
                let remedy = face.pick(
                    "leave out create_new() to open it",
                    "leave out createNew() to open it",
                    "--grow accepts it",
                );
                format!("{} exists already; {remedy}", path.display())
            }
            Self::NoServer { path, why } => {
                let serve = format!("`ivshmem serve {}`", shell_word(path.display()));
                let java = "IvshmemServer.builder(path).start(), or the program ivshmem-server";
                let start = face.pick("ivshmem-server -S PATH", java, &serve);
                format!("cannot connect to a server at {}: {why}; start one first ({start})", path.display())
            }
            Self::NotASocket { path } => {
                let target = plain(path);
                let plain = face.pick("plain()", "Ivshmem.plain()", &target);
                format!("{} is not a server's socket; memory in a file is opened by {plain}", path.display())
            }
            Self::BadOption { path, problem } => {
                let mut problem = (*problem).to_string();
                for (name, java) in
                    [("create_new", "createNew"), ("read_only", "readOnly"), ("huge_pages", "hugePages")]
                {
                    problem = problem.replace(name, face.pick(name, java, name));
                }
                format!("{}: {problem}", path.display())
            }
            Self::NoDevice { selector, problem } | Self::BadSelector { selector, problem }
                if selector.is_empty() =>
            {
                problem.clone()
            }
            Self::NoDevice { selector, problem } => format!("cannot find device {selector:?}: {problem}"),
            Self::BadSelector { selector, problem } => {
                format!("cannot tell which device {selector:?} is: {problem}")
            }
            other => other.to_string(),
        }
    }

    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing { .. }
            | Self::NoDevice { .. }
            | Self::NoServer { .. }
            | Self::NoDirectory { .. }
            | Self::DanglingLink { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Denied { .. } => ErrorKind::PermissionDenied,
            Self::NotMappable { .. }
            | Self::Link { .. }
            | Self::NotASocket { .. }
            | Self::LongPath { .. }
            | Self::BadVectors { .. }
            | Self::BadTarget { .. }
            | Self::BadSelector { .. }
            | Self::BadSize { .. }
            | Self::Empty { .. }
            | Self::BadOption { .. }
            | Self::BadMode { .. }
            | Self::BadId { .. } => ErrorKind::InvalidArgument,
            Self::BadWindow { .. } => ErrorKind::OutOfBounds,
            Self::NoSpace { .. } | Self::Limited { .. } => ErrorKind::NoSpace,
            Self::Overloaded { .. } => ErrorKind::TimedOut,
            Self::Server { reason, .. } => reason.kind(),
            Self::Guest { finding, .. } => finding.kind(),
            Self::Driver { error, .. } => error.kind(),
            Self::BadMemory { .. } => ErrorKind::Protocol,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Io { .. } => ErrorKind::Io,
        }
    }
}

/// The target of a file, quoted for a shell.
fn plain(path: &Path) -> String {
    shell_word(format_args!("plain:{}", path.display()))
}
