//! Types the arguments that `doctor` and `serve` print into a shell unchanged; real QEMU must accept them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use ivshmem_conformance::checkout;
use ivshmem_conformance::huge_pages::HugePages;
use ivshmem_conformance::skip;
use ivshmem_server::Server;
use tempfile::TempDir;

use super::mounts::in_mounts;
use super::{HERE, Place, folder, make};
use crate::ivshmem;

/// Names that need quoting in a shell, in QEMU's options or in XML.
const NAMES: [&str; 6] = ["x", "a b", "a&b", "a'b", "a,b", "$x;`\"é"];

fn has_qemu(test: &str) -> bool {
    let has = Command::new("qemu-system-x86_64").arg("--version").output().is_ok();
    if !has {
        skip(test, "QEMU is not here");
    }
    has
}

/// The doctor's text output.
#[track_caller]
fn printed(place: Place, target: &str) -> String {
    let output = place.command(checkout::built("ivshmem")).args(["doctor", target]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("nothing is wrong"), "{text}");
    text
}

/// The lines below the heading with this beginning, as a terminal shows them.
#[track_caller]
fn block<'a>(text: &'a str, heading: &str) -> (&'a str, String) {
    let mut lines = text.lines().skip_while(|line| !line.starts_with(heading));
    let heading = lines.next().unwrap_or_else(|| panic!("no {heading:?} in {text}"));
    let body: Vec<&str> = lines.take_while(|line| line.starts_with("  ")).collect();
    (heading, body.join("\n"))
}

