//! Rings at the wrong time, machines that disconnect and come back, peers that are killed: nothing hangs, and the rest
//! keeps working.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ivshmem::device::Device;
use ivshmem::doorbell::{PeerEvent, Registration};
use ivshmem::{ErrorKind, PeerId};
use ivshmem_conformance::peer::{Role, Side};
use ivshmem_vmtest::can_run;

use super::{Place, There, VECTORS, bind, converse, id, peer};

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn rings_before_and_during_set_up_harm_nothing() {
    if !can_run("rings_before_and_during_set_up_harm_nothing") {
        return;
    }
    let place = Place::new();
    let (host, noise) = (place.host(), place.host());
    let (stop, rings) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        // Rings all peers continuously, beginning when QEMU connects, long before its guest has a kernel.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                for peer in noise.peers().unwrap() {
                    for vector in 0..VECTORS {
                        // QEMU may be exiting.
                        let rung = noise.ring(peer.id, vector).is_ok();
                        rings.fetch_or(rung && peer.id != host.own_id().unwrap(), Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        let _stopped = OnDrop(|| stop.store(true, Ordering::Relaxed));
        let guest = place.describe("early").boot().unwrap();
        assert!(rings.load(Ordering::Relaxed), "it was rung while it booted");
        bind(&guest);
        for conversation in 1..=3 {
            let mut there = There::open(&guest, Role::Second, host.own_id().unwrap(), conversation);
            let mut here = Side::new(&host, id(&guest), Role::First, conversation);
            // A device that was opened during these rings gets each relevant one after they have ended.
            stop.fetch_or(conversation == 3, Ordering::Relaxed);
            there.with("exchange 100", || here.exchange(100));
            there.close();
        }
        // An interrupt from a time without a listener is lost in hardware, and the device's own one from opening is not
        // reported.
        host.ring(id(&guest), 1).unwrap();
        guest.run(peer("auto", &["quiet"])).unwrap();
    });
}

#[test]
fn a_guest_that_reboots_was_never_away_and_works_again() {
    if !can_run("a_guest_that_reboots_was_never_away_and_works_again") {
        return;
    }
    let place = Place::new();
    let guest = place.guest("again");
    let host = place.host();
    let events = Events::of(&host);
    let before = id(&guest);
    converse(&guest, &host, Role::First, 1);
    // In the middle of ringing and of waiting for interrupts.
    let _storm = guest.spawn(peer("auto", &["storm", &host.own_id().unwrap().to_string()])).unwrap();
    assert!(host.wait(0, Some(std::time::Instant::now() + LIMIT)).unwrap());
    guest.reboot().unwrap();
    assert_eq!(events.next_end(Duration::from_millis(100)), None, "its machine was there all the time");
    bind(&guest);
    assert_eq!(id(&guest), before);
    converse(&guest, &host, Role::Second, 2);
}

#[test]
fn who_is_killed_is_seen_to_go_and_disturbs_nobody() {
    if !can_run("who_is_killed_is_seen_to_go_and_disturbs_nobody") {
        return;
    }
    let place = Place::new();
    let (stays, dies) = std::thread::scope(|scope| {
        let stays = scope.spawn(|| place.guest("stays"));
        let dies = scope.spawn(|| place.guest("dies"));
        (stays.join().unwrap(), dies.join().unwrap())
    });
    let host = place.host();
    let events = Events::of(&host);
    let (living, dead) = (id(&stays), id(&dies));
    // One guest rings all others continuously, and is killed with its machine while doing so.
    for other in [host.own_id().unwrap(), living] {
        let mut storm = dies.spawn(peer("auto", &["storm", &other.to_string()])).unwrap();
        storm.expect_line("ringing").unwrap();
        storm.kill().unwrap();
        storm.wait().unwrap();
    }
    let mut storm = dies.spawn(peer("auto", &["storm", &living.to_string()])).unwrap();
    storm.expect_line("ringing").unwrap();
    dies.kill();
    assert_eq!(events.next_end(LIMIT), Some(dead));
    assert!(storm.wait().is_err());
    assert_eq!(host.ring(dead, 0).unwrap_err().kind(), ErrorKind::UnknownPeer);
    assert!(!host.is_connected(dead));

    // Its rings end, and a wait for more of them lasts until its deadline.
    let alone = There::open(&stays, Role::First, dead, 1);
    alone.order("alone");
    alone.close();
    converse(&stays, &host, Role::First, 2);
    stays.power_off().unwrap();
    assert_eq!(events.next_end(LIMIT), Some(living));
}

/// Peers that have left, as reported to a device of the host.
struct Events(Receiver<PeerId>, #[expect(dead_code, reason = "its drop ends the events")] Registration);

impl Events {
    fn of(device: &Device) -> Self {
        let (tell, told) = channel();
        let registration = device.on_peer(move |event| {
            if let PeerEvent::Disconnected(peer) = event {
                let _ = tell.send(*peer);
            }
        });
        Self(told, registration.unwrap())
    }

    fn next_end(&self, limit: Duration) -> Option<PeerId> {
        self.0.recv_timeout(limit).ok()
    }
}

struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        self.0();
    }
}
