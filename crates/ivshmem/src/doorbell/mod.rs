//! Interrupts: sending (ring), receiving (wait, dispatch), and the list of peers.
//!
//! A vector has one kind of [`Reader`] at a time. A thread that waits blocks on the vector's own event. The device's one
//! dispatcher thread receives from the server, if there is one, and reads only the vectors that have callbacks. A raw
//! descriptor has no other reader.
//!
//! Linux and Windows share everything except the session, which defines a device's vectors and how to ring.
//!
//! An interrupt is a hint: several rings may merge into one interrupt, and an interrupt may come early or without a ring.
//! Check the memory after each. The guarantee: after the last ring, a wait returns and a callback runs at least once.

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
mod waiters;
#[cfg(any(target_os = "linux", windows))]
mod waits;
#[cfg(windows)]
use driver_session as session;

#[cfg(not(any(target_os = "linux", windows)))]
pub(crate) use absent::Doorbell;
#[cfg(all(target_os = "linux", feature = "tokio"))]
pub use asynchronous::{AsyncInterrupt, PeerEvents};
#[cfg(target_os = "linux")]
pub(crate) use connection::{Handshake, Timeouts, check_closing};
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
#[cfg(any(target_os = "linux", windows))]
pub(crate) use wait::Source;
#[cfg(any(target_os = "linux", windows))]
pub use wait::{WaitOutcome, Waiter, Waker};
#[cfg(any(target_os = "linux", windows))]
pub(crate) use waiters::{Outcome, Read, Waiters};
