//! `ping`: measures the time from an interrupt to its answer.

use std::collections::BTreeSet;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem::doorbell::{DoorbellError, PeerEvent};
use serde_json::json;

use crate::args::{Format, Target};
use crate::failure::Failure;
use crate::output::Out;
use crate::ring::not_own;
use crate::values::seconds;

/// Measure the time from an interrupt to the answer of a peer that runs `ping --answer`
///
/// First start `ivshmem ping TARGET --answer` on the other side. It answers peers that connect later, on the vector that
/// they ring. A device in a guest does not know its peers: name the PEER to answer there. Ping uses interrupts only, not
/// the memory: run one program at a time, on a vector that no other program uses.
#[derive(clap::Args, Debug)]
pub(crate) struct Ping {
    #[command(flatten)]
    target: Target,
    /// The peer to ring, or to answer [default: the only one; with --answer, all who come later]
    peer: Option<u16>,
    /// Answer instead of asking, until Ctrl-C
    #[arg(long, conflicts_with_all = ["count", "timeout", "interval"])]
    answer: bool,
    /// The vector to ring and to be rung on, the same at both sides
    #[arg(long, value_name = "N", default_value = "0")]
    vector: u16,
    /// How many round trips
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    count: u32,
    /// Seconds to wait for an answer before it counts as lost
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "1")]
    timeout: Duration,
    /// Seconds between an answer and the next interrupt
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0")]
    interval: Duration,
    #[command(flatten)]
    format: Format,
}

impl Ping {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        // A device that cannot receive interrupts waits by pauses, which would look like answers.
        if let Some(finding) = device.interrupt_finding() {
            let why = finding.to_string();
            return Err(DoorbellError::NotPrepared { doing: "be rung", why }.into());
        }
        if let Some(peer) = self.peer {
            not_own(&device, PeerId(peer))?;
        }
        if self.answer { self.answer(&device, out) } else { self.ask(&device, out) }
    }

    fn answer(&self, device: &Device, out: &mut Out) -> Result<(), Failure> {
        let (tell, told) = channel();
        let _newcomers = match self.peer {
            Some(_) => None,
            None => Some(newcomers(device, tell)?),
        };
        // Fails for a device without interrupts or without this vector, before the command prints that it answers.
        device.wait(self.vector, Some(Instant::now()))?;
        let id = device.own_id().map(|id| id.0);
        if self.format.json {
            out.json(&json!({ "event": "answering", "id": id, "vector": self.vector }))?;
        } else {
            let id = id.map_or("?".to_owned(), |id| id.to_string());
            out.line(format_args!("answering as peer {id} on vector {}; Ctrl-C ends it", self.vector))?;
        }
        out.flush()?;
        let mut peers: BTreeSet<PeerId> = self.peer.map(PeerId).into_iter().collect();
        loop {
            device.wait(self.vector, None)?;
            for event in told.try_iter() {
                match event {
                    PeerEvent::Connected(peer) => _ = peers.insert(peer.id),
                    PeerEvent::Disconnected(id) => _ = peers.remove(&id),
                    // All ids are new, and one of them is this side's own.
                    PeerEvent::Reconnected { .. } => {
                        peers = device.peers()?.iter().map(|peer| peer.id).collect();
                    }
                    _ => {}
                }
            }
            if let Some(peer) = self.peer {
                not_own(device, PeerId(peer))?;
            }
            for peer in &peers {
                match device.ring(*peer, self.vector) {
                    // The peer has just left, or its vectors are not announced yet: it will ring again.
                    Err(DoorbellError::UnknownPeer { .. } | DoorbellError::UnknownPeerVector { .. }) => {}
                    result => result?,
                }
            }
        }
    }

    fn ask(&self, device: &Device, out: &mut Out) -> Result<(), Failure> {
        let peer = self.peer.map_or_else(|| only_peer(device), |peer| Ok(PeerId(peer)))?;
        self.first_answer(device, peer)?;
        let mut times = Vec::with_capacity(self.count as usize);
        for _ in 0..self.count {
            thread::sleep(self.interval);
            times.extend(self.round_trip(device, peer, self.timeout)?);
        }
        let (count, came) = (u64::from(self.count), times.len() as u64);
        if let Some(times) = Percentiles::of(times) {
            self.report(peer, count, came, &times, out)?;
        }
        if came < count { Err(Failure::TooFew { what: "answers", count, came }) } else { Ok(()) }
    }

    /// Rings until the other side answers, because that side may not have received the announcement of this client yet.
    fn first_answer(&self, device: &Device, peer: PeerId) -> Result<(), Failure> {
        let end = Instant::now() + self.timeout;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if self.round_trip(device, peer, left.min(Duration::from_millis(20)))?.is_some() {
                return Ok(());
            }
            if left.is_zero() {
                return Err(Failure::NoAnswer { peer, vector: self.vector });
            }
        }
    }

    /// `None` when no answer came within the timeout.
    fn round_trip(
        &self,
        device: &Device,
        peer: PeerId,
        timeout: Duration,
    ) -> Result<Option<Duration>, Failure> {
        // After a reconnection this side may have the peer's former id.
        not_own(device, peer)?;
        // Drains late answers, which would count as the answer to the next ring.
        while device.wait(self.vector, Some(Instant::now()))? {}
        let start = Instant::now();
        device.ring(peer, self.vector)?;
        let came = device.wait(self.vector, Some(start + timeout))?;
        Ok(came.then(|| start.elapsed()))
    }

    fn report(
        &self,
        peer: PeerId,
        count: u64,
        came: u64,
        times: &Percentiles,
        out: &mut Out,
    ) -> Result<(), Failure> {
        let Percentiles { min, median, p90, p99, max } = times;
        if self.format.json {
            return out.json(&json!({
                "peer": peer.0, "vector": self.vector, "sent": count, "answered": came, "unit": "us",
                "min": us(*min), "median": us(*median), "p90": us(*p90), "p99": us(*p99), "max": us(*max),
            }));
        }
        out.line(format_args!("{came} of {count} round trips to peer {peer} on vector {}", self.vector))?;
        let text = |time: &Duration| format!("{:.1}", us(*time));
        let (min, median, p90, p99, max) = (text(min), text(median), text(p90), text(p99), text(max));
        out.line(format_args!("min {min} us, median {median} us, p90 {p90} us, p99 {p99} us, max {max} us"))
    }
}

