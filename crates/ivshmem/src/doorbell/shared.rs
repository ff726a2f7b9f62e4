//! The state that all users of one doorbell share: the callers' threads, the dispatcher, registrations and raw readers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, Weak};

use super::callbacks::{Callback, Callbacks, Closed};
use super::claim::Claim;
use super::session::Session;
use super::waiters::Waiters;
use super::{DoorbellError, PeerEvent, Reader, Registration};
use crate::PeerId;
use crate::sys::event::{self, Event, EventRef};
use crate::sys::poller::{self, Poller};
use crate::wire::MAX_VECTORS;

pub(super) struct Shared {
    /// Reconnecting replaces the session, and closing replaces it with an empty one. A wait keeps the session with which it
    /// started.
    session: RwLock<Arc<Session>>,
    /// The same for all sessions of a device.
    pub(super) knows_peers: bool,
    closed: AtomicBool,
    /// The session at the time of closing.
    last: OnceLock<Weak<Session>>,
    vectors: Box<[Vector]>,
    peer_events: Callbacks<PeerEvent>,
    pub(super) poller: Poller,
    /// Wakes the dispatcher when the device is closed.
    wake: Event,
    /// The vectors that the poller watches, or will watch as soon as they exist. Locked after a callback list, never before.
    watched: Mutex<Box<[bool]>>,
}

/// The readers of one of this device's vectors. Replacing the session does not change them.
pub(super) struct Vector {
    pub(super) claim: Claim,
    pub(super) callbacks: Callbacks<u16>,
    pub(super) waiters: Waiters,
    /// Wakes the thread that reads the vector's event for waiters. The first wait creates it.
    wake: OnceLock<Event>,
}

impl Vector {
    /// The event that wakes the thread that reads this vector for waiters.
    pub(super) fn wake_event(&self) -> std::io::Result<EventRef<'_>> {
        if self.wake.get().is_none() {
            // Another thread may have set it in between.
            let _ = self.wake.set(event::create()?);
        }
        Ok(event::borrow(self.wake.get().expect("it was set")))
    }

    pub(super) fn has_wake_event(&self) -> bool {
        self.wake.get().is_some()
    }

    /// Makes all threads that wait for this vector check their conditions again.
    pub(super) fn wake_waiters(&self) {
        self.waiters.wake(|| {
            // No other process has this event, so ringing it neither blocks nor fails.
            if let Some(wake) = self.wake.get() {
                let _ = event::ring(event::borrow(wake));
            }
        });
    }
}

/// The poller's token of `wake`. Lower tokens are vectors.
pub(super) const WAKE: u64 = MAX_VECTORS as u64;

