//! Examines a server by connecting as its client for a moment.

use std::collections::BTreeSet;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ivshmem::device::{Device, OpenError};
use ivshmem::doorbell::ConnectionError;
use ivshmem::wire::{ProtocolError, Refusal};
use ivshmem::{ErrorKind, shell_word, size};
use rustix::process::{Resource, getrlimit};

use super::listener::Listener;
use super::request::{Doctor, Report};
use super::sharing::Sharers;
use super::users::{User, WRITE, as_root, described, typed};
use super::{listener, places};
use crate::advice::{Region, Way, power_of_two};
use crate::finding::Finding;

/// The socket to examine.
struct Question<'a> {
    path: &'a Path,
    size: Option<u64>,
    vectors: Option<u16>,
    /// Facts of the running server, once they are known.
    running: Option<Running>,
    sharers: Sharers,
}

/// What a server that replaces another one must keep.
#[derive(Clone, Copy)]
struct Running {
    size: u64,
    vectors: u16,
}

/// Other options to keep, which no client can see.
const OTHER_OPTIONS: &str = "and its other options, as they are now";

/// Wait for a busy server in the middle of its handshake, whose vectors are counted here. Only the first client waits that
/// long.
const QUIET: Duration = Duration::from_secs(1);

pub(super) fn examine(path: &Path, doctor: &Doctor, report: &mut Report) {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let qemu = User::of_qemu(doctor).unwrap_or_else(|finding| {
        report.add([finding]);
        None
    });
    let sharers = Sharers { own: User::own(), qemu };
    let mut question = Question { path, size: doctor.size, vectors: doctor.vectors, running: None, sharers };
    match ivshmem::doorbell(path).quiet(QUIET).connect() {
        Err(error) => report.add([question.not_connected(&error)]),
        Ok(device) => {
            let size = device.memory().len();
            question.running = Some(Running { size, vectors: most_vectors(&device) });
            report.add(question.size(size));
            report.add(question.vectors(&device));
            report.add(descriptors(&device));
            report.add(question.qemu_access());
            let way = Way::Server { socket: path.clone(), vectors: device.vectors().max(1) };
            report.region = Some(Region { size, way });
        }
    }
}

