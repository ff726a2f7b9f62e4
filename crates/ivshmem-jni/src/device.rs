//! Devices: opening and closing, peers, ringing, and waiting for interrupts.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use ivshmem::device::Device;
use ivshmem::doorbell::{DoorbellError, PeerEvent, Registration, WaitOutcome, Waiter};
use jni::objects::{JClass, JIntArray, JLongArray, JString};
use jni::sys::{jboolean, jint, jlong};
use jni::{Env, NativeMethod, native_method};

use crate::error::{BridgeError, Throw};
use crate::handles::Handles;
use crate::memory::MEMORIES;
use crate::pci;
use crate::peer_news::{Next, PeerNews};

/// The devices that Java has opened and not yet freed.
pub(crate) static DEVICES: Handles<Opened> = Handles::new("device");

/// A device, and the events of its peers for the Java thread that waits for them.
pub(crate) struct Opened {
    device: Device,
    cancels: Cancels,
    news: Arc<PeerNews>,
    _listening: Option<Registration>,
}

pub(crate) const METHODS: &[NativeMethod] = &[
    native_method! { static fn open_plain(path: JString, options: [jlong]) -> jlong, error_policy = Throw },
    native_method! { static fn connect(path: JString, options: [jlong]) -> jlong, error_policy = Throw },
    native_method! { static fn open(target: JString) -> jlong, error_policy = Throw },
    native_method! { static fn device_memory(device: jlong) -> jlong, error_policy = Throw },
    native_method! { static fn device_interrupt_finding(device: jlong) -> JString, error_policy = Throw },
    native_method! { static fn device_knows_peers(device: jlong) -> jboolean, error_policy = Throw },
    native_method! { static fn device_own_id(device: jlong) -> jint, error_policy = Throw },
    native_method! { static fn device_vectors(device: jlong) -> jint, error_policy = Throw },
    native_method! { static fn device_peers(device: jlong) -> [jint], error_policy = Throw },
    native_method! { static fn device_peer_vectors(device: jlong, peer: jint) -> jint, error_policy = Throw },
    native_method! { static fn device_ring(device: jlong, peer: jint, vector: jint), error_policy = Throw },
    native_method! {
        static fn device_wait(
            device: jlong, vector: jint, seen: jlong, cancels: jlong, receives: jboolean, nanos: jlong
        ) -> jlong, error_policy = Throw
    },
    native_method! { static fn device_cancel(device: jlong, vector: jint), error_policy = Throw },
    native_method! { static fn device_received(device: jlong, vector: jint) -> jlong, error_policy = Throw },
    native_method! { static fn device_receive(device: jlong, vector: jint) -> jlong, error_policy = Throw },
    native_method! {
        static fn device_give_back(device: jlong, vector: jint, position: jlong), error_policy = Throw
    },
    native_method! { static fn device_peer_news(device: jlong) -> [jint], error_policy = Throw },
    native_method! { static fn device_pass_on(device: jlong), error_policy = Throw },
    native_method! { static fn device_listen(device: jlong, listener: jint), error_policy = Throw },
    native_method! { static fn device_unlisten(device: jlong, listener: jint), error_policy = Throw },
    native_method! {
        static fn device_listener_news(device: jlong, listener: jint) -> [jint], error_policy = Throw
    },
    native_method! { static fn device_close(device: jlong), error_policy = Throw },
    native_method! { static fn device_free(device: jlong), error_policy = Throw },
];

