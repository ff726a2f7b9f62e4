//! What remains after the loss of the server, and the way back.

use super::*;

#[test]
fn when_the_server_goes_memory_and_known_peers_go_on() {
    let place = Place::new();
    let server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let a = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let b = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let events = events(&b);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| b.wait(0, soon()));
        drop(server);
        match events.recv_timeout(HANG).unwrap() {
            PeerEvent::ServerGone { reason } => assert_eq!(reason.kind(), ErrorKind::ServerGone),
            // The bare server closes its connections without announcing that clients leave.
            PeerEvent::Disconnected(_) => panic!("the bare server ends without looking"),
            other => panic!("{other:?}"),
        }
        a.ring(b.own_id().unwrap(), 0).unwrap_or_else(|_| b.ring(b.own_id().unwrap(), 0).unwrap());
        assert!(waiter.join().unwrap().unwrap());
    });
    b.ring(a.own_id().unwrap(), 1).unwrap();
    assert!(a.wait(1, soon()).unwrap());
    a.memory().write_word(0, 7_u32).unwrap();
    assert_eq!(b.memory().read_word::<u32>(0).unwrap(), 7);
}

#[test]
fn a_device_that_may_comes_back_to_the_same_memory_with_waits_and_callbacks() {
    let place = Place::new();
    let server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let memory = server.memory();
    let device = ivshmem::doorbell(place.socket()).vectors(2).reconnect(true).connect().unwrap();
    let events = events(&device);
    let (sender, receiver) = mpsc::channel();
    let _registration = device.on_interrupt(1, move |_| _ = sender.send(())).unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| device.wait(0, soon()));
        drop(server);
        assert!(matches!(events.recv_timeout(HANG).unwrap(), PeerEvent::ServerGone { .. }));
        let manner = Manner { memory: Some(memory), ..Manner::default() };
        let server = BareServer::start(&place.socket(), manner).unwrap();
        assert!(matches!(events.recv_timeout(HANG).unwrap(), PeerEvent::Reconnected { .. }));
        let other = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
        let id = device.own_id().unwrap();
        other.ring(id, 0).unwrap();
        assert!(waiter.join().unwrap().unwrap());
        other.ring(id, 1).unwrap();
        receiver.recv_timeout(HANG).unwrap();
        drop(server);
    });
    loop {
        if let PeerEvent::ServerGone { .. } = events.recv_timeout(HANG).unwrap() {
            break;
        }
    }
    let _stranger = BareServer::start(&place.socket(), Manner::default()).unwrap();
    assert!(matches!(events.recv_timeout(HANG).unwrap(), PeerEvent::MemoryReplaced));
    device.memory().write(0, b"still there").unwrap();
}

#[test]
fn the_options_of_a_target_string_act() {
    let place = Place::new();
    let server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let memory = server.memory();
    let target = |options: &str| format!("doorbell:{}{options}", place.socket().display());
    let plain = ivshmem::open(&target("")).unwrap();
    let reader = ivshmem::open(&target("?readonly")).unwrap();
    let both = ivshmem::open(&target("?readonly&reconnect")).unwrap();
    plain.memory().write(0, b"hello").unwrap();
    for device in [&reader, &both] {
        let mut seen = [0; 5];
        device.memory().read(0, &mut seen).unwrap();
        assert_eq!(&seen, b"hello");
        assert_eq!(device.memory().write(0, b"x").unwrap_err().kind(), ErrorKind::ReadOnly);
    }
    let [of_plain, of_both] = [&plain, &both].map(events);
    drop(server);
    for events in [&of_plain, &of_both] {
        until(events, |event| matches!(event, PeerEvent::ServerGone { .. }));
    }
    let manner = Manner { memory: Some(memory), ..Manner::default() };
    let _server = BareServer::start(&place.socket(), manner).unwrap();
    until(&of_both, |event| matches!(event, PeerEvent::Reconnected { .. }));
    assert!(of_plain.try_iter().next().is_none(), "it has no such option");
    both.ring(both.own_id().unwrap(), 0).unwrap();
    assert!(both.wait(0, soon()).unwrap());
}

#[test]
fn a_restarted_server_that_pauses_between_two_vectors_ends_no_wait() {
    let place = Place::new();
    let server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let memory = server.memory();
    let device = ivshmem::doorbell(place.socket()).reconnect(true).connect().unwrap();
    let events = events(&device);
    while device.vectors() < 2 {
        events.recv_timeout(HANG).unwrap();
    }
    std::thread::scope(|scope| {
        let (sender, waited) = mpsc::channel();
        let device = &device;
        scope.spawn(move || (0..2).for_each(|_| sender.send(device.wait(1, soon()).unwrap()).unwrap()));
        device.ring(device.own_id().unwrap(), 1).unwrap();
        assert!(waited.recv_timeout(HANG).unwrap());
        drop(server);
        let manner = Manner { late_vectors: 1, memory: Some(memory), ..Manner::default() };
        let _server = BareServer::start(&place.socket(), manner).unwrap();
        until(&events, |event| matches!(event, PeerEvent::Reconnected { .. }));
        assert_eq!(device.vectors(), 2);
        device.ring(device.own_id().unwrap(), 1).unwrap();
        assert!(waited.recv_timeout(HANG).unwrap());
    });
}

#[test]
fn a_device_comes_back_to_a_server_with_fewer_vectors_and_gets_the_missing_ones_late() {
    let place = Place::new();
    let server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let memory = server.memory();
    // The quiet time is zero, so a reconnection is complete before the late vector comes.
    let device = ivshmem::doorbell(place.socket()).quiet(Duration::ZERO).reconnect(true).connect().unwrap();
    let events = events(&device);
    while device.vectors() < 2 {
        events.recv_timeout(HANG).unwrap();
    }
    let (sender, receiver) = mpsc::channel();
    let _registration = device.on_interrupt(1, move |_| _ = sender.send(())).unwrap();
    drop(server);
    let manner = Manner { late_vectors: 1, memory: Some(memory), ..Manner::default() };
    let _server = BareServer::start(&place.socket(), manner).unwrap();
    until(&events, |event| matches!(event, PeerEvent::Reconnected { .. }));
    while device.vectors() < 2 {
        events.recv_timeout(HANG).unwrap();
    }
    device.ring(device.own_id().unwrap(), 1).unwrap();
    receiver.recv_timeout(HANG).unwrap();
}
