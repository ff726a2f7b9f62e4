//! `info`: what a target is.

use std::io::Write;

use ivshmem::device::Device;
use serde_json::json;

use crate::Failure;

pub(crate) fn info(device: &Device, as_json: bool, out: &mut impl Write) -> Result<(), Failure> {
    let text = if as_json { machine(device)? } else { human(device)? };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

fn human(device: &Device) -> Result<String, Failure> {
    let size = device.memory().len();
    let mut text = format!("kind     {}\nsize     {size} bytes ({})\n", device.kind(), units(size));
    if let Some(id) = device.own_id() {
        let peers = device.peers()?;
        text += &format!("id       {id} (this command's own, for as long as it runs)\n");
        text += &format!("vectors  {}\npeers    {}\n", device.vectors(), peers.len());
        for peer in peers {
            text += &format!("  peer {} has vectors 0 to {}\n", peer.id, peer.vectors.saturating_sub(1));
        }
    }
    Ok(text)
}

fn machine(device: &Device) -> Result<String, Failure> {
    let mut object = json!({ "kind": device.kind().to_string(), "size": device.memory().len() });
    if let Some(id) = device.own_id() {
        let peers = device.peers()?;
        let peers: Vec<_> = peers.iter().map(|p| json!({ "id": p.id.0, "vectors": p.vectors })).collect();
        object["id"] = json!(id.0);
        object["vectors"] = json!(device.vectors());
        object["peers"] = json!(peers);
    }
    Ok(format!("{object}\n"))
}

/// A size in the largest unit that divides it: what a person would have typed.
fn units(size: u64) -> String {
    let (mut number, mut unit) = (size, 0);
    while number > 0 && number % 1024 == 0 && unit < 4 {
        number /= 1024;
        unit += 1;
    }
    format!("{number}{}", ["", "K", "M", "G", "T"][unit])
}

#[cfg(test)]
mod tests {
    use super::units;

    #[test]
    fn a_size_is_shown_as_a_person_would_type_it() {
        for (size, text) in [(0, "0"), (64, "64"), (4096, "4K"), (1 << 30, "1G"), ((1 << 20) + 1, "1048577")]
        {
            assert_eq!(units(size), text);
        }
    }
}
