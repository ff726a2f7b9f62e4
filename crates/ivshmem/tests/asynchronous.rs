//! Asynchronous interrupts and peer events: `cargo test -p ivshmem --features tokio --test asynchronous`
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::sync::Arc;
use std::time::Duration;

use ivshmem::ErrorKind;
use ivshmem::device::Device;
use ivshmem::doorbell::{DoorbellError, PeerEvent};
use ivshmem_conformance::bare_server::{BareServer, Manner};
use tokio::time::timeout;

const HANG: Duration = Duration::from_secs(20);

struct Setting {
    server: Option<BareServer>,
    place: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let server = BareServer::start(&place.path().join("socket"), Manner::default()).unwrap();
        Self { server: Some(server), place }
    }

    fn connect(&self) -> Device {
        ivshmem::doorbell(self.place.path().join("socket")).vectors(2).reconnect(true).connect().unwrap()
    }
}

#[tokio::test]
async fn a_task_is_woken_by_a_ring_and_takes_it_once() {
    let setting = Setting::new();
    let device = Arc::new(setting.connect());
    let own = device.own_id().unwrap();
    let mut interrupt = device.async_interrupt(0).unwrap();
    device.ring(own, 0).unwrap();
    timeout(HANG, interrupt.wait()).await.unwrap().unwrap();
    assert!(timeout(Duration::from_millis(10), interrupt.wait()).await.is_err(), "a ring was reported twice");
    let ringer = Arc::clone(&device);
    let ring = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        ringer.ring(own, 0).unwrap();
    });
    timeout(HANG, interrupt.wait()).await.unwrap().unwrap();
    ring.await.unwrap();
}

#[tokio::test]
async fn a_cancelled_wait_takes_nothing() {
    let setting = Setting::new();
    let device = setting.connect();
    let own = device.own_id().unwrap();
    let mut interrupt = device.async_interrupt(0).unwrap();
    for _ in 0..1000 {
        // The wait is polled once and dropped; the ring comes before, between or after.
        let _ = timeout(Duration::ZERO, interrupt.wait()).await;
        device.ring(own, 0).unwrap();
        timeout(HANG, interrupt.wait()).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn two_tasks_may_wait_for_one_vector_but_no_callback() {
    let setting = Setting::new();
    let device = setting.connect();
    let mut first = device.async_interrupt(0).unwrap();
    let second = device.async_interrupt(0).unwrap();
    assert_eq!(device.on_interrupt(0, |_| {}).unwrap_err().kind(), ErrorKind::Busy);
    drop(second);
    device.ring(device.own_id().unwrap(), 0).unwrap();
    timeout(HANG, first.wait()).await.unwrap().unwrap();
    drop(first);
    drop(device.on_interrupt(0, |_| {}).unwrap());
    assert_eq!(device.async_interrupt(7).unwrap_err().kind(), ErrorKind::UnknownVector);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_wakes_the_tasks() {
    let setting = Setting::new();
    let device = Arc::new(setting.connect());
    let mut interrupt = device.async_interrupt(1).unwrap();
    let mut events = device.peer_events().unwrap();
    let waits = tokio::spawn(async move { interrupt.wait().await });
    let reads = tokio::spawn(async move { events.next().await });
    tokio::time::sleep(Duration::from_millis(5)).await;
    device.close();
    let closed =
        |result: Result<(), DoorbellError>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Closed);
    closed(timeout(HANG, waits).await.unwrap().unwrap());
    closed(timeout(HANG, reads).await.unwrap().unwrap().map(drop));
    assert_eq!(device.async_interrupt(1).unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn peers_are_told_as_a_stream() {
    let setting = Setting::new();
    let device = setting.connect();
    let mut events = device.peer_events().unwrap();
    let other = setting.connect();
    let id = other.own_id().unwrap();
    while !matches!(timeout(HANG, events.next()).await.unwrap().unwrap(), PeerEvent::Connected(p) if p.id == id)
    {
    }
    drop(other);
    while !matches!(timeout(HANG, events.next()).await.unwrap().unwrap(), PeerEvent::Disconnected(gone) if gone == id)
    {
    }
}

#[tokio::test]
async fn a_wait_goes_over_to_a_server_that_came_back() {
    let mut setting = Setting::new();
    let device = setting.connect();
    let mut events = device.peer_events().unwrap();
    let mut interrupt = device.async_interrupt(0).unwrap();
    let server = setting.server.take().unwrap();
    let manner = Manner { memory: Some(server.memory()), ..Manner::default() };
    drop(server);
    let _server = BareServer::start(&setting.place.path().join("socket"), manner).unwrap();
    let ringing = async {
        while !matches!(events.next().await.unwrap(), PeerEvent::Reconnected { .. }) {}
        let other = setting.connect();
        while device.peers().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        other.ring(device.own_id().unwrap(), 0).unwrap();
    };
    let (waited, ()) = timeout(HANG, async { tokio::join!(interrupt.wait(), ringing) }).await.unwrap();
    waited.unwrap();
}
