//! `list`: lists the ivshmem devices of this virtual machine.

use ivshmem::pci::{Finding, PciDevice, devices};
use ivshmem::size;
use serde_json::{Value, json};

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

/// List this virtual machine's ivshmem devices: what each can do here, and if not, why
#[derive(clap::Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    format: Format,
}

impl List {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let devices = devices()?;
        if self.format.json {
            return devices.iter().try_for_each(|device| out.json(&object(device)));
        }
        if devices.is_empty() {
            return out.line("no ivshmem device: this is no virtual machine that has one");
        }
        devices.iter().try_for_each(|device| out.text(text(device)))
    }
}

fn text(device: &PciDevice) -> String {
    let vectors = match device.vectors() {
        Some(0) => String::new(),
        Some(vectors) => format!("  vectors {vectors}"),
        None => "  vectors only root can see".to_owned(),
    };
    let mut text = format!(
        "{}  {}  {}{vectors}  revision {}  driver {}  IOMMU group {}\n",
        device.address(),
        size::format(device.size()),
        kind(device),
        device.revision(),
        device.driver().unwrap_or("none"),
        device.iommu_group().unwrap_or("none"),
    );
    for (what, result) in abilities(device) {
        text += &match result {
            Ok(()) => format!("  {what:<10} yes\n"),
            Err(finding) => format!("  {what:<10} no ({}): {finding}\n", finding.name()),
        };
    }
    text
}

fn object(device: &PciDevice) -> Value {
    let mut object = json!({
        "address": device.address().to_string(),
        "size": device.size(),
        "kind": kind(device),
        "vectors": device.vectors(),
        "revision": device.revision(),
        "driver": device.driver(),
        "iommu_group": device.iommu_group(),
    });
    for (what, result) in abilities(device) {
        object[what] = match result {
            Ok(()) => json!({ "possible": true }),
            Err(finding) => {
                json!({ "possible": false, "finding": finding.name(), "reason": finding.to_string() })
            }
        };
    }
    object
}

fn abilities(device: &PciDevice) -> [(&'static str, Result<(), Finding>); 3] {
    [("memory", device.memory()), ("sending", device.sending()), ("receiving", device.receiving())]
}

fn kind(device: &PciDevice) -> &'static str {
    if device.vectors() == Some(0) { "ivshmem-plain" } else { "ivshmem-doorbell" }
}
