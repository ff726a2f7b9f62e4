//! A server inside the Java program.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use ivshmem_server::{Backing, Server};
use jni::objects::{JClass, JString};
use jni::sys::{jint, jlong};
use jni::{Env, NativeMethod, native_method};

use crate::error::{BridgeError, Throw};
use crate::handles::Handles;

/// The servers that Java has started and not yet stopped. The thread that stops a server takes it out.
pub(crate) static SERVERS: Handles<Mutex<Option<Server>>> = Handles::new("server");

pub(crate) const METHODS: &[NativeMethod] = &[
    native_method! {
        static fn server_start(
            path: JString, size: jlong, vectors: jint, clients: jint, mode: jint, memory: JString
        ) -> jlong,
        error_policy = Throw,
    },
    native_method! { static fn server_size(server: jlong) -> jlong, error_policy = Throw },
    native_method! { static fn server_clients(server: jlong) -> jint, error_policy = Throw },
    native_method! { static fn server_stop(server: jlong), error_policy = Throw },
];

/// A null `memory` means sealed memory without a name.
#[expect(clippy::too_many_arguments, reason = "one for each option of the server")]
fn server_start<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    path: JString<'local>,
    size: jlong,
    vectors: jint,
    clients: jint,
    mode: jint,
    memory: JString<'local>,
) -> Result<jlong, BridgeError> {
    let backing = match memory.is_null() {
        true => Backing::Sealed,
        false => Backing::Named(PathBuf::from(memory.try_to_string(env)?)),
    };
    // A negative number becomes one far above every limit, and is refused for that.
    let server = Server::builder(path.try_to_string(env)?)
        .size(size.cast_unsigned())
        .vectors(vectors.cast_unsigned())
        .max_clients(clients.cast_unsigned())
        .mode(mode.cast_unsigned())
        .backing(backing)
        .start()?;
    Ok(SERVERS.give(Mutex::new(Some(server))))
}

fn server_size<'local>(_: &mut Env<'local>, _: JClass<'local>, server: jlong) -> Result<jlong, BridgeError> {
    look(server, |server| jlong::try_from(server.size()).expect("a server has at most 1 TiB"))
}

fn server_clients<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    server: jlong,
) -> Result<jint, BridgeError> {
    let status = look(server, Server::status)??;
    Ok(jint::try_from(status.clients).expect("a server has at most 65536 clients"))
}

/// Stops the server, waits for its end, and frees the handle.
fn server_stop<'local>(_: &mut Env<'local>, _: JClass<'local>, handle: jlong) -> Result<(), BridgeError> {
    let server = SERVERS.find(handle)?;
    SERVERS.free(handle);
    let taken = server.lock().unwrap_or_else(PoisonError::into_inner).take();
    match taken {
        Some(server) => Ok(server.stop()?),
        None => Ok(()),
    }
}

fn look<R>(handle: jlong, at: impl FnOnce(&Server) -> R) -> Result<R, BridgeError> {
    let server = SERVERS.find(handle)?;
    let server = server.lock().unwrap_or_else(PoisonError::into_inner);
    server.as_ref().map(at).ok_or(BridgeError::NoSuchHandle("server"))
}