impl Question<'_> {
    fn not_connected(&self, error: &OpenError) -> Finding {
        let shown = self.path.display();
        match error {
            OpenError::NoServer { why, .. } => Finding::problem(
                "server-missing",
                format!("nobody serves {shown}: {why}"),
                self.no_server_remedy(),
            ),
            OpenError::NotASocket { .. } => Finding::problem(
                "not-a-socket",
                format!("{shown} is not a socket"),
                format!(
                    "memory in a file is another kind of target: `ivshmem doctor {}`; else name the server's socket",
                    shell_word(format_args!("plain:{shown}"))
                ),
            ),
            OpenError::Denied { .. } => self.denied(),
            OpenError::Overloaded { .. } => self
                .silent(format!("the server at {shown} accepts nobody, and its queue of newcomers is full")),
            OpenError::Server { reason, .. } => self.greeted_badly(reason),
            OpenError::LongPath { .. } => Finding::problem(
                "path-too-long",
                error.to_string(),
                format!(
                    "serve a shorter path: {}, then `ivshmem doctor doorbell:/run/ivshmem.sock`",
                    self.starting(Path::new("/run/ivshmem.sock"))
                ),
            ),
            _ => {
                let why = error.source().map_or(String::new(), |why| format!(": {why}"));
                Finding::problem("not-a-server", format!("{error}{why}"), self.another_server())
            }
        }
    }

    fn no_server_remedy(&self) -> String {
        let parent = self.path.parent().unwrap_or(Path::new("/"));
        if places::is_of_the_system(self.path) {
            return format!("the system's own files belong there: {}", self.another_server());
        }
        let start = self.server(self.path);
        if parent.is_dir() || self.path.exists() {
            return format!("start a server before the machines: {}", self.typed(self.path, &start));
        }
        let start = format!("mkdir -p {} && {start}", shell_word(parent.display()));
        format!(
            "make the directory and start a server before the machines: {}",
            self.typed(self.path, &start)
        )
    }

    /// The server's user decides who may connect, so only the server's own options are a remedy: the process that listens
    /// there may be another program, which other users must not reach.
    fn denied(&self) -> Finding {
        let shown = self.path.display();
        let obstacles = self.sharers.own.obstacles(self.path, WRITE);
        let cause = match obstacles.first() {
            Some(first) if first.facts.is_dir() => format!(
                "user {} may not pass {} ({}) on the way to {shown}",
                self.sharers.own.name,
                first.path.display(),
                described(&first.facts)
            ),
            Some(first) => format!(
                "user {} may not connect to {shown} ({})",
                self.sharers.own.name,
                described(&first.facts)
            ),
            None => format!("user {} may not connect to {shown}", self.sharers.own.name),
        };
        let directories =
            obstacles.into_iter().filter(|obstacle| obstacle.facts.is_dir()).collect::<Vec<_>>();
        let remedy = match self.sharers.open_up(&directories, "") {
            // Size and vectors of the server are unknown.
            Some(command) if command.is_empty() => {
                format!(
                    "end that server and start it for both, {}, with -l, -n {OTHER_OPTIONS}",
                    as_root(&self.shared_with("", self.path))
                )
            }
            Some(command) => format!(
                "{}; if the socket itself is closed as well, start its server so: {}, with -l, -n {OTHER_OPTIONS}",
                as_root(&command),
                as_root(&self.shared_with("", self.path))
            ),
            None => {
                format!("serve where all who need it may go: {}", self.starting_shared(&in_run(self.path)))
            }
        };
        Finding::problem("not-permitted", cause, remedy)
    }

    /// Whether QEMU, which rarely runs as the user of this program, may connect. The server is known to run.
    fn qemu_access(&self) -> Option<Finding> {
        let user = self.sharers.qemu.as_ref()?;
        let obstacles = user.obstacles(self.path, WRITE);
        let Some(first) = obstacles.first() else { return self.qemu_admission(user) };
        let doing = if first.facts.is_dir() { "pass" } else { "connect to" };
        let cause = format!(
            "a machine that runs as {} may not {doing} {} ({})",
            user.name,
            first.path.display(),
            described(&first.facts)
        );
        let start = self.starting_shared(self.path);
        let remedy = match self.sharers.open_up(&obstacles, "rw") {
            Some(command) => {
                let command = as_root(&command);
                format!("{command}; to last, start the server so: {start}, {OTHER_OPTIONS}")
            }
            None => format!("serve where a machine may go: {}", self.starting_shared(&in_run(self.path))),
        };
        Some(Finding::problem("qemu-not-permitted", cause, remedy))
    }

    /// Whether the server admits a user whom the permissions let connect. Only root can test it, by acting as that user.
    fn qemu_admission(&self, user: &User) -> Option<Finding> {
        let refused = user.act(|| ivshmem::doorbell(self.path).connect().err())??;
        let remedy = match &refused {
            OpenError::Server {
                reason: ConnectionError::Protocol(ProtocolError::Refused(Refusal::NotAdmitted)),
                ..
            } => format!(
                "end the server and start it so that it admits both: {}, {OTHER_OPTIONS}",
                self.typed(
                    self.path,
                    &format!(
                        "{} --allow-uid {},{}",
                        self.shared(self.path),
                        self.sharers.own.name,
                        user.name
                    )
                )
            ),
            OpenError::Denied { .. } => {
                format!("serve where a machine may go: {}", self.starting_shared(&in_run(self.path)))
            }
            // Problems of all users were reported before, and others are transient.
            _ => return None,
        };
        let cause = format!("a machine that runs as {} may not connect: {refused}", user.name);
        Some(Finding::problem("qemu-not-permitted", cause, remedy))
    }

    fn greeted_badly(&self, reason: &ConnectionError) -> Finding {
        let cause = format!("{}: {reason}", self.path.display());
        match reason {
            ConnectionError::Protocol(ProtocolError::Refused(refusal))
                if !matches!(refusal, Refusal::Unknown(_)) =>
            {
                Finding::problem(
                    "server-refuses",
                    cause,
                    "do what the reason asks for: docs/wire.md lists all; the server's log names who was refused",
                )
            }
            ConnectionError::OutOfDescriptors { .. } => short_of_descriptors(cause),
            _ if reason.kind() == ErrorKind::PermissionDenied => Finding::problem(
                "security-module",
                cause,
                "AppArmor: allow in this program's profile what the server sends; SELinux: ausearch -m avc tells what to \
                 allow",
            ),
            ConnectionError::TimedOut { .. } => self.silent(cause),
            _ => Finding::problem("not-a-server", cause, self.another_server()),
        }
    }

    fn silent(&self, cause: String) -> Finding {
        let own = &self.sharers.own;
        let remedy = match listener::find(self.path) {
            Some(Listener { pid, uid, is_stopped: true }) => {
                let who = if own.is_root() || own.uid == uid { "" } else { "as root, " };
                format!("process {pid} was stopped, as by Ctrl-Z: {who}`kill -CONT {pid}`")
            }
            Some(Listener { pid, .. }) => format!(
                "process {pid} listens there; it hangs, or is another kind of server: {}",
                self.another_server()
            ),
            // The process belongs to another user.
            None if !own.is_root() => format!(
                "as root, `ivshmem doctor {}` says which process listens there and what to do; else {}",
                shell_word(format_args!("doorbell:{}", self.path.display())),
                self.another_server()
            ),
            None => self.another_server(),
        };
        Finding::problem("server-silent", cause, remedy)
    }

    fn size(&self, size: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let shown = self.path.display();
        // A wanted size of 3M matches 4M, because every server rounds up.
        if let Some(wanted) = self.size.filter(|wanted| *wanted != size && power_of_two(*wanted) != size) {
            findings.push(Finding::problem(
                "size-differs",
                format!(
                    "the server at {shown} has {size} bytes ({}), and {wanted} ({}) are wanted",
                    size::format(size),
                    size::format(wanted)
                ),
                format!(
                    "end it, when no machine needs it, and start it with the other size: {}, {OTHER_OPTIONS}; or use its \
                     size everywhere",
                    self.starting(self.path)
                ),
            ));
        }
        if !size.is_power_of_two() {
            findings.push(Finding::problem(
                "size-not-a-power-of-two",
                format!("the server at {shown} has {size} bytes; QEMU ends at once with that"),
                format!(
                    "end it and start one whose size is right: {}, {OTHER_OPTIONS}",
                    self.starting(self.path)
                ),
            ));
        }
        findings
    }

    fn vectors(&self, device: &Device) -> Option<Finding> {
        let peers = device.peers().unwrap_or_default();
        let all: BTreeSet<u16> = peers.iter().map(|peer| peer.vectors).chain([device.vectors()]).collect();
        let is_right = all.len() == 1 && self.vectors.is_none_or(|wanted| all.contains(&wanted));
        if is_right {
            return None;
        }
        let others = peers.iter().map(|peer| format!("peer {} has {}", peer.id, peer.vectors));
        let list: Vec<String> = others.chain([format!("a newcomer gets {}", device.vectors())]).collect();
        let wanted = self.vectors.map_or(String::new(), |wanted| format!(", and {wanted} are wanted"));
        Some(Finding::problem(
            "vectors-differ",
            format!(
                "numbers of vectors differ: {}{wanted}; nobody hears a vector above their own",
                list.join(", ")
            ),
            format!(
                "end the server and its machines, start it with one number, and each machine with vectors= of the same: \
                 {}, {OTHER_OPTIONS}",
                self.starting(self.path)
            ),
        ))
    }

    fn another_server(&self) -> String {
        let mut path = self.path.with_file_name("ivshmem.sock");
        let is_free = path != self.path && !path.exists() && path.parent().is_some_and(Path::is_dir);
        if !is_free || places::is_of_the_system(&path) {
            path = in_run(self.path);
        }
        let target = shell_word(format_args!("doorbell:{}", path.display()));
        format!(
            "name the socket of an ivshmem server (ivshmem-server -S PATH), or start one: {}, then `ivshmem doctor \
             {target}`",
            self.starting(&path)
        )
    }

    /// The remedy that starts a server, which machines of another user may use too.
    fn starting(&self, path: &Path) -> String {
        self.typed(path, &self.server(path))
    }

    fn server(&self, path: &Path) -> String {
        let alone = server_at(path) + &self.size_and_vectors();
        match self.sharers.owner_and_mode(path) {
            Some((owner, mode)) => format!("{alone} --mode {mode} --owner {owner}"),
            None => alone,
        }
    }

    fn starting_shared(&self, path: &Path) -> String {
        self.typed(path, &self.shared(path))
    }

    fn typed(&self, path: &Path, command: &str) -> String {
        typed(command, self.sharers.need_root(path))
    }

    fn shared(&self, path: &Path) -> String {
        self.shared_with(&self.size_and_vectors(), path)
    }

    fn shared_with(&self, options: &str, path: &Path) -> String {
        let owner = self.sharers.owner_of_new();
        format!("{}{options} --mode 660 --owner {owner}", server_at(path))
    }

    fn size_and_vectors(&self) -> String {
        let running = self.running.unwrap_or(Running { size: 4 << 20, vectors: 1 });
        let size = size::format(power_of_two(self.size.unwrap_or(running.size)));
        format!(" -l {size} -n {}", self.vectors.unwrap_or(running.vectors))
    }
}

