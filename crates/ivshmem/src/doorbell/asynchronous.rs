//! Asynchronous waits for interrupts and peers in a tokio runtime.

use std::fmt;
use std::future::poll_fn;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::task::Poll;

use tokio::io::unix::AsyncFd;
use tokio::sync::broadcast::{self, error::RecvError};

use super::session::Session;
use super::shared::Shared;
use super::wait::take;
use super::{Doorbell, DoorbellError, PeerEvent, Reader, Registration};
use crate::sys::linux::foreign::ForeignFd;
use crate::sys::linux::runtime;

/// One vector of a device, for which tasks wait. While it exists, threads may wait for the vector as well, but it cannot
/// have callbacks or a raw descriptor.
pub struct AsyncInterrupt {
    vector: u16,
    shared: Arc<Shared>,
    watched: Watched,
}

impl AsyncInterrupt {
    pub(crate) fn new(doorbell: &Doorbell, vector: u16) -> Result<Self, DoorbellError> {
        let shared = Arc::clone(doorbell.shared());
        let session = shared.vector(vector)?.1;
        let watched = Watched::new(&session, vector)?;
        shared.reader(vector).claim.take(vector, Reader::Waiters)?;
        Ok(Self { vector, shared, watched })
    }

    /// Waits until the vector is rung. A pending ring from before the call counts.
    ///
    /// Cancel safe: only the call that returns an interrupt takes it.
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] if the device is closed before or during the wait.
    pub async fn wait(&mut self) -> Result<(), DoorbellError> {
        loop {
            if self.watched.rung().await? {
                let reader = self.shared.reader(self.vector);
                reader.waiters.count();
                reader.wake_waiters();
                return Ok(());
            }
            let session = self.shared.session()?;
            self.watched = Watched::new(&session, self.vector)?;
        }
    }
}

impl Drop for AsyncInterrupt {
    fn drop(&mut self) {
        self.shared.reader(self.vector).claim.give_back();
    }
}

impl fmt::Debug for AsyncInterrupt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncInterrupt").field("vector", &self.vector).finish_non_exhaustive()
    }
}

/// A stream of the peer events, in order. [`Device::peer_events`](crate::device::Device::peer_events) creates it.
#[derive(Debug)]
pub struct PeerEvents {
    events: broadcast::Receiver<PeerEvent>,
    _registration: Registration,
}

impl PeerEvents {
    pub(crate) fn new(doorbell: &Doorbell) -> Result<Self, DoorbellError> {
        let (sender, events) = broadcast::channel(EVENTS);
        // Sending fails only without a receiver, when this stream is about to be dropped.
        let function = Box::new(move |event: &PeerEvent| _ = sender.send(event.clone()));
        Ok(Self { events, _registration: doorbell.on_peer(function)? })
    }

    /// Waits for the next event. Returns [`PeerEvent::Missed`] if the stream overflowed because its reader is too slow. Cancel
    /// safe.
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] if the device is closed and all earlier events have been read.
    pub async fn next(&mut self) -> Result<PeerEvent, DoorbellError> {
        match self.events.recv().await {
            Ok(event) => Ok(event),
            Err(RecvError::Lagged(events)) => Ok(PeerEvent::Missed { events }),
            Err(RecvError::Closed) => Err(DoorbellError::Closed),
        }
    }
}

/// The number of events kept for a slow reader. It is bounded, because a server may send any number of events.
const EVENTS: usize = 1024;

/// One session's vector, registered with the runtime. The descriptors are copies, because a runtime accepts each descriptor
/// only once.
struct Watched {
    interrupt: AsyncFd<ForeignFd>,
    ended: AsyncFd<ForeignFd>,
}

impl Watched {
    fn new(session: &Session, vector: u16) -> Result<Self, DoorbellError> {
        let failed = |source| DoorbellError::Io { doing: "make a vector known to the runtime", source };
        let known = |fd: BorrowedFd<'_>| {
            fd.try_clone_to_owned().and_then(|copy| runtime::watch(copy.into())).map_err(failed)
        };
        Ok(Self { interrupt: known(session.own(vector)?)?, ended: known(session.ended())? })
    }

    /// Returns true after taking an interrupt, and false if the session has ended.
    async fn rung(&mut self) -> Result<bool, DoorbellError> {
        let failed = |source| DoorbellError::Io { doing: "wait for an interrupt", source };
        poll_fn(|context| {
            if let Poll::Ready(ready) = self.ended.poll_read_ready(context) {
                return Poll::Ready(ready.map(|_| false).map_err(failed));
            }
            loop {
                let mut ready = match self.interrupt.poll_read_ready(context) {
                    Poll::Ready(ready) => ready.map_err(failed)?,
                    Poll::Pending => return Poll::Pending,
                };
                if take(self.interrupt.as_fd())? {
                    return Poll::Ready(Ok(true));
                }
                ready.clear_ready();
            }
        })
        .await
    }
}
