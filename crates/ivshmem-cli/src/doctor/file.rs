//! Examines a file that is shared memory.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use ivshmem::sys::linux::file::{Access, open};
use ivshmem::{shell_word, size};

use super::places::{self, InMemory};
use super::request::{Doctor, Report};
use super::sharing::Sharers;
use super::users::{READ, User, WRITE, as_root, described, typed, user_name};
use super::{confinement, space};
use crate::advice::quoting::tmpfiles;
use crate::advice::{Region, Way, power_of_two};
use crate::finding::Finding;

/// The file to examine.
struct Question<'a> {
    path: &'a Path,
    /// The path, quoted for a shell.
    word: String,
    /// The intended size in bytes, if the user named one.
    wanted: Option<u64>,
    sharers: Sharers,
}

/// The default size of a server's memory, for files without a named size.
const USUAL_SIZE: u64 = 4 << 20;

pub(super) fn examine(
    path: &Path,
    wanted: Option<u64>,
    read_only: bool,
    doctor: &Doctor,
    report: &mut Report,
) {
    let own = User::own();
    let path = &end_of_links(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), &own);
    // A read-only target is for a program, not for a machine: QEMU always writes.
    let qemu = if read_only && doctor.qemu_user.is_none() {
        None
    } else {
        User::of_qemu(doctor).unwrap_or_else(|finding| {
            report.add([finding]);
            None
        })
    };
    let word = shell_word(path.display());
    let question = Question { path, word, wanted, sharers: Sharers { own, qemu } };
    let (known, missing) = match fs::metadata(path) {
        Ok(facts) if facts.is_file() => (Some(facts), None),
        Ok(facts) => return report.add([question.not_a_file(&facts)]),
        Err(error) => (None, Some(question.not_seen(&error))),
    };
    // A file that is not shared memory gets no arguments, and no rules that would give machines access.
    let is_memory = match &known {
        Some(facts) => places::is_memory(path, facts),
        None => path.file_name().is_some() && places::may_get_files(path),
    };
    if is_memory {
        // First, because other remedies need the space.
        report.add(space::examine(path, known.as_ref(), question.size_in_the_end(known.as_ref())));
    }
    report.add(missing);
    if let Some(facts) = &known {
        report.add(question.access(facts, read_only));
        report.add(question.size(facts, is_memory));
        report.add(question.qemu_access(facts));
    }
    if !is_memory {
        return;
    }
    report.add(confinement::of_machines(path, Path::new("/")));
    // An empty file has no size to show; the intended one counts.
    let size = known.map(|facts| facts.len()).filter(|size| *size > 0).or(wanted);
    report.region = size.map(|size| Region { size, way: Way::File { path: path.clone() } });
}

