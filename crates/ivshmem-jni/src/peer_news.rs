//! What happened among the peers since Java last asked: bounded, however slow Java and however busy the peers.

use std::collections::{HashMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use ivshmem::PeerId;
use ivshmem::doorbell::{ConnectionError, Peer, PeerEvent};

/// Filled by the device's dispatcher, emptied by a thread of Java's.
pub(crate) struct PeerNews {
    state: Mutex<State>,
    changed: Condvar,
}

/// What is new about one peer. Several changes of one peer become one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) peer: PeerId,
    /// It has left, before it came back if `vectors` says that it is here.
    pub(crate) left: bool,
    /// It is here with so many vectors.
    pub(crate) vectors: Option<u16>,
}

#[derive(Default)]
struct State {
    /// Peers with news, the longest waiting first.
    order: VecDeque<PeerId>,
    news: HashMap<PeerId, (bool, Option<u16>)>,
    server_gone: Option<ConnectionError>,
    closed: bool,
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
            PeerEvent::ServerGone { reason } => state.server_gone = Some(reason.clone()),
            _ => return,
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Makes everyone who is there news once more.
    ///
    /// Who is there is asked under the lock. The dispatcher knows first and tells then, so whatever it tells later is at
    /// least as new, and the last word is true.
    pub(crate) fn tell_all<E>(&self, peers: impl FnOnce() -> Result<Vec<Peer>, E>) -> Result<(), E> {
        let mut state = self.state();
        for peer in peers()? {
            state.of(peer.id).1 = Some(peer.vectors);
        }
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for news; `None` once closed.
    ///
    /// # Errors
    /// Once when the server has gone. What its peers did before comes first.
    pub(crate) fn next(&self) -> Result<Option<News>, ConnectionError> {
        let empty =
            |state: &mut State| !state.closed && state.order.is_empty() && state.server_gone.is_none();
        let mut state = self.changed.wait_while(self.state(), empty).unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Ok(None);
        }
        if let Some(peer) = state.order.pop_front() {
            let (left, vectors) = state.news.remove(&peer).expect("every peer in the order has news");
            return Ok(Some(News { peer, left, vectors }));
        }
        Err(state.server_gone.take().expect("nothing else ends the wait"))
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
        News { peer: PeerId::from(peer), left, vectors }
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
    fn closing_wakes_whoever_waits() {
        let mail = PeerNews::new();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| mail.next());
            mail.close();
            assert_eq!(waiter.join().unwrap().unwrap(), None);
        });
    }
}
