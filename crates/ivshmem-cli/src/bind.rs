//! `bind`: enables interrupts in a virtual machine.

use ivshmem::pci::find;

use serde_json::json;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

/// Give this virtual machine's ivshmem device to the driver vfio-pci, so that one program can be interrupted by it
///
/// For root. It lasts until --undo or the next boot. Memory and ringing others work without.
#[derive(clap::Args, Debug)]
pub(crate) struct Bind {
    /// pci:ADDRESS, or auto for the only device; `ivshmem list` shows addresses
    target: String,
    /// Take the device from vfio-pci again
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    format: Format,
}

impl Bind {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let selector = match &*self.target {
            "auto" => "",
            target => target.strip_prefix("pci:").unwrap_or(target),
        };
        let device = find(selector)?;
        if self.undo { device.unbind() } else { device.bind() }?;
        let now = find(&device.address().to_string())?;
        if self.format.json {
            return out.json(&json!({ "address": now.address().to_string(), "driver": now.driver() }));
        }
        let driver = now.driver().unwrap_or("no driver");
        out.line(format_args!("{} belongs to {driver}", device.address()))
    }
}
