//! `doctor`: finds common problems in a Windows guest and explains them.

use ivshmem::device::{Device, OpenError, Target};
use ivshmem::size;
use ivshmem::windows::{DriverError, WindowsDevice, devices, find};
use serde_json::{Value, json};

use crate::args::Format;
use crate::failure::Failure;
use crate::finding::{Finding, Severity};
use crate::output::Out;
use crate::values::bytes;

/// Find common problems, and print how to solve them
///
/// Looks at the devices of this guest. Exit status 4 when something is wrong. docs/windows.md lists all findings.
#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// windows:NUMBER, or auto for the only device [default: all devices]
    target: Option<String>,
    /// How large the memory is meant to be
    #[arg(long, value_parser = bytes)]
    size: Option<u64>,
    /// How many vectors each peer is meant to have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    vectors: Option<u16>,
    #[command(flatten)]
    format: Format,
}

/// The remedy where the library knows none.
const NO_REMEDY: &str = "see docs/windows.md";

impl Doctor {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let findings = self.examine()?;
        if self.format.json {
            let findings: Vec<Value> = findings.iter().map(Finding::object).collect();
            out.json(&json!({ "target": self.target, "findings": findings }))?;
        } else if findings.is_empty() {
            out.line("nothing is wrong, as far as can be seen from here")?;
        } else {
            findings.iter().try_for_each(|finding| finding.print(out))?;
        }
        match findings.iter().filter(|finding| finding.severity == Severity::Problem).count() {
            0 => Ok(()),
            problems => Err(Failure::Unwell { problems }),
        }
    }

    fn examine(&self) -> Result<Vec<Finding>, Failure> {
        let devices = devices()?;
        let chosen = match self.target.as_deref() {
            _ if devices.is_empty() => return Ok(vec![no_device()]),
            None => devices,
            Some(target) => match Target::parse(target)? {
                Target::Windows { selector, .. } => vec![find(&selector)?],
                // The library says which systems have such targets.
                other => return Ok(other.open().map(|_| Vec::new())?),
            },
        };
        Ok(chosen.iter().flat_map(|device| self.look_at(device)).collect())
    }

    fn look_at(&self, device: &WindowsDevice) -> Vec<Finding> {
        let path = device.path().display();
        let mut findings = Vec::new();
        if let Some(wanted) = self.size.filter(|wanted| *wanted != device.size() && device.size() > 0) {
            findings.push(Finding::problem(
                "size-differs",
                format!(
                    "{path} has {} ({} bytes), and {wanted} are wanted",
                    size::format(device.size()),
                    device.size()
                ),
                "give all machines the same server or file, and take its size everywhere",
            ));
        }
        match device.open() {
            Ok(opened) => findings.extend(self.look_inside(device, &opened)),
            Err(OpenError::Driver { error, .. }) => findings.push(refused(device, &error)),
            Err(error) => findings.push(Finding::problem(
                "cannot-open",
                format!("{path}: {error}"),
                "look at the device in the Device Manager",
            )),
        }
        findings
    }

    fn look_inside(&self, device: &WindowsDevice, opened: &Device) -> Vec<Finding> {
        let path = device.path().display();
        if let Some(found) = opened.interrupt_finding() {
            let remedy = found.remedy().unwrap_or_else(|| NO_REMEDY.to_owned());
            return vec![Finding::note(found.name(), format!("{path}: {}", found.cause()), remedy)];
        }
        let vectors = opened.vectors();
        match self.vectors {
            Some(wanted) if wanted != vectors => vec![Finding::problem(
                "vectors-differ",
                format!("{path} can be rung on {vectors} vectors, and {wanted} are wanted"),
                "start the server with -n N and each machine with vectors=N of the same N; \
                 Windows' driver has room for 32",
            )],
            _ => Vec::new(),
        }
    }
}

fn no_device() -> Finding {
    Finding::problem(
        "no-device",
        "Windows has no ivshmem device (PCI 1af4:1110) with a driver",
        "give the machine one, with QEMU's -device ivshmem-doorbell or ivshmem-plain; when the Device Manager shows it \
         without a driver (PCI standard RAM controller), install the IVSHMEM driver of virtio-win, 0.1-161 or later",
    )
}

fn refused(device: &WindowsDevice, error: &DriverError) -> Finding {
    let cause = format!("{}: {}", device.path().display(), error.cause());
    let remedy = error.remedy().unwrap_or(NO_REMEDY);
    match error {
        // A program uses the device, which is not a problem.
        DriverError::InUse => Finding::note("in-use", cause, remedy),
        DriverError::NotReady => Finding::problem("not-ready", cause, remedy),
        DriverError::TooLarge { .. } => Finding::problem("too-large", cause, remedy),
        DriverError::NoRoom { .. } => Finding::problem("no-room", cause, remedy),
        DriverError::NotPermitted => Finding::problem("not-permitted", cause, remedy),
        DriverError::Gone { .. } => Finding::problem("gone", cause, remedy),
        _ => Finding::problem("driver-error", cause, remedy),
    }
}
