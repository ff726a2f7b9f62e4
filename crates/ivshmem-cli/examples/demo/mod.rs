//! What the two programs of `make demo` agree on.

use std::error::Error;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem::doorbell::PeerEvent;

/// Where things stand in the memory: a length and then that many bytes of text, twice, and two counters.
pub(crate) const QUESTION: u64 = 0;
pub(crate) const ANSWER: u64 = 4096;
pub(crate) const ROUND: u64 = 8192;
pub(crate) const ROUND_ANSWERED: u64 = 8192 + 128;
/// The longest text.
pub(crate) const ROOM: u32 = 1024;

/// The vectors: one says that a text is there, the other that a counter has moved.
pub(crate) const TEXT: u16 = 0;
pub(crate) const COUNTER: u16 = 1;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The other program, as soon as it is there with both vectors.
pub(crate) fn other(device: &Device) -> Result<PeerId> {
    let (tell, told) = channel();
    let _events = device.on_peer(move |event| {
        if let PeerEvent::Connected(peer) | PeerEvent::VectorsChanged(peer) = event {
            let _ = tell.send(*peer);
        }
    })?;
    let mut peer = device.peers()?.first().copied();
    loop {
        match peer {
            Some(peer) if peer.vectors > COUNTER => return Ok(peer.id),
            _ => peer = Some(told.recv_timeout(PATIENCE).map_err(|_| "the other program did not come")?),
        }
    }
}

/// Waits for one interrupt. Nobody else rings here, so each ring is one; in general look at the memory after each.
pub(crate) fn wait(device: &Device, vector: u16) -> Result<()> {
    match device.wait(vector, Some(Instant::now() + PATIENCE))? {
        true => Ok(()),
        false => Err(format!("no interrupt on vector {vector} within {PATIENCE:?}").into()),
    }
}

pub(crate) fn write_text(device: &Device, at: u64, text: &str) -> Result<()> {
    device.memory().write(at + 4, text.as_bytes())?;
    Ok(device.memory().write_word_le(at, u32::try_from(text.len())?)?)
}

pub(crate) fn read_text(device: &Device, at: u64) -> Result<String> {
    // The other side could have written anything: check the length before using it.
    let length: u32 = device.memory().read_word_le(at)?;
    if length > ROOM {
        return Err(format!("a text of {length} bytes, at most {ROOM} are agreed on").into());
    }
    let mut text = vec![0; usize::try_from(length)?];
    device.memory().read(at + 4, &mut text)?;
    Ok(String::from_utf8(text)?)
}

const PATIENCE: Duration = Duration::from_secs(20);
