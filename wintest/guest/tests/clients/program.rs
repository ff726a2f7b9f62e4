//! A Windows program that runs in Wine.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError, channel};
use std::thread;
use std::time::Duration;

/// A limit against hanging only; no test takes a noticeable part of it.
const HANG: Duration = Duration::from_secs(120);

pub(crate) struct Program {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = tell.send(line.trim_end().to_owned());
            }
        });
        Self { input: child.stdin.take(), child, lines }
    }

    /// Starts a program and waits for its first line. A program that ends before that was not started by Wine, which
    /// happens on a busy machine, and is started again.
    pub(crate) fn begun(command: &mut Command) -> (Self, String) {
        for _ in 0..3 {
            let program = Self::start(command);
            if let Some(line) = program.line() {
                return (program, line);
            }
        }
        panic!("{command:?} ended three times without a word");
    }

    /// The next line of its output; `None` at the end.
    pub(crate) fn line(&self) -> Option<String> {
        match self.lines.recv_timeout(HANG) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(e) => panic!("the program says nothing: {e}"),
        }
    }

    /// Whether it has printed no line yet. A line is consumed.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self.lines.try_recv(), Err(TryRecvError::Empty))
    }

    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.line().as_deref(), Some(line));
    }

    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Sends a line and returns the answer.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.send(line);
        self.line().unwrap_or_else(|| panic!("the program ended at {line:?}"))
    }

    /// Like `ask`; `None` if the program ended before it answered.
    pub(crate) fn try_ask(&mut self, line: &str) -> Option<String> {
        writeln!(self.input.as_mut().unwrap(), "{line}").ok()?;
        self.line()
    }

    /// Kills it, like a crash.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Closes its input and waits for its end.
    pub(crate) fn end(&mut self) -> ExitStatus {
        drop(self.input.take());
        while self.line().is_some() {}
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
