//! The conformance suites, run inside a guest.

use std::time::Duration;

use ivshmem_conformance::remote::Others;
use ivshmem_vmtest::can_run;

use super::{Place, peer};

#[test]
fn memory_of_a_guest_conforms_in_both_cache_modes() {
    if !can_run("memory_of_a_guest_conforms_in_both_cache_modes") {
        return;
    }
    let place = Place::new();
    let guest = place.describe("memory").boot().unwrap();
    for target in ["pci:?cache=wc&memory-only", "pci:?cache=uncached&memory-only"] {
        let told = guest.run(peer(target, &["memory-suite"]).limit(Duration::from_secs(900))).unwrap();
        println!("{target}:\n{told}");
    }
}

#[test]
fn interrupts_of_a_guest_conform() {
    if !can_run("interrupts_of_a_guest_conform") {
        return;
    }
    let place = Place::new();
    let guest = place.guest("doorbell");
    let mut suite = guest.spawn(peer("auto", &["doorbell-suite"]).limit(Duration::from_secs(900))).unwrap();
    let mut others = Others::new(|| place.host());
    while let Some(line) = suite.line().unwrap() {
        match line.strip_prefix('@') {
            Some(request) => suite.write_line(&others.answer(request)).unwrap(),
            None => println!("{line}"),
        }
    }
    suite.succeed().unwrap();
}
