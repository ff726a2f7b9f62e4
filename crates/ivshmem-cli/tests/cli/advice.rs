//! Types every command of the help, the man pages and the documents that can run on a host.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ivshmem::device::Device;
use ivshmem::doorbell::PeerEvent;
use ivshmem_conformance::checkout;
use ivshmem_server::Server;
use rustix::process::{Pid, Signal, getegid, kill_process};
use tempfile::TempDir;

use crate::run;

const HANG: Duration = Duration::from_secs(60);

/// All verbs in the help.
fn verbs() -> Vec<String> {
    let help = String::from_utf8(run(&["--help"]).stdout).unwrap();
    let list =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names =
        list.filter(|line| !line.starts_with("   ")).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The commands under "Examples:".
fn examples(help: &str) -> Vec<String> {
    let section = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    let section = section.take_while(|line| line.is_empty() || line.starts_with(' '));
    section
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| line.trim().to_owned())
        .collect()
}

fn examples_of(verb: &str) -> Vec<String> {
    examples(&String::from_utf8(run(&[verb, "--help"]).stdout).unwrap())
}

/// The commands with the word `ivshmem` in blocks for a shell, without their comments.
fn commands_of(document: &str) -> Vec<String> {
    let text = fs::read_to_string(checkout::root().join(document)).unwrap();
    let mut commands = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        match line {
            "```sh" => in_block = true,
            "```" => in_block = false,
            _ if in_block && line.contains("ivshmem ") => {
                commands.push(line.split(" #").next().unwrap().trim().to_owned());
            }
            _ => {}
        }
    }
    commands
}

#[test]
fn every_verb_has_examples_that_fit_into_80_columns() {
    for verb in verbs() {
        let examples = examples_of(&verb);
        assert!(!examples.is_empty(), "{verb}");
        for example in examples {
            assert!(example.len() <= 78, "{example}");
            assert!(example.contains(&format!("ivshmem {verb}")), "{verb}: {example}");
        }
    }
}

#[test]
fn what_the_help_says_can_be_typed() {
    let mut ran = 0;
    for verb in verbs() {
        ran += examples_of(&verb).iter().filter(|command| type_in(command)).count();
    }
    ran += examples_of("--help").iter().filter(|command| type_in(command)).count();
    assert!(ran > 30, "{ran}");
}

#[test]
fn what_the_documents_say_can_be_typed() {
    for (document, least) in [("docs/cli.md", 15), ("README.md", 6)] {
        let ran = commands_of(document).iter().filter(|command| type_in(command)).count();
        assert!(ran >= least, "{document}: {ran}");
    }
}

#[test]
fn man_pages_have_the_examples_of_the_help_and_end_with_statuses_and_other_pages() {
    let dir = TempDir::new().unwrap();
    assert!(run(&["manual", dir.path().to_str().unwrap()]).status.success());
    let read = |name: &str| fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
    for verb in verbs() {
        let page = read(&format!("ivshmem-{verb}"));
        let plain = page.replace("\\-", "-").replace("\\*(Aq", "'").replace("\\fB", "").replace("\\fR", "");
        for example in examples_of(&verb) {
            assert!(plain.contains(&example), "{verb} has no {example}: {page}");
        }
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "EXIT STATUS", "SEE ALSO"] {
            let heading = [format!(".SH {section}\n"), format!(".SH \"{section}\"\n")];
            assert!(heading.iter().any(|heading| page.contains(heading)), "{verb}: {section}");
        }
        assert!(!page.contains("SH EXTRA"));
        assert!(plain.contains("ivshmem(1), ivshmem-server(1)"), "{verb}");
    }
    assert!(read("ivshmem").replace("\\-", "-").contains("ivshmem-dump(1)"));
}

/// Types a command into a shell, in an environment with everything that it names. Returns false for one that needs a guest.
fn type_in(command: &str) -> bool {
    let is_for_guests = [" auto", "pci:", "ivshmem bind", "ivshmem setup"];
    if is_for_guests.iter().any(|word| command.contains(word)) && !command.ends_with("--dry-run") {
        return false;
    }
    let world = World::for_command(command);
    let words = world.place(command);
    let ends = ["--count", "--timeout", "|"].iter().any(|word| command.contains(word));
    let verb = command.split("ivshmem ").nth(1).unwrap().split(' ').next().unwrap();
    let goes_on = ["serve", "watch", "listen"].contains(&verb) && !ends || command.ends_with("--answer");
    let mut shell = Command::new("sh");
    // A signal must reach the command, not the shell.
    let words = if goes_on { format!("exec {words}") } else { words };
    shell.args(["-c", &words]).current_dir(world.dir.path()).env("PATH", path());
    let child = shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut typed = Typed(child);
    if goes_on {
        world.until_it_speaks(&mut typed, command);
    } else {
        let (code, out, err) = typed.end();
        let is_good = code == Some(0) && err.is_empty() || verb == "doctor" && code == Some(4);
        assert!(is_good, "{command}: {code:?} {out} {err}");
    }
    true
}

