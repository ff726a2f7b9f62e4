//! `setup`: a guest in which a group of users, not root alone, may use its ivshmem devices, now and after every boot.
//!
//! All of it is one file of udev rules and one group of users. What is to be done is a list of steps first: `--dry-run`
//! prints the list, otherwise each step is done.

mod rules;
mod step;

use std::fs;
use std::path::Path;

use ivshmem::pci::{self, PciDevice};

use crate::Failure;
use crate::args::Format;
use crate::output::Out;

use rules::{Made, RULES};
use step::Step;

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
        let steps = if self.undo { undo_steps()? } else { self.steps()? };
        if !self.dry_run && !rustix::process::geteuid().is_root() {
            return Err(Failure::NotRoot);
        }
        for step in &steps {
            if self.format.json {
                out.json(&step.object(!self.dry_run))?;
            } else {
                out.text(step)?;
            }
            // What was done is told even when the next step fails.
            out.flush()?;
            if !self.dry_run {
                step.take()?;
            }
        }
        if !self.undo && !self.dry_run && !self.format.json {
            out.line(format_args!("done; who is to use the devices needs: usermod -aG {} USER", self.group))?;
        }
        Ok(())
    }

    fn steps(&self) -> Result<Vec<Step>, Failure> {
        let made = Made::find()?;
        let is_new = !group_exists(&self.group);
        // Who sets up twice has still created the group.
        let created = is_new || made.is_some_and(|made| made.created && made.group == self.group);
        let devices = with_interrupts()?;
        // First of all what undo looks for.
        let mut steps = vec![Step::Write { path: RULES, text: rules::text(&self.group, created) }];
        if is_new {
            steps.push(Step::run(&["groupadd", "--system", &self.group]));
        }
        steps.push(Step::run(&["udevadm", "control", "--reload"]));
        steps.extend(devices.iter().map(|device| Step::Bind(device.address())));
        // Those that were bound before have told udev so before there were rules.
        steps.extend(triggers()?);
        steps.push(Step::run(&["udevadm", "settle"]));
        Ok(steps)
    }
}

fn undo_steps() -> Result<Vec<Step>, Failure> {
    let made = Made::find()?.ok_or(Failure::NotSetUp { path: Path::new(RULES) })?;
    let mut steps = vec![Step::Remove { path: RULES }, Step::run(&["udevadm", "control", "--reload"])];
    steps.extend(with_interrupts()?.iter().map(|device| Step::Unbind(device.address())));
    steps.extend(pci::devices()?.iter().map(|device| Step::Restore(device.address())));
    if made.created && group_exists(&made.group) {
        steps.push(Step::run(&["groupdel", &made.group]));
    }
    Ok(steps)
}

/// The others have nothing that vfio-pci could give.
fn with_interrupts() -> Result<Vec<PciDevice>, Failure> {
    Ok(pci::devices()?.into_iter().filter(|device| device.vectors() != Some(0)).collect())
}

fn triggers() -> Result<Vec<Step>, Failure> {
    let path = |device: &PciDevice| format!("/sys/bus/pci/devices/{}", device.address());
    let change = |place: &str| Step::run(&["udevadm", "trigger", "--action=change", place]);
    let devices = pci::devices()?;
    Ok(devices.iter().map(|device| change(&path(device))).chain([change("--subsystem-match=vfio")]).collect())
}

fn group_exists(name: &str) -> bool {
    let text = fs::read_to_string("/etc/group").unwrap_or_default();
    text.lines().any(|line| line.split(':').next() == Some(name))
}

/// As groupadd takes them; such a name needs no quotes in a rule.
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
