//! The doorbell client over a real socket, with a server like QEMU's and with hostile ones. The conformance suite tests the
//! behaviour of all devices with interrupts.

#![cfg(target_os = "linux")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

mod reconnection;

use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex, mpsc};
use std::time::{Duration, Instant};

use ivshmem::ErrorKind;
use ivshmem::device::{Device, OpenError};
use ivshmem::doorbell::{ConnectionError, PeerEvent, Registration};
use ivshmem::sys::linux::eventfd;
use ivshmem_conformance::bare_server::{BareServer, Manner, send};

/// A limit that only a hang exceeds. All tests are much faster.
const HANG: Duration = Duration::from_secs(20);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("socket")
    }
}

fn soon() -> Option<Instant> {
    Some(Instant::now() + HANG)
}

/// Passes on the peer events.
fn events(device: &Device) -> mpsc::Receiver<PeerEvent> {
    let (sender, receiver) = mpsc::channel();
    device.on_peer(move |event| drop(sender.send(event.clone()))).unwrap().forget();
    receiver
}

/// Receives events until one that is `wanted`.
fn until(events: &mpsc::Receiver<PeerEvent>, wanted: impl Fn(&PeerEvent) -> bool) {
    while !wanted(&events.recv_timeout(HANG).unwrap()) {}
}

/// Runs `script` as the server of one client.
fn hostile(path: &Path, script: impl FnOnce(UnixStream) + Send + 'static) -> std::thread::JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || script(listener.accept().unwrap().0))
}

fn memfd(size: u64) -> OwnedFd {
    let fd = rustix::fs::memfd_create("memory", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&fd, size).unwrap();
    fd
}

/// Sends the start of a handshake: version, id and memory.
fn begin(stream: &UnixStream, id: i64) {
    send(stream, 0, None).unwrap();
    send(stream, id, None).unwrap();
    send(stream, -1, Some(&memfd(4096))).unwrap();
}

#[test]
fn two_devices_share_memory_and_ring_each_other() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let a = ivshmem::doorbell(place.socket()).connect().unwrap();
    let b = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let (a_id, b_id) = (a.own_id().unwrap(), b.own_id().unwrap());
    a.memory().write(100, b"hello").unwrap();
    let mut seen = [0; 5];
    b.memory().read(100, &mut seen).unwrap();
    assert_eq!(&seen, b"hello");
    b.ring(a_id, 1).unwrap();
    assert!(a.wait(1, soon()).unwrap());
    assert!(!a.wait(1, Some(Instant::now())).unwrap(), "a ring is reported once");
    b.ring(b_id, 0).unwrap();
    assert!(b.wait(0, soon()).unwrap(), "a device rings itself");
    let (sender, receiver) = mpsc::channel();
    let _registration = b.on_interrupt(1, move |vector| sender.send(vector).unwrap()).unwrap();
    while !a.is_connected(b_id) || a.peer(b_id).unwrap().unwrap().vectors < 2 {
        std::thread::yield_now();
    }
    a.ring(b_id, 1).unwrap();
    assert_eq!(receiver.recv_timeout(HANG).unwrap(), 1);
}

#[test]
fn a_greeting_in_pieces_with_late_vectors_is_complete_in_the_end() {
    let place = Place::new();
    let manner = Manner { vectors: 64, in_pieces: true, late_vectors: 20, ..Manner::default() };
    let _server = BareServer::start(&place.socket(), manner).unwrap();
    let connect = || ivshmem::doorbell(place.socket());
    let others: Vec<_> = (0..4).map(|_| connect().vectors(64).connect().unwrap()).collect();
    // The quiet time is zero, so all vectors come after the handshake.
    let late = connect().quiet(Duration::ZERO).connect().unwrap();
    let events = events(&late);
    while late.vectors() < 64 {
        events.recv_timeout(HANG).unwrap();
    }
    let peers = late.peers().unwrap();
    assert_eq!(
        peers.iter().map(|p| (p.id.0, p.vectors)).collect::<Vec<_>>(),
        [(0, 64), (1, 64), (2, 64), (3, 64)]
    );
    for vector in 0..64 {
        late.ring(late.own_id().unwrap(), vector).unwrap();
        assert!(late.wait(vector, soon()).unwrap());
        late.ring(2, vector).unwrap();
        assert!(others[2].wait(vector, soon()).unwrap());
    }
    let error = late.wait(64, soon()).unwrap_err();
    assert_eq!(error.to_string(), "this device has no vector 64: it has 64, counted from 0");
    assert_eq!(late.ring(9, 0).unwrap_err().kind(), ErrorKind::UnknownPeer);
    assert_eq!(late.ring(1, 64).unwrap_err().kind(), ErrorKind::UnknownVector);
}

