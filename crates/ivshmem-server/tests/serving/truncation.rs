//! Clients that try to truncate the memory that others use.

use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ivshmem_server::Server;
use rustix::fs::{FallocateFlags, SealFlags, fallocate, fcntl_add_seals, ftruncate};
use rustix::io::Errno;

use crate::client::Client;

const SIZE: u64 = 4 << 20;

/// A lost page would end this process with SIGBUS.
#[test]
fn no_client_cuts_sealed_memory_short_while_others_use_it() {
    let dir = tempfile::tempdir().unwrap();
    for prealloc in [false, true] {
        let server =
            Server::builder(dir.path().join("socket")).size(SIZE).prealloc(prealloc).start().unwrap();
        let user = ivshmem::doorbell(server.path()).connect().unwrap();
        let (over, tries) = (AtomicBool::new(false), AtomicU64::new(0));
        let passes = std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let client = Client::greeted(server.path(), 1);
                    while !over.load(Ordering::Relaxed) {
                        tries.fetch_add(attack(client.memory.as_ref().unwrap()), Ordering::Relaxed);
                    }
                });
            }
            let (start, mut passes) = (Instant::now(), 0);
            while start.elapsed() < Duration::from_secs(2) {
                user.memory().fill(0, 0x7e, SIZE).unwrap();
                user.memory().index_of(0, SIZE, &[1]).unwrap();
                passes += 1;
            }
            over.store(true, Ordering::Relaxed);
            passes
        });
        println!("{tries:?} tries were refused during {passes} passes over the memory");
        assert!(passes > 0 && tries.into_inner() > 100);
        assert_eq!(Client::greeted(server.path(), 1).size(), SIZE);
    }
}

/// Every operation that shortens or lengthens a file; returns the number of attempts.
fn attack(memory: &OwnedFd) -> u64 {
    let mut tries = 0;
    for size in [0, 4096, SIZE - 1, SIZE + 1, SIZE * 2] {
        assert_eq!(ftruncate(memory, size), Err(Errno::PERM));
        tries += 1;
    }
    assert_eq!(fallocate(memory, FallocateFlags::empty(), SIZE, 4096), Err(Errno::PERM));
    assert_eq!(fallocate(memory, FallocateFlags::KEEP_SIZE, SIZE, 4096), Err(Errno::PERM));
    for seals in [SealFlags::WRITE, SealFlags::FUTURE_WRITE] {
        assert_eq!(fcntl_add_seals(memory, seals), Err(Errno::PERM));
    }
    for flags in [FallocateFlags::COLLAPSE_RANGE, FallocateFlags::INSERT_RANGE] {
        assert!(fallocate(memory, flags, 0, 4096).is_err());
    }
    // Through another open of the file.
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let emptied = OpenOptions::new().write(true).truncate(true).open(&path);
    assert_eq!(emptied.unwrap_err().raw_os_error(), Some(Errno::PERM.raw_os_error()));
    // A hole is not a truncation: a writer of zeroes may punch one, and its pages are allocated again on access.
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(memory, hole, 0, SIZE / 2).unwrap();
    tries + 7
}
