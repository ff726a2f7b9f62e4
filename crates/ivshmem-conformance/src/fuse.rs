//! A file system in user space (FUSE) with one file. Its process answers everything at once, except reads and the closing
//! of that file, which wait until the test lets it answer.
//!
//! The protocol is that of linux/fuse.h, version 7.31.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::geteuid;

use crate::skip;

/// The file system, served by another process until this value is dropped: a single process that both serves and uses it
/// can block unkillably.
#[derive(Debug)]
pub struct Fuse {
    place: PathBuf,
    server: Child,
    /// Kept open, because the server writes more than is read.
    _output: BufReader<ChildStdout>,
}

impl Fuse {
    /// For the only test of a program, which runs the program a second time to serve the file system on a new directory
    /// below `place`. Returns `None` in that second process after serving, and where the test cannot run.
    ///
    /// # Panics
    /// When the file system cannot be mounted.
    pub fn for_the_only_test(test: &str, place: &Path) -> Option<Self> {
        if !geteuid().is_root() || !Path::new("/dev/fuse").exists() {
            skip(test, "it needs root and /dev/fuse, to mount");
            return None;
        }
        if let Some(place) = std::env::var_os(SERVES) {
            serve(Path::new(&place)).unwrap();
            return None;
        }
        let mountpoint = place.join("mounted");
        std::fs::create_dir(&mountpoint).unwrap();
        let mut serving = Command::new(std::env::current_exe().unwrap());
        serving.args(["--nocapture", "--quiet"]).env(SERVES, &mountpoint);
        Some(Self::start(&mountpoint, &mut serving).unwrap())
    }

    /// Starts a program that calls [`serve`] for this directory, and waits until it has mounted the file system.
    fn start(place: &Path, program: &mut Command) -> io::Result<Self> {
        let mut server = program.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let has_mounted = output.by_ref().lines().map_while(Result::ok).any(|line| line.ends_with(MOUNTED));
        let fuse = Self { place: place.to_owned(), server, _output: output };
        if has_mounted {
            Ok(fuse)
        } else {
            Err(io::Error::other("the program has not mounted the file system"))
        }
    }

    /// The file: 4096 bytes.
    pub fn file(&self) -> PathBuf {
        self.place.join("file")
    }

    /// Answers all reads and closings, present and future.
    pub fn answer(&mut self) {
        self.server.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        let _ = Command::new("/usr/bin/umount").arg("--lazy").arg(&self.place).status();
    }
}

/// Environment variable with the directory on which a test's second process serves the file system.
const SERVES: &str = "IVSHMEM_TEST_SERVES_FUSE";
const MOUNTED: &str = "mounted";

/// Mounts the file system on a directory and serves it until standard input ends. After a line of input it answers reads,
/// with no data, and closings. Needs root.
fn serve(place: &Path) -> io::Result<()> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse")?;
    // The program that mounts inherits it, and passes its number to the kernel.
    fcntl_setfd(&device, FdFlags::empty())?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", device.as_raw_fd());
    let mount = ["-i", "-t", "fuse", "-o", &options, "ivshmem-test"];
    if !Command::new("/usr/bin/mount").args(mount).arg(place).status()?.success() {
        return Err(io::Error::other("mount has failed"));
    }
    let (answers, over) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    std::thread::spawn({
        let (answers, over) = (Arc::clone(&answers), Arc::clone(&over));
        move || {
            let mut byte = [0];
            while matches!(io::stdin().read(&mut byte), Ok(1)) {
                answers.store(true, Ordering::Relaxed);
            }
            over.store(true, Ordering::Relaxed);
        }
    });
    println!("{MOUNTED}");
    answer_requests(device, &answers, &over);
    Ok(())
}

const NO_SUCH_CALL: i32 = -38;
const ROOT: u64 = 1;
const FILE: u64 = 2;

fn answer_requests(mut device: File, answers: &AtomicBool, over: &AtomicBool) {
    let mut waiting = Vec::new();
    let mut request = vec![0; 1 << 20];
    while !over.load(Ordering::Relaxed) {
        if answers.load(Ordering::Relaxed) {
            waiting.drain(..).for_each(|unique| reply(&mut device, unique, 0, &[]));
        }
        let pause = Timespec::try_from(Duration::from_millis(10)).unwrap();
        if poll(&mut [PollFd::new(&device.as_fd(), PollFlags::IN)], Some(&pause)) != Ok(1) {
            continue;
        }
        let Ok(length) = device.read(&mut request) else { return };
        // struct fuse_in_header: length and opcode of 4 bytes, then unique and node of 8.
        let number = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().unwrap());
        let opcode = u32::from_ne_bytes(request[4..8].try_into().unwrap());
        let (unique, node) = (number(8), number(16));
        assert!(length >= 40, "a header");
        match opcode {
            // LOOKUP
            1 => {
                reply(&mut device, unique, 0, &[&words(&[FILE, 0, 0, 0, 0]), &attributes(FILE)[..]].concat())
            }
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => {}
            // GETATTR
            3 => reply(&mut device, unique, 0, &[&words(&[0, 0]), &attributes(node)[..]].concat()),
            // OPEN, OPENDIR
            14 | 27 => reply(&mut device, unique, 0, &words(&[0, 0])),
            // READ, FLUSH
            15 | 25 => waiting.push(unique),
            // INIT: the version, and zeroes for all optional fields.
            26 => {
                let mut init = [0; 64];
                init[..8].copy_from_slice(&[7_u32.to_ne_bytes(), 31_u32.to_ne_bytes()].concat());
                init[20..24].copy_from_slice(&4096_u32.to_ne_bytes());
                reply(&mut device, unique, 0, &init);
            }
            // RELEASE, RELEASEDIR, DESTROY
            18 | 29 | 38 => reply(&mut device, unique, 0, &[]),
            _ => reply(&mut device, unique, NO_SUCH_CALL, &[]),
        }
    }
}

fn words(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// struct fuse_attr.
fn attributes(node: u64) -> [u8; 88] {
    let (mode, size) = if node == ROOT { (0o040_755_u32, 0) } else { (0o100_666_u32, 4096_u64) };
    let mut attributes = [0; 88];
    attributes[..16].copy_from_slice(&words(&[node, size]));
    attributes[60..64].copy_from_slice(&mode.to_ne_bytes());
    attributes[64..68].copy_from_slice(&1_u32.to_ne_bytes());
    attributes[80..84].copy_from_slice(&4096_u32.to_ne_bytes());
    attributes
}

/// Writes struct fuse_out_header and the content. A request that was cancelled needs no answer, so errors are ignored.
fn reply(device: &mut File, unique: u64, error: i32, content: &[u8]) {
    let length = u32::try_from(16 + content.len()).unwrap();
    let header = [&length.to_ne_bytes()[..], &error.to_ne_bytes(), &unique.to_ne_bytes()].concat();
    let _ = device.write_all(&[&header, content].concat());
}
