//! `listen`: prints interrupts, and peers that connect and disconnect.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem::doorbell::{DoorbellError, PeerEvent, Registration};
use serde_json::{Value, json};

use crate::args::{Format, Target};
use crate::failure::Failure;
use crate::output::Out;
use crate::values::{seconds, utc};

/// Print each interrupt, and the peers that come and go
#[derive(clap::Args, Debug)]
pub(crate) struct Listen {
    #[command(flatten)]
    target: Target,
    /// Vectors to listen on [default: all]
    vectors: Vec<u16>,
    /// End after this number of interrupts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this number of seconds; with --count and too few interrupts that is exit status 3
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// Begin each line with the time, in UTC; JSON always has it
    #[arg(short, long)]
    time: bool,
    #[command(flatten)]
    format: Format,
}

impl Listen {
    /// Prints events until the end. Without a choice of vectors it listens on all, including those that are added later.
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        // A full channel blocks callbacks, and interrupts merge meanwhile, so a flood takes no memory here.
        let (tell, told) = sync_channel(1024);
        let mut ears = Ears { device: &device, tell, registrations: Vec::new() };
        let mut print = |line: Line| line.print(self.format.json, self.time, out);
        let result = ears.open(&self.vectors).and_then(|first| {
            print(first)?;
            let grow = |count| if self.vectors.is_empty() { ears.grow(count) } else { Ok(()) };
            self.print_news(&device, &told, &mut print, grow)
        });
        // A callback may be blocked by a full channel. Dropping the receiver releases it before its registration waits for
        // its end.
        drop(told);
        result
    }

    fn print_news(
        &self,
        device: &Device,
        told: &Receiver<News>,
        mut print: impl FnMut(Line) -> Result<(), Failure>,
        mut grow: impl FnMut(u16) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut interrupts = 0;
        while self.count != Some(interrupts) {
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
                    match event {
                        PeerEvent::OwnVectors(count) => grow(count)?,
                        // The new server may have more vectors.
                        PeerEvent::Reconnected { .. } => grow(device.vectors())?,
                        _ => {}
                    }
                    print(Line::peer(&event))?;
                }
                Err(RecvTimeoutError::Timeout) => {
                    let too_few = |count| Failure::TooFew { what: "interrupts", count, came: interrupts };
                    return self.count.map_or(Ok(()), |count| Err(too_few(count)));
                }
                Err(RecvTimeoutError::Disconnected) => unreachable!("the listener holds a sender"),
            }
        }
        Ok(())
    }
}

enum News {
    Interrupt(u16),
    Peer(PeerEvent),
}

/// The registrations on a device. Dropping them ends all of them.
struct Ears<'a> {
    device: &'a Device,
    tell: SyncSender<News>,
    registrations: Vec<Registration>,
}

impl Ears<'_> {
    /// Listens to peers and to these vectors, or to all vectors if none are named.
    fn open(&mut self, vectors: &[u16]) -> Result<Line, Failure> {
        if self.device.knows_peers() {
            let tell = self.tell.clone();
            // The receiver is gone when the command is about to end.
            let events = self.device.on_peer(move |event| drop(tell.send(News::Peer(event.clone()))))?;
            self.registrations.push(events);
        }
        // A device that can never have vectors returns its reason when the first one is registered.
        let least = u16::from(!self.device.knows_peers());
        let all: Vec<u16> = (0..self.device.vectors().max(least)).collect();
        let vectors = if vectors.is_empty() { &all } else { vectors };
        for vector in vectors {
            self.add(*vector)?;
        }
        Ok(Line::listening(self.device.own_id(), vectors))
    }

    fn grow(&mut self, count: u16) -> Result<(), Failure> {
        // One of the registrations is for peers.
        let known = u16::try_from(self.registrations.len() - 1).unwrap_or(u16::MAX);
        (known..count).try_for_each(|vector| match self.add(vector) {
            // The server has gone again, and a later event has its next number of vectors.
            Err(Failure::Doorbell(DoorbellError::UnknownVector { .. })) => Ok(()),
            result => result,
        })
    }

    fn add(&mut self, vector: u16) -> Result<(), Failure> {
        let tell = self.tell.clone();
        let registration =
            self.device.on_interrupt(vector, move |vector| drop(tell.send(News::Interrupt(vector))))?;
        self.registrations.push(registration);
        Ok(())
    }
}

/// One line of output in both formats.
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
            PeerEvent::Reconnected { id } => {
                (format!("connected again, as peer {id}"), json!({ "event": "reconnected", "id": id.0 }))
            }
            PeerEvent::MemoryReplaced => (
                "the server there has other memory, and is not connected to; start again to use it"
                    .to_owned(),
                json!({ "event": "memory-replaced" }),
            ),
            other => (format!("{other:?}"), json!({ "event": format!("{other:?}") })),
        };
        Self { text, json }
    }

    /// Prints and flushes at once, because readers wait for events.
    fn print(mut self, as_json: bool, with_time: bool, out: &mut Out) -> Result<(), Failure> {
        let now = utc(SystemTime::now());
        if as_json {
            self.json["time"] = json!(now);
            out.json(&self.json)?
        } else if with_time {
            out.line(format_args!("{now} {}", self.text))?
        } else {
            out.line(&self.text)?
        }
        out.flush()
    }
}