impl Shared {
    pub(super) fn new(session: Arc<Session>) -> std::io::Result<Self> {
        let (poller, wake) = (poller::create()?, event::create()?);
        poller::add(&poller, &wake, WAKE)?;
        let vector = |_| Vector {
            claim: Claim::default(),
            callbacks: Callbacks::new(),
            waiters: Waiters::new(),
            wake: OnceLock::new(),
        };
        Ok(Self {
            knows_peers: session.knows_peers(),
            session: RwLock::new(session),
            closed: AtomicBool::new(false),
            last: OnceLock::new(),
            vectors: (0..MAX_VECTORS).map(vector).collect(),
            peer_events: Callbacks::new(),
            poller,
            wake,
            watched: Mutex::new(vec![false; usize::from(MAX_VECTORS)].into()),
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The current session.
    ///
    /// # Errors
    /// If the device is closed.
    pub(super) fn session(&self) -> Result<Arc<Session>, DoorbellError> {
        let session = Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner));
        // Check after reading the session: close sets the flag first, so no caller gets the empty session.
        if self.is_closed() { Err(DoorbellError::Closed) } else { Ok(session) }
    }

    /// The readers of one of this device's vectors, and the current session.
    ///
    /// # Errors
    /// If the device has no such vector now, or is closed.
    pub(super) fn vector(&self, vector: u16) -> Result<(&Vector, Arc<Session>), DoorbellError> {
        let session = self.session()?;
        session.own(vector)?;
        Ok((&self.vectors[usize::from(vector)], session))
    }

    /// The readers of a vector that this device has or had. Its number is below [`MAX_VECTORS`].
    pub(super) fn reader(&self, vector: u16) -> &Vector {
        &self.vectors[usize::from(vector)]
    }

    /// Calls the vector's callbacks if it was rung.
    pub(super) fn deliver(&self, vector: u16) {
        let Ok((reader, session)) = self.vector(vector) else { return };
        let Ok(interrupt) = session.own(vector) else { return };
        // A descriptor that cannot be read, which only a hostile server can cause, counts as not rung.
        let reached_nobody = reader.callbacks.deliver(&vector, || event::take(interrupt).unwrap_or(false));
        if reached_nobody {
            let _ = event::ring(interrupt);
        }
    }

    /// Calls the callbacks for peer events.
    #[cfg(target_os = "linux")]
    pub(super) fn tell(&self, event: &PeerEvent) {
        self.peer_events.deliver(event, || true);
    }

    pub(super) fn on_interrupt(
        self: &Arc<Self>,
        vector: u16,
        callback: Arc<Callback<u16>>,
    ) -> Result<Registration, DoorbellError> {
        let reader = self.vector(vector)?.0;
        reader.claim.take(vector, Reader::Callbacks)?;
        let added = reader.callbacks.add(&callback, || self.watch(vector));
        if let Err(error) = added {
            reader.claim.give_back();
            return Err(error);
        }
        let shared = Arc::downgrade(self);
        Ok(Registration::new(move || unregister(&shared, vector, &callback)))
    }

    pub(super) fn on_peer(
        self: &Arc<Self>,
        callback: Arc<Callback<PeerEvent>>,
    ) -> Result<Registration, DoorbellError> {
        self.peer_events.add(&callback, || Ok::<(), DoorbellError>(()))?;
        let shared = Arc::downgrade(self);
        Ok(Registration::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.peer_events.remove(&callback, || {});
            }
        }))
    }

    /// Closes the device: wakes all waiting threads and tasks, and releases the session. Only the first call does so; returns
    /// whether this was the first call.
    pub(super) fn close(&self) -> bool {
        if self.closed.swap(true, Ordering::AcqRel) {
            return false;
        }
        let _ = event::ring(event::borrow(&self.wake));
        for vector in &self.vectors {
            vector.callbacks.close();
        }
        self.peer_events.close();
        let session = Arc::clone(&self.session.read().unwrap_or_else(PoisonError::into_inner));
        #[cfg(target_os = "linux")]
        session.end();
        // The replacement below wakes them, too, but fails if no descriptor is left.
        self.wake_waiters();
        let _ = self.last.set(Arc::downgrade(&session));
        if let Ok(nothing) = Session::new(session.own_id()) {
            self.replace(Arc::new(nothing), true);
        }
        true
    }

    /// Resets the full counters of a closed device's vectors while its session is in use. This makes room for a ring that
    /// blocks because a peer has made the counter blocking and filled it. Interrupts pending at other vectors stay for their
    /// readers.
    pub(super) fn undo_rings(&self) {
        let Some(session) = self.last.get().and_then(Weak::upgrade) else { return };
        for vector in 0..session.vectors() {
            if let Ok(own) = session.own(vector)
                && event::is_full(own).unwrap_or(false)
            {
                let _ = event::take(own);
            }
        }
    }

    /// Replaces the session. Pending interrupts move to the new session, waits restart, and callbacks stay registered.
    #[cfg(target_os = "linux")]
    pub(super) fn reconnect(&self, new: Arc<Session>) {
        self.replace(new, false);
    }

    fn replace(&self, new: Arc<Session>, closing: bool) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let mut session = self.session.write().unwrap_or_else(PoisonError::into_inner);
        if self.is_closed() && !closing {
            return;
        }
        for vector in (0..MAX_VECTORS).filter(|v| watched[usize::from(*v)]) {
            if let Ok(old) = session.own(vector) {
                let _ = poller::remove(&self.poller, old);
            }
            if let Ok(fresh) = new.own(vector) {
                let _ = poller::add(&self.poller, fresh, vector.into());
            }
        }
        let old = std::mem::replace(&mut *session, Arc::clone(&new));
        drop(session);
        drop(watched);
        #[cfg(target_os = "linux")]
        old.end();
        self.wake_waiters();
        // No lock is held here: a peer that has the new event can make a ring block.
        for vector in 0..old.vectors() {
            let (Ok(before), Ok(fresh)) = (old.own(vector), new.own(vector)) else { continue };
            if event::take(before).unwrap_or(false) {
                let _ = event::ring(fresh);
            }
        }
    }

    /// Makes all threads that wait for a vector read the current session.
    fn wake_waiters(&self) {
        for vector in &self.vectors {
            vector.wake_waiters();
        }
    }

    fn watch(&self, vector: u16) -> Result<(), DoorbellError> {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let session = self.session()?;
        let added = poller::add(&self.poller, session.own(vector)?, vector.into());
        added.map_err(|source| DoorbellError::Io { doing: "watch a vector", source })?;
        watched[usize::from(vector)] = true;
        Ok(())
    }

    fn unwatch(&self, vector: u16) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched[usize::from(vector)] = false;
        let session = self.session.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(interrupt) = session.own(vector) {
            let _ = poller::remove(&self.poller, interrupt);
        }
    }

    /// Watches the vectors with callbacks that a new session did not have at first and now has.
    #[cfg(target_os = "linux")]
    pub(super) fn watch_late(&self, from: u16, to: u16) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(session) = self.session() else { return };
        for vector in (from..to).filter(|v| watched[usize::from(*v)]) {
            if let Ok(interrupt) = session.own(vector) {
                let _ = poller::add(&self.poller, interrupt, vector.into());
            }
        }
    }

    pub(super) fn own_id(&self) -> PeerId {
        self.session.read().unwrap_or_else(PoisonError::into_inner).own_id()
    }
}

