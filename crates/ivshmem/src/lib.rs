//! Shared memory and interrupts between QEMU virtual machines and their host.
//!
//! One region of memory, seen by several virtual machines and by processes on the host, and a way to
//! interrupt each other: QEMU calls it ivshmem. This crate opens such a region from either side.

// Data flows one way. wire, sys and layout know nobody; region may use sys; doorbell may use sys and wire;
// device composes all of them. A room never uses a later one.
pub mod device;
pub mod doorbell;
mod error;
pub mod region;
#[doc(hidden)]
pub mod sys;
pub mod wire;

pub use error::ErrorKind;
pub use wire::PeerId;