#[test]
fn peers_that_come_and_go_are_told_once_each() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner { vectors: 3, ..Manner::default() }).unwrap();
    let a = ivshmem::doorbell(place.socket()).vectors(3).connect().unwrap();
    let events = events(&a);
    let b = ivshmem::doorbell(place.socket()).vectors(3).connect().unwrap();
    let b_id = b.own_id().unwrap();
    let mut vectors = 0;
    while vectors < 3 {
        match events.recv_timeout(HANG).unwrap() {
            PeerEvent::Connected(peer) if vectors == 0 && peer.id == b_id => vectors = peer.vectors,
            PeerEvent::VectorsChanged(peer) if peer.id == b_id && peer.vectors > vectors => {
                vectors = peer.vectors
            }
            other => panic!("{other:?} after {vectors} vectors"),
        }
    }
    assert!(a.is_connected(b_id));
    drop(b);
    assert!(matches!(events.recv_timeout(HANG).unwrap(), PeerEvent::Disconnected(id) if id == b_id));
    assert!(!a.is_connected(b_id));
    assert_eq!(a.ring(b_id, 0).unwrap_err().kind(), ErrorKind::UnknownPeer);
}

#[test]
fn connecting_where_no_server_is_says_what_to_do() {
    let place = Place::new();
    let fails = |path: &Path| ivshmem::doorbell(path).connect().unwrap_err();
    let missing = fails(&place.socket());
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("start one first"), "{missing}");
    drop(UnixListener::bind(place.socket()).unwrap());
    let stale = fails(&place.socket());
    assert_eq!(stale.kind(), ErrorKind::NotFound);
    assert!(stale.to_string().contains("nobody listens"), "{stale}");
    let file = place.0.path().join("file");
    std::fs::write(&file, "no socket").unwrap();
    assert_eq!(fails(&file).kind(), ErrorKind::InvalidArgument);
    let long = place.0.path().join("x".repeat(200));
    assert_eq!(fails(&long).kind(), ErrorKind::InvalidArgument, "{}", fails(&long));
    let many = ivshmem::doorbell(place.socket()).vectors(257).connect().unwrap_err();
    assert_eq!(many.kind(), ErrorKind::InvalidArgument);
}

#[test]
fn a_server_that_keeps_silent_or_accepts_nobody_costs_the_timeout_only() {
    let place = Place::new();
    let silent = hostile(&place.socket(), |stream| {
        std::io::copy(&mut &stream, &mut std::io::sink()).map(drop).unwrap()
    });
    let options = || ivshmem::doorbell(place.socket()).timeout(Duration::from_millis(30));
    let error = options().connect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    silent.join().unwrap();

    std::fs::remove_file(place.socket()).unwrap();
    let _listener = UnixListener::bind(place.socket()).unwrap();
    let mut queued = Vec::new();
    let error = loop {
        match ivshmem::sys::linux::socket::connect(&place.socket(), Duration::from_millis(5)) {
            Ok(socket) => queued.push(socket),
            Err(_) => break options().connect().unwrap_err(),
        }
    };
    assert!(matches!(error, OpenError::Overloaded { .. }), "{error}");
}