fn unregister(shared: &Weak<Shared>, vector: u16, callback: &Arc<Callback<u16>>) {
    let Some(shared) = shared.upgrade() else { return };
    let reader = &shared.vectors[usize::from(vector)];
    reader.callbacks.remove(callback, || shared.unwatch(vector));
    reader.claim.give_back();
}

impl From<Closed> for DoorbellError {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs;
    use std::os::fd::AsFd;
    use std::path::{Path, PathBuf};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::super::RawInterrupt;
    use super::super::dispatch::{Doorbell, LINK, Link};
    use super::*;
    use crate::sys::linux::foreign::ForeignFd;
    use crate::wire::ClientEvent;

    const HANG: Duration = Duration::from_secs(60);

    /// Replaces the session repeatedly: with one whose vector is rung, and then with one whose counter other threads fill.
    struct Replaces {
        fresh: Event,
        /// The file in which the kernel shows the system call in which the replacing thread sleeps.
        call: Arc<OnceLock<PathBuf>>,
    }

    impl Link for Replaces {
        fn receive(&mut self, _: &Shared) {}

        fn step(&mut self, shared: &Shared) -> Option<Instant> {
            self.call.get_or_init(|| fs::canonicalize("/proc/thread-self/syscall").unwrap());
            let rung = event::create().unwrap();
            event::ring(rung.as_fd()).unwrap();
            shared.reconnect(session_of(rung));
            shared.reconnect(session_of(self.fresh.try_clone().unwrap()));
            Some(Instant::now())
        }
    }

    /// A ring checks whether the counter is full before it writes. If a peer has cleared `O_NONBLOCK` and fills the counter
    /// in between, the write blocks.
    #[test]
    fn a_ring_that_blocks_while_the_session_is_replaced_holds_up_no_other_thread_and_no_close() {
        let fresh = event::create().unwrap();
        rustix::fs::fcntl_setfl(&fresh, rustix::fs::OFlags::empty()).unwrap();
        let shared = Arc::new(Shared::new(Arc::new(Session::new(PeerId(1)).unwrap())).unwrap());
        let (call, over) = (Arc::<OnceLock<PathBuf>>::default(), AtomicBool::new(false));
        thread::scope(|scope| {
            let fill = || {
                while !over.load(Ordering::Relaxed) {
                    rustix::io::write(&fresh, &(u64::MAX - 1).to_ne_bytes()).unwrap();
                }
            };
            let link = Replaces { fresh: fresh.try_clone().unwrap(), call: Arc::clone(&call) };
            let begin = event::create().unwrap();
            event::ring(begin.as_fd()).unwrap();
            poller::add(&shared.poller, begin.as_fd(), LINK).unwrap();
            let bell = Doorbell::with_link(Arc::clone(&shared), Box::new(link)).unwrap();
            let fillers: Vec<_> = (0..4).map(|_| scope.spawn(fill)).collect();
            let met = until_a_ring_blocks(&shared, &fresh, &call);
            let closing = scope.spawn(move || bell.close());
            let end = Instant::now() + HANG;
            while met.is_ok() && !closing.is_finished() && Instant::now() < end {
                thread::sleep(Duration::from_millis(1));
            }
            let closed = closing.is_finished();
            over.store(true, Ordering::Relaxed);
            while !closing.is_finished() || fillers.iter().any(|thread| !thread.is_finished()) {
                let _ = event::take(fresh.as_fd());
            }
            met.unwrap();
            assert!(closed, "closing waits for a ring that blocks");
        });
    }

