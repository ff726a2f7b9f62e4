//! Fixtures of the suites for a program in a guest. The other peer is on the host: each line on standard output that begins
//! with `@` is a request, and the next line on standard input is the answer. [`Others`] answers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::{doorbell, memory};
use ivshmem::device::Device;
use ivshmem::{PeerId, region};

/// The memory of a target of `ivshmem::open`.
#[derive(Debug)]
pub struct Memory(pub String);

impl memory::Fixture for Memory {
    fn open(&self) -> region::Memory {
        open(&self.0).memory().clone()
    }

    fn open_read_only(&self, _memory: &region::Memory) -> Option<region::Memory> {
        None
    }
}

/// The interrupts of a target of `ivshmem::open`.
#[derive(Debug)]
pub struct Doorbell(pub String);

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

/// The peers on the host that a suite in a guest requests.
pub struct Others<F> {
    connect: F,
    open: BTreeMap<PeerId, Device>,
}

impl<F: Fn() -> Device> Others<F> {
    /// `connect` connects a new peer.
    pub fn new(connect: F) -> Self {
        Self { connect, open: BTreeMap::new() }
    }

    /// The answer to a request, without its `@`.
    ///
    /// # Panics
    /// When the request is invalid.
    pub fn answer(&mut self, request: &str) -> String {
        let words: Vec<_> = request.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap();
        let id = |word: &str| PeerId(number(word).try_into().unwrap());
        let vector = |word: &str| number(word).try_into().unwrap();
        match words[..] {
            ["open"] => {
                let device = (self.connect)();
                let id = device.own_id().unwrap();
                self.open.insert(id, device);
                id.to_string()
            }
            ["ring", other, peer, v] => {
                doorbell::Other::ring(&self.open[&id(other)], id(peer), vector(v));
                "rung".to_owned()
            }
            ["wait", other, v, millis] => {
                let deadline = Instant::now() + Duration::from_millis(number(millis));
                doorbell::Other::wait(&self.open[&id(other)], vector(v), deadline).to_string()
            }
            ["close", other] => {
                self.open.remove(&id(other)).unwrap();
                "closed".to_owned()
            }
            _ => panic!("the suite asks for {request:?}"),
        }
    }
}

impl<F> std::fmt::Debug for Others<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Others").field("open", &self.open).finish_non_exhaustive()
    }
}
