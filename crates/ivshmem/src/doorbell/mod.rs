//! Interrupts: sending (ring), receiving (wait, dispatch), and who is there (peers).
//!
//! A vector is received by one kind of [`Reader`] at a time. Threads that wait do so on the vector's own eventfd; the
//! device's one dispatcher thread receives from the server, where there is one, and reads those vectors only that have
//! callbacks; a raw descriptor has no other reader at all.
//!
//! An interrupt is a hint: several may be told as one, and one may come early or without reason. Look at memory after
//! each. What is promised: after the last ring a wait returns, and a callback runs, at least once.

#[cfg(not(target_os = "linux"))]
mod absent;
#[cfg(all(target_os = "linux", feature = "tokio"))]
mod asynchronous;
#[cfg(target_os = "linux")]
mod callbacks;
#[cfg(target_os = "linux")]
mod claim;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(target_os = "linux")]
mod dispatch;
mod error;
mod peers;
#[cfg(target_os = "linux")]
mod reconnect;
mod registration;
#[cfg(target_os = "linux")]
mod session;
#[cfg(target_os = "linux")]
mod shared;
#[cfg(target_os = "linux")]
mod sync;
#[cfg(target_os = "linux")]
mod wait;

#[cfg(not(target_os = "linux"))]
pub(crate) use absent::Doorbell;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub use asynchronous::{AsyncInterrupt, PeerEvents};
#[cfg(target_os = "linux")]
pub(crate) use connection::{Greeting, Patience};
#[cfg(target_os = "linux")]
pub(crate) use dispatch::Doorbell;
pub use error::{ConnectionError, DoorbellError, Reader};
pub use peers::{Peer, PeerEvent};
#[cfg(target_os = "linux")]
pub(crate) use reconnect::Reconnect;
pub use registration::Registration;
#[cfg(target_os = "linux")]
pub(crate) use session::{Register, Session};
#[cfg(target_os = "linux")]
pub use wait::RawInterrupt;
