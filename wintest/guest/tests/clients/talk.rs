use ivshmem::PeerId;
use ivshmem_conformance::peer::{Role, Side};
use ivshmem_wintest::can_run;

use crate::bench::{BOTH, Bench, Bits, Place};
use crate::program::Program;

/// Enough for several odd and even vectors, for which interrupts are received in different ways.
const VECTORS: u16 = 5;

/// The other side of a conversation, in a Windows program.
struct There(Program);

impl There {
    fn open(bench: &Bench, bits: Bits, role: Role, other: PeerId, conversation: u32) -> Self {
        let role = if role == Role::First { "first" } else { "second" };
        let words = ["with", role, &other.to_string(), &conversation.to_string()];
        let program = bench.guest(bits, "auto", &words);
        program.expect("open");
        Self(program)
    }

    fn with(&mut self, what: &str, here: impl FnOnce()) {
        self.0.send(what);
        here();
        self.0.expect("done");
    }
}

/// The id of the double's device: the server assigns ids from 0 on, and the double is the first client.
const WINDOWS: PeerId = PeerId(0);

#[test]
fn windows_and_linux_programs_exchange_data_and_interrupts_on_every_vector() {
    if !can_run("windows_and_linux_programs_exchange_data_and_interrupts_on_every_vector") {
        return;
    }
    let place = Place::new(1 << 20, VECTORS);
    let bench = Bench::start(&[&place.device(VECTORS)]);
    let host = place.host(VECTORS);
    let own = host.own_id().unwrap();
    assert!(host.is_connected(WINDOWS));
    for (conversation, (bits, role)) in
        (1..).zip(BOTH.into_iter().flat_map(|bits| [(bits, Role::First), (bits, Role::Second)]))
    {
        let other_role = if role == Role::First { Role::Second } else { Role::First };
        let mut there = There::open(&bench, bits, other_role, own, conversation);
        let mut here = Side::new(&host, WINDOWS, role, conversation);
        there.with("exchange 1000", || here.exchange(1000));
        there.with("burst 1000", || here.burst(1000));
        there.with("sums 100000", || here.sums(100_000));
        there.with("words", || here.words());
        assert!(there.0.end().success());
        bench.until_closed(0);
    }
}
