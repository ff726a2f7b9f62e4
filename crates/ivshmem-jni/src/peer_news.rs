//! Events of the peers since Java last read them. Their number is bounded, however slow Java is and however busy the peers
//! are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ivshmem::PeerId;
use ivshmem::doorbell::{ConnectionError, Peer, PeerEvent};

/// The device's dispatcher adds events, and a Java thread reads them.
pub(crate) struct PeerNews {
    state: Mutex<State>,
    changed: Condvar,
}

/// An event. Several changes of one peer are merged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    Peer {
        peer: PeerId,
        /// The peer has left, before it returned if `vectors` is set.
        left: bool,
        /// The peer is connected and has this number of vectors.
        vectors: Option<u16>,
    },
    /// The server is back, with the same memory. This device has this id now, and all earlier peers are forgotten.
    Reconnected(PeerId),
    /// This device has more vectors than at its last event.
    VectorsAdded,
    /// A server with other memory is there, so this device stays disconnected.
    MemoryReplaced,
}

#[derive(Default)]
struct State {
    /// Peers with events, the longest waiting first. They belong to the latest connection to a server.
    order: VecDeque<PeerId>,
    news: HashMap<PeerId, (bool, Option<u16>)>,
    /// The latest connection has more vectors of this device.
    vectors_added: bool,
    /// Changes of the connection to the server, at most three: lost, back, lost again.
    server: VecDeque<Server>,
    closed: bool,
}

enum Server {
    Gone(ConnectionError),
    Back(PeerId),
    Replaced,
}

