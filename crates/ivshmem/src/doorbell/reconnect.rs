//! Reconnects to a server after a lost connection, without a separate thread and without blocking the dispatcher.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::connection::{Greeted, Greeting, Patience, Progress, check_closing};
use crate::doorbell::ConnectionError;
use crate::sys::linux::socket;

/// How to reconnect after the connection to the server is lost.
#[derive(Debug)]
pub(crate) struct Reconnect {
    pub(crate) path: PathBuf,
    pub(crate) patience: Patience,
    /// Device and inode of the mapped memory.
    pub(crate) memory: (u64, u64),
}

/// The state of reconnecting to an absent server.
#[derive(Debug)]
pub(super) struct Absence {
    /// The number of vectors that this device had at the server before.
    vectors: u16,
    pause: Duration,
    next_try: Instant,
    greeting: Option<Greeting>,
}

/// The result of one step of reconnecting.
#[derive(Debug)]
pub(super) enum Return {
    /// Not connected yet. Call again at this time, or when the greeting's socket is readable.
    Later(Instant),
    /// Connected to a server with the same memory.
    Same(Greeted),
    /// The server has other memory.
    OtherMemory,
}

impl Absence {
    /// `vectors` is the number of vectors that this device had at the lost server.
    pub(super) fn new(vectors: u16) -> Self {
        Self { vectors, pause: FIRST_PAUSE, next_try: Instant::now(), greeting: None }
    }

    /// Connects if the next attempt is due, and receives the available messages of a greeting. Calls `began` with the socket
    /// of a new greeting, and `ended` with the socket of one that has ended.
    pub(super) fn step(
        &mut self,
        how: &Reconnect,
        began: impl FnOnce(BorrowedFd<'_>),
        ended: impl FnOnce(BorrowedFd<'_>),
    ) -> Return {
        let now = Instant::now();
        if self.greeting.is_none() && now >= self.next_try && check_closing(Duration::ZERO).is_ok() {
            // The timeout is short, so that a server that does not accept connections does not delay closing.
            if let Ok(socket) = socket::connect(&how.path, Duration::from_millis(1)) {
                began(socket.as_fd());
                self.greeting = Some(Greeting::new(socket, how.patience, now).likely(self.vectors));
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
                // This device would not have mapped such a file, so it is other memory.
                if matches!(reason, ConnectionError::UntrustedFile { .. }) {
                    return Return::OtherMemory;
                }
                self.greeting = None;
                self.later(now)
            }
        }
    }

    /// Schedules the next attempt. Each failed attempt doubles the pause, up to a tenth of a second.
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
