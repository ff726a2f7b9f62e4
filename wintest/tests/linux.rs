//! A Windows program and a Linux program as clients of one server, through the double: memory and interrupts in both
//! directions.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device as Linux;
use ivshmem_server::Server;
use ivshmem_wintest::{Bench, Device, can_run, contract_program};

const HANG: Duration = Duration::from_secs(60);
/// Offsets in the memory, as in wintest/contract/linux.c.
const TURN: u64 = 0;
const PEER_OF_LINUX: u64 = 8;
const TURNS: u64 = 16;
const BLOCK: u64 = 4096;
const BLOCK_SIZE: u32 = 4096;

const VECTORS: u16 = 8;
/// Half of them are interrupts from Windows, half from Linux.
const ALL: u32 = 2002;

#[test]
fn a_64_bit_program_and_a_linux_program_interrupt_each_other() {
    if can_run("a_64_bit_program_and_a_linux_program_interrupt_each_other") {
        takes_turns("turns-64", 64);
    }
}

#[test]
fn a_32_bit_program_and_a_linux_program_interrupt_each_other() {
    if can_run("a_32_bit_program_and_a_linux_program_interrupt_each_other") {
        takes_turns("turns-32", 32);
    }
}

fn takes_turns(name: &str, bits: u32) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let server = Server::builder(&socket).size(1 << 20).vectors(u32::from(VECTORS)).start().unwrap();
    let linux = ivshmem::doorbell(&socket).connect().unwrap();
    let memory = linux.memory();
    memory.write_word_le(PEER_OF_LINUX, linux.own_id().unwrap().0).unwrap();
    memory.write_word_le(TURNS, ALL).unwrap();
    let bench = Bench::new(name).device(Device::socket(&socket).vectors(VECTORS));
    let windows = bench.start(contract_program(bits), &["linux"]);

    // The driver connects before its program starts, and the program before its first turn.
    let peer = other_peer(&linux);
    for turn in (2..ALL).step_by(2) {
        wait_for(&linux, turn);
        if turn > 2 {
            assert_eq!(block(&linux), pattern(turn - 1), "turn {turn}");
        }
        memory.write(BLOCK, &pattern(turn)).unwrap();
        memory.store(TURN, turn + 1, Ordering::SeqCst).unwrap();
        linux.ring(peer, vector(turn + 1)).unwrap();
    }
    let said = windows.wait().said();
    assert!(said.contains(&format!("{ALL} turns")) && said.contains("1 passed; 0 failed"), "{said}");
    drop(server);
}

#[test]
fn a_killed_double_has_left_the_server() {
    if !can_run("a_killed_double_has_left_the_server") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("socket");
    let _server = Server::builder(&socket).size(1 << 20).vectors(1).start().unwrap();
    let linux = ivshmem::doorbell(&socket).connect().unwrap();
    let bench = Bench::new("killed").device(Device::socket(&socket));
    // The double's report begins with its process id; the double is started again after it was killed.
    let script = r#"
        pid=$("$WINE" cmd /c type '\\.\IvshmemDouble' | sed -n 's/^double process=\([0-9]*\) .*/\1/p')
        read go; kill -KILL "$pid"; read go
        "$WINE" net start IvshmemDouble && "$WINE" cmd /c type '\\.\IvshmemDouble'"#;
    let mut running = bench.start(Path::new("bash"), &["-c", script]);
    let first = other_peer(&linux);
    running.tell();
    until(|| linux.peers().unwrap().is_empty());
    running.tell();
    let again = other_peer(&linux);
    assert_ne!(again, first, "an id that somebody has seen is not given out again");
    let said = running.wait().said();
    assert!(said.contains(&format!("device=0 size=1048576 peer={} vectors=1 ready=1", again.0)), "{said}");
}

fn vector(turn: u32) -> u16 {
    u16::try_from(turn % u32::from(VECTORS)).unwrap()
}

fn pattern(turn: u32) -> Vec<u8> {
    (0..BLOCK_SIZE).map(|at| (turn * 31 + at * 7 + (at >> 8)).to_le_bytes()[0]).collect()
}

fn block(device: &Linux) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_SIZE as usize];
    device.memory().read(BLOCK, &mut bytes).unwrap();
    bytes
}

/// Waits for the word by interrupts of the turn's vector alone, so that a lost one causes a hang.
fn wait_for(device: &Linux, turn: u32) {
    while device.memory().load::<u32>(TURN, Ordering::SeqCst).unwrap() != turn {
        assert!(
            device.wait(vector(turn), Some(Instant::now() + HANG)).unwrap(),
            "no interrupt for turn {turn}"
        );
    }
}

fn other_peer(device: &Linux) -> PeerId {
    until(|| !device.peers().unwrap().is_empty());
    device.peers().unwrap()[0].id
}

fn until(mut what: impl FnMut() -> bool) {
    let end = Instant::now() + HANG;
    while !what() {
        assert!(Instant::now() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}
