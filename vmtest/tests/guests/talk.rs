use ivshmem_conformance::peer::Role;
use ivshmem_vmtest::can_run;

use super::{Place, There, converse, id};

#[test]
fn host_and_guest_exchange_data_and_interrupts_on_every_vector() {
    if !can_run("host_and_guest_exchange_data_and_interrupts_on_every_vector") {
        return;
    }
    let place = Place::new();
    let guest = place.guest("talk");
    let host = place.host();
    converse(&guest, &host, Role::First, 1);
    converse(&guest, &host, Role::Second, 2);
}

#[test]
fn two_guests_exchange_data_and_interrupts_on_every_vector() {
    if !can_run("two_guests_exchange_data_and_interrupts_on_every_vector") {
        return;
    }
    let place = Place::new();
    let (one, two) = std::thread::scope(|scope| {
        let one = scope.spawn(|| place.guest("first"));
        let two = scope.spawn(|| place.guest("second"));
        (one.join().unwrap(), two.join().unwrap())
    });
    let mut first = There::open(&one, Role::First, id(&two), 1);
    let mut second = There::open(&two, Role::Second, id(&one), 1);
    for what in ["exchange 1000", "burst 1000", "sums 50000", "words"] {
        first.order(what);
        second.order(what);
        first.done();
        second.done();
    }
    first.close();
    second.close();
}