/// A QEMU that runs up to its monitor.
struct Machine {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Machine {
    /// Starts it with these words, which the shell splits.
    fn start(place: Place, words: &str) -> Self {
        let line = format!(
            "exec timeout --signal=KILL 120 qemu-system-x86_64 -S -nodefaults -display none -monitor stdio 2>&1 \
             {words}"
        );
        let mut child = place
            .command("sh")
            .args(["-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, lines }
    }

    /// Types lines into the monitor, ends the machine, and returns all of its output.
    fn says(mut self, lines: &str) -> String {
        let mut monitor = self.child.stdin.take().unwrap();
        let _ = write!(monitor, "{lines}\ninfo qtree\nprint /d 4242*10001\n");
        let mut said = Vec::new();
        // A terminal's echo is not UTF-8 text. Output that was not read when QEMU quits is lost.
        while self.lines.read_until(b'\n', &mut said).unwrap() > 0 {
            if said.trim_ascii_end().ends_with(b"42424242") {
                let _ = writeln!(monitor, "quit");
            }
        }
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(self.child.wait().unwrap().success(), "{said}");
        said
    }

    #[track_caller]
    fn has(self, device: &str, count: usize) {
        let said = self.says("");
        assert_eq!(said.matches(&format!("dev: {device}")).count(), count, "{said}");
    }
}

#[test]
fn qemu_takes_what_is_printed_for_a_file() {
    if !has_qemu("qemu_takes_what_is_printed_for_a_file") {
        return;
    }
    let elsewhere = TempDir::with_prefix_in("ivshmem-doctor ", "/var/tmp").unwrap();
    for (place, size) in [(PathBuf::from("/dev/shm"), 4 << 10), (elsewhere.path().to_owned(), 1 << 20)] {
        for name in NAMES {
            let file = Removed(place.join(format!("ivshmem-doctor.{}.{name}", std::process::id())));
            make(&file.0, size, 0o600);
            let text = printed(HERE, &format!("plain:{}", file.0.display()));
            let (_, words) = block(&text, "QEMU:");
            Machine::start(HERE, &words).has("ivshmem-plain", 1);
            assert_eq!(fs::metadata(&file.0).unwrap().len(), size, "the file is the same");
        }
    }
}

/// Two memories in one machine have different ids.
#[test]
fn arguments_of_several_memories_are_taken_together() {
    if !has_qemu("arguments_of_several_memories_are_taken_together") {
        return;
    }
    let (dirs, mut all) = ([folder("x"), folder("x")], String::new());
    for (dir, target) in &dirs {
        make(&dir.path().join("x"), 4096, 0o600);
        all += &block(&printed(HERE, target), "QEMU:").1;
    }
    Machine::start(HERE, &all).has("ivshmem-plain", 2);
    // Names that look the same after replacing the characters that QEMU does not allow.
    let ((dir, target), mut all) = (folder(""), String::new());
    fs::create_dir(dir.path().join("r")).unwrap();
    let names = ["r-d", "r d", "r/d", "r,d", "r.d"];
    for name in names {
        make(&dir.path().join(name), 4096, 0o600);
        all += &block(&printed(HERE, &format!("{target}{name}")), "QEMU:").1;
    }
    Machine::start(HERE, &all).has("ivshmem-plain", names.len());
    // With several servers the first line is needed only once.
    let (dir, mut all) = (TempDir::new().unwrap(), String::new());
    let sockets = ["s", "t"].map(|name| dir.path().join(name));
    let _servers = sockets.each_ref().map(|socket| Server::builder(socket).start().unwrap());
    for socket in &sockets {
        let words = block(&printed(HERE, &format!("doorbell:{}", socket.display())), "QEMU:").1;
        let (once, own) = words.split_once("\\\n").unwrap();
        all = if all.is_empty() { format!("{once}{own}") } else { all + own };
    }
    Machine::start(HERE, &all).has("ivshmem-doorbell", 2);
}

struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn qemu_takes_what_is_printed_for_huge_pages() {
    let test = "qemu_takes_what_is_printed_for_huge_pages";
    if !has_qemu(test) {
        return;
    }
    let _pages = match HugePages::add(2) {
        Ok(pages) => pages,
        Err(why) => return skip(test, &why),
    };
    in_mounts(test, "hugetlbfs", "pagesize=2M", |mounted| {
        mounted.run("truncate -s 4M \"$M/a b\"");
        let place = mounted.place();
        let text = printed(place, &format!("plain:{}/a b", mounted.point()));
        Machine::start(place, &block(&text, "QEMU:").1).has("ivshmem-plain", 1);
    });
}

/// `ivshmem serve` in its directory, with a relative path.
struct Serving {
    child: Child,
    greeting: String,
}

impl Serving {
    fn start(folder: &Path, name: &str) -> Self {
        let mut command = ivshmem();
        command.current_dir(folder).args(["serve", name, "--vectors", "3"]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut serving = Self { child: child.unwrap(), greeting: String::new() };
        let mut lines = BufReader::new(serving.child.stdout.take().unwrap());
        while !serving.greeting.contains("programs:") {
            assert_ne!(lines.read_line(&mut serving.greeting).unwrap(), 0, "{}", serving.greeting);
        }
        serving
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn qemu_takes_what_doctor_and_serve_print_for_a_server() {
    if !has_qemu("qemu_takes_what_doctor_and_serve_print_for_a_server") {
        return;
    }
    for name in NAMES {
        let dir = TempDir::new().unwrap();
        let served = Serving::start(dir.path(), name);
        let words = block(&served.greeting, "QEMU:").1;
        let target = format!("doorbell:{}", dir.path().join(name).display());
        assert_eq!(words, block(&printed(HERE, &target), "QEMU:").1, "one printer");
        let said = Machine::start(HERE, &words).says("");
        assert!(said.contains("dev: intel-iommu") && said.contains("vectors = 3"), "{said}");
        // Runs the printed example too.
        let example = served.greeting.lines().find(|line| line.starts_with("programs:")).unwrap();
        let example = example.split_once("for example: ").unwrap().1;
        let path = Path::new(checkout::built("ivshmem")).parent().unwrap();
        let output = Command::new("sh")
            .args(["-c", example])
            .env("PATH", format!("{}:/usr/bin", path.display()))
            .output()
            .unwrap();
        assert!(output.status.success(), "{example}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_running_machine_takes_what_is_printed_for_later() {
    if !has_qemu("a_running_machine_takes_what_is_printed_for_later") {
        return;
    }
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in NAMES {
        let file =
            Removed(Path::new("/dev/shm").join(format!("ivshmem-doctor.{}.l.{name}", std::process::id())));
        make(&file.0, 1 << 20, 0o600);
        let socket = dir.path().join(name);
        let _server = Server::builder(&socket).start().unwrap();
        for (target, device) in [
            (format!("plain:{}", file.0.display()), "ivshmem-plain"),
            (format!("doorbell:{}", socket.display()), "ivshmem-doorbell"),
        ] {
            let text = printed(HERE, &target);
            let (heading, lines) = block(&text, "QEMU, to plug it in later:");
            let start = heading.split_once("start with ").unwrap().1.split_once(", and").unwrap().0;
            let said = Machine::start(HERE, &format!("-machine q35 {start}")).says(&lines);
            assert_eq!(said.matches(&format!("dev: {device}")).count(), 1, "{said}");
            // Without a root port there is no slot: the root bus of q35 does not support hot-plug.
            let said = Machine::start(HERE, "-machine q35").says(&lines.replace(",bus=later", ""));
            assert!(said.contains("does not support hotplugging"), "{said}");
        }
    }
}

/// The lines of a page that are arguments of QEMU, without placeholders.
fn documented(page: &str) -> Vec<String> {
    let path = checkout::root().join("docs").join(page);
    let text = fs::read_to_string(path).unwrap().replace("\\\n", "");
    let lines = text.lines().filter_map(|line| {
        let words = line.strip_prefix("qemu-system-x86_64 ").or_else(|| line.strip_prefix("args: "));
        words
            .or_else(|| ["-chardev ", "-object "].iter().any(|start| line.starts_with(start)).then_some(line))
    });
    lines.map(|line| line.replace(" ...", " ").replace("... ", " ")).collect()
}

#[test]
fn qemu_takes_what_stands_in_the_documentation() {
    let test = "qemu_takes_what_stands_in_the_documentation";
    if !has_qemu(test) {
        return;
    }
    // With its sockets and files at the paths of a real system.
    in_mounts(test, "tmpfs", "size=256M", |mounted| {
        mounted.run("mkdir $M/run $M/shm && mount --bind $M/run /run && mount --bind $M/shm /dev/shm");
        let place = mounted.place();
        let _server = place.type_in("`ivshmem-server -F -S /run/ivshmem.sock -l 64M -n 4`");
        let mut count = 0;
        for page in ["server.md", "linux-guest.md", "windows.md"] {
            let lines = documented(page);
            assert!(!lines.is_empty(), "{page}");
            for line in lines {
                count += 1;
                Machine::start(place, &line).has("ivshmem-", 1);
            }
        }
        assert!(count >= 5, "{count}");
    });
}