/// Sends an event for each peer that connects from now on.
fn newcomers(
    device: &Device,
    tell: Sender<PeerEvent>,
) -> Result<ivshmem::doorbell::Registration, DoorbellError> {
    // The receiver is gone when the command is about to end.
    device.on_peer(move |event| drop(tell.send(event.clone())))
}

fn only_peer(device: &Device) -> Result<PeerId, Failure> {
    match device.peers()?.as_slice() {
        [peer] => Ok(peer.id),
        peers => Err(Failure::WhichPeer { peers: peers.len() }),
    }
}

/// Microseconds, with a resolution of nanoseconds.
fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

struct Percentiles {
    min: Duration,
    median: Duration,
    p90: Duration,
    p99: Duration,
    max: Duration,
}

impl Percentiles {
    /// `None` without times. The median of an even number is the lower one, so that each figure is a measured time.
    fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let (min, max) = (*times.first()?, *times.last()?);
        let at = |percent: usize| times[(times.len() * percent).div_ceil(100) - 1];
        Some(Self { min, median: at(50), p90: at(90), p99: at(99), max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let ms = Duration::from_millis;
        let hundred = Percentiles::of((1..=100).rev().map(ms).collect()).unwrap();
        let Percentiles { min, median, p90, p99, max } = hundred;
        assert_eq!([min, median, p90, p99, max], [ms(1), ms(50), ms(90), ms(99), ms(100)]);
        let one = Percentiles::of(vec![ms(7)]).unwrap();
        assert_eq!([one.min, one.median, one.p90, one.p99, one.max], [ms(7); 5]);
        assert!(Percentiles::of(Vec::new()).is_none());
    }
}
