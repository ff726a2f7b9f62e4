//! The layout of the memory, the vectors, and the functions that the two programs of `make demo` share.

use std::error::Error;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem::doorbell::PeerEvent;

/// Offsets in bytes of two texts, each a `u32` with the length and then that many bytes, and of two counters, each a `u64`.
pub(crate) const QUESTION: u64 = 0;
pub(crate) const ANSWER: u64 = 4096;
pub(crate) const ROUND: u64 = 8192;
pub(crate) const ROUND_ANSWERED: u64 = 8192 + 128;
/// The maximum length of a text in bytes.
pub(crate) const ROOM: u32 = 1024;

/// The vectors: one announces a text, the other the change of a counter.
pub(crate) const TEXT: u16 = 0;
pub(crate) const COUNTER: u16 = 1;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Returns the id of the other program as soon as it has connected with both vectors.
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

/// Waits for one interrupt. Here the other program rings once and waits for the answer, so each ring is one interrupt. In
/// general, interrupts may be merged or arrive early: read the memory after each.
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
    // The other program may write any number: check the length before using it.
    let length: u32 = device.memory().read_word_le(at)?;
    if length > ROOM {
        return Err(format!("a text of {length} bytes, at most {ROOM} are agreed on").into());
    }
    let mut text = vec![0; usize::try_from(length)?];
    device.memory().read(at + 4, &mut text)?;
    Ok(String::from_utf8(text)?)
}

const PATIENCE: Duration = Duration::from_secs(20);
