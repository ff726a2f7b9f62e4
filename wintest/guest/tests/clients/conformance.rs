use ivshmem_conformance::remote::Others;
use ivshmem_wintest::can_run;

use crate::bench::{BOTH, Bench, Bits, Place};

const VECTORS: u16 = 2;

#[test]
fn memory_of_windows_programs_conforms_in_every_cache_mode() {
    if !can_run("memory_of_windows_programs_conforms_in_every_cache_mode") {
        return;
    }
    let place = Place::new(1 << 20, VECTORS);
    let bench = Bench::start(&[&place.device(VECTORS)]);
    for bits in BOTH {
        for target in ["auto", "windows:0?cache=wc", "windows:?cache=uncached"] {
            let told = bench.run(bits, target, &["memory-suite"]);
            let cases = told.lines().filter(|line| line.starts_with("memory: ")).count();
            assert!(cases >= 20, "{bits:?} {target}: {cases} cases\n{told}");
            println!("{bits:?} {target}: {cases} cases");
        }
    }
}

#[test]
fn interrupts_of_64_bit_programs_conform() {
    interrupts_conform("interrupts_of_64_bit_programs_conform", Bits::B64);
}

#[test]
fn interrupts_of_32_bit_programs_conform() {
    interrupts_conform("interrupts_of_32_bit_programs_conform", Bits::B32);
}

fn interrupts_conform(test: &str, bits: Bits) {
    if !can_run(test) {
        return;
    }
    let place = Place::new(1 << 20, VECTORS);
    let bench = Bench::start(&[&place.device(VECTORS)]);
    let mut suite = bench.guest(bits, "auto", &["doorbell-suite"]);
    let mut others = Others::new(|| place.host(VECTORS));
    let mut cases = 0;
    while let Some(line) = suite.line() {
        match line.strip_prefix('@') {
            Some(request) => suite.send(&others.answer(request)),
            None => {
                cases += usize::from(line.starts_with("doorbell: "));
                println!("{line}");
            }
        }
    }
    assert!(suite.end().success());
    assert!(cases >= 16, "{cases} cases");
}
