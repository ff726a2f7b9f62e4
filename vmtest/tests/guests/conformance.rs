//! The conformance suites, run inside a guest.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem_conformance::doorbell::Other;
use ivshmem_vmtest::{Process, can_run};

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
    let mut others = Others { place: &place, open: BTreeMap::new() };
    while let Some(line) = suite.line().unwrap() {
        match line.strip_prefix('@') {
            Some(request) => others.serve(request, &suite),
            None => println!("{line}"),
        }
    }
    suite.succeed().unwrap();
}

/// The peers on the host that the suite in the guest asks for.
struct Others<'a> {
    place: &'a Place,
    open: BTreeMap<PeerId, Device>,
}

impl Others<'_> {
    fn serve(&mut self, request: &str, suite: &Process) {
        let words: Vec<_> = request.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap();
        let id = |word: &str| PeerId(number(word).try_into().unwrap());
        let vector = |word: &str| number(word).try_into().unwrap();
        let answer = match words[..] {
            ["open"] => {
                let device = self.place.host();
                let id = device.own_id().unwrap();
                self.open.insert(id, device);
                id.to_string()
            }
            ["ring", other, peer, v] => {
                Other::ring(&self.open[&id(other)], id(peer), vector(v));
                "rung".to_owned()
            }
            ["wait", other, v, millis] => {
                let deadline = Instant::now() + Duration::from_millis(number(millis));
                Other::wait(&self.open[&id(other)], vector(v), deadline).to_string()
            }
            ["close", other] => {
                self.open.remove(&id(other)).unwrap();
                "closed".to_owned()
            }
            _ => panic!("the suite asks for {request:?}"),
        };
        suite.write_line(&answer).unwrap();
    }
}
