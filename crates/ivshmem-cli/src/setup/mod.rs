//! `setup`: gives a group of users access to a guest's ivshmem devices, now and after every boot.
//!
//! The setup consists of one file of udev rules and one group of users. The command first makes a list of steps;
//! `--dry-run` prints the list, otherwise the command executes each step.

mod rules;
mod step;

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use ivshmem::pci::{self, Finding, PciDevice};
use ivshmem::sys::linux::socket;
use rustix::io::Errno;
use serde_json::json;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

use rules::{Made, RULES};
use step::{Step, program};

/// Prepare this virtual machine: its ivshmem devices belong to vfio-pci and to a group of users, now and at every boot
///
/// For root, in a guest with udev. Users who are to be interrupted need to be in the group: usermod -aG ivshmem USER.
#[derive(clap::Args, Debug)]
pub(crate) struct Setup {
    /// The group of users; created if there is none of this name
    #[arg(long, value_name = "NAME", default_value = "ivshmem", value_parser = group_name)]
    group: String,
    /// Remove what setup made: rules, permissions, the binding, and the group if setup created it
    #[arg(long, conflicts_with = "group")]
    undo: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    format: Format,
}

impl Setup {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let plan = if self.undo { Plan::undo()? } else { Plan::setup(&self.group)? };
        if !self.dry_run {
            if !rustix::process::geteuid().is_root() {
                return Err(Failure::NotRoot);
            }
            if !self.undo {
                possible(&plan.steps)?;
            }
        }
        self.take(&plan.steps, out)?;
        for (device, finding) in &plan.without {
            let device = device.address();
            if self.format.json {
                let note = json!({ "address": device.to_string(), "finding": finding.name(), "reason": finding.to_string() });
                out.json(&note)?;
            } else {
                out.line(format_args!("{device} cannot be rung: {finding}"))?;
            }
        }
        if !self.undo && !self.dry_run && !self.format.json {
            out.line(format_args!("done; who is to use the devices needs: usermod -aG {} USER", self.group))?;
        }
        Ok(())
    }

    /// Setup stops at the first failure. Undo continues, and keeps the file that describes what is to be undone.
    fn take(&self, steps: &[Step], out: &mut Out) -> Result<(), Failure> {
        let mut failed = None;
        for step in steps {
            if failed.is_some() && matches!(step, Step::Remove { .. }) {
                break;
            }
            if self.format.json {
                out.json(&step.object(!self.dry_run))?;
            } else {
                out.text(step)?;
            }
            // A reader sees the completed steps even if the next one fails.
            out.flush()?;
            if self.dry_run {
                continue;
            }
            match step.take() {
                Ok(()) => {}
                Err(why) if self.undo => _ = failed.get_or_insert(Failure::Undo { what: step.title(), why }),
                Err(why) => return Err(Failure::Setup { what: step.title(), why }),
            }
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The steps to take.
struct Plan {
    steps: Vec<Step>,
    /// Devices that have interrupts, and the finding that says why programs cannot get them.
    without: Vec<(PciDevice, Finding)>,
}

impl Plan {
    fn setup(group: &str) -> Result<Self, Failure> {
        let made = Made::find()?;
        let is_new = !group_exists(group)?;
        let ours = made.filter(|made| made.created);
        // A second setup has still created the group.
        let created = is_new || ours.as_ref().is_some_and(|made| made.group == group);
        let (mut devices, mut without) = (Vec::new(), Vec::new());
        for device in with_interrupts()? {
            match obstacle(&device) {
                None => devices.push(device),
                Some(finding) => without.push((device, finding)),
            }
        }
        // First the file that undo looks for.
        let mut steps = vec![Step::Write { path: RULES, text: rules::text(group, created) }];
        if is_new {
            steps.push(Step::run(&["groupadd", "--system", group]));
        }
        steps.push(Step::run(&["udevadm", "control", "--reload"]));
        steps.extend(devices.iter().map(|device| Step::Bind(device.address())));
        // udev handled the events of devices that were bound earlier before the rules existed.
        steps.extend(triggers()?);
        steps.push(Step::run(&["udevadm", "settle"]));
        if let Some(made) = ours.filter(|made| made.group != group) {
            steps.extend(group_removal(&made)?);
        }
        Ok(Self { steps, without })
    }

    fn undo() -> Result<Self, Failure> {
        let made = Made::find()?.ok_or(Failure::NotSetUp { path: Path::new(RULES) })?;
        // Without its rules the file still describes what is to be undone, in case a step fails.
        let mut steps = vec![Step::Write { path: RULES, text: rules::head(&made.group, made.created) }];
        if udev_runs() && program("udevadm").is_ok() {
            steps.push(Step::run(&["udevadm", "control", "--reload"]));
        }
        steps.extend(with_interrupts()?.iter().map(|device| Step::Unbind(device.address())));
        steps.extend(pci::devices()?.iter().map(|device| Step::Restore(device.address())));
        steps.extend(group_removal(&made)?);
        steps.push(Step::Remove { path: RULES });
        Ok(Self { steps, without: Vec::new() })
    }
}

/// Checks, before the first step, whether all steps can be taken, as far as that is visible.
fn possible(steps: &[Step]) -> Result<(), Failure> {
    let programs =
        steps.iter().filter_map(|step| if let Step::Run(words) = step { Some(&words[0]) } else { None });
    for name in programs {
        program(name).map_err(|why| Failure::NoSetup { why: why.to_string() })?;
    }
    if udev_runs() {
        return Ok(());
    }
    let why = format!(
        "udev does not run, for nobody listens at {UDEV}; start systemd-udevd, or run ivshmem bind after each boot"
    );
    Err(Failure::NoSetup { why })
}

/// udev's control socket.
const UDEV: &str = "/run/udev/control";

fn udev_runs() -> bool {
    match socket::connect(Path::new(UDEV), Duration::from_secs(1)) {
        Ok(_) => true,
        // A socket of another type, on which a process listens.
        Err(e) => Errno::from_io_error(&e) == Some(Errno::PROTOTYPE),
    }
}

/// Devices with interrupts; vfio-pci has nothing to give for the others.
fn with_interrupts() -> Result<Vec<PciDevice>, Failure> {
    Ok(pci::devices()?.into_iter().filter(|device| device.vectors() != Some(0)).collect())
}

/// Why vfio-pci cannot drive a device.
fn obstacle(device: &PciDevice) -> Option<Finding> {
    const DRIVER: &str = "vfio-pci";
    let is_there = || Path::new("/sys/bus/pci/drivers").join(DRIVER).exists();
    match device.receiving() {
        Err(finding @ Finding::NoIommu) => Some(finding),
        Err(Finding::NotBound { .. } | Finding::OtherDriver { .. })
            if !is_there() && Step::run(&["modprobe", "--dry-run", "--quiet", DRIVER]).take().is_err() =>
        {
            Some(Finding::VfioMissing { what: format!("the kernel has no driver {DRIVER}") })
        }
        _ => None,
    }
}

fn triggers() -> Result<Vec<Step>, Failure> {
    let path = |device: &PciDevice| format!("/sys/bus/pci/devices/{}", device.address());
    let change = |place: &str| Step::run(&["udevadm", "trigger", "--action=change", place]);
    let devices = pci::devices()?;
    Ok(devices.iter().map(|device| change(&path(device))).chain([change("--subsystem-match=vfio")]).collect())
}

fn group_removal(made: &Made) -> Result<Option<Step>, Failure> {
    let is_there = made.created && group_exists(&made.group)?;
    Ok(is_there.then(|| Step::run(&["groupdel", &made.group])))
}

fn group_exists(name: &str) -> Result<bool, Failure> {
    const GROUPS: &str = "/etc/group";
    match fs::read(GROUPS) {
        Ok(text) => Ok(text
            .split(|byte| *byte == b'\n')
            .any(|line| line.split(|byte| *byte == b':').next() == Some(name.as_bytes()))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        // An unreadable file does not mean that the group is missing: setup would leave the group behind, or create it
        // twice.
        Err(e) => Err(Failure::NoSetup { why: format!("{GROUPS} cannot be read: {e}") }),
    }
}

/// Parses a group name as groupadd accepts it; such a name needs no quotes in a rule.
fn group_name(text: &str) -> Result<String, String> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let is_good = text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-');
    if starts_well && is_good && text.len() <= 32 {
        Ok(text.to_owned())
    } else {
        Err("a group's name has at most 32 of a-z, 0-9, _ and -, and begins with a letter or _".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_has_a_name_that_needs_no_quotes() {
        for name in ["ivshmem", "_x", "a-1"] {
            assert_eq!(group_name(name).as_deref(), Ok(name));
        }
        for name in ["", "1a", "a b", "a\"", "a'b", "$x", "A", &"a".repeat(33)] {
            assert!(group_name(name).is_err(), "{name}");
        }
    }
}
