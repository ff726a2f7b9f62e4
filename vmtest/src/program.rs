//! Programs in a guest, from the host's side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::guest::Inner;
use crate::protocol::{Ending, Request, Stream};
use crate::{Error, link};

/// A program to start in a guest.
#[derive(Clone, Debug)]
pub struct Program {
    pub(crate) words: Vec<String>,
    pub(crate) env: BTreeMap<String, String>,
    limit: Duration,
}

impl Program {
    /// `program` is a path in the guest, or a name to find in the guest's PATH.
    pub fn new(program: impl Into<String>) -> Self {
        Self { words: vec![program.into()], env: BTreeMap::new(), limit: Duration::from_secs(300) }
    }

    /// A script for busybox's shell.
    pub fn shell(script: &str) -> Self {
        Self::new("/bin/sh").args(["-c", script])
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.words.push(argument.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.words.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Runs it with another root, which a 32-bit program linked with the libraries of `GuestBuilder::root_32` needs.
    #[must_use]
    pub fn root(mut self, root: &str) -> Self {
        self.words.splice(0..0, ["/bin/chroot".to_owned(), root.to_owned()]);
        self
    }

    /// Sets its time limit; default 300 seconds. This is a limit against hanging only.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// The output and the end of a program.
#[derive(Clone, Debug)]
pub struct Output {
    /// How it ended.
    pub ending: Ending,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

/// A running program in a guest. Dropping it kills the program.
#[derive(Debug)]
pub struct Process {
    guest: Arc<Inner>,
    id: u32,
    what: String,
    events: Receiver<link::Event>,
    deadline: Instant,
    ending: Option<Ending>,
    out: Vec<u8>,
    err: Vec<u8>,
    /// How many bytes of `out` were returned as lines.
    lines_until: usize,
}

impl Process {
    pub(crate) fn start(guest: Arc<Inner>, program: Program) -> Result<Self, Error> {
        let what = program.words.join(" ");
        let (id, events) = guest.link.start(program.words, program.env).map_err(|what| guest.error(what))?;
        let deadline = Instant::now() + program.limit;
        let (out, err) = (Vec::new(), Vec::new());
        Ok(Self { guest, id, what, events, deadline, ending: None, out, err, lines_until: 0 })
    }

    /// Writes to its standard input.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn write(&self, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
        // In pieces, so that no message is long.
        for piece in bytes.as_ref().chunks(64 << 10) {
            self.ask(&Request::Input(self.id, piece.to_vec()))?;
        }
        Ok(())
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn write_line(&self, line: &str) -> Result<(), Error> {
        self.write(format!("{line}\n"))
    }

    /// Closes its standard input.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn end_input(&self) -> Result<(), Error> {
        self.ask(&Request::EndOfInput(self.id))
    }

    /// Kills it with SIGKILL, without waiting for its end.
    ///
    /// # Errors
    /// When the guest is gone.
    pub fn kill(&self) -> Result<(), Error> {
        self.ask(&Request::Kill(self.id))
    }

    /// Returns the next line of its standard output, without the line end; `None` when the program has ended.
    ///
    /// # Errors
    /// When the guest is gone, or the time limit is reached.
    pub fn line(&mut self) -> Result<Option<String>, Error> {
        loop {
            let rest = &self.out[self.lines_until..];
            let end = rest.iter().position(|byte| *byte == b'\n');
            let last = self.ending.is_some() && !rest.is_empty();
            if let Some(length) = end.or_else(|| last.then_some(rest.len())) {
                let line = String::from_utf8_lossy(&rest[..length]).into_owned();
                self.lines_until = (self.lines_until + length + 1).min(self.out.len());
                return Ok(Some(line));
            }
            if self.ending.is_some() {
                return Ok(None);
            }
            self.next()?;
        }
    }

    /// Waits until it writes exactly this line, and skips other lines.
    ///
    /// # Errors
    /// When it ends before that, when the guest is gone, or when the time limit is reached.
    pub fn expect_line(&mut self, wanted: &str) -> Result<(), Error> {
        while let Some(line) = self.line()? {
            if line == wanted {
                return Ok(());
            }
        }
        Err(self.failure(&format!("{} ended without writing {wanted:?}", self.what)))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When the guest is gone, or the time limit is reached.
    pub fn wait(mut self) -> Result<Output, Error> {
        while self.ending.is_none() {
            self.next()?;
        }
        Ok(self.output())
    }

    /// Waits for its end, and returns its standard output.
    ///
    /// # Errors
    /// `Program` when it did not end with status 0; otherwise those of `wait`.
    pub fn succeed(mut self) -> Result<String, Error> {
        while self.ending.is_none() {
            self.next()?;
        }
        let output = self.output();
        match &output.ending {
            Ending::Status(0) => Ok(output.out),
            ending => Err(self.failure(&format!("{} ended with {ending:?}", self.what))),
        }
    }

    /// Waits for its end, and passes its output to `write` as soon as it arrives.
    ///
    /// # Errors
    /// When the guest is gone, or the time limit is reached.
    pub fn watch(mut self, mut write: impl FnMut(Stream, &[u8])) -> Result<Ending, Error> {
        loop {
            if let Some(ending) = self.next_to(&mut write)? {
                return Ok(ending);
            }
        }
    }

    /// Waits for an event and stores it.
    fn next_to(&mut self, mut write: impl FnMut(Stream, &[u8])) -> Result<Option<Ending>, Error> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.events.recv_timeout(left) {
            Ok(link::Event::Output(stream, bytes)) => {
                write(stream, &bytes);
                match stream {
                    Stream::Out => self.out.extend(bytes),
                    Stream::Err => self.err.extend(bytes),
                }
            }
            Ok(link::Event::Ended(ending)) => self.ending = Some(ending),
            Err(RecvTimeoutError::Timeout) => {
                return Err(self.failure(&format!("{} did not end in time", self.what)));
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(self.guest.error(format!(
                    "{} is gone: {}",
                    self.what,
                    self.guest.link.why_lost()
                )));
            }
        }
        Ok(self.ending.clone())
    }

    fn next(&mut self) -> Result<(), Error> {
        self.next_to(|_, _| {}).map(drop)
    }

    fn ask(&self, request: &Request) -> Result<(), Error> {
        self.guest.link.ask(request).map_err(|what| self.guest.error(what))
    }

    fn output(&self) -> Output {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let ending = self.ending.clone().unwrap_or(Ending::Status(0));
        Output { ending, out: text(&self.out), err: text(&self.err) }
    }

    fn failure(&self, what: &str) -> Error {
        let Output { out, err, .. } = self.output();
        self.guest.program_error(what.to_owned(), out, err)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.guest.link.forget(self.id);
        if self.ending.is_none() {
            // A guest that is gone has no programs.
            let _ = self.guest.link.ask(&Request::Kill(self.id));
        }
    }
}
