//! The doorbell of one device, and its dispatcher thread, which calls the callbacks and serves the link to the server, if
//! there is one.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle, ThreadId};
use std::time::{Duration, Instant};

use super::callbacks::{Callback, Executor, Function};
use super::session::Session;
use super::shared::{Shared, WAKE};
use super::{DoorbellError, Peer, PeerEvent, Registration, Waiter, wait, waits};
use crate::PeerId;
use crate::sys::poller;

/// Sends and receives the interrupts of one device. `close` or dropping it ends the dispatcher.
pub(crate) struct Doorbell {
    shared: Arc<Shared>,
    /// `None` for a device that can only ring, which has no events to dispatch.
    dispatcher: Option<ThreadId>,
    thread: Mutex<Option<Running>>,
}

/// The dispatcher's thread, and a channel that disconnects when the thread is about to end.
struct Running {
    thread: JoinHandle<()>,
    end: mpsc::Receiver<()>,
}

/// The time after which closing undoes the rings of a dispatcher that has not ended, and the interval of repeating that.
const UNDO_PAUSE: Duration = Duration::from_millis(10);

impl Doorbell {
    /// The doorbell of a device without a server. Its vectors are those of this session and do not change.
    pub(crate) fn without_server(session: Session) -> std::io::Result<Self> {
        let silent = session.vectors() == 0;
        let shared = Arc::new(Shared::new(Arc::new(session))?);
        if silent {
            return Ok(Self { shared, dispatcher: None, thread: Mutex::new(None) });
        }
        Self::dispatch(shared, None)
    }

    /// Starts the dispatcher thread. It calls `link` when the poller of `shared` reports the token [`LINK`].
    pub(super) fn dispatch(shared: Arc<Shared>, link: Option<Box<dyn Link>>) -> std::io::Result<Self> {
        let dispatcher = Dispatcher { shared: Arc::clone(&shared), link };
        let (ended, end) = mpsc::channel();
        let run = move || {
            dispatcher.run();
            drop::<mpsc::Sender<()>>(ended);
        };
        let thread = thread::Builder::new().name("ivshmem-doorbell".into()).spawn(run)?;
        let dispatcher = Some(thread.thread().id());
        Ok(Self { shared, dispatcher, thread: Mutex::new(Some(Running { thread, end })) })
    }

    pub(crate) fn own_id(&self) -> PeerId {
        self.shared.own_id()
    }

    pub(crate) fn vectors(&self) -> Result<u16, DoorbellError> {
        Ok(self.shared.session()?.vectors())
    }

    pub(crate) fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        self.shared.session()?.peers()
    }

    pub(crate) fn peer(&self, id: PeerId) -> Result<Option<Peer>, DoorbellError> {
        self.shared.session()?.peer(id)
    }

    pub(crate) fn ring(&self, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
        self.shared.session()?.ring(peer, vector)
    }

    pub(crate) fn wait(&self, vector: u16, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
        wait::wait_once(&self.shared, vector, deadline)
    }

    pub(crate) fn waiter(&self, vector: u16) -> Result<Waiter, DoorbellError> {
        Waiter::new(&self.shared, vector)
    }

    pub(crate) fn on_interrupt(
        &self,
        vector: u16,
        function: Function<u16>,
        executor: Option<Executor>,
    ) -> Result<Registration, DoorbellError> {
        self.shared.on_interrupt(vector, Callback::new(function, executor))
    }

    pub(crate) fn on_peer(&self, function: Function<PeerEvent>) -> Result<Registration, DoorbellError> {
        if !self.shared.session()?.knows_peers() {
            return Err(DoorbellError::PeersUnknown);
        }
        self.shared.on_peer(Callback::new(function, None))
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn raw_interrupt(&self, vector: u16) -> Result<super::RawInterrupt, DoorbellError> {
        super::RawInterrupt::new(&self.shared, vector)
    }

    #[cfg(feature = "tokio")]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Wakes all waiting threads and tasks, ends the dispatcher and waits for its end. It does not wait if the caller is the
    /// dispatcher, or if the dispatcher is in a callback that waits for the caller.
    pub(crate) fn close(&self) {
        self.shared.close();
        let me = thread::current().id();
        let Some(dispatcher) = self.dispatcher.filter(|dispatcher| *dispatcher != me) else { return };
        let what = std::ptr::from_ref(self).addr();
        if !waits::begin(me, dispatcher, what) {
            return;
        }
        // The lock is held during the join, so that a second thread that closes waits as well. The dispatcher never takes it.
        if let Some(Running { thread, end }) =
            self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
        {
            // A peer may have made the dispatcher block in a ring of one of this device's vectors.
            while end.recv_timeout(UNDO_PAUSE) == Err(RecvTimeoutError::Timeout) {
                self.shared.undo_rings();
            }
            // Only callbacks can panic in the dispatcher, and it catches those panics.
            let _ = thread.join();
        }
        waits::end(what);
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").field("own_id", &self.own_id()).finish_non_exhaustive()
    }
}

/// The link to a server, which a dispatcher serves in addition to the vectors.
pub(super) trait Link: Send {
    /// Receives the available messages. The dispatcher calls it when the poller reports the link's token.
    fn receive(&mut self, shared: &Shared);

    /// Does all work that is due, and returns when to call again.
    fn step(&mut self, shared: &Shared) -> Option<Instant>;
}

/// The poller's token of a link.
pub(super) const LINK: u64 = WAKE + 1;

/// The state of the dispatcher thread.
struct Dispatcher {
    shared: Arc<Shared>,
    link: Option<Box<dyn Link>>,
}

impl Dispatcher {
    fn run(mut self) {
        let mut ready = Vec::with_capacity(poller::BATCH);
        let mut deadline = None;
        while !self.shared.is_closed() {
            if poller::wait(&self.shared.poller, &mut ready, deadline).is_err() {
                // This process owns the poller, so waiting on it cannot fail while it is open.
                return;
            }
            for token in &ready {
                match (*token, &mut self.link) {
                    (WAKE, _) => return,
                    (LINK, Some(link)) => link.receive(&self.shared),
                    (LINK, None) => {}
                    (vector, _) => {
                        if let Ok(vector) = u16::try_from(vector) {
                            self.shared.deliver(vector);
                        }
                    }
                }
            }
            deadline = self.link.as_mut().and_then(|link| link.step(&self.shared));
        }
    }
}
