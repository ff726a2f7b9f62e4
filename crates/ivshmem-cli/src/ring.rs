//! `ring`: interrupt a peer.

use ivshmem::PeerId;
use serde_json::json;

use crate::Failure;
use crate::args::{Format, Target};
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
    /// Ring so many times; those that the peer has not taken yet merge into one
    #[arg(long, value_name = "N", default_value = "1")]
    count: u64,
    #[command(flatten)]
    format: Format,
}

impl Ring {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        for _ in 0..self.count {
            device.ring(PeerId(self.peer), self.vector)?;
        }
        if self.format.json {
            out.json(&json!({ "peer": self.peer, "vector": self.vector, "count": self.count }))?;
        }
        Ok(())
    }
}
