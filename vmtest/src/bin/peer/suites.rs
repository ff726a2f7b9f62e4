//! Fixtures of the conformance suites in a guest. The other peer is on the host: each line to the standard output that
//! begins with `@` asks for it, and the next line of the standard input is the answer.

use std::time::Instant;

use ivshmem::device::Device;
use ivshmem::{PeerId, region};
use ivshmem_conformance::{doorbell, memory};

pub(crate) struct Memory(pub(crate) String);

impl memory::Fixture for Memory {
    fn open(&self) -> region::Memory {
        open(&self.0).memory().clone()
    }

    fn open_read_only(&self, _memory: &region::Memory) -> Option<region::Memory> {
        None
    }
}

pub(crate) struct Doorbell(pub(crate) String);

impl doorbell::Fixture for Doorbell {
    fn open(&self) -> Device {
        open(&self.0)
    }

    fn other(&self) -> Box<dyn doorbell::Other> {
        Box::new(OnTheHost(PeerId(ask("@open").parse().expect("an id"))))
    }
}

fn open(target: &str) -> Device {
    ivshmem::open(target).unwrap_or_else(|e| panic!("{target}: {e}"))
}

struct OnTheHost(PeerId);

impl doorbell::Other for OnTheHost {
    fn id(&self) -> PeerId {
        self.0
    }

    fn ring(&self, peer: PeerId, vector: u16) {
        assert_eq!(ask(&format!("@ring {} {peer} {vector}", self.0)), "rung");
    }

    fn wait(&self, vector: u16, deadline: Instant) -> bool {
        let millis = deadline.saturating_duration_since(Instant::now()).as_millis();
        ask(&format!("@wait {} {vector} {millis}", self.0)) == "true"
    }
}

impl Drop for OnTheHost {
    fn drop(&mut self) {
        ask(&format!("@close {}", self.0));
    }
}

fn ask(request: &str) -> String {
    println!("{request}");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).expect("the host's answer");
    answer.trim().to_owned()
}
