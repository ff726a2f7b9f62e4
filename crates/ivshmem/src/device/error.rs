use std::io;
use std::path::{Path, PathBuf};

use super::pci::{Finding, PciAddress};
use super::windows::DriverError;
use crate::doorbell::ConnectionError;
use crate::face::shell_word;
use crate::wire::MAX_VECTORS;
use crate::{ErrorKind, Face};

/// Why a region could not be opened. Whatever was created or grown for it was put back.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The file does not exist, and no size was given to create it.
    #[error("{}", self.text(Face::Rust))]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be created where nothing is.
    #[error("cannot create {}: there is no directory {}; create that first", .path.display(), .parent.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// The directory it should be in.
        parent: PathBuf,
    },
    /// The path is a symbolic link that leads nowhere.
    #[error("{} is a link to {}, which does not exist; remove the link or create its target", .path.display(), .target.display())]
    DanglingLink {
        /// The link.
        path: PathBuf,
        /// Where it leads to.
        target: PathBuf,
    },
    /// The path is a symbolic link, and links were not to be followed.
    #[error(
        "{} is a link to {}, which anybody may have put there, and which is not followed; name its target, or remove the link",
        .path.display(), .target.display()
    )]
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads to.
        target: PathBuf,
    },
    /// The file was to be new and exists.
    #[error("{}", self.text(Face::Rust))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The system denies access.
    #[error(
        "no permission to {doing} {}; change the mode or owner of the {}, or the user",
        .path.display(), if *doing == "create" { "directory" } else { "file" }
    )]
    Denied {
        /// The file.
        path: PathBuf,
        /// What was to be done with it.
        doing: &'static str,
    },
    /// What the path leads to cannot be memory.
    #[error("{} is {what}; memory is a regular file, or a memfd", .path.display())]
    NotMappable {
        /// The path.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// The size cannot be had from this file.
    #[error("{}: a size of {size} bytes {problem}", .path.display())]
    BadSize {
        /// The file.
        path: PathBuf,
        /// The size, as asked for or as found, in bytes.
        size: u64,
        /// What is wrong with it, the limit, and what to do.
        problem: String,
    },
    /// The file has no bytes, and no size was given to make it grow.
    #[error("{}", self.text(Face::Rust))]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The window does not lie in the file.
    #[error("{}: a window of {len} bytes at offset {offset} is not inside the file, which has {size} bytes", .path.display())]
    BadWindow {
        /// The file.
        path: PathBuf,
        /// Where the window begins, in bytes.
        offset: u64,
        /// How long it is, in bytes.
        len: u64,
        /// How long the file is, in bytes.
        size: u64,
    },
    /// There is not enough memory, disk space or huge pages.
    #[error("no space for {size} bytes in {}; free some, or make the file system larger", .path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
        /// The bytes that need space.
        size: u64,
    },
    /// Two options exclude each other, or one cannot be fulfilled here.
    #[error("{}", self.text(Face::Rust))]
    BadOption {
        /// The file.
        path: PathBuf,
        /// Which options, and what to do.
        problem: &'static str,
    },
    /// The mode has bits that are no permissions.
    #[error(
        "{}: mode 0o{mode:o}, which is {mode} in decimal: permissions are 0 to 0o777, in octal: 0o660, not 660",
        .path.display()
    )]
    BadMode {
        /// The file.
        path: PathBuf,
        /// The mode asked for.
        mode: u32,
    },
    /// The system takes this id for "none".
    #[error("{}: {id} is no id: users and groups are 0 to 4294967294; leave the owner out to keep yours", .path.display())]
    BadId {
        /// The file.
        path: PathBuf,
        /// The id asked for.
        id: u32,
    },
    /// Nobody answers at the socket's path.
    #[error("{}", self.text(Face::Rust))]
    NoServer {
        /// The socket's path.
        path: PathBuf,
        /// What is there.
        why: &'static str,
    },
    /// The path leads to something else than a socket.
    #[error("{}", self.text(Face::Rust))]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The server's queue of new connections stayed full.
    #[error("the server at {} accepts nobody; look whether it hangs", .path.display())]
    Overloaded {
        /// The socket's path.
        path: PathBuf,
    },
    /// The server refused, kept silent, or broke the protocol.
    #[error("{}: {reason}", .path.display())]
    Server {
        /// The socket's path.
        path: PathBuf,
        /// What it did.
        reason: ConnectionError,
    },
    /// A socket's path has a limit that files have not.
    #[error("{} is too long: a socket's path has at most 107 bytes", .path.display())]
    LongPath {
        /// The path.
        path: PathBuf,
    },
    /// What the server gave as memory is none.
    #[error("what the server at {} gave as memory {problem}", .path.display())]
    BadMemory {
        /// The socket's path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// More vectors expected than a device can have.
    #[error("{}: {expected} vectors cannot come, a device has at most {MAX_VECTORS}", .path.display())]
    BadVectors {
        /// The socket's path.
        path: PathBuf,
        /// What was expected.
        expected: u16,
    },
    /// No device of this guest is what the selector says.
    #[error("{}", self.text(Face::Rust))]
    NoDevice {
        /// What was asked for.
        selector: String,
        /// What there is.
        problem: String,
    },
    /// The selector names no device, or not only one.
    #[error("{}", self.text(Face::Rust))]
    BadSelector {
        /// What was asked for.
        selector: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A device of this guest cannot do what is needed.
    #[error("{address}: {finding}")]
    Guest {
        /// Which device.
        address: PciAddress,
        /// The cause and the remedy.
        finding: Finding,
    },
    /// The driver of a Windows guest's device refused.
    #[error("{device}: {error}")]
    Driver {
        /// The path of the device.
        device: String,
        /// The cause and the remedy, with Windows' number.
        error: DriverError,
    },
    /// The string names no device.
    #[error("cannot open {target:?}: {problem}; targets are {TARGETS}")]
    BadTarget {
        /// The string.
        target: String,
        /// What is wrong with it.
        problem: String,
    },
    /// This kind of device does not exist on this system.
    #[error("{what} is not supported on this system; targets are {TARGETS}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
    },
    /// Any other failure of the operating system.
    #[error("cannot {doing} {}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was to be done with it.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What a string may name on this system.
#[cfg(windows)]
pub(super) const TARGETS: &str = "windows:NUMBER and auto";
#[cfg(not(windows))]
pub(super) const TARGETS: &str = "plain:PATH, plain:PATH?size=64M, doorbell:PATH, pci:ADDRESS and auto";

impl OpenError {
    /// What went wrong, with a remedy in the words of a face. `Display` has those of Rust. What the system said, if
    /// anything, is the `source`.
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
            Self::NoSpace { .. } => ErrorKind::NoSpace,
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

/// The target of a file, as a shell takes it.
fn plain(path: &Path) -> String {
    shell_word(format_args!("plain:{}", path.display()))
}
