//! How other threads query the status from the serving thread, and why that cannot slow it down.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use ivshmem::sys::linux::eventfd;

use crate::error::Error;
use crate::status::Status;

/// Sends queries. Each thread has a clone.
#[derive(Clone, Debug)]
pub(crate) struct StatusQuery {
    questions: Sender<Sender<Status>>,
    bell: Arc<OwnedFd>,
}

/// Receives queries.
#[derive(Debug)]
pub(crate) struct StatusQueries {
    questions: Receiver<Sender<Status>>,
    bell: Arc<OwnedFd>,
    /// A query waits for its answer.
    waiting: bool,
    next: Instant,
}

/// Answers take at most one part in `SHARE` of the serving thread's time, regardless of the number of queries.
const SHARE: u32 = 10;

pub(crate) fn channel() -> Result<(StatusQuery, StatusQueries), Error> {
    let bell = Arc::new(eventfd::create().map_err(Error::io("creating an eventfd"))?);
    let (sender, receiver) = mpsc::channel();
    let query = StatusQuery { questions: sender, bell: Arc::clone(&bell) };
    Ok((query, StatusQueries { questions: receiver, bell, waiting: false, next: Instant::now() }))
}

impl StatusQuery {
    /// Waits for the answer; `None` when the server no longer serves.
    pub(crate) fn ask(&self) -> Option<Status> {
        let (answer, status) = mpsc::channel();
        self.questions.send(answer).ok()?;
        eventfd::ring(self.bell.as_fd()).ok()?;
        status.recv().ok()
    }
}

impl StatusQueries {
    /// Acknowledges the eventfd, which a query has signalled.
    pub(crate) fn heard(&mut self) {
        let _ = eventfd::take(self.bell.as_fd());
        self.waiting = true;
    }

    /// When the next answer is due; `None` when no query waits.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.waiting.then_some(self.next)
    }

    /// Sends the same answer to all waiting queries. `begin` is when the server began to compute it.
    pub(crate) fn answer(&mut self, status: Status, begin: Instant) {
        self.waiting = false;
        for question in self.questions.try_iter() {
            // The thread that sent the query may have ended.
            let _ = question.send(status.clone());
        }
        let end = Instant::now();
        self.next = end + end.duration_since(begin).saturating_mul(SHARE);
    }
}

impl AsFd for StatusQueries {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_a_server_that_is_gone_does_not_wait() {
        let (query, queries) = channel().unwrap();
        std::thread::scope(|scope| {
            let asked = scope.spawn(|| query.ask());
            // Before or after the query: there is no answer either way.
            drop(queries);
            assert_eq!(asked.join().unwrap(), None);
        });
        assert_eq!(query.ask(), None);
    }
}
