//! Counts descriptors, threads and mappings before and after many connections. This test needs its own process, so that the
//! counts include nothing else.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::time::{Duration, Instant};

use ivshmem_conformance::bare_server::{BareServer, Manner};

#[derive(Debug)]
struct Counts {
    descriptors: usize,
    threads: usize,
    mappings_of_memory: usize,
}

impl Counts {
    /// Whether nothing is left over. `before` may include a descriptor or a thread of an operation that was about to end.
    fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.mappings_of_memory == before.mappings_of_memory
    }

    fn now() -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        Self {
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count(),
            threads: std::fs::read_dir("/proc/self/task").unwrap().count(),
            mappings_of_memory: maps.lines().filter(|line| line.contains("memfd:bare-server")).count(),
        }
    }
}

#[test]
fn a_thousand_connections_leave_no_descriptor_thread_or_mapping() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("socket");
    let _server = BareServer::start(&path, Manner::default()).unwrap();
    let stays = ivshmem::doorbell(&path).vectors(2).connect().unwrap();
    let before = Counts::now();
    assert_eq!(before.mappings_of_memory, 1);
    let mut closed_but_held = Vec::new();
    for round in 0..1000 {
        let device = ivshmem::doorbell(&path).vectors(2).reconnect(round % 7 == 0).connect().unwrap();
        let own = device.own_id().unwrap();
        let registration = device.on_interrupt(0, |_| {}).unwrap();
        device.on_peer(|_| {}).unwrap().forget();
        device.ring(own, 0).unwrap();
        device.ring(own, 1).unwrap();
        assert!(device.wait(1, None).unwrap());
        match round % 4 {
            0 => device.close(),
            1 => drop(registration),
            // A registration that outlives its device keeps no resource of it.
            2 if round < 100 => closed_but_held.push(registration),
            _ => registration.forget(),
        }
    }
    for _ in 0..100 {
        ivshmem::doorbell(place.path().join("nothing")).connect().unwrap_err();
        // With vectors missing, everything received before is released.
        ivshmem::doorbell(&path).vectors(3).timeout(Duration::from_millis(1)).connect().unwrap_err();
    }
    // The server notices the last disconnection after a while, and a thread that has ended disappears after a while.
    let limit = Instant::now() + Duration::from_secs(30);
    while !Counts::now().is_within(&before) && Instant::now() < limit {
        std::thread::sleep(Duration::from_millis(5));
    }
    let after = Counts::now();
    assert!(after.is_within(&before), "{after:?} after {before:?}");
    drop(closed_but_held);
    assert!(stays.peers().unwrap().len() <= 1);
}