impl Question<'_> {
    fn not_seen(&self, error: &io::Error) -> Finding {
        let (path, parent) = (self.path.display(), self.path.parent().unwrap_or(Path::new("/")));
        if let Some(link) = self.path.ancestors().find(|above| is_broken_link(above)) {
            return Finding::problem(
                "not-a-file",
                format!("{path} leads nowhere: {} is a link to what is not there", link.display()),
                format!("remove the link, or name another file: {}", self.elsewhere()),
            );
        }
        let own = &self.sharers.own;
        if let Some(link) = self.path.ancestors().find(|above| is_refused_link(above, own)) {
            let owner = fs::symlink_metadata(link)
                .map_or(String::new(), |facts| format!(" of user {}", user_name(facts.uid())));
            return Finding::problem(
                "not-a-file",
                format!(
                    "{path} cannot be reached: {} is a link{owner}, and user {} may not follow it \
                     (fs.protected_symlinks, or a closed directory above its target)",
                    link.display(),
                    own.name
                ),
                format!(
                    "name another file: {}; or remove the link: {}",
                    self.elsewhere(),
                    as_root(&format!("rm {}", shell_word(link.display())))
                ),
            );
        }
        match error.kind() {
            // A component of the path may be a file instead of a directory.
            ErrorKind::NotFound if parent.is_dir() => Finding::problem(
                "file-missing",
                format!("nobody has created {path}"),
                self.unless_system(self.path, || {
                    format!(
                        "create it: {}; or start the machine first, which creates it as its user",
                        self.creating(false)
                    )
                }),
            ),
            ErrorKind::NotFound
                if self.path.ancestors().skip(1).all(|above| above.is_dir() || !above.exists()) =>
            {
                Finding::problem(
                    "directory-missing",
                    format!("{path} cannot be there: there is no directory {}", parent.display()),
                    self.unless_system(self.path, || {
                        format!(
                            "make it, and the file: {}; or mount what belongs there, or use /dev/shm",
                            self.creating(true)
                        )
                    }),
                )
            }
            ErrorKind::PermissionDenied => self.not_passed(),
            ErrorKind::InvalidFilename => Finding::problem(
                "path-too-long",
                format!("{path} has a part that is longer than a name may be, which is 255 bytes"),
                format!("choose a shorter one: {}", self.elsewhere()),
            ),
            _ => Finding::problem(
                "not-a-file",
                format!("{path} leads nowhere: {error}"),
                format!("name another file: {}", self.elsewhere()),
            ),
        }
    }

    /// A directory on the path denies access to this user. Those after the first one cannot be examined.
    fn not_passed(&self) -> Finding {
        let obstacles = self.sharers.own.obstacles(self.path, READ);
        let cause = match obstacles.first() {
            Some(first) => format!(
                "user {} may not pass {} ({}) on the way to {}",
                self.sharers.own.name,
                first.path.display(),
                described(&first.facts),
                self.path.display()
            ),
            None => format!("user {} may not look at {}", self.sharers.own.name, self.path.display()),
        };
        let remedy = match self.sharers.open_up(&obstacles, "rw") {
            Some(command) if !command.is_empty() => as_root(&command),
            _ => format!("use a file where all who need it may go: {}", self.elsewhere()),
        };
        Finding::problem("not-permitted", cause, remedy)
    }

    fn not_a_file(&self, facts: &Metadata) -> Finding {
        let kind = facts.file_type();
        let path = self.path.display();
        let (what, remedy) = if kind.is_socket() {
            let target = shell_word(format_args!("doorbell:{path}"));
            ("a socket", format!("a server's socket is another kind of target: `ivshmem doctor {target}`"))
        } else if kind.is_dir() {
            let inside = self.path.join("ivshmem");
            let target = shell_word(format_args!("plain:{}", inside.display()));
            let remedy = || {
                format!("name a file in it: {}, then `ivshmem doctor {target}`", self.creating_at(&inside))
            };
            ("a directory", self.unless_system(&inside, remedy))
        } else {
            ("a device or a pipe", format!("memory is a regular file: {}", self.elsewhere()))
        };
        Finding::problem("not-a-file", format!("{path} is {what}"), remedy)
    }

    /// Whether this program has the access that the target needs.
    fn access(&self, facts: &Metadata, read_only: bool) -> Option<Finding> {
        /// "Operation not permitted". A denial by the file's mode is EACCES instead.
        const EPERM: i32 = 1;
        let (path, word) = (self.path.display(), &self.word);
        // Opens without waiting, because the file may be a pipe by now.
        let error = open(self.path, if read_only { Access::Read } else { Access::ReadWrite }).err()?;
        let (bits, doing) = if read_only { (READ, "read") } else { (READ | WRITE, "read and write") };
        let obstacles = self.sharers.own.obstacles(self.path, bits);
        let is_memory = places::is_memory(self.path, facts);
        let unless_memory = |remedy: String| {
            if is_memory { remedy } else { format!("this is no shared memory: {}", self.elsewhere()) }
        };
        match error.kind() {
            _ if error.raw_os_error() == Some(EPERM) => Some(Finding::problem(
                "immutable",
                format!("{path} has an attribute by which nobody may change it (lsattr)"),
                unless_memory(as_root(&format!("chattr -i -a {word}"))),
            )),
            ErrorKind::ReadOnlyFilesystem => {
                let point = shell_word(places::mount_point(self.path).display());
                let target = shell_word(format_args!("plain:{path}?readonly"));
                Some(Finding::problem(
                    "read-only",
                    format!("the file system of {path} can only be read"),
                    unless_memory(format!(
                        "{}; or open it for reading: `ivshmem doctor {target}`",
                        as_root(&format!("mount -o remount,rw {point}"))
                    )),
                ))
            }
            // The mode permits the access, but the kernel denied it.
            ErrorKind::PermissionDenied if obstacles.is_empty() => Some(confinement::refused(self.path)),
            ErrorKind::PermissionDenied => {
                let cause =
                    format!("user {} may not {doing} {path} ({})", self.sharers.own.name, described(facts));
                let remedy = match self.sharers.open_up(&obstacles, if read_only { "r" } else { "rw" }) {
                    Some(command) if !command.is_empty() => format!(
                        "{}; in /dev/shm, where it is gone after a reboot, by a line in \
                         /etc/tmpfiles.d/ivshmem.conf: {}",
                        as_root(&command),
                        self.tmpfiles()
                    ),
                    _ => format!(
                        "use another file, as this one is not there to be shared: {}",
                        self.elsewhere()
                    ),
                };
                Some(Finding::problem("not-permitted", cause, remedy))
            }
            // The file was removed or replaced meanwhile; the next examination reports it.
            _ if !fs::metadata(self.path).is_ok_and(|now| now.is_file()) => None,
            _ => Some(Finding::problem(
                "not-opened",
                format!("the system does not let user {} {doing} {path}: {error}", self.sharers.own.name),
                format!("use another file: {}", self.elsewhere()),
            )),
        }
    }

    /// Whether QEMU, which rarely runs as the user of this program, may use the file.
    fn qemu_access(&self, facts: &Metadata) -> Option<Finding> {
        let user = self.sharers.qemu.as_ref()?;
        let obstacles = user.obstacles(self.path, READ | WRITE);
        let first = obstacles.first()?;
        let cause = if first.facts.is_dir() {
            format!(
                "a machine that runs as {} may not pass {} ({})",
                user.name,
                first.path.display(),
                described(&first.facts)
            )
        } else {
            format!(
                "{} was created for others ({}): a machine that runs as {} cannot use it",
                self.path.display(),
                described(facts),
                user.name
            )
        };
        let remedy = match self.sharers.open_up(&obstacles, "rw") {
            Some(command) => {
                format!("{}; or let the machine create it, by starting it first", as_root(&command))
            }
            None => format!("use a file where a machine may go: {}", self.elsewhere()),
        };
        Some(Finding::problem("qemu-not-permitted", cause, remedy))
    }

    fn size(&self, facts: &Metadata, is_memory: bool) -> Vec<Finding> {
        let (path, word, size) = (self.path.display(), &self.word, facts.len());
        if size == 0 {
            let resize = self.resizing(&format!("truncate -c -s {} {word}", size::format(self.right_size())));
            let remedy = if is_memory {
                format!("a machine or program that says a size gives it that; or do it now: {resize}")
            } else {
                format!("use a file where memory belongs: {}", self.elsewhere())
            };
            return vec![Finding::note("file-empty", format!("{path} has no bytes yet"), remedy)];
        }
        if let Some(wanted) = self.other_size(size) {
            return vec![self.stale(size, wanted)];
        }
        let mut findings = Vec::new();
        if is_odd(size) {
            let right = size::format(self.right_size_of(size));
            findings.push(Finding::problem(
                "size-not-a-power-of-two",
                format!(
                    "{path} has {size} bytes; QEMU ends at once unless that is a power of two from 4096 on"
                ),
                if places::is_for_memory(self.path) {
                    let resize = self.resizing(&format!("truncate -c -s {right} {word}"));
                    format!("with nobody using it: {resize}")
                } else {
                    format!("it does not look like memory: {}", self.elsewhere())
                },
            ));
        }
        findings
    }

    fn stale(&self, size: u64, wanted: u64) -> Finding {
        let (path, word) = (self.path.display(), &self.word);
        let right = size::format(self.right_size());
        Finding::problem(
            "size-differs",
            format!(
                "{path} has {size} bytes ({}), and {wanted} ({}) are wanted: it is from another time, or another \
                 program made it",
                size::format(size),
                size::format(wanted)
            ),
            if places::is_for_memory(self.path) {
                let resize = format!("truncate -c -s 0 {word} && truncate -c -s {right} {word}");
                format!(
                    "when nobody uses it any more (fuser {word}): {}; else use its size everywhere: `ivshmem doctor {}`",
                    self.resizing(&resize),
                    shell_word(format_args!("plain:{path}"))
                )
            } else {
                format!("use another file, or its size everywhere: {}", self.elsewhere())
            },
        )
    }

    /// The intended size, if the file's size differs. A wanted size of 3M matches 4M, because every machine and server
    /// rounds up.
    fn other_size(&self, size: u64) -> Option<u64> {
        self.wanted.filter(|wanted| *wanted != size && self.right_size() != size)
    }

    /// The file's size after its remedy has been followed.
    fn size_in_the_end(&self, known: Option<&Metadata>) -> u64 {
        let Some(size) = known.map(Metadata::len).filter(|size| *size > 0) else { return self.right_size() };
        let is_changed = self.other_size(size).is_some() || is_odd(size);
        if is_changed && places::is_for_memory(self.path) { self.right_size_of(size) } else { size }
    }

    /// The right size for a file of some current size.
    fn right_size_of(&self, size: u64) -> u64 {
        self.wanted.map_or(power_of_two(size), |_| self.right_size())
    }

    /// The right size for a new file: a size that QEMU accepts, in whole pages of the file system.
    fn right_size(&self) -> u64 {
        self.right_size_at(self.path)
    }

    fn right_size_at(&self, path: &Path) -> u64 {
        let place = path.ancestors().find(|above| above.exists());
        let page = match place.and_then(InMemory::of) {
            Some(InMemory::Huge(page)) => page,
            _ => 4096,
        };
        power_of_two(self.wanted.unwrap_or(USUAL_SIZE)).max(page)
    }

    /// The remedy that creates the file, and its directory if requested.
    fn creating(&self, with_directory: bool) -> String {
        let create = self.create(self.path);
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        let command = if with_directory {
            format!("mkdir -p {} && {create}", shell_word(parent.display()))
        } else {
            create
        };
        typed(&command, self.sharers.need_root(self.path))
    }

    fn creating_at(&self, path: &Path) -> String {
        typed(&self.create(path), self.sharers.need_root(path))
    }

    /// Uses this program, because no other user can open its new file at any time, regardless of the shell's umask.
    fn create(&self, path: &Path) -> String {
        let target = shell_word(format_args!("plain:{}", path.display()));
        let create = format!("ivshmem create {target} {}", size::format(self.right_size_at(path)));
        match self.sharers.owner_and_mode(path) {
            Some((owner, mode)) => format!("{create} --mode {mode} --owner {owner}"),
            None => create,
        }
    }

    /// A command that changes the length of the file.
    fn resizing(&self, command: &str) -> String {
        let own = &self.sharers.own;
        typed(command, !own.is_root() && !own.obstacles(self.path, WRITE).is_empty())
    }

    /// Returns the remedy or, if no file may be created at the path, a text that names another location.
    fn unless_system(&self, path: &Path, remedy: impl FnOnce() -> String) -> String {
        if places::may_get_files(path) {
            return remedy();
        }
        format!("the system's own files belong there and no memory: {}", self.elsewhere())
    }

    /// A location where there is always space for a file and which all users can reach.
    fn elsewhere(&self) -> String {
        let name = self.path.file_name().filter(|name| name.len() < 200);
        let name = name.map_or("ivshmem".to_owned(), |name| name.display().to_string());
        let mut path = Path::new("/dev/shm").join(&name);
        if path.exists() || path.is_symlink() || path == self.path {
            path = Path::new("/dev/shm").join(format!("{name}.ivshmem"));
        }
        let target = shell_word(format_args!("plain:{}", path.display()));
        format!("{}, then `ivshmem doctor {target}`", self.creating_at(&path))
    }

    /// The line of tmpfiles.d that creates the file at boot for all sharers.
    fn tmpfiles(&self) -> String {
        let (user, group) = self.sharers.user_and_group_of_new();
        format!("f {} 0660 {user} {group} -", tmpfiles(&self.path.display().to_string()))
    }
}