/// `PlainOptions.java` has the same order; a negative number means that the option is not set.
fn open_plain<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    path: JString<'local>,
    options: JLongArray<'local>,
) -> Result<jlong, BridgeError> {
    let mut numbers = [0; 10];
    options.get_region(env, 0, &mut numbers)?;
    let [size, offset, length, mode, user, group, create_new, prefault, huge_pages, read_only] =
        numbers.map(|number| u64::try_from(number).ok());
    let small = |number: Option<u64>| number.and_then(|number| u32::try_from(number).ok());

    let mut plain = ivshmem::plain(path.try_to_string(env)?);
    if let Some(size) = size {
        plain = plain.size(size);
    }
    if let (Some(offset), Some(length)) = (offset, length) {
        plain = plain.window(offset, length);
    }
    if let Some(mode) = small(mode) {
        plain = plain.mode(mode);
    }
    if let (Some(user), Some(group)) = (small(user), small(group)) {
        plain = plain.owner(user, group);
    }
    if create_new.is_some() {
        plain = plain.create_new();
    }
    if prefault.is_some() {
        plain = plain.prefault();
    }
    if huge_pages.is_some() {
        plain = plain.huge_pages();
    }
    if read_only.is_some() {
        plain = plain.read_only();
    }
    give(plain.open()?)
}

/// `DoorbellOptions.java` has the same order; a negative number means that the option is not set.
fn connect<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    path: JString<'local>,
    options: JLongArray<'local>,
) -> Result<jlong, BridgeError> {
    let mut numbers = [0; 4];
    options.get_region(env, 0, &mut numbers)?;
    let [timeout_millis, vectors, reconnect, read_only] = numbers.map(|number| u64::try_from(number).ok());

    let mut doorbell = ivshmem::doorbell(path.try_to_string(env)?).reconnect(reconnect.is_some());
    if let Some(timeout) = timeout_millis {
        doorbell = doorbell.timeout(Duration::from_millis(timeout));
    }
    if let Some(vectors) = vectors {
        // A number that does not fit exceeds every limit, and is refused for that.
        doorbell = doorbell.vectors(u16::try_from(vectors).unwrap_or(u16::MAX));
    }
    if read_only.is_some() {
        doorbell = doorbell.read_only();
    }
    give(doorbell.connect()?)
}

fn open<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    target: JString<'local>,
) -> Result<jlong, BridgeError> {
    give(ivshmem::open(&target.try_to_string(env)?)?)
}

fn give(device: Device) -> Result<jlong, BridgeError> {
    let news = Arc::new(PeerNews::new());
    let listener = Arc::clone(&news);
    let listening = match device.knows_peers() {
        true => Some(device.on_peer(move |event| listener.tell(event))?),
        false => None,
    };
    Ok(DEVICES.give(Opened {
        device,
        cancels: Cancels([const { AtomicI64::new(0) }; MAX_VECTORS]),
        news,
        _listening: listening,
    }))
}

/// Returns a separate handle for the memory, which outlives the device's handle.
fn device_memory<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
) -> Result<jlong, BridgeError> {
    Ok(MEMORIES.give(DEVICES.find(device)?.device.memory().clone()))
}

/// Null for a device that can be rung, and for any device that is not a guest's.
fn device_interrupt_finding<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
) -> Result<JString<'local>, BridgeError> {
    let opened = DEVICES.find(device)?;
    pci::text(env, opened.device.interrupt_finding())
}

fn device_knows_peers<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
) -> Result<jboolean, BridgeError> {
    Ok(DEVICES.find(device)?.device.knows_peers())
}

/// -1 for a device without an id.
fn device_own_id<'local>(_: &mut Env<'local>, _: JClass<'local>, device: jlong) -> Result<jint, BridgeError> {
    Ok(DEVICES.find(device)?.device.own_id().map_or(-1, |id| id.0.into()))
}

fn device_vectors<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
) -> Result<jint, BridgeError> {
    Ok(DEVICES.find(device)?.device.vectors().into())
}

fn device_peers<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
) -> Result<JIntArray<'local>, BridgeError> {
    let peers = DEVICES.find(device)?.device.peers()?;
    let ids: Vec<jint> = peers.iter().map(|peer| peer.id.0.into()).collect();
    ints(env, &ids)
}

/// -1 when no peer has this id.
fn device_peer_vectors<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    peer: jint,
) -> Result<jint, BridgeError> {
    let opened = DEVICES.find(device)?;
    let Ok(peer) = u16::try_from(peer) else {
        // Fails for devices that do not know their peers.
        return opened.device.peers().map(|_| -1).map_err(BridgeError::from);
    };
    let peer = opened.device.peer(peer)?;
    Ok(peer.map_or(-1, |peer| peer.vectors.into()))
}

