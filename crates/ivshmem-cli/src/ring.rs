//! `ring`: interrupts a peer.

use ivshmem::PeerId;
use ivshmem::device::Device;
use serde_json::json;

use crate::args::{Format, Target};
use crate::failure::Failure;
use crate::output::Out;

/// Interrupt a peer
#[derive(clap::Args, Debug)]
pub(crate) struct Ring {
    #[command(flatten)]
    target: Target,
    /// The peer's id, as `peers` shows it
    peer: u16,
    /// The peer's vector, from 0
    vector: u16,
    /// Ring this number of times; interrupts that the peer has not received yet merge into one
    #[arg(long, value_name = "N", default_value = "1")]
    count: u64,
    /// Ring even though the id is this command's own: on the host that interrupts nobody else
    #[arg(long = "self")]
    own: bool,
    #[command(flatten)]
    format: Format,
}

impl Ring {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        if !self.own {
            not_own(&device, PeerId(self.peer))?;
        }
        for _ in 0..self.count {
            device.ring(PeerId(self.peer), self.vector)?;
        }
        if self.format.json {
            out.json(&json!({ "peer": self.peer, "vector": self.vector, "count": self.count }))?;
        }
        Ok(())
    }
}

/// Refuses the own id. On the host the command is a client itself, and may have the id of an earlier client. In a guest all
/// programs have the id of the machine's device.
pub(crate) fn not_own(device: &Device, peer: PeerId) -> Result<(), Failure> {
    if device.own_id() != Some(peer) {
        Ok(())
    } else if device.knows_peers() {
        Err(Failure::OwnId { peer })
    } else {
        Err(Failure::OwnMachine { peer })
    }
}
