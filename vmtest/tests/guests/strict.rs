use ivshmem_conformance::checkout;
use ivshmem_vmtest::{Guest, can_run};

use super::{PEER, peer};

/// Linux 6.1, where mapping over an existing mapping unmaps that one before the kernel finds that memory is short.
#[test]
fn memory_that_cannot_be_replaced_by_zeroes_stays_and_nothing_else_is_unmapped() {
    if !can_run("memory_that_cannot_be_replaced_by_zeroes_stays_and_nothing_else_is_unmapped") {
        return;
    }
    let guest = Guest::builder("strict").memory(512).program(checkout::built(PEER)).boot().unwrap();
    guest.sh("for name in one two; do fallocate -l 64M /dev/shm/$name; done").unwrap();
    let printed = guest.run(peer("plain:/dev/shm/one", &["detach-in-vain", "plain:/dev/shm/two"])).unwrap();
    println!("{}{printed}", guest.sh("uname -r").unwrap());
    guest.power_off().unwrap();
}
