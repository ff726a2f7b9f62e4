use std::path::{Path, PathBuf};
use std::{fmt, io};

/// Why a guest could not do what it should.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// This machine cannot run guests at all. A test is skipped then.
    #[error("{what}; {remedy}")]
    Missing {
        /// What is not here.
        what: String,
        /// How to get it.
        remedy: &'static str,
    },
    /// A file or a system call of the host.
    #[error("{what}: {source}")]
    Host {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// The guest is not there any more, does not answer, or answers what it must not.
    #[error("guest {name}: {what}{console}")]
    Guest {
        /// The name that it was given.
        name: String,
        /// What happened.
        what: String,
        /// The end of its console.
        console: Console,
    },
    /// A program in a guest did not succeed.
    #[error("guest {name}: {what}\n--- standard output:\n{out}\n--- standard error:\n{err}{console}")]
    Program {
        /// The guest's name.
        name: String,
        /// The program and how it ended.
        what: String,
        /// What it wrote.
        out: String,
        /// What it wrote, too.
        err: String,
        /// The end of the guest's console.
        console: Console,
    },
}

/// For tests that unwrap: what a person can read.
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

/// The console of a guest: the file that has all of it, and its last lines.
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
