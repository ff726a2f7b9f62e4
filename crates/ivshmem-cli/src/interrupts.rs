//! `ring` and `listen`.

use std::io::Write;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem::doorbell::{PeerEvent, Registration};
use serde_json::{Value, json};

use crate::Failure;

pub(crate) fn ring(device: &Device, peer: u16, vector: u16, count: u64) -> Result<(), Failure> {
    for _ in 0..count {
        device.ring(PeerId(peer), vector)?;
    }
    Ok(())
}

/// When `listen` ends by itself.
pub(crate) struct Until {
    pub count: Option<u64>,
    pub timeout: Option<Duration>,
}

/// Prints what happens until it is time to end. Without a choice of vectors all are listened to, late ones too.
pub(crate) fn listen(
    device: &Device,
    vectors: &[u16],
    until: &Until,
    as_json: bool,
    out: &mut impl Write,
) -> Result<(), Failure> {
    // A full channel makes callbacks wait, and interrupts merge meanwhile: a flood costs no memory here.
    let (tell, told) = sync_channel(1024);
    let mut ears = Ears { device, tell, registrations: Vec::new() };
    let mut print = |line: Line| line.print(as_json, out);
    let result = ears.open(vectors).and_then(|first| {
        print(first)?;
        print_news(
            &told,
            until,
            &mut print,
            |count| if vectors.is_empty() { ears.grow(count) } else { Ok(()) },
        )
    });
    // A callback may be standing before a full channel. It is let go before its registration waits for its end.
    drop(told);
    result
}

enum News {
    Interrupt(u16),
    Peer(PeerEvent),
}

fn print_news(
    told: &Receiver<News>,
    until: &Until,
    mut print: impl FnMut(Line) -> Result<(), Failure>,
    mut grow: impl FnMut(u16) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let deadline = until.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let mut interrupts = 0;
    while until.count != Some(interrupts) {
        let news = match deadline {
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(deadline) => told.recv_timeout(deadline.saturating_duration_since(Instant::now())),
        };
        match news {
            Ok(News::Interrupt(vector)) => {
                interrupts += 1;
                print(Line::interrupt(vector))?;
            }
            Ok(News::Peer(event)) => {
                if let PeerEvent::OwnVectors(count) = event {
                    grow(count)?;
                }
                print(Line::peer(&event))?;
            }
            Err(RecvTimeoutError::Timeout) => {
                return until.count.map_or(Ok(()), |count| Err(Failure::TimeOver { count, interrupts }));
            }
            Err(RecvTimeoutError::Disconnected) => unreachable!("the listener holds a sender"),
        }
    }
    Ok(())
}

/// The registrations on a device. Dropping them ends all.
struct Ears<'a> {
    device: &'a Device,
    tell: SyncSender<News>,
    registrations: Vec<Registration>,
}

impl Ears<'_> {
    /// Listens to the peers and to these vectors, or to all there are.
    fn open(&mut self, vectors: &[u16]) -> Result<Line, Failure> {
        let tell = self.tell.clone();
        // Nobody receives any more when the command is about to end.
        let events = self.device.on_peer(move |event| drop(tell.send(News::Peer(event.clone()))))?;
        self.registrations.push(events);
        let all: Vec<u16> = (0..self.device.vectors()).collect();
        let vectors = if vectors.is_empty() { &all } else { vectors };
        for vector in vectors {
            self.add(*vector)?;
        }
        Ok(Line::listening(self.device.own_id(), vectors))
    }

    fn grow(&mut self, count: u16) -> Result<(), Failure> {
        // One registration is that of the peers' events.
        let known = u16::try_from(self.registrations.len() - 1).unwrap_or(u16::MAX);
        (known..count).try_for_each(|vector| self.add(vector))
    }

    fn add(&mut self, vector: u16) -> Result<(), Failure> {
        let tell = self.tell.clone();
        let registration =
            self.device.on_interrupt(vector, move |vector| drop(tell.send(News::Interrupt(vector))))?;
        self.registrations.push(registration);
        Ok(())
    }
}

/// One line of output in both forms.
struct Line {
    text: String,
    json: Value,
}

impl Line {
    fn listening(id: Option<PeerId>, vectors: &[u16]) -> Self {
        let list = vectors.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
        Self {
            text: format!(
                "listening as peer {} on vectors {list}",
                id.map_or("?".to_owned(), |id| id.to_string())
            ),
            json: json!({ "event": "listening", "id": id.map(|id| id.0), "vectors": vectors }),
        }
    }

    fn interrupt(vector: u16) -> Self {
        Self {
            text: format!("interrupt on vector {vector}"),
            json: json!({ "event": "interrupt", "vector": vector }),
        }
    }

    fn peer(event: &PeerEvent) -> Self {
        let (text, json) = match event {
            PeerEvent::Connected(peer) => (
                format!("peer {} came, vectors: {}", peer.id, peer.vectors),
                json!({ "event": "connected", "peer": peer.id.0, "vectors": peer.vectors }),
            ),
            PeerEvent::VectorsChanged(peer) => (
                format!("peer {} has vectors: {}", peer.id, peer.vectors),
                json!({ "event": "vectors-changed", "peer": peer.id.0, "vectors": peer.vectors }),
            ),
            PeerEvent::Disconnected(id) => {
                (format!("peer {id} left"), json!({ "event": "disconnected", "peer": id.0 }))
            }
            PeerEvent::OwnVectors(count) => {
                (format!("own vectors: {count}"), json!({ "event": "own-vectors", "vectors": count }))
            }
            PeerEvent::ServerGone { reason } => (
                format!("the server is gone ({reason}); peers known so far go on working"),
                json!({ "event": "server-gone", "reason": reason.to_string() }),
            ),
            other => (format!("{other:?}"), json!({ "event": format!("{other:?}") })),
        };
        Self { text, json }
    }

    fn print(&self, as_json: bool, out: &mut impl Write) -> Result<(), Failure> {
        let line = if as_json { self.json.to_string() } else { self.text.clone() };
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Failure::Output)
    }
}
