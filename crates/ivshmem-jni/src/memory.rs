//! Mapped memory: its address for Java's own accesses, and the accesses that Java lacks.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::Ordering::SeqCst;

use ivshmem::region::{CacheMode, Memory};
use jni::objects::{JByteArray, JByteBuffer, JClass};
use jni::sys::{jboolean, jbyte, jint, jlong, jshort};
use jni::{Env, EnvUnowned, NativeMethod, native_method};

use crate::direct_buffer;
use crate::error::{BridgeError, Throw};
use crate::handles::Handles;

/// The memory of every device that Java has opened, and of closed ones until their address is unreachable.
pub(crate) static MEMORIES: Handles<Memory> = Handles::new("memory");

pub(crate) const METHODS: &[&[NativeMethod]] = &[
    &[
        native_method! { static fn memory_address(memory: jlong) -> jlong, error_policy = Throw },
        native_method! { static fn memory_size(memory: jlong) -> jlong, error_policy = Throw },
        native_method! { static fn memory_is_writeable(memory: jlong) -> jboolean, error_policy = Throw },
        native_method! { static fn memory_is_sealed(memory: jlong) -> jboolean, error_policy = Throw },
        native_method! { static fn memory_cache_mode(memory: jlong) -> jint, error_policy = Throw },
        native_method! { static fn memory_close(memory: jlong), error_policy = Throw },
        native_method! { static fn memory_free(memory: jlong), error_policy = Throw },
        native_method! { static fn memory_sync(memory: jlong, offset: jlong, length: jlong), error_policy = Throw },
        native_method! {
            static fn memory_buffer(memory: jlong, offset: jlong, length: jlong) -> java.nio.ByteBuffer,
            error_policy = Throw,
        },
        native_method! {
            static fn compare_and_set_16(memory: jlong, offset: jlong, data: [jbyte]) -> jboolean,
            name = "compareAndSet16",
            error_policy = Throw,
        },
        native_method! {
            static fn supports_16() -> jboolean,
            name = "supports16ByteCompareAndSet",
            error_policy = Throw,
        },
    ],
    bytes::METHODS,
    shorts::METHODS,
    ints::METHODS,
    longs::METHODS,
];

fn memory_address<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
) -> Result<jlong, BridgeError> {
    let address = MEMORIES.with(memory, |memory| Ok(memory.as_ptr().addr()))?;
    Ok(jlong::try_from(address).expect("addresses of programs are in the lower half"))
}

fn memory_size<'local>(_: &mut Env<'local>, _: JClass<'local>, memory: jlong) -> Result<jlong, BridgeError> {
    let size = MEMORIES.with(memory, |memory| Ok(memory.len()))?;
    Ok(jlong::try_from(size).expect("a mapping has at most isize::MAX bytes"))
}

fn memory_is_writeable<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
) -> Result<jboolean, BridgeError> {
    MEMORIES.with(memory, |memory| Ok(!memory.is_read_only()))
}

fn memory_is_sealed<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
) -> Result<jboolean, BridgeError> {
    MEMORIES.with(memory, |memory| Ok(memory.is_sealed()))
}

/// The mode's index in Java's enumeration.
fn memory_cache_mode<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
) -> Result<jint, BridgeError> {
    MEMORIES.with(memory, |memory| {
        Ok(match memory.cache_mode() {
            CacheMode::Cached => 0,
            CacheMode::Uncached => 2,
            // With this mode's fences, Java's accesses are correct in every mode.
            _ => 1,
        })
    })
}

/// From here on, Java's accesses by address read zeroes, and their writes have no effect on others.
fn memory_close<'local>(_: &mut Env<'local>, _: JClass<'local>, memory: jlong) -> Result<(), BridgeError> {
    Ok(MEMORIES.find(memory)?.detach()?)
}

/// From here on, the address is invalid.
fn memory_free<'local>(_: &mut Env<'local>, _: JClass<'local>, memory: jlong) -> Result<(), BridgeError> {
    MEMORIES.free(memory);
    Ok(())
}

fn memory_sync<'local>(
    _: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
    offset: jlong,
    length: jlong,
) -> Result<(), BridgeError> {
    let memory = MEMORIES.find(memory)?;
    Ok(memory.sync(unsigned(offset)?, unsigned(length)?)?)
}

