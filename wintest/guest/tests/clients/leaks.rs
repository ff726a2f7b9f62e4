use ivshmem_wintest::can_run;

use crate::bench::{BOTH, Bench, Place};

#[test]
fn opening_a_thousand_times_leaves_no_handle_and_no_slot() {
    if !can_run("opening_a_thousand_times_leaves_no_handle_and_no_slot") {
        return;
    }
    let place = Place::new(1 << 20, 2);
    let bench = Bench::start(&[&place.device(2)]);
    for bits in BOTH {
        let told = bench.run(bits, "auto", &["churn", "1000"]);
        nothing_left(&told);
        bench.until_closed(0);
        let told = bench.double();
        assert!(told.contains("mappings=0") && told.contains("events=0"), "{told}");
    }
}

#[test]
fn ten_thousand_registrations_leave_no_handle_and_a_vector_that_hears() {
    if !can_run("ten_thousand_registrations_leave_no_handle_and_a_vector_that_hears") {
        return;
    }
    let place = Place::new(1 << 20, 2);
    let bench = Bench::start(&[&place.device(2)]);
    for bits in BOTH {
        nothing_left(&bench.run(bits, "auto", &["register", "10000"]));
    }
}

/// Parses "N times, handles A and B", and checks that there are not more handles after than before.
fn nothing_left(told: &str) {
    println!("{told}");
    let words: Vec<_> = told.trim().rsplit(' ').collect();
    let (after, before): (u32, u32) = (words[0].parse().unwrap(), words[2].parse().unwrap());
    assert!(after <= before, "{told}");
}
