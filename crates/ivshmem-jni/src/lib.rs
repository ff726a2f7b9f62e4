//! The native half of the Java library Ivshmem4j: a bridge without logic.
//!
//! Each native method converts its arguments, calls one function of the library, and converts the result. Java refers to
//! objects by handles (`handles`), and one policy converts errors and panics to exceptions (`error`). This crate starts no
//! calls into Java: callbacks run in threads that Java created and that wait in native methods.

// UNSAFETY: the Java virtual machine calls functions by address; jni's macros check that they have the right signatures.
#![expect(unsafe_code, reason = "two exported symbols, and registering the other native methods by address")]

mod by_address;
mod device;
mod error;
mod handles;
mod memory;
mod pci;
mod peer_news;
#[cfg_attr(not(target_os = "linux"), path = "no_server.rs")]
mod server;
mod windows;

use ivshmem::ErrorKind;
use jni::objects::{JByteBuffer, JClass, JObjectArray, JString};
use jni::sys::jint;
use jni::{Env, NativeMethod, native_method};

use error::{BridgeError, Throw};
use ivshmem::region::Memory;

/// Incremented with every change of a native method; `NativeLibrary.java` has the same number.
const ABI: jint = 7;

/// Resolved by its name, so that Java can check the version of any library.
const _: NativeMethod = native_method! {
    java_type = "io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary",
    error_policy = Throw,
    static extern fn abi() -> jint,
};

/// Resolved by its name too. It registers all other methods, and fails when one of them differs from its declaration in
/// Java.
const _: NativeMethod = native_method! {
    java_type = "io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary",
    error_policy = Throw,
    static extern fn register(),
};

fn abi<'local>(_: &mut Env<'local>, _: JClass<'local>) -> Result<jint, BridgeError> {
    Ok(ABI)
}

fn register<'local>(env: &mut Env<'local>, class: JClass<'local>) -> Result<(), BridgeError> {
    for methods in memory::METHODS.iter().chain(by_address::METHODS).chain([
        &device::METHODS,
        &pci::METHODS,
        &windows::METHODS,
        &server::METHODS,
        &FOR_TESTS,
    ]) {
        // SAFETY: native_method! makes each entry from a function with the signature that it states, and all are static.
        unsafe { env.register_native_methods(&class, methods) }?;
    }
    Ok(())
}

/// Returns a buffer over a part of a memory. It is valid until the memory's handle is freed.
fn direct_buffer<'local>(
    env: &mut Env<'local>,
    memory: &Memory,
    offset: u64,
    length: u64,
) -> Result<JByteBuffer<'local>, BridgeError> {
    if offset.checked_add(length).is_none_or(|end| end > memory.len()) {
        let text =
            format!("{length} bytes at offset {offset} are not inside a memory of {} bytes", memory.len());
        return Err(BridgeError::Argument(text));
    }
    let [offset, length] = [offset, length]
        .map(|number| usize::try_from(number).expect("a mapping has at most isize::MAX bytes"));
    let start = memory.as_ptr().wrapping_add(offset);
    // SAFETY: the bytes were mapped, and stay mapped until the handle is freed, also after closing; Java frees it when the
    // object that took it over is unreachable, and each buffer keeps that object reachable.
    Ok(unsafe { env.new_direct_byte_buffer(start, length) }?)
}

/// Methods that only tests of the bridge call.
const FOR_TESTS: &[NativeMethod] = &[
    native_method! { static fn error_kinds() -> JString[], error_policy = Throw },
    native_method! { static fn panic(text: JString), error_policy = Throw },
];

/// The names of all kinds of errors, for a comparison with Java's.
fn error_kinds<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
) -> Result<JObjectArray<'local, JString<'local>>, BridgeError> {
    let names = JObjectArray::<JString>::new(env, ErrorKind::ALL.len(), JString::null())?;
    for (index, kind) in ErrorKind::ALL.iter().enumerate() {
        let name = env.new_string(format!("{kind:?}"))?;
        names.set_element(env, index, &name)?;
    }
    Ok(names)
}

/// Unwinds with this text, to test the handling of panics. It does not call the panic hook, whose report on standard error
/// would look like a real defect.
fn panic<'local>(env: &mut Env<'local>, _: JClass<'local>, text: JString<'local>) -> Result<(), BridgeError> {
    std::panic::resume_unwind(Box::new(text.try_to_string(env)?))
}
