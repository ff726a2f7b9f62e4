use super::super::PeerId;
use super::Outgoing;
use super::id_set::IdSet;

/// What one client was told, from which and from the truth follows what it is to be told next.
#[derive(Debug)]
pub(super) struct Client {
    id: PeerId,
    stage: Stage,
    /// Peers that it believes to be there, itself among them.
    told: IdSet,
    /// Peers that it was ever told of, except itself.
    pub(super) seen: IdSet,
    /// The peer that is being announced, and how many of its vectors were sent.
    partly: Option<(PeerId, u16)>,
    /// Messages sent and not yet read.
    pub(super) in_flight: u32,
    pub(super) waits_for: WaitsFor,
}

/// Why a client is not being sent anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// It knows everything.
    News,
    /// Its turn; it stands in the queue.
    Turn,
    /// Its own reading: its socket is full.
    Room,
    /// The reading of all: the budget is spent.
    Budget,
}

/// How far the greeting is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Version,
    Id,
    Memory,
    /// The three messages that QEMU waits for are sent. Nothing is spent on a client before it reads.
    FirstRead,
    /// The other peers in one pass upwards. Who joins behind the pass is news; so a greeting always ends.
    Peers {
        from: u32,
    },
    /// Its own vectors; this one is next.
    Own(u16),
    Settled,
    /// Without vectors there is nothing more to tell: a peer is announced by its vectors.
    Alone,
}

impl Client {
    /// A client that has just connected; its turn comes at once.
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

    /// Whether it has read something, so that it is a peer for the others.
    pub(super) fn has_begun(&self) -> bool {
        matches!(self.stage, Stage::Peers { .. } | Stage::Own(_) | Stage::Settled | Stage::Alone)
    }

    /// The first three messages are always sent: QEMU blocks until it has them.
    pub(super) fn is_at_its_first_messages(&self) -> bool {
        matches!(self.stage, Stage::Version | Stage::Id | Stage::Memory)
    }

    /// Whether all of its own vectors were sent.
    pub(super) fn is_greeted(&self) -> bool {
        matches!(self.stage, Stage::Settled | Stage::Alone)
    }

    /// The three first messages were sent and some of them are read.
    pub(super) fn begin(&mut self, vectors: u16) -> bool {
        let begins = self.stage == Stage::FirstRead;
        if begins {
            self.stage = if vectors == 0 { Stage::Alone } else { Stage::Peers { from: 0 } };
        }
        begins
    }

    /// What to send next, given who is there.
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

    /// Takes down that what [`next`](Self::next) gave is sent. Gives the peer that it now hears of first.
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
