//! Reconnects to a server after a lost connection, without a separate thread and without blocking the dispatcher.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::connection::{Established, Handshake, Progress, Timeouts, check_closing};
use crate::doorbell::ConnectionError;
use crate::sys::linux::socket;

/// How to reconnect after the connection to the server is lost.
#[derive(Debug)]
pub(crate) struct Reconnect {
    pub(crate) path: PathBuf,
    pub(crate) timeouts: Timeouts,
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
    handshake: Option<Handshake>,
}

/// The result of one step of reconnecting.
#[derive(Debug)]
pub(super) enum Return {
    /// Not connected yet. Call again at this time, or when the handshake's socket is readable.
    Later(Instant),
    /// Connected to a server with the same memory.
    Same(Established),
    /// The server has other memory.
    OtherMemory,
}

impl Absence {
    /// `vectors` is the number of vectors that this device had at the lost server.
    pub(super) fn new(vectors: u16) -> Self {
        Self { vectors, pause: FIRST_PAUSE, next_try: Instant::now(), handshake: None }
    }

    /// Connects if the next attempt is due, and receives the available messages of a handshake. Calls `began` with the socket
    /// of a new handshake, and `ended` with the socket of one that has ended.
    pub(super) fn step(
        &mut self,
        how: &Reconnect,
        began: impl FnOnce(BorrowedFd<'_>),
        ended: impl FnOnce(BorrowedFd<'_>),
    ) -> Return {
        let now = Instant::now();
        if self.handshake.is_none() && now >= self.next_try && check_closing(Duration::ZERO).is_ok() {
            // The timeout is short, so that a server that does not accept connections does not delay closing.
            if let Ok(socket) = socket::connect(&how.path, Duration::from_millis(1)) {
                began(socket.as_fd());
                self.handshake = Some(Handshake::new(socket, how.timeouts, now).likely(self.vectors));
            }
        }
        let Some(handshake) = &mut self.handshake else { return self.later(now) };
        match handshake.step() {
            Ok(Progress::Waiting(until)) => Return::Later(until),
            Ok(Progress::Complete) => {
                ended(handshake.as_fd());
                let established =
                    self.handshake.take().expect("it has just made progress").into_established();
                match established.memory.identity() {
                    Ok(identity) if identity == how.memory => Return::Same(established),
                    _ => Return::OtherMemory,
                }
            }
            Err(reason) => {
                ended(handshake.as_fd());
                // This device would not have mapped such a file, so it is other memory.
                if matches!(reason, ConnectionError::UntrustedFile { .. }) {
                    return Return::OtherMemory;
                }
                self.handshake = None;
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
