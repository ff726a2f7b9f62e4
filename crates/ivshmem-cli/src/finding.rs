use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::Out;

/// A problem, or a possible one.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    /// In kebab case. Names are stable.
    pub name: &'static str,
    pub severity: Severity,
    /// The cause, with the value found and the limit.
    pub cause: String,
    /// What the user can do.
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// Something does not work.
    Problem,
    /// Something may not work, which this program cannot determine.
    Note,
}

impl Finding {
    pub(crate) fn problem(name: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name, severity: Severity::Problem, cause: cause.into(), remedy: remedy.into() }
    }

    pub(crate) fn note(name: &'static str, cause: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::problem(name, cause, remedy) }
    }

    pub(crate) fn print(&self, out: &mut Out) -> Result<(), Failure> {
        let (word, colour) = match self.severity {
            Severity::Problem => ("problem", AnsiColor::Red),
            Severity::Note => ("note", AnsiColor::Yellow),
        };
        let word = out.paint(Style::new().bold().fg_color(Some(colour.into())), word);
        out.line(format_args!("{word}: {}", self.name))?;
        out.line(format_args!("  cause:  {}", self.cause))?;
        out.line(format_args!("  remedy: {}\n", self.remedy))
    }

    pub(crate) fn object(&self) -> Value {
        let severity = match self.severity {
            Severity::Problem => "problem",
            Severity::Note => "note",
        };
        json!({ "name": self.name, "severity": severity, "cause": self.cause, "remedy": self.remedy })
    }
}