impl PeerNews {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::default(), changed: Condvar::new() }
    }

    pub(crate) fn tell(&self, event: &PeerEvent) {
        let mut state = self.state();
        match event {
            PeerEvent::Connected(peer) | PeerEvent::VectorsChanged(peer) => {
                state.of(peer.id).1 = Some(peer.vectors);
            }
            PeerEvent::Disconnected(peer) => *state.of(*peer) = (true, None),
            PeerEvent::ServerGone { reason } => state.server.push_back(Server::Gone(reason.clone())),
            PeerEvent::Reconnected { id } => state.back(*id),
            PeerEvent::MemoryReplaced => state.server.push_back(Server::Replaced),
            PeerEvent::OwnVectors(_) => state.vectors_added = true,
            _ => return,
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Adds an event for every connected peer once more.
    ///
    /// The peers are read under the lock. The dispatcher updates its peers before it adds an event, so every later event is
    /// at least as new as this list, and the last event is right.
    pub(crate) fn tell_all<E>(&self, peers: impl FnOnce() -> Result<Vec<Peer>, E>) -> Result<(), E> {
        let mut state = self.state();
        for peer in peers()? {
            state.of(peer.id).1 = Some(peer.vectors);
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for an event; `None` once closed.
    ///
    /// # Errors
    /// Once each time the connection to the server was lost. Earlier events of its peers and vectors come first, events after
    /// a reconnection come later.
    pub(crate) fn next(&self) -> Result<Option<News>, ConnectionError> {
        let empty = |state: &mut State| {
            !state.closed && !state.vectors_added && state.order.is_empty() && state.server.is_empty()
        };
        let mut state = self.changed.wait_while(self.state(), empty).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Ok(None);
        }
        // The peers and vectors belong to the latest connection.
        let came_back = state.server.iter().any(|server| matches!(server, Server::Back(_)));
        if !came_back && std::mem::take(&mut state.vectors_added) {
            return Ok(Some(News::VectorsAdded));
        }
        if !came_back && let Some(peer) = state.order.pop_front() {
            let (left, vectors) = state.news.remove(&peer).expect("every peer in the order has news");
            return Ok(Some(News::Peer { peer, left, vectors }));
        }
        match state.server.pop_front().expect("nothing else ends the wait") {
            Server::Gone(reason) => Err(reason),
            Server::Back(id) => Ok(Some(News::Reconnected(id))),
            Server::Replaced => Ok(Some(News::MemoryReplaced)),
        }
    }

    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Discards the peers and vectors of earlier connections. If the server was back and gone in between, those two events are
    /// dropped.
    fn back(&mut self, id: PeerId) {
        self.vectors_added = false;
        self.order.clear();
        self.news.clear();
        if self.server.len() > 1 {
            self.server.truncate(if matches!(self.server[0], Server::Gone(_)) { 1 } else { 0 });
        }
        self.server.push_back(Server::Back(id));
    }

    fn of(&mut self, peer: PeerId) -> &mut (bool, Option<u16>) {
        let Self { order, news, .. } = self;
        news.entry(peer).or_insert_with(|| {
            order.push_back(peer);
            (false, None)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(peer: u16) -> PeerEvent {
        PeerEvent::Disconnected(PeerId::from(peer))
    }

    fn news(peer: u16, left: bool, vectors: Option<u16>) -> News {
        News::Peer { peer: PeerId::from(peer), left, vectors }
    }

    #[test]
    fn changes_of_one_peer_become_one_and_keep_their_place() {
        let mail = PeerNews::new();
        mail.tell(&left(3));
        mail.tell(&left(4));
        mail.tell(&left(3));
        assert_eq!(mail.next().unwrap(), Some(news(3, true, None)));
        mail.tell(&left(3));
        assert_eq!(mail.next().unwrap(), Some(news(4, true, None)));
        assert_eq!(mail.next().unwrap(), Some(news(3, true, None)));
    }

    #[test]
    fn the_end_of_the_server_is_told_once_and_after_its_peers() {
        let mail = PeerNews::new();
        mail.tell(&PeerEvent::ServerGone { reason: ConnectionError::Gone });
        mail.tell(&left(1));
        assert_eq!(mail.next().unwrap(), Some(news(1, true, None)));
        assert!(mail.next().is_err());
        mail.tell(&left(2));
        assert_eq!(mail.next().unwrap(), Some(news(2, true, None)));
    }

    #[test]
    fn a_server_that_comes_and_goes_unheard_is_told_in_few_words_and_with_its_last_peers() {
        let mail = PeerNews::new();
        let (gone, back) = (PeerEvent::ServerGone { reason: ConnectionError::Gone }, |id| {
            PeerEvent::Reconnected { id: PeerId::from(id) }
        });
        for id in 1..=100 {
            mail.tell(&left(id));
            mail.tell(&gone);
            mail.tell(&back(id));
        }
        mail.tell(&left(200));
        mail.tell(&gone);
        assert!(mail.next().is_err());
        assert_eq!(mail.next().unwrap(), Some(News::Reconnected(PeerId::from(100))));
        assert_eq!(mail.next().unwrap(), Some(news(200, true, None)));
        assert!(mail.next().is_err());
        // After its loss was reported, the server may be back, gone, and back again.
        mail.tell(&back(1));
        mail.tell(&gone);
        mail.tell(&back(2));
        assert_eq!(mail.next().unwrap(), Some(News::Reconnected(PeerId::from(2))));
        mail.tell(&gone);
        mail.tell(&PeerEvent::MemoryReplaced);
        assert!(mail.next().is_err());
        assert_eq!(mail.next().unwrap(), Some(News::MemoryReplaced));
    }

    #[test]
    fn added_vectors_are_told_once_and_only_for_the_latest_connection() {
        let mail = PeerNews::new();
        mail.tell(&PeerEvent::OwnVectors(1));
        mail.tell(&PeerEvent::OwnVectors(2));
        mail.tell(&PeerEvent::ServerGone { reason: ConnectionError::Gone });
        assert_eq!(mail.next().unwrap(), Some(News::VectorsAdded));
        assert!(mail.next().is_err());
        for id in 1..=2 {
            mail.tell(&PeerEvent::OwnVectors(3));
            mail.tell(&PeerEvent::ServerGone { reason: ConnectionError::Gone });
            mail.tell(&PeerEvent::Reconnected { id: PeerId::from(id) });
        }
        assert!(mail.next().is_err());
        assert_eq!(mail.next().unwrap(), Some(News::Reconnected(PeerId::from(2))));
        mail.tell(&PeerEvent::ServerGone { reason: ConnectionError::Gone });
        mail.tell(&PeerEvent::Reconnected { id: PeerId::from(3) });
        mail.tell(&PeerEvent::OwnVectors(2));
        assert!(mail.next().is_err());
        assert_eq!(mail.next().unwrap(), Some(News::Reconnected(PeerId::from(3))));
        assert_eq!(mail.next().unwrap(), Some(News::VectorsAdded));
        mail.close();
        assert_eq!(mail.next().unwrap(), None);
    }

    #[test]
    fn closing_wakes_whoever_waits() {
        let mail = PeerNews::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| mail.next());
            mail.close();
            assert_eq!(waiter.join().unwrap().unwrap(), None);
        });
    }
}
