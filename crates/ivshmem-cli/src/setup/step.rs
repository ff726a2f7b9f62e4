use std::fmt;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use ivshmem::pci::{self, PciAddress};
use serde_json::{Value, json};

use crate::Failure;

/// One thing that setup does.
pub(super) enum Step {
    Write {
        path: &'static str,
        text: String,
    },
    Remove {
        path: &'static str,
    },
    /// A program and its arguments.
    Run(Vec<String>),
    /// A device goes to vfio-pci.
    Bind(PciAddress),
    /// And back to nobody.
    Unbind(PciAddress),
    /// The files of a device in sysfs get the owner and the mode that the kernel gives them.
    Restore(PciAddress),
}

/// What the group gets of each device; the kernel gives it to root with the mode 600.
const FILES: &[&str] = &["resource0", "resource2", "resource2_wc"];

impl Step {
    pub(super) fn run(words: &[&str]) -> Self {
        Self::Run(words.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(super) fn take(&self) -> Result<(), Failure> {
        let failed = |why| Failure::Setup { what: self.title(), why };
        match self {
            Self::Write { path, text } => write(Path::new(path), text).map_err(failed),
            Self::Remove { path } => fs::remove_file(path).map_err(failed),
            Self::Run(words) => run(words).map_err(failed),
            Self::Bind(address) => Ok(pci::find(&address.to_string())?.bind()?),
            Self::Unbind(address) => Ok(pci::find(&address.to_string())?.unbind()?),
            Self::Restore(address) => restore(*address).map_err(failed),
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Write { path, .. } => format!("write {path}"),
            Self::Remove { path } => format!("remove {path}"),
            Self::Run(words) => words.join(" "),
            Self::Bind(address) => format!("bind {address} to vfio-pci"),
            Self::Unbind(address) => format!("unbind {address} from vfio-pci"),
            Self::Restore(address) => format!("give the files of {address} in sysfs back to root"),
        }
    }

    pub(super) fn object(&self, done: bool) -> Value {
        let mut object = json!({ "step": self.title(), "dry_run": !done });
        if let Self::Write { text, .. } = self {
            object["text"] = json!(text);
        }
        object
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        if let Self::Write { text, .. } = self {
            text.lines().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

/// Whole or not at all: udev may read at any time.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    // udev reads files that end in .rules only.
    let part = path.with_extension("part");
    fs::write(&part, text)?;
    fs::set_permissions(&part, Permissions::from_mode(0o644))?;
    fs::rename(&part, path)
}

fn run(words: &[String]) -> io::Result<()> {
    // Root's own PATH may be poor, as under su.
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).env("PATH", path).stdin(Stdio::null()).stdout(Stdio::null());
    let output = match command.stderr(Stdio::piped()).output() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            return Err(io::Error::other(format!("there is no program {}; install it", words[0])));
        }
        output => output?,
    };
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}, {}", output.status, said.trim())))
}

fn restore(address: PciAddress) -> io::Result<()> {
    let folder = Path::new("/sys/bus/pci/devices").join(address.to_string());
    for name in FILES {
        let file = folder.join(name);
        if file.exists() {
            fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            chown(&file, Some(0), Some(0))?;
        }
    }
    Ok(())
}