fn device_ring<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    peer: jint,
    vector: jint,
) -> Result<(), BridgeError> {
    let peer = u16::try_from(peer).map_err(|_| BridgeError::UnknownPeer(peer))?;
    let vector = u16::try_from(vector).map_err(|_| BridgeError::UnknownVector(vector))?;
    Ok(DEVICES.find(device)?.device.ring(peer, vector)?)
}

/// Waits for an interrupt of the vector after the first `seen` ones, and returns their new number; 0 at the timeout, -1 once
/// the device is closed, -2 after more than `cancels` calls of [`device_cancel`]. A negative number of nanoseconds means no
/// timeout. With `receives`, the interrupt counts as received.
#[expect(clippy::too_many_arguments, reason = "those of a native method, after the two of Java")]
fn device_wait<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    vector: jint,
    seen: jlong,
    cancels: jlong,
    receives: jboolean,
    nanos: jlong,
) -> Result<jlong, BridgeError> {
    let vector = u16::try_from(vector).map_err(|_| BridgeError::UnknownVector(vector))?;
    let deadline =
        u64::try_from(nanos).ok().and_then(|nanos| Instant::now().checked_add(Duration::from_nanos(nanos)));
    let Ok(opened) = DEVICES.find(device) else { return Ok(CLOSED) };
    let cancelled = || opened.cancels.of(vector).load(Ordering::Relaxed) > cancels;
    let waited = opened.device.waiter(vector).and_then(|mut waiter| {
        waiter.seek(seen.unsigned_abs());
        let outcome = match receives {
            true => waiter.wait_unless(deadline, cancelled)?,
            false => waiter.observe_unless(deadline, cancelled)?,
        };
        Ok((outcome, waiter.position()))
    });
    match waited {
        Ok((WaitOutcome::Interrupt, position)) => Ok(position.cast_signed()),
        Ok((WaitOutcome::TimedOut, _)) => Ok(TIMED_OUT),
        Ok((WaitOutcome::Cancelled, _)) => Ok(CANCELLED),
        Err(DoorbellError::Closed) => Ok(CLOSED),
        Err(error) => Err(error.into()),
    }
}

const TIMED_OUT: jlong = 0;
const CLOSED: jlong = -1;
const CANCELLED: jlong = -2;

/// Counts the cancellation, and has all waits for the vector compare the count. It never blocks. Java counts as well, so the
/// cancellation counts even if the device lacks the vector now, which has ended the waits.
fn device_cancel<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    vector: jint,
) -> Result<(), BridgeError> {
    let opened = DEVICES.find(device)?;
    let vector = u16::try_from(vector).map_err(|_| BridgeError::UnknownVector(vector))?;
    opened.cancels.of(vector).fetch_add(1, Ordering::Relaxed);
    if let Ok(waiter) = opened.device.waiter(vector) {
        waiter.waker().wake();
    }
    Ok(())
}

/// How many of the vector's interrupts count as received.
fn device_received<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    vector: jint,
) -> Result<jlong, BridgeError> {
    Ok(waiter(device, vector)?.1.position().cast_signed())
}

/// Marks all interrupts so far as received; returns how many were.
fn device_receive<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    vector: jint,
) -> Result<jlong, BridgeError> {
    Ok(waiter(device, vector)?.1.receive().cast_signed())
}

/// Marks only the first `position` interrupts as received.
fn device_give_back<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    vector: jint,
    position: jlong,
) -> Result<(), BridgeError> {
    waiter(device, vector)?.1.give_back(position.unsigned_abs());
    Ok(())
}

fn waiter(device: jlong, vector: jint) -> Result<(Arc<Opened>, Waiter), BridgeError> {
    let vector = u16::try_from(vector).map_err(|_| BridgeError::UnknownVector(vector))?;
    let opened = DEVICES.find(device)?;
    let waiter = opened.device.waiter(vector)?;
    Ok((opened, waiter))
}

/// The number of cancellations of each vector.
struct Cancels([AtomicI64; MAX_VECTORS]);

