//! A server that sends files whose closing waits for a process that does not answer: no caller waits with it, and the process
//! keeps its descriptors for everything else. Alone in its process, whose descriptors it counts.
#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::sys::linux::foreign;
use ivshmem_conformance::bare_server::{BareServer, Manner, send};
use ivshmem_conformance::fuse::{self, Fuse};
use ivshmem_conformance::skip;
use rustix::process::geteuid;

/// Against hanging.
const HANG: Duration = Duration::from_secs(20);
/// Makes this program the one that serves the file system on the directory that it names.
const SERVES: &str = "IVSHMEM_TEST_SERVES_FUSE";
/// Make this program a server that sends a file, and name the file and the socket.
const SENDS: &str = "IVSHMEM_TEST_SENDS";
const LISTENS: &str = "IVSHMEM_TEST_LISTENS";

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A process that ends when this is dropped.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a hostile server. It sends the file as the memory, or with a message that must have no descriptor.
fn send_to_all(file: &Path, path: &Path) {
    let file: OwnedFd = OpenOptions::new().read(true).write(true).open(file).unwrap().into();
    for (number, stream) in UnixListener::bind(path).unwrap().incoming().enumerate() {
        let stream = stream.unwrap();
        let gift = Some(&file);
        let messages = if number % 8 == 0 { &[(0, None), (1, None), (-1, gift)][..] } else { &[(0, gift)] };
        // A client that has gone needs no more.
        if messages.iter().all(|(value, fd)| send(&stream, *value, *fd).is_ok()) {
            let _ = rustix::io::read(&stream, &mut [0; 1]);
        }
    }
}

#[test]
fn files_whose_closing_is_never_answered_hold_up_no_caller_and_take_no_descriptors() {
    if !geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        skip(
            "files_whose_closing_is_never_answered_hold_up_no_caller_and_take_no_descriptors",
            "it needs root and /dev/fuse, to mount",
        );
        return;
    }
    if let Some(place) = std::env::var_os(SERVES) {
        fuse::serve(Path::new(&place)).unwrap();
        return;
    }
    if let (Some(file), Some(path)) = (std::env::var_os(SENDS), std::env::var_os(LISTENS)) {
        send_to_all(Path::new(&file), Path::new(&path));
        return;
    }
    let before = descriptors();
    let place = tempfile::tempdir().unwrap();
    let mountpoint = place.path().join("mounted");
    std::fs::create_dir(&mountpoint).unwrap();
    let mut serving = Command::new(std::env::current_exe().unwrap());
    serving.args(["--nocapture", "--quiet"]).env(SERVES, &mountpoint);
    let fuse = Fuse::start(&mountpoint, &mut serving).unwrap();
    let path = place.path().join("hostile");
    let _hostile = Killed(
        Command::new(std::env::current_exe().unwrap())
            .args(["--nocapture", "--quiet"])
            .env(SENDS, fuse.file())
            .env(LISTENS, &path)
            .spawn()
            .unwrap(),
    );
    // Dropped before the other process, which cannot end while the closing of its file has no answer.
    let mut fuse = fuse;
    let begin = Instant::now();
    while !path.exists() {
        assert!(begin.elapsed() < HANG, "the server listens");
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut refused = 0;
    for _ in 0..200 {
        let begin = Instant::now();
        let error = ivshmem::doorbell(&path).timeout(Duration::from_millis(200)).connect().unwrap_err();
        assert!(begin.elapsed() < HANG, "{error} after {:?}", begin.elapsed());
        if error.kind() == ErrorKind::NoSpace {
            let text = error.to_string();
            assert!(text.contains("16 files that a server sent") && text.contains("FUSE"), "{text}");
            refused += 1;
        }
    }
    println!("{refused} of 200 refused, {} descriptors", descriptors());
    // Each connection before leaves one file or a few.
    assert!((100..200).contains(&refused), "{refused}");
    // Those of the connections themselves are closed soon.
    let begin = Instant::now();
    while descriptors() >= before + 10 {
        assert!(begin.elapsed() < HANG, "{} descriptors, {before} before", descriptors());
        std::thread::sleep(Duration::from_millis(1));
    }
    // One that is being closed does not hold up the programs that this one starts.
    assert!(Command::new("/bin/true").status().unwrap().success());

    // The remedy.
    fuse.answer();
    let begin = Instant::now();
    while foreign::is_full() {
        assert!(begin.elapsed() < HANG, "the files are closed");
        std::thread::sleep(Duration::from_millis(1));
    }
    let path = place.path().join("honest");
    let _honest = BareServer::start(&path, Manner::default()).unwrap();
    ivshmem::doorbell(&path).connect().unwrap();
}
