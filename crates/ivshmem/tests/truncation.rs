//! A file that becomes shorter while it is mapped: the effects on its users that SECURITY.md describes.
#![cfg(target_os = "linux")]
#![expect(clippy::print_stdout, reason = "the test reads what its other process says")]
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ivshmem::ErrorKind;

const SIZE: u64 = 4 << 20;
const PLACE: &str = "IVSHMEM_TEST_PLACE";

#[test]
fn a_file_that_is_cut_short_ends_who_touches_what_is_lost_by_sigbus_and_nobody_else() {
    const ROUNDS: u32 = 20;
    let name = "a_file_that_is_cut_short_ends_who_touches_what_is_lost_by_sigbus_and_nobody_else";
    if let Some(place) = std::env::var_os(PLACE) {
        return touch_without_end(Path::new(&place));
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("memory");
    for round in 0..ROUNDS {
        let device = ivshmem::plain(&path).size(SIZE).open().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture"]).env(PLACE, &path).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        while !lines.next().expect("the child has ended").unwrap().ends_with("touching") {}
        std::thread::sleep(Duration::from_micros(u64::from(round) * 173));
        OpenOptions::new().write(true).open(&path).unwrap().set_len(4096).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(rustix::process::Signal::BUS.as_raw()), "{status}");
        // The rest of the file works, and so does everything that does not access the lost pages.
        device.memory().fill(0, 1, 4096).unwrap();
        device.memory().sync(0, SIZE).unwrap();
        device.memory().detach().unwrap();
        assert!(device.memory().is_closed());
        assert_eq!(ivshmem::plain(&path).open().unwrap().memory().len(), 4096);
        let error = ivshmem::plain(&path).window(4096, 4096).open().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds, "{error}");
        let again = ivshmem::plain(&path).size(SIZE).open().unwrap();
        again.memory().fill(0, 1, SIZE).unwrap();
        fs::remove_file(&path).unwrap();
    }
}

fn touch_without_end(path: &Path) {
    let device = ivshmem::plain(path).open().unwrap();
    println!("touching");
    loop {
        device.memory().fill(0, 7, SIZE).unwrap();
        device.memory().index_of(0, SIZE, &[1]).unwrap();
    }
}