fn memory_buffer<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
    offset: jlong,
    length: jlong,
) -> Result<JByteBuffer<'local>, BridgeError> {
    let memory = MEMORIES.find(memory)?;
    direct_buffer(env, &memory, unsigned(offset)?, unsigned(length)?)
}

fn compare_and_set_16<'local>(
    env: &mut Env<'local>,
    _: JClass<'local>,
    memory: jlong,
    offset: jlong,
    data: JByteArray<'local>,
) -> Result<jboolean, BridgeError> {
    let length = data.len(env)?;
    if length != 32 {
        let text = format!("16 expected bytes and 16 new ones are needed, {length} were given");
        return Err(BridgeError::Argument(text));
    }
    let (mut expected, mut new) = ([0; 16], [0; 16]);
    data.get_region(env, 0, &mut expected)?;
    data.get_region(env, 16, &mut new)?;
    let [expected, new] = [expected, new].map(|bytes| u128::from_ne_bytes(bytes.map(jbyte::cast_unsigned)));
    let offset = unsigned(offset)?;
    MEMORIES.with(memory, |memory| Ok(memory.compare_exchange_128(offset, expected, new)?.is_ok()))
}

fn supports_16<'local>(_: &mut Env<'local>, _: JClass<'local>) -> Result<jboolean, BridgeError> {
    Ok(Memory::supports_128bit_compare_exchange())
}

/// The atomic operations on one Java type, each an overload of one name.
macro_rules! atomics {
    ($($module:ident: $type:ident;)*) => {$(
        mod $module {
            use super::*;

            pub(super) const METHODS: &[NativeMethod] = &[
                native_method! {
                    static raw fn get_and_add(memory: jlong, offset: jlong, delta: $type) -> $type,
                },
                native_method! {
                    static raw fn get_and_set(memory: jlong, offset: jlong, value: $type) -> $type,
                },
                native_method! {
                    static raw fn compare_and_set(memory: jlong, offset: jlong, expect: $type, update: $type) -> jboolean,
                },
            ];

            extern "system" fn get_and_add<'local>(
                env: EnvUnowned<'local>,
                _: JClass<'local>,
                memory: jlong,
                offset: jlong,
                delta: $type,
            ) -> $type {
                quick(env, || {
                    let offset = unsigned(offset)?;
                    MEMORIES.with(memory, |memory| Ok(memory.fetch_add(offset, delta, SeqCst)?))
                })
            }

            extern "system" fn get_and_set<'local>(
                env: EnvUnowned<'local>,
                _: JClass<'local>,
                memory: jlong,
                offset: jlong,
                value: $type,
            ) -> $type {
                quick(env, || {
                    let offset = unsigned(offset)?;
                    MEMORIES.with(memory, |memory| Ok(memory.swap(offset, value, SeqCst)?))
                })
            }

            extern "system" fn compare_and_set<'local>(
                env: EnvUnowned<'local>,
                _: JClass<'local>,
                memory: jlong,
                offset: jlong,
                expect: $type,
                update: $type,
            ) -> jboolean {
                quick(env, || {
                    let offset = unsigned(offset)?;
                    MEMORIES.with(memory, |memory| {
                        Ok(memory.compare_exchange(offset, expect, update, SeqCst, SeqCst)?.is_ok())
                    })
                })
            }
        }
    )*};
}
atomics! {
    bytes: jbyte;
    shorts: jshort;
    ints: jint;
    longs: jlong;
}

/// Runs an operation that needs Java only for its errors: preparing Java's environment takes longer than the operation.
fn quick<T: Default>(mut env: EnvUnowned<'_>, operation: impl FnOnce() -> Result<T, BridgeError>) -> T {
    match catch_unwind(AssertUnwindSafe(operation)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => env.with_env(|_| Err(error)).resolve::<Throw>(),
        Err(panic) => env.with_env(|_| -> Result<T, BridgeError> { resume_unwind(panic) }).resolve::<Throw>(),
    }
}

/// Java has no unsigned numbers; a negative offset or length is outside every memory.
fn unsigned(number: jlong) -> Result<u64, BridgeError> {
    u64::try_from(number)
        .map_err(|_| BridgeError::Argument(format!("{number} is no offset and no length: it is negative")))
}