fn server_at(path: &Path) -> String {
    format!("ivshmem-server -F -S {}", shell_word(path.display()))
}

/// The highest number of vectors that any client has, so that no client loses one.
fn most_vectors(device: &Device) -> u16 {
    let peers = device.peers().unwrap_or_default();
    peers.iter().map(|peer| peer.vectors).fold(device.vectors(), u16::max).max(1)
}

/// A path in /run, which every user can reach.
fn in_run(path: &Path) -> PathBuf {
    let name = path.file_name().filter(|name| name.len() < 100).unwrap_or("ivshmem.sock".as_ref());
    let path = Path::new("/run").join(name);
    if path.exists() { path.with_file_name("ivshmem-2.sock") } else { path }
}

/// Descriptors that a program needs in addition to those of vectors.
const OTHERS: u64 = 32;

/// Each vector of each peer takes a descriptor in each client.
fn descriptors(device: &Device) -> Option<Finding> {
    let peers = device.peers().unwrap_or_default();
    let needed: u64 =
        peers.iter().map(|peer| u64::from(peer.vectors)).sum::<u64>() + u64::from(device.vectors());
    let limit = getrlimit(Resource::Nofile).current?;
    (needed + OTHERS > limit).then(|| {
        short_of_descriptors(format!(
            "{} peers and this program have {needed} vectors, each of which is a descriptor, and the limit is {limit}: \
             few more fit",
            peers.len()
        ))
    })
}

