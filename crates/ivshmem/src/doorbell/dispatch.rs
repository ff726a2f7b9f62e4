//! The doorbell of one device, and its dispatcher thread, which calls the callbacks and serves the link to the server, if
//! there is one.

use std::fmt;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// The dispatcher's thread. A device without a server has none before its first callback.
    thread: Mutex<Option<Running>>,
    /// The id of that thread, which stays after the end of the thread.
    dispatcher: Arc<OnceLock<ThreadId>>,
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
        Ok(Self::idle(Arc::new(Shared::new(Arc::new(session))?)))
    }

    /// The doorbell of a server's client. The dispatcher calls `link` when the poller of `shared` reports the token [`LINK`].
    #[cfg(target_os = "linux")]
    pub(super) fn with_link(shared: Arc<Shared>, link: Box<dyn Link>) -> std::io::Result<Self> {
        let doorbell = Self::idle(shared);
        *doorbell.thread() = Some(doorbell.spawn(Some(link))?);
        Ok(doorbell)
    }

    fn idle(shared: Arc<Shared>) -> Self {
        Self { shared, thread: Mutex::default(), dispatcher: Arc::default() }
    }

    /// Starts the dispatcher if it has not been started.
    fn start_dispatcher(&self) -> Result<(), DoorbellError> {
        // The lock must not be taken once the dispatcher exists: closing holds it while it waits for the end of a callback, which
        // may call this function.
        if self.dispatcher.get().is_some() {
            return Ok(());
        }
        let mut thread = self.thread();
        if self.shared.is_closed() {
            return Err(DoorbellError::Closed);
        }
        if thread.is_none() {
            let spawned = self.spawn(None);
            let failed =
                |source| DoorbellError::Io { doing: "start the thread that calls callbacks", source };
            *thread = Some(spawned.map_err(failed)?);
        }
        Ok(())
    }

    fn spawn(&self, link: Option<Box<dyn Link>>) -> std::io::Result<Running> {
        let dispatcher = Dispatcher { shared: Arc::clone(&self.shared), link };
        let id = Arc::clone(&self.dispatcher);
        let (ended, end) = mpsc::channel();
        let run = move || {
            // A callback may close the device before this function returns.
            let _ = id.set(thread::current().id());
            dispatcher.run();
            drop::<mpsc::Sender<()>>(ended);
        };
        let thread = thread::Builder::new().name("ivshmem-doorbell".into()).spawn(run)?;
        let _ = self.dispatcher.set(thread.thread().id());
        Ok(Running { thread, end })
    }

    fn thread(&self) -> MutexGuard<'_, Option<Running>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn own_id(&self) -> PeerId {
        self.shared.own_id()
    }

    /// Whether the device can list its peers, also after closing.
    pub(crate) fn knows_peers(&self) -> bool {
        self.shared.knows_peers
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
        Waiter::new(self.shared.clone(), vector)
    }

    pub(crate) fn on_interrupt(
        &self,
        vector: u16,
        function: Function<u16>,
        executor: Option<Executor>,
    ) -> Result<Registration, DoorbellError> {
        // A call for a vector that does not exist starts no thread.
        self.shared.vector(vector)?;
        self.start_dispatcher()?;
        self.shared.on_interrupt(vector, Callback::new(function, executor))
    }

    pub(crate) fn on_peer(&self, function: Function<PeerEvent>) -> Result<Registration, DoorbellError> {
        self.shared.session()?;
        if !self.knows_peers() {
            return Err(DoorbellError::PeersUnknown);
        }
        self.shared.on_peer(Callback::new(function, None))
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn raw_interrupt(&self, vector: u16) -> Result<super::RawInterrupt, DoorbellError> {
        super::RawInterrupt::new(&self.shared, vector)
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn has_dispatcher(&self) -> bool {
        self.dispatcher.get().is_some()
    }

    #[cfg(feature = "tokio")]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Wakes all waiting threads and tasks, ends the dispatcher and waits for its end. It does not wait if the caller is the
    /// dispatcher, or if the dispatcher is in a callback that waits for the caller.
    pub(crate) fn close(&self) {
        self.shared.close();
        if self.dispatcher.get().is_none() {
            // Another thread may be starting the dispatcher, but none starts it later.
            drop(self.thread());
        }
        let me = thread::current().id();
        let Some(dispatcher) = self.dispatcher.get().copied().filter(|dispatcher| *dispatcher != me) else {
            return;
        };
        let what = std::ptr::from_ref(self).addr();
        if !waits::begin(me, dispatcher, what) {
            return;
        }
        // The lock is held during the join, so that a second thread that closes waits as well. The dispatcher never takes it.
        let mut thread = self.thread();
        if let Some(Running { thread, end }) = thread.take() {
            // A peer may have made the dispatcher block in a ring of one of this device's vectors.
            while end.recv_timeout(UNDO_PAUSE) == Err(RecvTimeoutError::Timeout) {
                self.shared.undo_rings();
            }
            // Only callbacks can panic in the dispatcher, and it catches those panics.
            let _ = thread.join();
        }
        drop(thread);
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