/// The target of a chain of broken links, where a new file would make the links work. Returns any other path unchanged, and
/// also a link that another user may have planted.
fn end_of_links(path: PathBuf, own: &User) -> PathBuf {
    /// More links than the kernel follows.
    const MANY: usize = 40;
    let mut end = path;
    for _ in 0..MANY {
        if !is_broken_link(&end) || is_planted(&end, own) {
            break;
        }
        let Ok(target) = fs::read_link(&end) else { break };
        end = end.parent().unwrap_or(Path::new("/")).join(target);
    }
    end
}

/// Whether this is a link whose target does not exist.
fn is_broken_link(path: &Path) -> bool {
    path.is_symlink() && fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound)
}

/// Whether this is a planted link that the kernel does not follow for this user, because of fs.protected_symlinks or of a
/// directory above the target. The target may exist. The rights to it are not opened up, as the other user selected it.
fn is_refused_link(path: &Path, own: &User) -> bool {
    path.is_symlink()
        && fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::PermissionDenied)
        && is_planted(path, own)
}

/// Whether a link belongs to another user who is not root, in a directory to which other users can write.
fn is_planted(link: &Path, own: &User) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    let is_trusted = |uid: u32| [0, own.uid].contains(&uid);
    let is_open = |directory: &Path| {
        fs::metadata(directory)
            .map_or(true, |facts| facts.mode() & OTHERS_WRITE != 0 || !is_trusted(facts.uid()))
    };
    let owner = fs::symlink_metadata(link).map_or(u32::MAX, |facts| facts.uid());
    !is_trusted(owner) && link.parent().is_none_or(is_open)
}

/// Whether QEMU refuses memory of this size.
fn is_odd(size: u64) -> bool {
    !size.is_power_of_two() || size < 4096
}