#[test]
fn a_server_that_dribbles_or_floods_cannot_keep_connect_for_ever() {
    let dribble = |stream: UnixStream| {
        while send(&stream, 0, None).is_ok() {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let flood = |stream: UnixStream| {
        begin(&stream, 3);
        let ring = eventfd::create().unwrap();
        while send(&stream, 7, Some(&ring)).and_then(|()| send(&stream, 7, None)).is_ok() {}
    };
    for (script, ends_well) in
        [(Box::new(dribble) as Box<dyn FnOnce(_) + Send>, false), (Box::new(flood), true)]
    {
        let place = Place::new();
        let server = hostile(&place.socket(), script);
        let result = ivshmem::doorbell(place.socket()).timeout(Duration::from_millis(50)).connect();
        assert_eq!(result.is_ok(), ends_well, "{result:?}");
        drop(result);
        server.join().unwrap();
    }
}

#[test]
fn what_a_hostile_server_gives_as_memory_or_interrupt_is_a_typed_error() {
    let directory = std::fs::File::open("/").unwrap();
    let path_only =
        rustix::fs::open("/etc/passwd", rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
    let (pipe, _other) = rustix::pipe::pipe().unwrap();
    let gifts = [OwnedFd::from(directory), path_only, pipe, memfd(0), eventfd::create().unwrap()];
    for gift in gifts {
        let place = Place::new();
        let server = hostile(&place.socket(), move |stream| {
            send(&stream, 0, None).unwrap();
            send(&stream, 1, None).unwrap();
            send(&stream, -1, Some(&gift)).unwrap();
        });
        // With vectors(0), the memory completes the handshake. Otherwise the client may see first that the server closes the
        // connection right after the memory.
        let error = ivshmem::doorbell(place.socket()).vectors(0).connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error}");
        server.join().unwrap();
    }
    for (id, is_path) in [(1, false), (2, false), (1, true), (2, true)] {
        let place = Place::new();
        let server = hostile(&place.socket(), move |stream| {
            begin(&stream, 1);
            let event = eventfd::create().unwrap();
            let name = format!("/proc/self/fd/{}", event.as_raw_fd());
            let path = rustix::fs::open(name, rustix::fs::OFlags::PATH, rustix::fs::Mode::empty()).unwrap();
            send(&stream, id, Some(&if is_path { path } else { memfd(4096) })).unwrap();
        });
        let error = ivshmem::doorbell(place.socket()).vectors(4).connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol);
        assert!(error.to_string().contains("is no eventfd, where only vectors are sent"), "{error}");
        server.join().unwrap();
    }
}

#[test]
fn a_refusal_is_told_with_its_reason() {
    let place = Place::new();
    let server = hostile(&place.socket(), |stream| {
        send(&stream, ivshmem::wire::Refusal::TooManyClients.version(), None).unwrap();
    });
    let error = ivshmem::doorbell(place.socket()).connect().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("too many clients"), "{error}");
    server.join().unwrap();
}

#[test]
fn one_kind_of_reader_at_a_time_and_the_error_names_the_other() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let device = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let own = device.own_id().unwrap();

    let registration = device.on_interrupt(0, |_| {}).unwrap();
    let second = device.on_interrupt(0, |_| {}).unwrap();
    let busy = device.wait(0, soon()).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy);
    assert!(busy.to_string().contains("read by callbacks; drop their registrations first"), "{busy}");
    assert_eq!(device.raw_interrupt(0).unwrap_err().kind(), ErrorKind::Busy);
    assert!(!device.wait(1, Some(Instant::now())).unwrap(), "another vector is free");
    drop((registration, second));

    let raw = device.raw_interrupt(0).unwrap();
    assert!(device.wait(0, soon()).unwrap_err().to_string().contains("raw"));
    device.ring(own, 0).unwrap();
    assert!(raw.take().unwrap() && !raw.take().unwrap());
    drop(raw);
    device.ring(own, 0).unwrap();
    assert!(device.wait(0, soon()).unwrap());
}

#[test]
fn the_last_handle_may_be_dropped_inside_a_callback() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let device = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let own = device.own_id().unwrap();
    let (sender, receiver) = mpsc::channel();
    let (hand_over, last) = mpsc::channel::<Device>();
    let callback = move |_| {
        drop(last.recv().unwrap());
        sender.send(()).unwrap();
    };
    device.on_interrupt(0, callback).unwrap().forget();
    device.ring(own, 0).unwrap();
    hand_over.send(device).unwrap();
    receiver.recv_timeout(HANG).unwrap();
}

#[test]
fn an_executor_gets_one_job_at_a_time_and_a_dropped_job_is_not_the_last() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let device = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let own = device.own_id().unwrap();
    let (jobs, queue) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
    let runs = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&runs);
    let executor = move |job| jobs.send(job).unwrap();
    let _registration =
        device.on_interrupt_with(0, executor, move |_| _ = count.fetch_add(1, Ordering::SeqCst)).unwrap();
    device.ring(own, 0).unwrap();
    let first = queue.recv_timeout(HANG).unwrap();
    for _ in 0..100 {
        device.ring(own, 0).unwrap();
        std::thread::yield_now();
    }
    assert!(queue.try_recv().is_err(), "queued twice");
    first();
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    // A slow dispatcher may deliver earlier rings after the start of the run.
    while let Ok(job) = queue.recv_timeout(Duration::from_millis(20)) {
        job();
    }
    device.ring(own, 0).unwrap();
    drop(queue.recv_timeout(HANG).unwrap());
    device.ring(own, 0).unwrap();
    let before = runs.load(Ordering::SeqCst);
    queue.recv_timeout(HANG).unwrap()();
    assert_eq!(runs.load(Ordering::SeqCst), before + 1);
}

