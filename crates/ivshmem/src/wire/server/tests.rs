use super::*;

fn drain(engine: &mut Engine) -> Vec<(u16, Outgoing)> {
    std::iter::from_fn(|| {
        let (id, message) = engine.next_message()?;
        engine.sent(id, message);
        Some((id.0, message))
    })
    .collect()
}

#[test]
fn a_greeting_is_version_id_memory_then_the_others_then_oneself() {
    let mut engine = Engine::new(Limits { vectors: 2, clients: 10, in_flight: 100 });
    let (a, b) = (engine.connect(0).unwrap(), engine.connect(0).unwrap());
    let first = |id| [(id, Outgoing::Version), (id, Outgoing::OwnId(PeerId(id))), (id, Outgoing::Memory)];
    assert_eq!(drain(&mut engine), [first(1), first(0)].concat(), "the newest first");
    engine.unread(a, 2);
    let vector = |to, peer, index| (to, Outgoing::Vector { peer: PeerId(peer), index });
    assert_eq!(
        drain(&mut engine),
        [vector(0, 0, 0), vector(0, 0, 1)],
        "b has read nothing, so it is not there"
    );
    engine.unread(b, 0);
    let news = [vector(0, 1, 0), vector(0, 1, 1)];
    let greeting = [vector(1, 0, 0), vector(1, 0, 1), vector(1, 1, 0), vector(1, 1, 1)];
    assert_eq!(
        drain(&mut engine),
        [&greeting[..], &news[..]].concat(),
        "the greeting before the news about it"
    );
    engine.disconnect(a);
    assert_eq!(drain(&mut engine), [(1, Outgoing::Gone(a))]);
}

#[test]
fn without_vectors_the_greeting_ends_with_the_memory_and_nobody_hears_of_anybody() {
    let mut engine = Engine::new(Limits { vectors: 0, clients: 10, in_flight: 100 });
    let (a, b) = (engine.connect(0).unwrap(), engine.connect(0).unwrap());
    let first = |id| [(id, Outgoing::Version), (id, Outgoing::OwnId(PeerId(id))), (id, Outgoing::Memory)];
    assert_eq!(drain(&mut engine), [first(1), first(0)].concat());
    for id in [a, b] {
        engine.unread(id, 0);
        assert!(drain(&mut engine).is_empty());
        assert!(engine.is_greeted(id) && !engine.is_behind(id));
    }
    engine.disconnect(a);
    assert!(drain(&mut engine).is_empty());
}

#[test]
fn nobody_hears_of_a_peer_that_came_and_went_meanwhile() {
    let mut engine = Engine::new(Limits { vectors: 1, clients: 10, in_flight: 100 });
    let stalled = engine.connect(0).unwrap();
    drain(&mut engine);
    engine.unread(stalled, 0);
    let (_, message) = engine.next_message().unwrap();
    assert_eq!(message, Outgoing::Vector { peer: stalled, index: 0 });
    engine.socket_full(stalled);
    for _ in 0..1_000 {
        let guest = engine.connect(0).unwrap();
        assert_eq!(guest, PeerId(1), "an id that was never told comes back at once");
        drain(&mut engine);
        engine.unread(guest, 0);
        drain(&mut engine);
        engine.disconnect(guest);
    }
    engine.unread(stalled, 0);
    assert_eq!(drain(&mut engine), [(0, message)]);
    assert!(engine.is_greeted(stalled) && !engine.is_behind(stalled));
}

#[test]
fn more_clients_than_the_limit_are_refused_and_the_next_one_is_let_in_when_one_left() {
    let mut engine = Engine::new(Limits { vectors: 1, clients: 2, in_flight: 100 });
    let first = engine.connect(0).unwrap();
    engine.connect(0).unwrap();
    assert_eq!(engine.connect(0), Err(Refusal::TooManyClients));
    engine.disconnect(first);
    engine.disconnect(first);
    assert_eq!((engine.connected(), engine.connect(0)), (1, Ok(first)));
}

#[test]
fn who_waits_for_the_budget_goes_on_when_another_client_leaves() {
    let mut engine = Engine::new(Limits { vectors: 8, clients: 10, in_flight: 8 });
    let clients: Vec<_> = (0..2).map(|_| engine.connect(0).unwrap()).collect();
    drain(&mut engine);
    for id in &clients {
        engine.unread(*id, 0);
        drain(&mut engine);
    }
    let before = engine.in_flight_to(clients[1]);
    assert!(before > 0 && engine.is_behind(clients[1]));
    engine.disconnect(clients[0]);
    drain(&mut engine);
    assert!(engine.in_flight_to(clients[1]) > before, "though it has read nothing itself");
}
