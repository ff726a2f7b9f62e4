use std::path::{Path, PathBuf};
use std::{fmt, io};

/// A failure of a guest.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine cannot run guests at all, so a test is skipped.
    #[error("{what}; {remedy}")]
    Missing {
        /// The missing prerequisite.
        what: String,
        /// The remedy.
        remedy: &'static str,
    },
    /// A file operation or a system call of the host failed.
    #[error("{what}: {source}")]
    Host {
        /// The operation.
        what: String,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The guest has ended, does not answer, or answers with an invalid message.
    #[error("guest {name}: {what}{console}")]
    Guest {
        /// The guest's name.
        name: String,
        /// The failure.
        what: String,
        /// The end of the guest's console output.
        console: Console,
    },
    /// A program in a guest did not succeed.
    #[error("guest {name}: {what}\n--- standard output:\n{out}\n--- standard error:\n{err}{console}")]
    Program {
        /// The guest's name.
        name: String,
        /// The program and how it ended.
        what: String,
        /// Its standard output.
        out: String,
        /// Its standard error.
        err: String,
        /// The end of the guest's console output.
        console: Console,
    },
}

/// Readable text, for tests that unwrap.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Error {
    pub(crate) fn host(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |source| Self::Host { what: what.into(), source }
    }
}

/// Console output of a guest: the path of the file with all of it, and its last lines.
#[derive(Clone, Debug)]
pub struct Console(Box<Shown>);

#[derive(Clone, Debug)]
struct Shown {
    path: PathBuf,
    tail: String,
}

impl Console {
    const LINES: usize = 30;

    pub(crate) fn read(path: &Path) -> Self {
        let all = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let lines: Vec<_> = all.lines().map(str::trim_end).filter(|line| !line.is_empty()).collect();
        let tail = lines[lines.len().saturating_sub(Self::LINES)..].join("\n");
        Self(Box::new(Shown { path: path.to_owned(), tail }))
    }
}

impl fmt::Display for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown { path, tail } = &*self.0;
        write!(f, "\n--- end of the console, all of it is in {}:\n{tail}", path.display())
    }
}