#[test]
fn an_executor_that_runs_at_once_is_never_nested() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let device = Arc::new(ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap());
    let own = device.own_id().unwrap();
    let (sender, receiver) = mpsc::channel();
    let inside = Arc::clone(&device);
    let mut left = 1000;
    let function = move |_| {
        if left > 0 {
            left -= 1;
            inside.ring(own, 0).unwrap();
        } else {
            sender.send(()).unwrap();
        }
    };
    let _registration = device.on_interrupt_with(0, |job| job(), function).unwrap();
    device.ring(own, 0).unwrap();
    receiver.recv_timeout(HANG).unwrap();
    device.close();
}

#[test]
fn nothing_is_missed_after_the_last_of_many_rings() {
    const RINGS: u64 = 100_000;
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let a = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let b = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let to = a.own_id().unwrap();
    let (sender, receiver) = mpsc::channel();
    let memory = a.memory().clone();
    let mut told = false;
    let _registration = a
        .on_interrupt(1, move |_| {
            if !told && memory.read_word::<u64>(0).unwrap() == RINGS {
                told = true;
                sender.send(()).unwrap();
            }
        })
        .unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            while a.memory().read_word::<u64>(0).unwrap() < RINGS {
                assert!(a.wait(0, soon()).unwrap(), "no wake-up after the last ring");
            }
        });
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        for n in 1..=RINGS {
            b.memory().write_word(0, n).unwrap();
            b.ring(to, 0).unwrap();
            b.ring(to, 1).unwrap();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            for _ in 0..random % 64 {
                std::hint::spin_loop();
            }
            if random.is_multiple_of(512) {
                std::thread::sleep(Duration::from_micros(random % 100));
            }
        }
        waiter.join().unwrap();
    });
    receiver.recv_timeout(HANG).unwrap();
}

#[test]
fn sixteen_peers_with_sixty_four_vectors_are_complete_at_once() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let all = rustix::process::Rlimit { current: limit.maximum, ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, all).unwrap();
    let place = Place::new();
    // A scripted server: sixteen peers are sixteen ids with eventfds.
    let server = hostile(&place.socket(), |stream| {
        begin(&stream, 16);
        let interrupt = eventfd::create().unwrap();
        for id in 0..17 {
            for _ in 0..64 {
                send(&stream, id, Some(&interrupt)).unwrap();
            }
        }
        std::io::copy(&mut &stream, &mut std::io::sink()).map(drop).unwrap();
    });
    let device = ivshmem::doorbell(place.socket()).quiet(HANG).connect().unwrap();
    assert_eq!(device.vectors(), 64);
    let peers = device.peers().unwrap();
    assert_eq!(peers.len(), 16);
    assert!(peers.iter().all(|peer| peer.vectors == 64));
    drop(device);
    server.join().unwrap();
}

#[test]
fn the_timeout_holds_where_a_server_may_be_quiet_for_longer() {
    let place = Place::new();
    let server = hostile(&place.socket(), |stream| {
        let _ = std::io::copy(&mut &stream, &mut std::io::sink());
    });
    let begin = Instant::now();
    let connecting = ivshmem::doorbell(place.socket()).quiet(HANG * 10).timeout(Duration::from_millis(50));
    assert_eq!(connecting.connect().unwrap_err().kind(), ErrorKind::TimedOut);
    assert!(begin.elapsed() < HANG, "{:?}", begin.elapsed());
    server.join().unwrap();
}

#[test]
fn a_first_client_is_connected_soon_after_the_greeting_and_far_before_the_timeout() {
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let device = ivshmem::doorbell(place.socket()).timeout(HANG * 1000).connect().unwrap();
    assert_eq!((device.vectors(), device.peers().unwrap().len()), (2, 0));
}

#[test]
fn descriptors_used_up_are_an_error_that_says_what_to_raise() {
    if let Ok(place) = std::env::var("IVSHMEM_TEST_FEW_DESCRIPTORS") {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let few = rustix::process::Rlimit { current: Some(40), ..limit };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
        let error = ivshmem::doorbell(place).vectors(64).connect().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
        assert!(error.to_string().contains("ulimit -n"), "{error}");
        return;
    }
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner { vectors: 64, ..Manner::default() }).unwrap();
    // In a separate process, because the limit applies to the whole process.
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "descriptors_used_up_are_an_error_that_says_what_to_raise"])
        .env("IVSHMEM_TEST_FEW_DESCRIPTORS", place.socket())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn a_peer_killed_in_the_middle_is_told_and_its_rings_are_not_lost() {
    if let Ok(place) = std::env::var("IVSHMEM_TEST_VICTIM") {
        let device = ivshmem::doorbell(place).vectors(2).connect().unwrap();
        let first = device.peers().unwrap()[0].id;
        loop {
            device.ring(first, 0).unwrap();
        }
    }
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    let device = ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap();
    let events = events(&device);
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_peer_killed_in_the_middle_is_told_and_its_rings_are_not_lost"])
        .env("IVSHMEM_TEST_VICTIM", place.socket())
        .spawn()
        .unwrap();
    assert!(device.wait(0, soon()).unwrap());
    victim.kill().unwrap();
    victim.wait().unwrap();
    while !matches!(events.recv_timeout(HANG).unwrap(), PeerEvent::Disconnected(_)) {}
    assert!(device.peers().unwrap().is_empty());
    device.wait(0, Some(Instant::now() + Duration::from_millis(1))).unwrap();
    device.ring(device.own_id().unwrap(), 0).unwrap();
    assert!(device.wait(0, soon()).unwrap());
}

