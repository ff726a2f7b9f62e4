//! The native half of the Java library Ivshmem4j: a bridge without logic.
//!
//! Each native method converts its arguments, calls one function of the library, and converts the result. Handles
//! stand for objects (`handles`), one policy turns errors and panics into exceptions (`error`). Nothing here calls
//! Java by itself: callbacks run in threads that Java makes and that wait in here.

// UNSAFETY: the Java virtual machine calls functions by address; jni's macros check that they have the right form.
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

/// Raised with every change of a native method; `NativeLibrary.java` has the same number.
const ABI: jint = 5;

/// Found by its name, so that a library of any age can be asked whether it fits.
const _: NativeMethod = native_method! {
    java_type = "io.github.alexanderschuetz97.ivshmem4j.internal.NativeLibrary",
    error_policy = Throw,
    static extern fn abi() -> jint,
};

/// Found by its name as well; it makes all others known, and fails when one of them is not as Java declares it.
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
        // SAFETY: native_method! makes each entry of a function with the signature it states, and all are static.
        unsafe { env.register_native_methods(&class, methods) }?;
    }
    Ok(())
}

/// A buffer over a part of a memory, which stays Java's until the memory's handle is freed.
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
    // SAFETY: the bytes were mapped, and stay so until the handle is freed, also after closing; Java frees it when the
    // object that took it over is unreachable, and each buffer keeps that object reachable.
    Ok(unsafe { env.new_direct_byte_buffer(start, length) }?)
}

/// What tests of the bridge itself need and nobody else calls.
const FOR_TESTS: &[NativeMethod] = &[
    native_method! { static fn error_kinds() -> JString[], error_policy = Throw },
    native_method! { static fn panic(text: JString), error_policy = Throw },
];

/// The names of all kinds of errors, to be compared with Java's.
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

/// A defect, to see what becomes of it. Without the report of a panic on standard error, which would look like a real one.
fn panic<'local>(env: &mut Env<'local>, _: JClass<'local>, text: JString<'local>) -> Result<(), BridgeError> {
    std::panic::resume_unwind(Box::new(text.try_to_string(env)?))
}
