use std::sync::mpsc;

use ivshmem::ErrorKind;
use ivshmem::device::Device;
use ivshmem::doorbell::PeerEvent;

use super::{Fixture, HANG, hang, open, ring_other, until};

pub(super) fn come_and_go(fixture: &dyn Fixture) {
    let device = open(fixture);
    if !device.knows_peers() {
        return nobody_is_known(&device, fixture);
    }
    let (sender, receiver) = mpsc::channel();
    let _registration = device.on_peer(move |event| sender.send(event.clone()).unwrap()).unwrap();
    let next = || receiver.recv_timeout(HANG).unwrap();
    for _ in 0..3 {
        let other = fixture.other();
        let id = other.id();
        while !matches!(next(), PeerEvent::Connected(peer) if peer.id == id) {}
        until(|| device.peer(id).unwrap().is_some_and(|peer| peer.vectors >= 2));
        assert!(device.is_connected(id) && device.peers().unwrap().iter().any(|peer| peer.id == id));
        assert!(device.peers().unwrap().iter().all(|peer| Some(peer.id) != device.own_id()));
        drop(other);
        while !matches!(next(), PeerEvent::Disconnected(gone) if gone == id) {}
        assert!(!device.is_connected(id));
    }
}

pub(super) fn gone(fixture: &dyn Fixture) {
    let (device, other) = (open(fixture), fixture.other());
    let id = other.id();
    if !device.knows_peers() {
        ring_other(&device, &*other, 0);
        drop(other);
        return device.ring(id, 0).unwrap();
    }
    until(|| device.is_connected(id));
    device.ring(id, 0).unwrap();
    drop(other);
    until(|| !device.is_connected(id));
    assert_eq!(device.ring(id, 0).unwrap_err().kind(), ErrorKind::UnknownPeer);
    assert_eq!(device.peer(id).unwrap(), None);
}

/// Checks that a guest's device reports that it does not know its peers, and that peers do not disturb it.
fn nobody_is_known(device: &Device, fixture: &dyn Fixture) {
    for _ in 0..3 {
        let other = fixture.other();
        assert!(!device.is_connected(other.id()));
        for error in [
            device.peers().unwrap_err(),
            device.peer(other.id()).unwrap_err(),
            device.on_peer(|_| {}).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
        }
        ring_other(device, &*other, 1);
        other.ring(device.own_id().unwrap(), 1);
        assert!(device.wait(1, Some(hang())).unwrap());
    }
}
