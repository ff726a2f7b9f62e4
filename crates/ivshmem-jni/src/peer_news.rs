//! Events of the peers for listeners in another language. Their number is bounded, however slow the listeners are and however
//! busy the peers are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ivshmem::PeerId;
use ivshmem::doorbell::{Peer, PeerEvent};

/// The events of one device. The device's dispatcher adds them; one thread takes them and passes them on to the queue of each
/// listener.
///
/// The thread can thus act on an event before a listener receives it.
pub(crate) struct PeerNews {
    state: Mutex<State>,
    changed: Condvar,
}

/// Identifies a listener of one device; the caller chooses the number.
pub(crate) type ListenerId = i32;

#[derive(Default)]
struct State {
    /// The events that no thread has taken.
    device: Queue,
    /// The event taken last, until it is passed on.
    taken: Option<PeerEvent>,
    listeners: HashMap<ListenerId, Queue>,
    /// Whether a listener was added since the last event.
    listener_added: bool,
    closed: bool,
}

/// What the thread that takes the events finds.
#[derive(Debug)]
pub(crate) enum Next {
    Event(PeerEvent),
    /// New listeners have events for the present peers.
    ListenerAdded,
    Closed,
}

impl PeerNews {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn tell(&self, event: &PeerEvent) {
        self.state().device.push(event.clone());
        self.changed.notify_one();
    }

