//! The server's methods on systems without a server: none can be started, so there is none to query or stop.

use jni::objects::{JClass, JString};
use jni::sys::{jint, jlong};
use jni::{Env, NativeMethod, native_method};

use crate::error::{BridgeError, Throw};

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

#[expect(clippy::too_many_arguments, reason = "one for each option of the server")]
fn server_start<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    _: JString<'local>,
    _: jlong,
    _: jint,
    _: jint,
    _: jint,
    _: JString<'local>,
) -> Result<jlong, BridgeError> {
    Err(BridgeError::NoServer)
}

fn server_size<'local>(_: &mut Env<'local>, _: JClass<'local>, _: jlong) -> Result<jlong, BridgeError> {
    Err(BridgeError::NoSuchHandle("server"))
}

fn server_clients<'local>(_: &mut Env<'local>, _: JClass<'local>, _: jlong) -> Result<jint, BridgeError> {
    Err(BridgeError::NoSuchHandle("server"))
}

fn server_stop<'local>(_: &mut Env<'local>, _: JClass<'local>, _: jlong) -> Result<(), BridgeError> {
    Err(BridgeError::NoSuchHandle("server"))
}
