//! `doctor`: finds common problems and explains them.
//!
//! Each known problem has a stable name, a cause and a remedy. The examination changes nothing: it creates, grows and
//! writes nothing. In addition it opens a guest's device, as any program would do, and rings that device itself.

mod address_width;
mod confinement;
mod file;
mod guest;
mod listener;
mod places;
mod server;
mod sharing;
mod space;
mod users;

use ivshmem::device::Target;
use serde_json::{Value, json};

use crate::Failure;
use crate::advice::Region;
use crate::args::Format;
use crate::output::Out;
use crate::values::bytes;

use crate::finding::{Finding, Severity};

/// Look for what usually goes wrong, and say how to put it right
///
/// Looks at a file, a server, or a device of this guest, and prints what is wrong with it and the arguments for QEMU and
/// libvirt that fit it. Exit status 4 when something is wrong. docs/cli.md lists all findings.
#[derive(clap::Args, Debug)]
pub(crate) struct Doctor {
    /// plain:PATH, doorbell:SOCKET, or pci:ADDRESS and auto in a guest [default: the devices of this guest]
    target: Option<String>,
    /// How large the memory is meant to be
    #[arg(long, value_parser = bytes)]
    size: Option<u64>,
    /// How many vectors each peer is meant to have
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    vectors: Option<u16>,
    /// Who runs QEMU and must get at a file or socket as well [default: libvirt-qemu or qemu, if there is one]
    #[arg(long, value_name = "NAME")]
    qemu_user: Option<String>,
    /// Address bits of the machine's processor; 40 is QEMU's default
    #[arg(long, value_name = "BITS", default_value = "40", value_parser = clap::value_parser!(u32).range(32..=52))]
    phys_bits: u32,
    #[command(flatten)]
    format: Format,
}

/// The result of an examination.
#[derive(Default)]
struct Report {
    findings: Vec<Finding>,
    /// What is known of the memory, for the matching arguments.
    region: Option<Region>,
}

impl Report {
    fn add(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.findings.extend(findings);
    }
}

impl Doctor {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let report = self.examine()?;
        if self.format.json {
            out.json(&self.object(&report))?;
        } else {
            self.print(&report, out)?;
        }
        match report.findings.iter().filter(|finding| finding.severity == Severity::Problem).count() {
            0 => Ok(()),
            problems => Err(Failure::Unwell { problems }),
        }
    }

    fn examine(&self) -> Result<Report, Failure> {
        let mut report = Report::default();
        match Target::parse(self.target.as_deref().unwrap_or("auto"))? {
            Target::Plain { path, size, read_only, .. } => {
                file::examine(&path, self.size.or(size), read_only, self, &mut report);
            }
            Target::Doorbell { path, .. } => server::examine(&path, self, &mut report),
            Target::Pci { selector, .. } => guest::examine(&selector, self, &mut report)?,
            // The library says which systems have such devices.
            other => drop(other.open()?),
        }
        if let Some(region) = &report.region {
            let target = self.target.as_deref().unwrap_or_default();
            let finding = address_width::examine(target, region.size, self.phys_bits);
            report.add(finding);
        }
        Ok(report)
    }

    fn print(&self, report: &Report, out: &mut Out) -> Result<(), Failure> {
        for finding in &report.findings {
            finding.print(out)?;
        }
        if report.findings.is_empty() {
            out.line("nothing is wrong, as far as can be seen from here")?;
        }
        report.region.as_ref().map_or(Ok(()), |region| out.text(region.text()))
    }

    fn object(&self, report: &Report) -> Value {
        let findings: Vec<Value> = report.findings.iter().map(Finding::object).collect();
        let mut object = json!({ "target": self.target, "findings": findings });
        if let Some(region) = &report.region {
            region.add_to(&mut object);
        }
        object
    }
}
