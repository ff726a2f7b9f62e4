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
mod request;
mod server;
mod sharing;
mod space;
mod users;

use ivshmem::device::Target;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::finding::{Finding, Severity};
use crate::output::Out;

pub(crate) use request::Doctor;
use request::Report;

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
