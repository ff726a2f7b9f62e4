//! `ivshmem dump` compared with a bare loop that formats the same bytes as the same text.
//!
//! `cargo build --release -p ivshmem-cli && cargo run --release -p ivshmem-bench --bin dump`
//!
//! The loop reads the file through a buffer, looks up each byte in two tables, and writes to /dev/null. The command does
//! the same, and in addition starts as a program, opens a target, copies from shared memory, compares lines and handles
//! errors.
#![expect(clippy::print_stdout, reason = "a benchmark is for people to look at")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot measure has failed")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use ivshmem_bench::{Limit, Report, median, pin};

const SIZE: usize = 32 << 20;
const ROUNDS: usize = 15;
const LINE: usize = 16;
const DIGITS: &[u8; 16] = b"0123456789abcdef";

fn main() -> ExitCode {
    pin(0);
    let place = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = place.path().join("memory");
    std::fs::write(&path, noise()).unwrap();
    let program = std::env::current_exe().unwrap().with_file_name("ivshmem");
    let command = |output: &Path| {
        let mut command = Command::new(&program);
        command.arg("dump").arg(format!("plain:{}", path.display())).stdout(File::create(output).unwrap());
        assert!(command.status().unwrap().success(), "ivshmem dump failed");
    };

    // Both produce the same text.
    let (ours, bare) = (place.path().join("ours"), place.path().join("bare"));
    command(&ours);
    bare_loop(&path, &mut File::create(&bare).unwrap());
    let ours = std::fs::read(ours).unwrap();
    // The command's last line is the end of the memory, which the bare loop does not print.
    assert!(ours.starts_with(&std::fs::read(bare).unwrap()), "the texts differ");

    let (mut ratios, mut times) = (Vec::new(), [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        bare_loop(&path, &mut File::create("/dev/null").unwrap());
        let bare = begin.elapsed().as_secs_f64();
        let begin = Instant::now();
        command(Path::new("/dev/null"));
        let ours = begin.elapsed().as_secs_f64();
        ratios.push(ours / bare);
        times[0].push(bare);
        times[1].push(ours);
    }
    let [bare, ours] = times.map(|times| SIZE as f64 / f64::from(1 << 20) / median(times));
    println!("  bare loop {bare:.0} MiB/s, ivshmem dump {ours:.0} MiB/s");
    let mut report = Report::default();
    report.goal("ivshmem dump of 32 MiB, in times of a bare loop", ratios, Limit::AtMost(1.5));
    report.exit_code()
}

/// Bytes in which no two lines are equal.
fn noise() -> Vec<u8> {
    let mut state = 1_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..SIZE / 8).flat_map(|_| next().to_ne_bytes()).collect()
}

/// Writes the output of `hexdump -C` without its last line.
fn bare_loop(path: &Path, out: &mut File) {
    let digits: [[u8; 2]; 256] = std::array::from_fn(|byte| [DIGITS[byte >> 4], DIGITS[byte & 15]]);
    let mut ascii = [b'.'; 256];
    (b' '..=b'~').for_each(|byte| ascii[usize::from(byte)] = byte);
    let mut file = File::open(path).unwrap();
    let mut bytes = vec![0; 1 << 16];
    let mut text = Vec::with_capacity(bytes.len() * 5);
    for offset in (0..SIZE).step_by(bytes.len()) {
        file.read_exact(&mut bytes).unwrap();
        text.clear();
        for (line, bytes) in bytes.as_chunks::<LINE>().0.iter().enumerate() {
            let mut form =
                *b"                                                            |                |\n";
            let at = u32::try_from(offset + line * LINE).unwrap().to_be_bytes();
            for (place, byte) in at.iter().enumerate() {
                form[2 * place..2 * place + 2].copy_from_slice(&digits[usize::from(*byte)]);
            }
            for (column, byte) in bytes.iter().enumerate() {
                let place = 10 + 3 * column + column / 8;
                form[place..place + 2].copy_from_slice(&digits[usize::from(*byte)]);
                form[61 + column] = ascii[usize::from(*byte)];
            }
            text.extend_from_slice(&form);
        }
        out.write_all(&text).unwrap();
    }
}
