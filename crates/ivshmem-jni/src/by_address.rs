//! Atomic operations by address on unaligned numbers, for which Java has no instruction.
//!
//! They take an address, as Java's own accesses do, because looking up a handle takes two more locked instructions, which
//! take as long as the operation itself.

// UNSAFETY: Java passes addresses.
#![expect(unsafe_code, reason = "addresses that Java has checked become accesses")]

use ivshmem::region::{compare_exchange_at, fetch_add_at, swap_at};
use jni::objects::JClass;
use jni::sys::{jboolean, jint, jlong};
use jni::{EnvUnowned, NativeMethod, native_method};

/// The operations on one Java type, each an overload of one name.
macro_rules! by_address {
    ($($module:ident: $type:ident;)*) => {$(
        mod $module {
            use super::*;

            pub(super) const METHODS: &[NativeMethod] = &[
                native_method! { static raw fn get_and_add_at(address: jlong, delta: $type) -> $type },
                native_method! { static raw fn get_and_set_at(address: jlong, value: $type) -> $type },
                native_method! {
                    static raw fn compare_and_set_at(address: jlong, expect: $type, update: $type) -> jboolean,
                },
            ];

            extern "system" fn get_and_add_at<'local>(
                _: EnvUnowned<'local>,
                _: JClass<'local>,
                address: jlong,
                delta: $type,
            ) -> $type {
                // SAFETY: Java has checked that the bytes are inside memory that it may write to, and keeps that memory
                // mapped.
                unsafe { fetch_add_at(pointer(address), delta) }
            }

            extern "system" fn get_and_set_at<'local>(
                _: EnvUnowned<'local>,
                _: JClass<'local>,
                address: jlong,
                value: $type,
            ) -> $type {
                // SAFETY: as above.
                unsafe { swap_at(pointer(address), value) }
            }

            extern "system" fn compare_and_set_at<'local>(
                _: EnvUnowned<'local>,
                _: JClass<'local>,
                address: jlong,
                expect: $type,
                update: $type,
            ) -> jboolean {
                // SAFETY: as above.
                unsafe { compare_exchange_at(pointer(address), expect, update) }
            }
        }
    )*};
}
by_address! {
    ints: jint;
    longs: jlong;
}

pub(crate) const METHODS: &[&[NativeMethod]] = &[ints::METHODS, longs::METHODS];

/// Converts an address from Java, which is an address in this process.
fn pointer(address: jlong) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(usize::try_from(address).expect("an address fits"))
}