/// A PATH with the directory of the tested program, followed by those of the system.
fn path() -> String {
    let folder = Path::new(checkout::built("ivshmem")).parent().unwrap();
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", folder.display())
}

/// A shell and its command; dropping it ends both.
struct Typed(Child);

impl Typed {
    fn end(mut self) -> (Option<i32>, String, String) {
        let (mut out, mut err) = (Vec::new(), String::new());
        let mut stdout = self.0.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            stdout.read_to_end(&mut out).unwrap();
            String::from_utf8_lossy(&out).into_owned()
        });
        self.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (self.0.wait().unwrap().code(), reader.join().unwrap(), err)
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory with a file of memory and files to copy, and servers with a peer that answers, which replace those that
/// documents name.
struct World {
    dir: TempDir,
    peers: Vec<Arc<Device>>,
    _servers: Vec<Server>,
}

impl World {
    fn for_command(command: &str) -> Self {
        let dir = TempDir::new().unwrap();
        for folder in ["run", "shm", "tmp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["file", "copy"] {
            fs::write(dir.path().join(file), "Hello World!").unwrap();
        }
        // `ivshmem create` creates it.
        if !command.contains("ivshmem create") || command.contains("--grow") {
            File::create(dir.path().join("shm/x")).unwrap().set_len(16 << 20).unwrap();
        }
        let sockets: &[&str] =
            if command.contains("ivshmem serve") { &[] } else { &["run/ivshmem", "tmp/ivshmem"] };
        let servers: Vec<_> = sockets
            .iter()
            .map(|socket| {
                let builder = Server::builder(dir.path().join(format!("{socket}.sock")));
                let status = dir.path().join(format!("{socket}-status.sock"));
                builder.size(64 << 20).vectors(2).status_socket(status).start().unwrap()
            })
            .collect();
        let peers = servers.iter().map(|server| answering(server.path())).collect();
        Self { dir, peers, _servers: servers }
    }

    /// The command with all of its paths in this directory.
    fn place(&self, command: &str) -> String {
        let root = self.dir.path().display();
        let group = format!(":{}", getegid().as_raw());
        command
            .replace("/dev/shm/", &format!("{root}/shm/"))
            .replace("/run/", &format!("{root}/run/"))
            .replace("/tmp/ivshmem", &format!("{root}/tmp/ivshmem"))
            .replace(":kvm", &group)
    }

    /// Waits for a line of a command that runs until Ctrl-C, and sends that.
    fn until_it_speaks(&self, typed: &mut Typed, command: &str) {
        let mut lines = BufReader::new(typed.0.stdout.take().unwrap());
        let over = std::sync::atomic::AtomicBool::new(false);
        let line = std::thread::scope(|scope| {
            scope.spawn(|| {
                let begin = Instant::now();
                let file = self.dir.path().join("shm/x");
                while !over.load(std::sync::atomic::Ordering::Relaxed) && begin.elapsed() < HANG {
                    // A change, for which `watch` waits.
                    if let Ok(memory) = ivshmem::plain(&file).open() {
                        let _ = memory.memory().fetch_add(0, 1_u32, std::sync::atomic::Ordering::Relaxed);
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
            let mut line = String::new();
            lines.read_line(&mut line).unwrap();
            over.store(true, std::sync::atomic::Ordering::Relaxed);
            line
        });
        assert_ne!(line, "", "{command}");
        kill_process(Pid::from_child(&typed.0), Signal::INT).unwrap();
    }
}

/// Peer 0: rings every new peer on each vector, and answers rings on vector 0.
fn answering(socket: &Path) -> Arc<Device> {
    let device = Arc::new(ivshmem::doorbell(socket).vectors(2).connect().unwrap());
    let ring_all = |device: &Device| {
        for peer in device.peers().unwrap_or_default() {
            (0..2).for_each(|vector| drop(device.ring(peer.id, vector)));
        }
    };
    let (one, two) = (Arc::downgrade(&device), Arc::downgrade(&device));
    let to_interrupts =
        device.on_interrupt(0, move |_| drop(one.upgrade().inspect(|device| ring_all(device))));
    to_interrupts.unwrap().forget();
    let to_peers = device.on_peer(move |event| {
        if matches!(event, PeerEvent::Connected(_) | PeerEvent::VectorsChanged(_)) {
            drop(two.upgrade().inspect(|device| ring_all(device)));
        }
    });
    to_peers.unwrap().forget();
    device
}

impl Drop for World {
    fn drop(&mut self) {
        self.peers.iter().for_each(|peer| peer.close());
    }
}
