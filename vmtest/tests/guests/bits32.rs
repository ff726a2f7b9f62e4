use ivshmem_conformance::peer::{Role, Side};
use ivshmem_vmtest::can_run;

use super::{Place, There, bind, id};

/// Path of `vmtest-peer` compiled for 32-bit Linux, which scripts/test-vm sets.
const PEER_32: &str = "VMTEST_PEER_32";

#[test]
fn a_32_bit_program_in_a_guest_and_a_64_bit_one_on_the_host_agree() {
    let name = "a_32_bit_program_in_a_guest_and_a_64_bit_one_on_the_host_agree";
    if !can_run(name) {
        return;
    }
    let Some(program) = std::env::var_os(PEER_32) else {
        return ivshmem_conformance::skip(
            name,
            &format!("{PEER_32} names no program; scripts/test-vm sets it"),
        );
    };
    let elf = std::fs::read(&program).unwrap();
    assert_eq!(elf[4], 1, "the class of 32-bit programs");
    let place = Place::new();
    // Replaces the 64-bit program at the same path.
    let guest = place.describe("bits32").program(&program).boot().unwrap();
    bind(&guest);
    let host = place.host();
    for (role, other_role, conversation) in [(Role::First, Role::Second, 1), (Role::Second, Role::First, 2)] {
        let mut there = There::open(&guest, other_role, host.own_id().unwrap(), conversation);
        let mut here = Side::new(&host, id(&guest), role, conversation);
        there.with("words", || here.words());
        there.with("sums 100000", || here.sums(100_000));
        there.with("exchange 1000", || here.exchange(1000));
        there.with("burst 1000", || here.burst(1000));
        there.close();
    }
}
