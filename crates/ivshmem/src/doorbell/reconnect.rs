//! Finding the way back to a server that went away, without a thread of its own and without blocking the dispatcher.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::connection::{Greeted, Greeting, Patience, Progress, check_closing};
use crate::doorbell::ConnectionError;
use crate::sys::linux::socket;

/// How to come back after the server has gone.
#[derive(Debug)]
pub(crate) struct Reconnect {
    pub(crate) path: PathBuf,
    pub(crate) patience: Patience,
    /// Device and inode of the memory that this device has mapped.
    pub(crate) memory: (u64, u64),
}

/// One absence of the server.
#[derive(Debug)]
pub(super) struct Absence {
    pause: Duration,
    next_try: Instant,
    greeting: Option<Greeting>,
}

/// What a step of coming back led to.
#[derive(Debug)]
pub(super) enum Return {
    /// Call again at this time, or when the greeting's socket is readable.
    Later(Instant),
    /// Connected to a server with the same memory.
    Same(Greeted),
    /// The server has other memory.
    OtherMemory,
}

impl Absence {
    pub(super) fn new() -> Self {
        Self { pause: FIRST_PAUSE, next_try: Instant::now(), greeting: None }
    }

    /// Tries to connect when it is time to, and takes what a new server has said so far. `began` is told the socket of
    /// a new greeting, `ended` the socket of one that is over.
    pub(super) fn step(
        &mut self,
        how: &Reconnect,
        began: impl FnOnce(BorrowedFd<'_>),
        ended: impl FnOnce(BorrowedFd<'_>),
    ) -> Return {
        let now = Instant::now();
        if self.greeting.is_none() && now >= self.next_try && check_closing(Duration::ZERO).is_ok() {
            // Short, so that closing is not held up by a server that does not accept.
            if let Ok(socket) = socket::connect(&how.path, Duration::from_millis(1)) {
                began(socket.as_fd());
                self.greeting = Some(Greeting::new(socket, how.patience, now));
            }
        }
        let Some(greeting) = &mut self.greeting else { return self.later(now) };
        match greeting.step() {
            Ok(Progress::Waiting(until)) => Return::Later(until),
            Ok(Progress::Complete) => {
                ended(greeting.as_fd());
                let greeted = self.greeting.take().expect("it has just made progress").into_greeted();
                match greeted.memory.identity() {
                    Ok(identity) if identity == how.memory => Return::Same(greeted),
                    _ => Return::OtherMemory,
                }
            }
            Err(reason) => {
                ended(greeting.as_fd());
                // This device would not have mapped that.
                if matches!(reason, ConnectionError::UntrustedFile { .. }) {
                    return Return::OtherMemory;
                }
                self.greeting = None;
                self.later(now)
            }
        }
    }

    /// Each failed try doubles the pause, up to a tenth of a second.
    fn later(&mut self, now: Instant) -> Return {
        if now >= self.next_try {
            self.next_try = now + self.pause;
            self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        }
        Return::Later(self.next_try)
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
