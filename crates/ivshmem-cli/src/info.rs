//! `info`: describes a target.

use ivshmem::device::Device;
use ivshmem::region::CacheMode;
use ivshmem::size;
use serde_json::{Value, json};

use crate::args::{Format, Target};
use crate::failure::Failure;
use crate::output::Out;
use crate::peers;

/// Show the size of a target and, for a doorbell, its id, its vectors and its peers
#[derive(clap::Args, Debug)]
pub(crate) struct Info {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

impl Info {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        if self.format.json { out.json(&object(&device)?) } else { out.text(text(&device)?) }
    }
}

fn text(device: &Device) -> Result<String, Failure> {
    let size = device.memory().len();
    let mut text = format!("kind     {}\nsize     {size} bytes ({})\n", device.kind(), size::format(size));
    if let Some(mode) = cache_mode(device) {
        text += &format!("cache    {mode}\n");
    }
    if let Some(id) = device.own_id() {
        text += &format!("id       {id} (this command's own, for as long as it runs)\n");
        text += &format!("vectors  {}\n", device.vectors());
    }
    if let Some(finding) = device.interrupt_finding() {
        text += &format!("not rung {} ({})\n", finding, finding.name());
    }
    if device.knows_peers() {
        let peers = device.peers()?;
        text += &format!("peers    {}\n", peers.len());
        for peer in peers {
            text += &format!("  peer {} has vectors 0 to {}\n", peer.id, peer.vectors.saturating_sub(1));
        }
    }
    Ok(text)
}

fn object(device: &Device) -> Result<Value, Failure> {
    let mut object = json!({ "kind": device.kind().to_string(), "size": device.memory().len() });
    if let Some(mode) = cache_mode(device) {
        object["cache"] = json!(mode);
    }
    if let Some(id) = device.own_id() {
        object["id"] = json!(id.0);
        object["vectors"] = json!(device.vectors());
    }
    if let Some(finding) = device.interrupt_finding() {
        object["finding"] = json!({ "name": finding.name(), "text": finding.to_string() });
    }
    if device.knows_peers() {
        object["peers"] = peers::array(&device.peers()?);
    }
    Ok(object)
}

/// The cache mode of a guest's device; any other memory is ordinary.
fn cache_mode(device: &Device) -> Option<&'static str> {
    match device.memory().cache_mode() {
        CacheMode::WriteCombined => Some("write-combined"),
        CacheMode::Uncached => Some("uncached"),
        _ => None,
    }
}
