//! `list`: lists the ivshmem devices of this Windows guest.

use ivshmem::size;
use ivshmem::windows::{WindowsDevice, devices};
use serde_json::{Value, json};

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

/// List this virtual machine's ivshmem devices, and whether their memory can be had now
///
/// Each device is mapped for a moment to find that out.
#[derive(clap::Args, Debug)]
pub(crate) struct List {
    #[command(flatten)]
    format: Format,
}

impl List {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let devices = devices()?;
        if self.format.json {
            return (0..).zip(&devices).try_for_each(|(index, device)| out.json(&object(index, device)));
        }
        if devices.is_empty() {
            return out.line("no ivshmem device with a driver: `ivshmem doctor` says what to do");
        }
        (0..).zip(&devices).try_for_each(|(index, device)| out.text(text(index, device)))
    }
}

fn text(index: usize, device: &WindowsDevice) -> String {
    let location = device.location().map_or(String::new(), |location| format!("  {location}"));
    let state = match device.memory() {
        Ok(()) => "free".to_owned(),
        Err(error) => format!("no: {error}"),
    };
    let path = device.path().display();
    format!("windows:{index}  {}{location}  {path}\n  memory     {state}\n", size::format(device.size()))
}

fn object(index: usize, device: &WindowsDevice) -> Value {
    let error = device.memory().err();
    json!({
        "index": index,
        "path": device.path().to_string_lossy(),
        "size": device.size(),
        "location": device.location().map(|location| location.to_string()),
        "memory": {
            "possible": error.is_none(),
            "kind": error.as_ref().map(|error| format!("{:?}", error.kind())),
            "reason": error.map(|error| error.to_string()),
        },
    })
}
