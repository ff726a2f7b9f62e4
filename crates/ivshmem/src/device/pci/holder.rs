use std::fmt;
use std::path::Path;

/// A process that has a file open.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Process {
    id: u32,
    name: String,
}

/// A process that has the file at this path open. Only root can see the descriptors of other users' processes.
pub(super) fn of(path: &Path) -> Option<Process> {
    let processes = Path::new("/proc").read_dir().ok()?.flatten();
    let numbered = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbered.map(|id| (id, Path::new("/proc").join(id.to_string()))).find_map(|(id, folder)| {
        let mut descriptors = folder.join("fd").read_dir().ok()?.flatten();
        if !descriptors.any(|fd| std::fs::read_link(fd.path()).is_ok_and(|target| target == path)) {
            return None;
        }
        let name = std::fs::read_to_string(folder.join("comm")).unwrap_or_default();
        Some(Process { id, name: one_line(name.trim()) })
    })
}

/// Replaces control characters in the name of a process, which can be arbitrary.
fn one_line(name: &str) -> String {
    name.replace(|c: char| c.is_control(), "?")
}

impl Process {
    pub(super) fn is_another(&self) -> bool {
        self.id != std::process::id()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({})", self.id, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::Finding;

    #[test]
    fn no_name_of_a_process_ends_the_cause() {
        let holder = Process { id: 7, name: one_line("a: b\nc\u{1b}[1m") }.to_string();
        assert_eq!(holder, "process 7 (a: b?c?[1m)");
        let finding = Finding::HeldElsewhere { holder: holder.clone(), others: String::new() };
        assert!(finding.cause().starts_with(&holder), "{finding}");
        assert_eq!(finding.remedy().as_deref(), Some("close it there"));
    }

    #[test]
    fn the_process_that_has_a_file_open_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("held");
        assert_eq!(of(&path), None);
        let file = std::fs::File::create(&path).unwrap();
        let process = of(&path).unwrap();
        assert!(!process.is_another());
        assert!(process.to_string().starts_with(&format!("process {} (", std::process::id())), "{process}");
        drop(file);
        assert_eq!(of(&path), None);
    }
}
