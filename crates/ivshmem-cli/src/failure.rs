//! Failures of verbs: one line of text for people, one number for scripts.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use ivshmem::device::OpenError;
use ivshmem::doorbell::DoorbellError;
use ivshmem::region::MemoryError;
use ivshmem::{Face, PeerId, shell_word};

/// Why a verb ended without success.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(windows, expect(dead_code, reason = "some can only happen where servers and their files are"))]
pub(crate) enum Failure {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Doorbell(#[from] DoorbellError),
    #[cfg(target_os = "linux")]
    #[error(transparent)]
    Server(#[from] ivshmem_server::Error),
    #[cfg(windows)]
    #[error("there is no {verb} on Windows: {why}")]
    LinuxOnly { verb: &'static str, why: &'static str },
    #[error("offset {offset} is outside the memory, which has {size} bytes")]
    Outside { offset: u64, size: u64 },
    #[error("the input has {length} bytes, the memory {room} from offset {offset} on; nothing was written")]
    TooLong { length: u64, room: u64, offset: u64 },
    #[error(
        "the input is longer than the memory: its first {written} bytes are at offset {offset}, the rest was left"
    )]
    Cut { written: u64, offset: u64 },
    #[error("{} has {size} bytes already, more than {wanted}, and no file becomes shorter; remove it first", .path.display())]
    Longer { path: PathBuf, size: u64, wanted: u64 },
    #[error("cannot read standard input")]
    Input(#[source] io::Error),
    #[error("{length} bytes from offset {offset} on reach beyond the memory, which has {size} bytes")]
    TooFar { length: u64, offset: u64, size: u64 },
    #[error("cannot write to {to}")]
    Output { to: String, source: io::Error },
    #[error("{} is the memory itself, and would be emptied first; choose another file", .path.display())]
    OutputIsMemory { path: PathBuf },
    #[error(
        "these bytes are no text, which could disturb the terminal; `ivshmem dump` shows them, `>FILE` or `| cat` copies them, \
         --binary prints them all the same"
    )]
    Binary,
    #[error("cannot wait for signals")]
    Signals(#[source] io::Error),
    #[error("cannot start a thread for the output; raise the limits of threads and memory (ulimit -u, -v)")]
    Thread(#[source] io::Error),
    #[error(
        "{length} bytes are more than can be watched, which is {limit}; watch a part, by OFFSET and LENGTH"
    )]
    TooMuch { length: u64, limit: u64 },
    #[error(
        "peer {peer} does not answer on vector {vector}; let it run `ivshmem ping TARGET --answer --vector {vector}`"
    )]
    NoAnswer { peer: PeerId, vector: u16 },
    #[error(
        "{peers} peers are connected, so say which: `ivshmem ping TARGET PEER`; `ivshmem peers` lists them"
    )]
    WhichPeer { peers: usize },
    #[error(
        "peer {peer} is this side itself, so ringing it interrupts nobody else; `ivshmem peers TARGET` lists the others \
         (`ivshmem ring --self` rings it all the same)"
    )]
    OwnId { peer: PeerId },
    #[error(
        "peer {peer} is this machine itself, so ringing it interrupts only programs in it; those in others have other ids, \
         which `ivshmem info TARGET` shows there (`ivshmem ring --self` rings this one all the same)"
    )]
    OwnMachine { peer: PeerId },
    #[error(
        "{} is a server's socket for clients: `ivshmem info doorbell:{}` looks at it as one of them; a status comes from \
         the socket of its option --status, if it has one", .socket.display(), shell_word(.socket.display())
    )]
    ClientSocket { socket: PathBuf },
    #[error("no status from {}, where the socket of `ivshmem-server --status SOCKET` is wanted", .socket.display())]
    NoStatus { socket: PathBuf, source: io::Error },
    #[error("{} is no socket, where that of `ivshmem-server --status SOCKET` is wanted; name it", .path.display())]
    NoSocket { path: PathBuf },
    #[error("what {} sends is no status ({why}); name the socket of `ivshmem-server --status SOCKET`", .socket.display())]
    BadStatus { socket: PathBuf, why: String },
    #[error("only root may do this; `ivshmem setup --dry-run` shows what it is")]
    NotRoot,
    #[error("{} is not there: nothing has been set up", .path.display())]
    NotSetUp { path: &'static Path },
    #[error("{} is not from `ivshmem setup`; move it away", .path.display())]
    NotOurs { path: &'static Path },
    #[error("{why}; nothing was changed")]
    NoSetup { why: String },
    #[error("cannot {what} ({why}); `ivshmem setup --undo` takes back what was done")]
    Setup { what: String, why: io::Error },
    #[error("cannot {what} ({why}); mend that, and run `ivshmem setup --undo` again for what is left")]
    Undo { what: String, why: io::Error },
    #[error("{problems} problem{} found", if *problems == 1 { "" } else { "s" })]
    Unwell { problems: usize },
    #[error("{came} of {count} {what} came in time")]
    TooFew { what: &'static str, count: u64, came: u64 },
}

impl Failure {
    /// The failure and its causes, in one line.
    pub(crate) fn line(&self) -> String {
        let mut line = match self {
            Self::Open(error) => error.text(Face::Command),
            Self::Doorbell(error) => error.text(Face::Command),
            other => other.to_string(),
        };
        let mut source = self.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Some texts contain their cause already.
            if !line.contains(&text) {
                let remedy = error.downcast_ref().map_or("", ivshmem::remedy);
                line = format!("{line}: {text}{remedy}");
            }
            source = error.source();
        }
        line.push_str(&self.remedy());
        line.replace('\n', " ")
    }

    /// A remedy that the system's error text lacks.
    fn remedy(&self) -> String {
        #[cfg(target_os = "linux")]
        if let Self::Output { source, .. } = self
            && source.kind() == io::ErrorKind::FileTooLarge
            && let Some(limit) = ivshmem::sys::linux::file::size_limit()
        {
            return format!("; this process may make files of {limit} bytes: raise its limit (ulimit -f)");
        }
        String::new()
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            // The reader closed the pipe, as in `ivshmem listen .. | head -1`.
            Self::Output { source, .. } if source.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Self::TooFew { .. } | Self::NoAnswer { .. } => Exit::TimeOver,
            Self::Unwell { .. } => Exit::Unwell,
            _ => Exit::Failed,
        }
    }
}

/// The exit status, as `ivshmem --help` and docs/cli.md document it. The numbers never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    WrongArguments = 2,
    TimeOver = 3,
    Unwell = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