    /// Waits for an event and takes it. `peers` lists the present peers.
    ///
    /// After a reconnection, an event for each present peer follows.
    pub(crate) fn next<E>(&self, peers: impl FnOnce() -> Result<Vec<Peer>, E>) -> Result<Next, E> {
        let mut state = self.state();
        loop {
            if state.closed {
                return Ok(Next::Closed);
            }
            if std::mem::take(&mut state.listener_added) {
                return Ok(Next::ListenerAdded);
            }
            if let Some(event) = state.device.pop() {
                if matches!(event, PeerEvent::Reconnected { .. }) {
                    state.device.push_all(peers()?);
                }
                state.taken = Some(event.clone());
                return Ok(Next::Event(event));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Adds the event taken last to the queue of each listener.
    pub(crate) fn pass_on(&self) {
        let State { taken, listeners, .. } = &mut *self.state();
        if let Some(event) = taken.take() {
            for listener in listeners.values_mut() {
                listener.push(event.clone());
            }
        }
    }

    /// Adds a listener, with an event for each present peer.
    ///
    /// `peers` runs under the lock. The dispatcher updates its peers before it adds an event, so every later event is at least
    /// as new as this list, and the last event is right.
    pub(crate) fn listen<E>(
        &self,
        listener: ListenerId,
        peers: impl FnOnce() -> Result<Vec<Peer>, E>,
    ) -> Result<(), E> {
        let mut state = self.state();
        let mut queue = Queue::default();
        queue.push_all(peers()?);
        state.listeners.insert(listener, queue);
        state.listener_added = true;
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn unlisten(&self, listener: ListenerId) {
        self.state().listeners.remove(&listener);
    }

    /// Takes the next event of a listener; `None` if there is none, and for a removed listener.
    pub(crate) fn next_of(&self, listener: ListenerId) -> Option<PeerEvent> {
        self.state().listeners.get_mut(&listener)?.pop()
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events in order. Several changes of one peer become one, and so do several restarts of the server.
#[derive(Default)]
struct Queue {
    /// Peers with changes, the longest waiting first. They belong to the latest connection to a server.
    order: VecDeque<PeerId>,
    changes: HashMap<PeerId, Change>,
    /// The peers as last reported.
    reported: HashMap<PeerId, Peer>,
    /// The number of this device's vectors if it has changed since the latest connection began.
    own_vectors: Option<PeerEvent>,
    /// Changes of the connection to the server, at most four: lost, back, lost again, and replaced by one with other memory.
    server: VecDeque<PeerEvent>,
}

/// A change of one peer. A peer that has left and is connected has left in between.
#[derive(Default)]
struct Change {
    left: bool,
    connected: Option<Peer>,
}

impl Queue {
    fn push(&mut self, event: PeerEvent) {
        match event {
            PeerEvent::Connected(peer) | PeerEvent::VectorsChanged(peer) => {
                self.change(peer.id).connected = Some(peer);
            }
            PeerEvent::Disconnected(peer) => *self.change(peer) = Change { left: true, connected: None },
            PeerEvent::OwnVectors(_) => self.own_vectors = Some(event),
            PeerEvent::Reconnected { .. } => {
                self.forget();
                self.server.push_back(event);
            }
            PeerEvent::ServerGone { .. } | PeerEvent::MemoryReplaced => self.server.push_back(event),
            // Streams alone miss events.
            _ => {}
        }
    }

    fn push_all(&mut self, peers: Vec<Peer>) {
        for peer in peers {
            self.push(PeerEvent::Connected(peer));
        }
    }

    fn pop(&mut self) -> Option<PeerEvent> {
        // The peers and vectors belong to the latest connection.
        let came_back = |event: &PeerEvent| matches!(event, PeerEvent::Reconnected { .. });
        if !self.server.iter().any(came_back) {
            let change = self.own_vectors.take().or_else(|| self.pop_peer());
            if change.is_some() {
                return change;
            }
        }
        self.server.pop_front()
    }

    fn pop_peer(&mut self) -> Option<PeerEvent> {
        while let Some(&id) = self.order.front() {
            let change = self.changes.get_mut(&id).expect("every peer in the order has a change");
            let (left, connected) = (std::mem::take(&mut change.left), change.connected);
            // A peer that has returned is connected again right after it has left.
            if !left || connected.is_none() {
                self.order.pop_front();
                self.changes.remove(&id);
            }
            if left {
                self.reported.remove(&id);
                return Some(PeerEvent::Disconnected(id));
            }
            match connected.map(|peer| (peer, self.reported.insert(id, peer))) {
                Some((peer, None)) => return Some(PeerEvent::Connected(peer)),
                Some((peer, Some(before))) if before != peer => return Some(PeerEvent::VectorsChanged(peer)),
                // The list of peers that a queue begins with may be newer than the events that follow it.
                Some(_) | None => {}
            }
        }
        None
    }

    /// Discards the changes of earlier connections, whose reported peers have left. If the server was back and gone in between,
    /// those two events are dropped.
    fn forget(&mut self) {
        self.own_vectors = None;
        self.order.clear();
        self.changes.clear();
        let left: Vec<_> = self.reported.keys().copied().collect();
        for peer in left {
            self.change(peer).left = true;
        }
        if self.server.len() > 1 {
            let first_is_loss = matches!(self.server[0], PeerEvent::ServerGone { .. });
            self.server.truncate(usize::from(first_is_loss));
        }
    }

    fn change(&mut self, peer: PeerId) -> &mut Change {
        let Self { order, changes, .. } = self;
        changes.entry(peer).or_insert_with(|| {
            order.push_back(peer);
            Change::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use ivshmem::doorbell::ConnectionError;

    use super::*;

    fn left(peer: u16) -> PeerEvent {
        PeerEvent::Disconnected(PeerId::from(peer))
    }

    fn gone() -> PeerEvent {
        PeerEvent::ServerGone { reason: ConnectionError::Gone }
    }

    fn back(id: u16) -> PeerEvent {
        PeerEvent::Reconnected { id: PeerId::from(id) }
    }

    fn no_peers() -> Result<Vec<Peer>, ()> {
        Ok(Vec::new())
    }

    /// The next event, for comparison.
    fn next(news: &PeerNews) -> String {
        match news.next(no_peers).unwrap() {
            Next::Event(event) => format!("{event:?}"),
            other => format!("{other:?}"),
        }
    }

    #[track_caller]
    fn assert_next(news: &PeerNews, events: &[PeerEvent]) {
        for event in events {
            assert_eq!(next(news), format!("{event:?}"));
        }
        assert_eq!(news.state().device.pop().map(|event| format!("{event:?}")), None);
    }

    #[test]
    fn changes_of_one_peer_become_one_and_keep_their_place() {
        let news = PeerNews::new();
        news.tell(&left(3));
        news.tell(&left(4));
        news.tell(&left(3));
        assert_eq!(next(&news), format!("{:?}", left(3)));
        news.tell(&left(3));
        assert_next(&news, &[left(4), left(3)]);
    }

    #[test]
    fn the_end_of_the_server_is_told_once_and_after_its_peers() {
        let news = PeerNews::new();
        news.tell(&gone());
        news.tell(&left(1));
        assert_next(&news, &[left(1), gone()]);
        news.tell(&left(2));
        assert_next(&news, &[left(2)]);
    }

    #[test]
    fn a_server_that_comes_and_goes_unheard_is_told_in_few_words_and_with_its_last_peers() {
        let news = PeerNews::new();
        for id in 1..=100 {
            news.tell(&left(id));
            news.tell(&gone());
            news.tell(&back(id));
        }
        news.tell(&left(200));
        news.tell(&gone());
        assert_next(&news, &[gone(), back(100), left(200), gone()]);
        // After its loss was reported, the server may be back, gone, and back again.
        news.tell(&back(1));
        news.tell(&gone());
        news.tell(&back(2));
        assert_next(&news, &[back(2)]);
        news.tell(&gone());
        news.tell(&PeerEvent::MemoryReplaced);
        assert_next(&news, &[gone(), PeerEvent::MemoryReplaced]);
    }

    #[test]
    fn added_vectors_are_told_once_and_only_for_the_latest_connection() {
        let news = PeerNews::new();
        news.tell(&PeerEvent::OwnVectors(1));
        news.tell(&PeerEvent::OwnVectors(2));
        news.tell(&gone());
        assert_next(&news, &[PeerEvent::OwnVectors(2), gone()]);
        for id in 1..=2 {
            news.tell(&PeerEvent::OwnVectors(3));
            news.tell(&gone());
            news.tell(&back(id));
        }
        assert_next(&news, &[gone(), back(2)]);
        news.tell(&gone());
        news.tell(&back(3));
        news.tell(&PeerEvent::OwnVectors(2));
        assert_next(&news, &[gone(), back(3), PeerEvent::OwnVectors(2)]);
    }

    #[test]
    fn a_listener_receives_an_event_after_it_was_passed_on() {
        let news = PeerNews::new();
        news.tell(&left(1));
        let (listener, other) = (1, 2);
        news.listen(listener, no_peers).unwrap();
        news.listen(other, no_peers).unwrap();
        assert!(news.next_of(listener).is_none());
        assert_eq!(next(&news), format!("{:?}", Next::ListenerAdded));
        assert_eq!(next(&news), format!("{:?}", left(1)));
        assert!(news.next_of(listener).is_none());
        news.pass_on();
        news.pass_on();
        news.unlisten(other);
        assert!(news.next_of(other).is_none());
        assert_eq!(format!("{:?}", news.next_of(listener)), format!("{:?}", Some(left(1))));
        assert!(news.next_of(listener).is_none());
    }

    #[test]
    fn closing_wakes_whoever_waits() {
        let news = PeerNews::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| news.next(no_peers));
            news.close();
            assert!(matches!(waiter.join().unwrap(), Ok(Next::Closed)));
        });
    }
}