fn short_of_descriptors(cause: String) -> Finding {
    const MANY: u64 = 65_536;
    let limits = getrlimit(Resource::Nofile);
    let possible = limits.maximum.map_or(MANY, |hard| hard.min(MANY));
    let here = if limits.current.is_some_and(|soft| soft < possible) {
        format!("in a shell by `ulimit -Sn {possible}`")
    } else {
        format!("in a shell of root by `ulimit -n {MANY}`")
    };
    let remedy = format!(
        "raise the limit for programs, machines and server, {here}; in a unit by LimitNOFILE={MANY}, in \
         /etc/libvirt/qemu.conf by max_files; or have fewer vectors"
    );
    Finding::problem("descriptors-short", cause, remedy)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_a_security_module_refuses_is_not_put_down_to_the_server() {
        let reason = Arc::new(io::Error::from(io::ErrorKind::PermissionDenied));
        let refused = ConnectionError::Io { doing: "receive from the server", reason };
        let question = Question {
            path: Path::new("/run/ivshmem.sock"),
            size: None,
            vectors: None,
            running: None,
            sharers: Sharers { own: User::own(), qemu: None },
        };
        let finding = question.greeted_badly(&refused);
        assert!(format!("{finding:?}").contains("security-module"), "{finding:?}");
    }
}