const MAX_VECTORS: usize = 256;

impl Cancels {
    fn of(&self, vector: u16) -> &AtomicI64 {
        &self.0[usize::from(vector) % MAX_VECTORS]
    }
}

/// Waits for an event of the peers or of the server, and describes it as [`ints_of`] does, or returns [`LISTENER_ADDED`].
/// Returns an empty array once the device is closed. [`device_pass_on`] gives the event to the listeners.
///
/// # Errors
/// Once each time the connection to the server was lost, with the reason.
fn device_peer_news<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
) -> Result<JIntArray<'local>, BridgeError> {
    let Ok(opened) = DEVICES.find(device) else { return ints(env, &[]) };
    match opened.news.next(|| opened.device.peers()) {
        Ok(Next::Event(PeerEvent::ServerGone { reason })) => Err(reason.into()),
        Ok(Next::Event(event)) => ints(env, &ints_of(&event)),
        Ok(Next::ListenerAdded) => ints(env, &[LISTENER_ADDED]),
        Ok(Next::Closed) | Err(DoorbellError::Closed) => ints(env, &[]),
        Err(error) => Err(error.into()),
    }
}

/// Gives the event that [`device_peer_news`] returned last to the listeners. A closed device has none.
fn device_pass_on<'local>(_: &mut Env<'local>, _: JClass<'local>, device: jlong) -> Result<(), BridgeError> {
    if let Ok(opened) = DEVICES.find(device) {
        opened.news.pass_on();
    }
    Ok(())
}

/// Adds a listener, whose first events are the present peers. The caller chooses its number.
fn device_listen<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    listener: jint,
) -> Result<(), BridgeError> {
    let opened = DEVICES.find(device)?;
    Ok(opened.news.listen(listener, || opened.device.peers())?)
}

/// Removes a listener. The events of a closed device are already gone.
fn device_unlisten<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    listener: jint,
) -> Result<(), BridgeError> {
    if let Ok(opened) = DEVICES.find(device) {
        opened.news.unlisten(listener);
    }
    Ok(())
}

/// The next event of a listener, as [`ints_of`] describes it; an empty array if there is none, and once the device is closed.
fn device_listener_news<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    device: jlong,
    listener: jint,
) -> Result<JIntArray<'local>, BridgeError> {
    let Ok(opened) = DEVICES.find(device) else { return ints(env, &[]) };
    let event = opened.news.next_of(listener);
    ints(env, &event.as_ref().map_or_else(Vec::new, ints_of))
}

/// The kind of an event, and the peer or own id, and the peer's vectors, where it has them. `NativeLibrary.java` has the same
/// kinds.
fn ints_of(event: &PeerEvent) -> Vec<jint> {
    match event {
        PeerEvent::Connected(peer) | PeerEvent::VectorsChanged(peer) => {
            vec![0, peer.id.0.into(), peer.vectors.into()]
        }
        PeerEvent::Disconnected(peer) => vec![1, peer.0.into()],
        PeerEvent::Reconnected { id } => vec![3, id.0.into()],
        PeerEvent::MemoryReplaced => vec![4],
        PeerEvent::OwnVectors(_) => vec![5],
        // Callbacks miss no events, so this is the loss of the server.
        _ => vec![2],
    }
}

const LISTENER_ADDED: jint = 6;

/// Wakes all threads that wait.
fn device_close<'local>(_: &mut Env<'local>, _: JClass<'local>, device: jlong) -> Result<(), BridgeError> {
    let opened = DEVICES.find(device)?;
    opened.news.close();
    opened.device.close();
    Ok(())
}

fn device_free<'local>(_: &mut Env<'local>, _: JClass<'local>, device: jlong) -> Result<(), BridgeError> {
    DEVICES.free(device);
    Ok(())
}

fn ints<'local>(env: &mut Env<'local>, values: &[jint]) -> Result<JIntArray<'local>, BridgeError> {
    let array = env.new_int_array(values.len())?;
    array.set_region(env, 0, values)?;
    Ok(array)
}
