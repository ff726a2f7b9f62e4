//! `peers`: lists the other connected clients.

use ivshmem::doorbell::Peer;
use serde_json::{Value, json};

use crate::args::{Format, Target};
use crate::failure::Failure;
use crate::output::Out;

/// List the connected peers and the number of their vectors
#[derive(clap::Args, Debug)]
pub(crate) struct Peers {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

impl Peers {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        let peers = device.peers()?;
        if self.format.json {
            return out.json(&json!({ "id": device.own_id().map(|id| id.0), "peers": array(&peers) }));
        }
        if peers.is_empty() {
            return out.line("nobody else is connected");
        }
        out.line(format_args!("{:>5}  {:>7}", "peer", "vectors"))?;
        peers.iter().try_for_each(|peer| out.line(format_args!("{:>5}  {:>7}", peer.id.0, peer.vectors)))
    }
}

pub(crate) fn array(peers: &[Peer]) -> Value {
    peers.iter().map(|peer| json!({ "id": peer.id.0, "vectors": peer.vectors })).collect()
}