    /// Resets the counter periodically until the replacing thread sleeps in a ring. No other thread resets the counter, so the
    /// thread continues to sleep; both locks must be free then.
    fn until_a_ring_blocks(
        shared: &Shared,
        fresh: &Event,
        call: &OnceLock<PathBuf>,
    ) -> Result<(), &'static str> {
        let end = Instant::now() + HANG;
        while Instant::now() < end {
            thread::sleep(Duration::from_micros(200));
            if call.get().is_some_and(|call| sleeps_in_write(call)) {
                let free = shared.session.try_write().is_ok() && shared.watched.try_lock().is_ok();
                return if free { Ok(()) } else { Err("a lock is held while a ring blocks") };
            }
            let _ = event::take(fresh.as_fd());
        }
        Err("no ring has blocked")
    }

    /// The kernel shows the number of the system call for a thread that sleeps in one, and `running` for other threads.
    fn sleeps_in_write(call: &Path) -> bool {
        let shown = fs::read_to_string(call).unwrap();
        shown.split(' ').next() == Some(&libc::SYS_write.to_string())
    }

    #[test]
    fn a_pending_interrupt_that_the_program_reads_by_itself_survives_the_closing_of_the_device() {
        let shared = Arc::new(Shared::new(session_of(event::create().unwrap())).unwrap());
        let raw = RawInterrupt::new(&shared, 0).unwrap();
        event::ring(raw.as_fd()).unwrap();
        assert!(shared.close());
        shared.undo_rings();
        assert!(raw.take().unwrap());
    }

    #[test]
    fn a_wake_up_does_not_hide_a_pending_interrupt_from_a_wait_without_time() {
        let shared = Shared::new(session_of(event::create().unwrap())).unwrap();
        let now = Some(Instant::now());
        assert!(!super::super::wait::wait_once(&shared, 0, now).unwrap());
        event::ring(shared.reader(0).wake_event().unwrap()).unwrap();
        event::ring(shared.vector(0).unwrap().1.own(0).unwrap()).unwrap();
        assert!(super::super::wait::wait_once(&shared, 0, now).unwrap());
        assert!(
            super::super::wait::wait_once(&shared, 1, now).is_err() && !shared.reader(1).has_wake_event()
        );
    }

    #[test]
    fn a_device_without_a_server_has_no_dispatcher_before_its_first_callback() {
        let session = Arc::into_inner(session_of(event::create().unwrap())).unwrap();
        let bell = Doorbell::without_server(session).unwrap();
        bell.ring(PeerId(1), 0).unwrap();
        assert!(bell.wait(0, None).unwrap());
        assert!(!bell.has_dispatcher());
        let (called, calls) = std::sync::mpsc::channel();
        let called = move |_: &u16| called.send(()).unwrap();
        let registration = bell.on_interrupt(0, Box::new(called), None).unwrap();
        assert!(bell.has_dispatcher());
        bell.ring(PeerId(1), 0).unwrap();
        calls.recv_timeout(HANG).unwrap();
        drop(registration);
        bell.close();
        let late = bell.on_interrupt(0, Box::new(|_| ()), None);
        assert!(matches!(late, Err(DoorbellError::Closed)));
    }

    fn session_of(vector: Event) -> Arc<Session> {
        let session = Session::new(PeerId(1)).unwrap();
        session.apply(ClientEvent::OwnVector { vector: 0, fd: ForeignFd::from(vector) }).unwrap();
        Arc::new(session)
    }
}
