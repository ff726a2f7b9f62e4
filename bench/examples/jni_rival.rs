//! The lower bound of a call through JNI: one access to an address, without a check. java/jmh compares the library with it.
//!
//! `cargo build --release -p ivshmem-bench --example jni_rival` builds it as a library for Java.
#![expect(unsafe_code, reason = "a baseline without a check has no safe form")]
// UNSAFETY: a baseline for comparison, which no product contains.

use std::ffi::c_void;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};

type Ignored = *mut c_void;

macro_rules! natives {
    ($($name:ident($address:ident: *mut $number:ty $(, $value:ident)?) $(-> $result:ty)? { $access:expr })*) => { $(
        /// # Safety
        /// The address must be that of an aligned, writable number.
        #[unsafe(no_mangle)]
        pub unsafe extern "system" fn $name(
            _: Ignored,
            _: Ignored,
            $address: *mut $number
            $(, $value: $number)?
        ) $(-> $result)? {
            // SAFETY: the caller guarantees the address.
            unsafe { $access }
        }
    )* };
}

natives! {
    Java_io_github_alexanderschuetz97_ivshmem4j_jmh_JniRival_getInt(address: *mut i32) -> i32 {
        address.read_volatile()
    }
    Java_io_github_alexanderschuetz97_ivshmem4j_jmh_JniRival_getLong(address: *mut i64) -> i64 {
        address.read_volatile()
    }
    Java_io_github_alexanderschuetz97_ivshmem4j_jmh_JniRival_putLong(address: *mut i64, value) {
        address.write_volatile(value)
    }
    Java_io_github_alexanderschuetz97_ivshmem4j_jmh_JniRival_addInt(address: *mut i32, delta) -> i32 {
        AtomicI32::from_ptr(address).fetch_add(delta, Ordering::SeqCst)
    }
    Java_io_github_alexanderschuetz97_ivshmem4j_jmh_JniRival_addLong(address: *mut i64, delta) -> i64 {
        AtomicI64::from_ptr(address).fetch_add(delta, Ordering::SeqCst)
    }
}
