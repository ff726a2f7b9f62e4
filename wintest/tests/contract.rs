//! Runs the contract tests (wintest/contract) with the double, for every generation of driver and width of program.

#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::fs::File;

use ivshmem_wintest::{Bench, Device, can_run, contract_program};
use tempfile::TempDir;

const GROUPS: [&str; 6] = ["listing", "requests", "mappings", "events", "processes", "stops"];
/// Number of tests in these groups. A program that ran fewer ended early.
const TESTS: usize = 35;

/// A driver with the devices that wintest/contract/contract.h lists, and the directory of their memory.
fn bench(name: &str) -> (Bench, TempDir) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let file = |name: &str, size: u64| {
        let path = folder.path().join(name);
        File::create(&path).unwrap().set_len(size).unwrap();
        path
    };
    let main = file("main", 1 << 20);
    let bench = Bench::new(name)
        .device(Device::file(&main).vectors(70))
        .device(Device::file(file("large", 4 << 20)).vectors(0))
        .device(Device::file(&main).vectors(65).peer(7))
        .device(Device::file(file("unready", 1 << 16)).not_ready())
        // Never accessed, so it takes no memory.
        .device(Device::file(file("huge", 4 << 30)));
    (bench, folder)
}

fn obeys(bench: &Bench, program_bits: u32, options: &[&str]) {
    passes(bench, program_bits, &[options, &GROUPS].concat(), TESTS);
}

fn passes(bench: &Bench, program_bits: u32, arguments: &[&str], tests: usize) {
    let said = bench.run(contract_program(program_bits), arguments).said();
    let passed = said.lines().filter(|line| line.starts_with("test ") && line.ends_with(" ... ok")).count();
    assert_eq!(passed, tests, "{said}");
}

#[test]
fn a_64_bit_driver_obeys_the_contract_for_64_bit_programs() {
    if can_run("a_64_bit_driver_obeys_the_contract_for_64_bit_programs") {
        obeys(&bench("64-64").0, 64, &[]);
    }
}

#[test]
fn a_64_bit_driver_obeys_the_contract_for_32_bit_programs() {
    if can_run("a_64_bit_driver_obeys_the_contract_for_32_bit_programs") {
        obeys(&bench("64-32").0, 32, &[]);
    }
}

#[test]
fn a_32_bit_driver_obeys_the_contract() {
    if can_run("a_32_bit_driver_obeys_the_contract") {
        obeys(&bench("32-32").0.bits_32(), 32, &["--bits", "32"]);
    }
}

#[test]
fn a_driver_with_a_mapping_for_each_handle_obeys_the_contract() {
    if can_run("a_driver_with_a_mapping_for_each_handle_obeys_the_contract") {
        obeys(&bench("per-handle").0.mapping_per_handle(), 64, &["--mapping-per-handle"]);
    }
}

#[test]
fn a_thousand_opens_and_ten_thousand_registrations_leave_nothing() {
    if can_run("a_thousand_opens_and_ten_thousand_registrations_leave_nothing") {
        passes(&bench("counts").0, 64, &["counts"], 2);
    }
}

#[test]
fn a_driver_of_another_generation_fails_these_tests() {
    if !can_run("a_driver_of_another_generation_fails_these_tests") {
        return;
    }
    for (bench, failing) in [
        (bench("other-forms").0.bits_32(), "the_map_struct_has_its_fields_where_the_contract_says"),
        (bench("other-lives").0.mapping_per_handle(), "a_second_handle_opens_and_maps_as_the_build_has_it"),
    ] {
        let ended = bench.run(contract_program(64), &["requests", "mappings"]);
        assert_eq!(ended.code, Some(1), "{ended}");
        assert!(ended.said.contains(&format!("test 64_bit_{failing} ... FAILED")), "{ended}");
    }
}
