use std::fmt;
use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use ivshmem::pci::{self, PciAddress};
use serde_json::{Value, json};

/// One step of setup.
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
    /// Binds a device to vfio-pci.
    Bind(PciAddress),
    /// Releases the device from vfio-pci.
    Unbind(PciAddress),
    /// Resets owner and mode of a device's files in sysfs to the kernel's defaults.
    Restore(PciAddress),
}

/// The files of each device that the group gets; by the kernel's default they belong to root with mode 600.
const FILES: &[&str] = &["resource0", "resource2", "resource2_wc"];

impl Step {
    pub(super) fn run(words: &[&str]) -> Self {
        Self::Run(words.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(super) fn take(&self) -> io::Result<()> {
        let device = |address: &PciAddress| pci::find(&address.to_string());
        match self {
            Self::Write { path, text } => write(Path::new(path), text),
            Self::Remove { path } => fs::remove_file(path),
            Self::Run(words) => run(words),
            Self::Bind(address) => device(address).and_then(|device| device.bind()).map_err(io::Error::other),
            Self::Unbind(address) => {
                device(address).and_then(|device| device.unbind()).map_err(io::Error::other)
            }
            Self::Restore(address) => restore(*address),
        }
    }

    pub(super) fn title(&self) -> String {
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

/// Writes the file atomically, because udev may read at any time.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(directory)?;
    // udev reads only files that end in .rules.
    let part = path.with_extension("part");
    match fs::remove_file(&part) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let written = || {
        let mut file = File::create_new(&part)?;
        file.write_all(text.as_bytes())?;
        // Regardless of the umask.
        file.set_permissions(Permissions::from_mode(0o644))?;
        fs::rename(&part, path)
    };
    let result = written();
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

/// Directories of root's programs. PATH is not used: it may be missing, incomplete as under su, or set by another user.
const FOLDERS: [&str; 4] = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The path of one of root's programs.
pub(super) fn program(name: &str) -> io::Result<PathBuf> {
    let found = FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let package = match name {
            "udevadm" => " (Debian's package udev)",
            "groupadd" | "groupdel" => " (Debian's package passwd)",
            _ => "",
        };
        let folders = FOLDERS.join(", ");
        io::Error::other(format!("there is no program {name} in {folders}; install it{package}"))
    })
}

fn run(words: &[String]) -> io::Result<()> {
    let mut command = Command::new(program(&words[0])?);
    // Nothing of the caller's environment: neither its library paths nor its language for errors.
    command.args(&words[1..]).env_clear().env("PATH", FOLDERS.join(":")).current_dir("/");
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}, {}", output.status, said.trim())))
}

fn restore(address: PciAddress) -> io::Result<()> {
    let folder = Path::new("/sys/bus/pci/devices").join(address.to_string());
    for name in FILES {
        match File::open(folder.join(name)) {
            Ok(file) => {
                file.set_permissions(Permissions::from_mode(0o600))?;
                fchown(&file, Some(0), Some(0))?;
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_in_roots_folders_is_named() {
        let error = run(&["no-such-program".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("no program no-such-program in /usr/sbin"), "{error}");
    }

    #[test]
    fn a_program_runs_with_nothing_of_the_callers_surroundings() {
        let script = "[ \"$(env | grep -vE '^(PATH|PWD|SHLVL|OLDPWD|_)=')\" = \"\" ] && [ \"$PWD\" = / ]";
        run(&["sh", "-c", script].map(str::to_owned)).unwrap();
        let error = run(&["sh", "-c", "echo why >&2; exit 3"].map(str::to_owned)).unwrap_err().to_string();
        assert!(error.contains('3') && error.contains("why"), "{error}");
    }
}
