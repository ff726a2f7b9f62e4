//! Files with holes: verbs that only read leave holes as they are, and writing fills what it writes to.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use ivshmem_conformance::checkout;
use tempfile::TempDir;

use crate::doctor::mounts::in_mounts;
use crate::{bad, fed, good, ivshmem, run, run_with_input};

const SIZE: u64 = 32 << 20;

fn space(path: &Path) -> u64 {
    fs::metadata(path).unwrap().blocks() * 512
}

/// A file that consists of one hole, and its target.
fn sparse(dir: &Path) -> (PathBuf, String) {
    let path = dir.join("sparse");
    File::create(&path).unwrap().set_len(SIZE).unwrap();
    let target = format!("plain:{}", path.display());
    (path, target)
}

/// Arguments of `ivshmem` for each verb that only reads.
fn looks(target: &str) -> Vec<Vec<String>> {
    ["info {}", "read {}", "read {} 0 4096 --json", "dump {}", "watch {} --timeout 0.05", "doctor {}"]
        .map(|words| words.replace("{}", target).split(' ').map(str::to_owned).collect())
        .to_vec()
}

#[test]
fn looking_takes_no_space_for_holes() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (path, target) = sparse(dir.path());
    // The same target string may be used by programs that write and by verbs that only read.
    for target in [target.clone(), format!("{target}?prefault"), format!("{target}?readonly&prefault")] {
        for words in looks(&target) {
            let output = ivshmem().args(&words).stdin(Stdio::null()).output().unwrap();
            good(&output);
            assert_eq!(space(&path), 0, "{words:?}");
        }
        // Verbs that need interrupts fail, and take no space either.
        for verb in ["peers {}", "ring {} 0 0", "listen {}", "ping {}"] {
            let words: Vec<String> = verb.replace("{}", &target).split(' ').map(str::to_owned).collect();
            bad(&ivshmem().args(&words).output().unwrap(), 1);
            assert_eq!(space(&path), 0, "{words:?}");
        }
    }
    let read = run(&["read", &target]);
    assert!(read.stdout.len() as u64 == SIZE && read.stdout.iter().all(|byte| *byte == 0));
    good(&run_with_input(&["write", &target, "8190"], b"here"));
    assert_eq!(space(&path), 8192, "what was written to");
    assert_eq!(run(&["read", &target, "8190", "4"]).stdout, b"here");
}

#[test]
fn looking_at_the_memory_of_a_server_takes_no_memory() {
    let dir = TempDir::new().unwrap();
    let socket = dir.path().join("s.sock");
    let _server = ivshmem_server::Server::builder(&socket).size(SIZE).start().unwrap();
    let target = format!("doorbell:{}", socket.display());
    // The server runs in this process.
    let memory = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
    let memory: Vec<PathBuf> = memory
        .filter(|link| fs::read_link(link).is_ok_and(|name| name.to_string_lossy().contains("memfd:")))
        .filter(|link| fs::metadata(link).is_ok_and(|facts| facts.len() == SIZE))
        .collect();
    assert!(!memory.is_empty());
    for words in looks(&target) {
        good(&ivshmem().args(&words).stdin(Stdio::null()).output().unwrap());
        assert!(memory.iter().all(|memory| space(memory) == 0), "{words:?}");
    }
}

#[test]
fn looking_creates_and_grows_nothing_and_names_the_verb_that_does() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("new");
    let target = format!("plain:{}?size=64K", path.display());
    for words in looks(&target).into_iter().filter(|words| words[0] != "doctor") {
        let text = bad(&ivshmem().args(&words).output().unwrap(), 1);
        assert!(text.contains(&format!("ivshmem create plain:{} ", path.display())), "{text}");
        assert!(!path.exists(), "{words:?}");
    }
    fs::write(&path, [1; 4096]).unwrap();
    for words in looks(&target).into_iter().filter(|words| words[0] != "doctor") {
        let text = bad(&ivshmem().args(&words).output().unwrap(), 1);
        assert!(text.contains("65536 bytes is more than the file's 4096"), "{text}");
        assert_eq!(fs::metadata(&path).unwrap().len(), 4096, "{words:?}");
    }
}

#[test]
fn on_a_full_tmpfs_holes_are_read_and_writing_to_them_is_an_error_and_not_the_end() {
    let test = "on_a_full_tmpfs_holes_are_read_and_writing_to_them_is_an_error_and_not_the_end";
    in_mounts(test, "tmpfs", "size=1m", |mounted| {
        let dir = mounted.seen_from_outside();
        let (path, _) = sparse(&dir);
        let target = format!("plain:{}/sparse", mounted.point());
        let run_with_input = |words: &[&str], input: &[u8]| {
            fed(mounted.command(checkout::built("ivshmem")).args(words), input)
        };
        fs::write(dir.join("rest"), vec![1; 2 << 20]).unwrap_err();
        for words in looks(&target).into_iter().filter(|words| words[0] != "doctor") {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            good(&run_with_input(&words, b""));
        }
        let text = bad(&run_with_input(&["write", &target, "4096"], b"here"), 1);
        assert!(text.contains("no space for 4 bytes at offset 4096"), "{text}");
        let text = bad(&run_with_input(&["fill", &target, "7"], b""), 1);
        assert!(text.contains("no space for 1048576 bytes at offset 0"), "{text}");
        let text = bad(&run_with_input(&["write", &format!("{target}?prefault")], b""), 1);
        assert!(text.contains("no space for 33554432 bytes"), "{text}");
        assert_eq!(space(&path), 0);
        let text =
            bad(&run_with_input(&["create", &format!("plain:{}/new", mounted.point()), "64K"], b""), 1);
        assert!(text.contains("no space for 65536 bytes") && !dir.join("new").exists(), "{text}");
    });
}
