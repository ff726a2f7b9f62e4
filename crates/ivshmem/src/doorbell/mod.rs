//! Interrupts: sending (ring), receiving (wait, dispatch), and who is there (peers).
//!
//! A vector is received by one kind of [`Reader`] at a time. Threads that wait do so on the vector's own event; the
//! device's one dispatcher thread receives from the server, where there is one, and reads those vectors only that have
//! callbacks; a raw descriptor has no other reader at all.
//!
//! Linux and Windows share all of this but the session: what a device's vectors are, and how it rings.
//!
//! An interrupt is a hint: several may be told as one, and one may come early or without reason. Look at memory after
//! each. What is promised: after the last ring a wait returns, and a callback runs, at least once.

#[cfg(not(any(target_os = "linux", windows)))]
mod absent;
#[cfg(all(target_os = "linux", feature = "tokio"))]
mod asynchronous;
#[cfg(any(target_os = "linux", windows))]
mod callbacks;
#[cfg(any(target_os = "linux", windows))]
mod claim;
#[cfg(target_os = "linux")]
mod connection;
#[cfg(any(target_os = "linux", windows))]
mod dispatch;
#[cfg(windows)]
mod driver_session;
mod error;
mod peers;
#[cfg(target_os = "linux")]
mod raw;
#[cfg(target_os = "linux")]
mod reconnect;
mod registration;
#[cfg(target_os = "linux")]
mod server;
#[cfg(target_os = "linux")]
mod session;
#[cfg(any(target_os = "linux", windows))]
mod shared;
#[cfg(any(target_os = "linux", windows))]
mod sync;
#[cfg(any(target_os = "linux", windows))]
mod wait;
#[cfg(any(target_os = "linux", windows))]
mod waits;
#[cfg(windows)]
use driver_session as session;

#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use absent::Doorbell;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub use asynchronous::{AsyncInterrupt, PeerEvents};
#[cfg(target_os = "linux")]
pub(crate) use connection::{Greeting, Patience, check_closing};
#[cfg(any(target_os = "linux", windows))]
pub(crate) use dispatch::Doorbell;
pub use error::{ConnectionError, DoorbellError, Reader};
pub use peers::{Peer, PeerEvent};
#[cfg(target_os = "linux")]
pub use raw::RawInterrupt;
#[cfg(target_os = "linux")]
pub(crate) use reconnect::Reconnect;
pub use registration::Registration;
#[cfg(target_os = "linux")]
pub(crate) use session::Register;
#[cfg(any(target_os = "linux", windows))]
pub(crate) use session::Session;