#[test]
fn a_server_without_vectors_gives_memory_and_nobody_who_leaves_ends_it() {
    let place = Place::new();
    let manner = Manner { vectors: 0, ..Manner::default() };
    let server = BareServer::start(&place.socket(), manner).unwrap();
    let connect = || ivshmem::doorbell(place.socket()).vectors(0).connect().unwrap();
    let (stays, leaves) = (connect(), connect());
    assert_ne!(stays.own_id(), leaves.own_id());
    assert!(!stays.supports_interrupts() && stays.peers().unwrap().is_empty());
    assert_eq!(stays.wait(0, None).unwrap_err().kind(), ErrorKind::UnknownVector);
    let (sender, events) = mpsc::channel();
    let _listening = stays.on_peer(move |event| sender.send(event.clone()).unwrap()).unwrap();
    leaves.close();
    // Its id is free again as soon as the server has announced its disconnection to the others.
    while ivshmem::doorbell(place.socket()).vectors(0).connect().unwrap().own_id() != leaves.own_id() {}
    drop(server);
    let first = events.recv_timeout(HANG).unwrap();
    assert!(matches!(first, PeerEvent::ServerGone { reason: ConnectionError::Gone }), "{first:?}");
    stays.memory().write(0, b"goes on").unwrap();
}

#[test]
fn a_plain_file_has_no_interrupts_and_says_so() {
    let place = Place::new();
    let device = ivshmem::plain(place.0.path().join("file")).size(4096).open().unwrap();
    assert!(!device.supports_interrupts());
    assert_eq!((device.own_id(), device.vectors(), device.is_connected(0)), (None, 0, false));
    let error = device.ring(0, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), "plain memory has no interrupts; connect to a server for them");
}

/// Runs each job in a separate thread.
fn executor() -> impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static {
    |job| drop(std::thread::spawn(job))
}

#[test]
fn callbacks_that_end_each_other_in_any_way_all_end() {
    type End = fn(&Mutex<Option<Registration>>, &Device);
    let removes: End = |registration, _| drop(registration.lock().unwrap().take());
    let closes: End = |_, device| device.close();
    let place = Place::new();
    let _server = BareServer::start(&place.socket(), Manner::default()).unwrap();
    for (round, ends) in
        [[removes, removes], [removes, closes], [closes, closes]].iter().cycle().take(60).enumerate()
    {
        let devices =
            [0, 1].map(|_| Arc::new(ivshmem::doorbell(place.socket()).vectors(2).connect().unwrap()));
        let registrations = [0, 1].map(|_| Arc::new(Mutex::new(None)));
        let (both, (sender, ended)) = (Arc::new(Barrier::new(2)), mpsc::channel());
        for me in [0, 1] {
            let (its, device) = (Arc::clone(&registrations[1 - me]), Arc::clone(&devices[1 - me]));
            let (end, both, sender, begun) =
                (ends[me], Arc::clone(&both), sender.clone(), AtomicUsize::new(0));
            let callback = move |_| {
                // The callback may run again.
                if begun.fetch_add(1, Ordering::Relaxed) == 0 {
                    both.wait();
                    end(&its, &device);
                    sender.send(()).unwrap();
                }
            };
            // In both dispatchers, in two other threads, and in one of each.
            let registration = match round / 3 % 3 {
                0 => devices[me].on_interrupt(0, callback),
                1 => devices[me].on_interrupt_with(0, executor(), callback),
                _ if me == 0 => devices[me].on_interrupt(0, callback),
                _ => devices[me].on_interrupt_with(0, executor(), callback),
            };
            *registrations[me].lock().unwrap() = Some(registration.unwrap());
        }
        for device in &devices {
            device.ring(device.own_id().unwrap(), 0).unwrap();
        }
        for _ in 0..2 {
            ended.recv_timeout(HANG).unwrap();
        }
        devices.iter().for_each(|device| device.close());
    }
}
