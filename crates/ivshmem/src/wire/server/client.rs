use super::super::PeerId;
use super::Outgoing;
use super::id_set::IdSet;

/// The state of one client: the messages that it was sent. Together with the set of connected peers it determines the next
/// message.
#[derive(Debug)]
pub(super) struct Client {
    id: PeerId,
    stage: Stage,
    /// The peers that are connected from the client's view, including itself.
    told: IdSet,
    /// The peers that were ever announced to it, except itself.
    pub(super) seen: IdSet,
    /// The peer whose announcement is in progress, and the number of its vectors that were sent.
    partly: Option<(PeerId, u16)>,
    /// The number of messages sent and not yet read.
    pub(super) in_flight: u32,
    pub(super) waits_for: WaitsFor,
}

/// What a client waits for before the next message is sent to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// For a change of the peers: it is up to date.
    News,
    /// For its turn: it is in the queue.
    Turn,
    /// For room in its socket, which is full until it reads.
    Room,
    /// For the budget, which is spent until clients read.
    Budget,
}

/// The progress of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Version,
    Id,
    Memory,
    /// The three messages that QEMU waits for are sent. Until the client reads, it gets nothing else.
    FirstRead,
    /// The other peers, in one pass upwards. Peers that connect behind the pass are announced after the handshake, so a
    /// handshake always ends.
    Peers {
        from: u32,
    },
    /// Its own vectors, of which this one is next.
    Own(u16),
    Settled,
    /// There are no vectors, so there is nothing to announce.
    Alone,
}

impl Client {
    /// A client that has just connected and has a turn.
    pub(super) fn new(id: PeerId) -> Self {
        let mut told = IdSet::default();
        told.insert(id);
        Self {
            id,
            stage: Stage::Version,
            told,
            seen: IdSet::default(),
            partly: None,
            in_flight: 0,
            waits_for: WaitsFor::Turn,
        }
    }

    /// Whether it has read any message, so that it is announced to the others.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Peers { .. } | Stage::Own(_) | Stage::Settled | Stage::Alone)
    }

    /// Whether its next message is one of the first three. Those are always sent, because QEMU blocks until it has them.
    pub(super) fn is_at_its_first_messages(&self) -> bool {
        matches!(self.stage, Stage::Version | Stage::Id | Stage::Memory)
    }

    /// Whether all of its own vectors were sent.
    pub(super) fn is_greeted(&self) -> bool {
        matches!(self.stage, Stage::Settled | Stage::Alone)
    }

    /// Continues the handshake after the client has read some of the first three messages, all of which were sent. Returns
    /// whether this is the first call in that state.
    pub(super) fn begin(&mut self, vectors: u16) -> bool {
        let begins = self.stage == Stage::FirstRead;
        if begins {
            self.stage = if vectors == 0 { Stage::Alone } else { Stage::Peers { from: 0 } };
        }
        begins
    }

    /// The next message, for this set of connected peers.
    pub(super) fn next(&self, present: &IdSet) -> Option<Outgoing> {
        let from = match self.stage {
            Stage::Version => return Some(Outgoing::Version),
            Stage::Id => return Some(Outgoing::OwnId(self.id)),
            Stage::Memory => return Some(Outgoing::Memory),
            Stage::FirstRead | Stage::Alone => return None,
            Stage::Peers { from } => from,
            Stage::Own(index) => return Some(Outgoing::Vector { peer: self.id, index }),
            Stage::Settled => 0,
        };
        if let Some((peer, sent)) = self.partly {
            let there = present.contains(peer);
            return Some(if there { Outgoing::Vector { peer, index: sent } } else { Outgoing::Gone(peer) });
        }
        if let Some(gone) = self.told.first_missing_in(present, 0) {
            return Some(Outgoing::Gone(gone));
        }
        match present.first_missing_in(&self.told, from) {
            Some(new) => Some(Outgoing::Vector { peer: new, index: 0 }),
            None if self.is_greeted() => None,
            None => Some(Outgoing::Vector { peer: self.id, index: 0 }),
        }
    }

    /// Records that the message from [`next`](Self::next) was sent. Returns the peer if this announced one for the first time.
    pub(super) fn sent(&mut self, message: Outgoing, vectors: u16) -> Option<PeerId> {
        match message {
            Outgoing::Version => self.stage = Stage::Id,
            Outgoing::OwnId(_) => self.stage = Stage::Memory,
            Outgoing::Memory => self.stage = Stage::FirstRead,
            Outgoing::Vector { peer, index } if peer == self.id => {
                self.stage = if index + 1 < vectors { Stage::Own(index + 1) } else { Stage::Settled };
            }
            Outgoing::Vector { peer, index } => {
                self.partly = (index + 1 < vectors).then_some((peer, index + 1));
                self.told.insert(peer);
                if let Stage::Peers { from } = &mut self.stage {
                    *from = u32::from(peer.0) + 1;
                }
                return self.seen.insert(peer).then_some(peer);
            }
            Outgoing::Gone(peer) => {
                self.partly = None;
                self.told.remove(peer);
            }
        }
        None
    }
}
