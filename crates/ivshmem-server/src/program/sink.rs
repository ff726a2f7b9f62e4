//! Output that never blocks: a separate thread writes it, and lines that cannot be written are dropped and counted.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::log;
use crate::sys::{output, signals};

/// Destination of output.
#[derive(Debug)]
pub enum Output {
    /// Standard output, as it is at the time of writing.
    Stdout,
    /// Standard error, as it is at the time of writing.
    Stderr,
    /// A file that was opened for this output.
    File(OwnedFd),
}

/// Queues lines from any thread without waiting; a separate thread writes them. Lines are dropped and counted when the
/// queue is full because a pipe has no active reader, or when writing fails because the reader has ended or a file system
/// is full. When the output works again, a line in the log reports the number of lost lines.
#[derive(Clone, Debug)]
pub struct Sink {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// The thread has lines to write.
    work: Condvar,
    /// The thread has written all lines.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<Vec<u8>>,
    writing: bool,
}

/// Maximum number of queued lines: more than any start or burst of a server has, about 100 KiB.
const CAPACITY: usize = 1024;
/// How long an ending process waits for lines that are not written yet.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Writes a last line to standard error, without waiting longer than half a second for a slow reader.
pub fn tell(line: &str) {
    // Without a thread any write could block; the exit status alone must report the failure.
    if let Ok(sink) = Sink::new(Output::Stderr) {
        sink.put(format!("{line}\n").as_bytes());
        sink.drain();
    }
}

impl Sink {
    /// Starts the thread, which lasts as long as the process.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn new(output: Output) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        thread::Builder::new().name("ivshmem-log".to_owned()).spawn(move || theirs.write_to(&output))?;
        Ok(Self { shared })
    }

    /// Queues whole lines, or counts them as lost. Never waits for the output.
    pub fn put(&self, lines: &[u8]) {
        let mut state = self.shared.state();
        if state.lines.len() < CAPACITY {
            state.lines.push_back(lines.to_vec());
            self.shared.work.notify_one();
        } else {
            log::lose_a_line();
        }
    }

    /// Waits until all lines are written, at most half a second.
    pub fn drain(&self) {
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        let _state = self.shared.idle.wait_timeout_while(self.shared.state(), TIMEOUT, busy);
    }
}

/// Each call takes whole lines, as the log's formatter produces them.
impl Write for &Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.put(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, to: &Output) {
        // Signals are left to the serving thread, whose next step requires that the signal is delivered before.
        signals::block_all();
        let mut told = log::lost();
        // A partial line must not become the beginning of the next one.
        let mut torn = false;
        loop {
            let line = self.next();
            let ended = if torn { output::write_all(to.as_fd(), b"\n", &mut false) } else { Ok(()) };
            torn &= ended.is_err();
            let written = ended.and_then(|()| output::write_all(to.as_fd(), &line, &mut torn));
            torn &= written.is_err();
            if written.is_err() {
                log::lose_a_line();
            }
            let mut state = self.state();
            state.writing = false;
            if !state.lines.is_empty() {
                continue;
            }
            self.idle.notify_all();
            drop(state);
            if written.is_ok() && log::lost() != told {
                let lines = log::lost() - told;
                told += lines;
                tracing::warn!(
                    lines,
                    "lines of the log were lost: nobody read it, or it could not be written"
                );
            }
        }
    }

    fn next(&self) -> Vec<u8> {
        let empty = |state: &mut State| state.lines.is_empty();
        let state = self.work.wait_while(self.state(), empty);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        state.lines.pop_front().unwrap_or_default()
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stdout => output::stdout(),
            Self::Stderr => output::stderr(),
            Self::File(file) => file.as_fd(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::log::lost;

    // One test, because the count belongs to the process.
    #[test]
    fn output_that_is_not_read_or_cannot_be_written_is_counted_and_keeps_nobody_waiting() {
        let (mut reader, writer) = io::pipe().unwrap();
        let sink = Sink::new(Output::File(writer.into())).unwrap();
        // Far more than a pipe and the queue hold together.
        let line = [&[b'x'; 999][..], b"\n"].concat();
        (0..3 * CAPACITY).for_each(|_| sink.put(&line));
        let not_kept = usize::try_from(lost()).unwrap();
        assert!((CAPACITY..=2 * CAPACITY).contains(&not_kept), "{not_kept}");
        let mut kept = vec![0; (3 * CAPACITY - not_kept) * line.len()];
        reader.read_exact(&mut kept).unwrap();
        assert!(kept.chunks(line.len()).all(|kept| kept == line));
        sink.put(b"and on\n");
        let mut more = [0; 7];
        reader.read_exact(&mut more).unwrap();
        assert_eq!(&more, b"and on\n");

        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let sink = Sink::new(Output::File(full.into())).unwrap();
        for lines in 1..=2 {
            sink.put(b"line\n");
            sink.drain();
            assert_eq!(usize::try_from(lost()).unwrap(), not_kept + lines);
        }
    }
}
