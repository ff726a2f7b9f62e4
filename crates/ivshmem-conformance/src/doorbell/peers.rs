use std::sync::mpsc;

use ivshmem::ErrorKind;
use ivshmem::doorbell::PeerEvent;

use super::{Fixture, HANG, until};

pub(super) fn come_and_go(fixture: &dyn Fixture) {
    let device = fixture.open();
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
    let (device, other) = (fixture.open(), fixture.other());
    let id = other.id();
    until(|| device.is_connected(id));
    device.ring(id, 0).unwrap();
    drop(other);
    until(|| !device.is_connected(id));
    assert_eq!(device.ring(id, 0).unwrap_err().kind(), ErrorKind::UnknownPeer);
    assert_eq!(device.peer(id).unwrap(), None);
}
