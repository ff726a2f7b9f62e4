//! Places of shared memory, and what a remedy may change there.
//!
//! Root types a remedy without checking it: it must not give a machine access to /etc/shadow, or truncate a database.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::statfs;
use rustix::process::geteuid;

/// HUGETLBFS_MAGIC and TMPFS_MAGIC of linux/magic.h: 32 bits, in a field whose width and sign differ between architectures.
const HUGETLBFS: i128 = 0x9584_58f6;
const TMPFS: i128 = 0x0102_1994;

/// System directories, in which no file counts as shared memory, whatever its size.
const SYSTEM: [&str; 15] = [
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/proc",
    "/root",
    "/sbin",
    "/sys",
    "/usr",
    "/var/lib/dpkg",
    "/var/log",
    "/var/spool",
];

/// Mount points of file systems in memory that hold anything but shared memory: sockets, secrets, users' temporary files.
const BUSY: [&str; 2] = ["/tmp", "/var/tmp"];

/// The file system of a path, if it is one in memory.
pub(super) enum InMemory {
    /// Size of its pages in bytes.
    Huge(u64),
    Tmpfs,
}

impl InMemory {
    pub(super) fn of(path: &Path) -> Option<Self> {
        let system = statfs(path).ok()?;
        match i128::from(system.f_type) & 0xffff_ffff {
            HUGETLBFS => Some(Self::Huge(u64::try_from(system.f_bsize).ok()?)),
            TMPFS => Some(Self::Tmpfs),
            _ => None,
        }
    }
}

/// Whether a file here is meant to be shared: in /dev/shm, on hugetlbfs, or on a tmpfs that an administrator mounted. For a
/// path that does not exist, the nearest existing directory above it decides.
pub(super) fn is_for_memory(path: &Path) -> bool {
    let Some(place) = real(path) else { return false };
    if place.starts_with("/dev/shm") {
        return true;
    }
    match InMemory::of(&place) {
        Some(InMemory::Huge(_)) => true,
        Some(InMemory::Tmpfs) => {
            let mounted = mount_point(&place);
            let is_the_system =
                mounted == Path::new("/") || is_in(&place, &SYSTEM) || is_in(&mounted, &["/run"]);
            !is_the_system && !BUSY.iter().any(|busy| mounted == Path::new(busy))
        }
        None => false,
    }
}

/// Whether a file is shared memory by its place or, elsewhere, by its size and mode.
pub(super) fn is_memory(path: &Path, facts: &Metadata) -> bool {
    let is_program = facts.mode() & 0o111 != 0;
    let looks_like_it =
        facts.len() >= 4096 && facts.len().is_power_of_two() && facts.nlink() == 1 && !is_program;
    is_for_memory(path) || (looks_like_it && !is_of_the_system(path))
}

/// Whether a path leads into a system directory, where a file may have an effect by its name alone. For a path that does
/// not exist, the nearest existing directory above it decides.
pub(super) fn is_of_the_system(path: &Path) -> bool {
    !is_for_memory(path) && real(path).is_some_and(|place| is_in(&place, &SYSTEM))
}

/// Whether a remedy may create a file here. /run is for sockets, and other files there have a meaning for the system.
pub(super) fn may_get_files(path: &Path) -> bool {
    let is_in_run = |place: PathBuf| {
        is_in(&place, &["/run"]) && !is_in(&place, &["/run/user", "/run/ivshmem"]) && !is_for_memory(&place)
    };
    !is_of_the_system(path) && !real(path).is_some_and(is_in_run)
}

/// Whether a remedy may give other users access to a directory: one for memory or sockets, but not the top of all of them.
pub(super) fn may_be_opened(directory: &Path) -> bool {
    let Some(place) = real(directory) else { return false };
    // Directories of other users are closed on purpose, and so are those that the system creates for its services.
    let is_below = |top: &str| {
        let is_own = fs::metadata(&place).is_ok_and(|facts| [0, geteuid().as_raw()].contains(&facts.uid()));
        let first = place.strip_prefix(top).ok().and_then(|below| below.iter().next());
        let is_private = first.is_some_and(|name| name.to_string_lossy().contains("-private-"));
        is_own && first.is_some() && !is_private
    };
    if is_for_memory(&place) {
        return place != Path::new("/dev/shm");
    }
    place.starts_with("/run/ivshmem") || is_below("/tmp") || is_below("/var/tmp")
}

/// The mount point of the file system that a path is on.
pub(super) fn mount_point(path: &Path) -> PathBuf {
    let path = real(path).unwrap_or_else(|| path.to_owned());
    let device = |path: &Path| fs::metadata(path).map(|facts| facts.dev()).ok();
    let same = path.ancestors().take_while(|above| device(above) == device(&path));
    same.last().unwrap_or(&path).to_owned()
}

fn is_in(path: &Path, folders: &[&str]) -> bool {
    folders.iter().any(|folder| path.starts_with(folder))
}

/// The path without links. For a path that does not exist: the nearest existing directory above it.
fn real(path: &Path) -> Option<PathBuf> {
    path.ancestors().find_map(|above| fs::canonicalize(above).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_system_are_no_memory_whatever_leads_to_them() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        for path in [Path::new("/etc/passwd"), &link, Path::new("/bin/sh"), Path::new("/proc/cpuinfo")] {
            assert!(!is_memory(path, &fs::metadata(path).unwrap()), "{}", path.display());
        }
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        assert!(is_memory(&file, &fs::metadata(&file).unwrap()));
    }

    #[test]
    fn a_file_elsewhere_is_memory_by_its_looks() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let file = dir.path().join("file");
        for (size, is) in [(4096, true), (1 << 20, true), (0, false), (2048, false), (5000, false)] {
            fs::File::create(&file).unwrap().set_len(size).unwrap();
            assert_eq!(is_memory(&file, &fs::metadata(&file).unwrap()), is, "{size}");
        }
    }

    #[test]
    fn new_files_are_for_no_folder_of_the_system() {
        for path in ["/etc/nologin-x", "/etc/cron.d/x", "/usr/x/y", "/run/nologin-x", "/dev/x", "/proc/x"] {
            assert!(!may_get_files(Path::new(path)), "{path}");
        }
        for path in ["/dev/shm/x", "/tmp/x/y", "/var/tmp/x", "/home/x/y"] {
            assert!(may_get_files(Path::new(path)), "{path}");
        }
        assert!(!is_of_the_system(Path::new("/run/x.sock")), "sockets belong there");
    }

    #[test]
    fn only_directories_of_memory_and_sockets_are_opened_to_others() {
        let dirs = [tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir_in("/tmp").unwrap()];
        assert!(dirs.iter().all(|dir| may_be_opened(dir.path())));
        for path in ["/", "/root", "/etc", "/dev/shm", "/tmp", "/run", "/home", "/run/user/0"] {
            assert!(!may_be_opened(Path::new(path)), "{path}");
        }
        let private = tempfile::Builder::new().prefix("systemd-private-").tempdir_in("/tmp").unwrap();
        assert!(!may_be_opened(private.path()));
    }

    #[test]
    fn what_lies_in_memory_below_run_is_not_there_to_be_shared() {
        let Ok(file) = tempfile::NamedTempFile::new_in("/run") else { return };
        fs::write(&file, "a secret").unwrap();
        assert!(!is_for_memory(file.path()) && !is_memory(file.path(), &fs::metadata(&file).unwrap()));
    }
}
