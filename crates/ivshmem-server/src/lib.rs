//! A server for QEMU's `ivshmem-doorbell` devices: one region of shared memory, and interrupts between all clients.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("ivshmem.sock");
//! use ivshmem_server::Server;
//!
//! let server = Server::builder(&path).size(1 << 20).vectors(2).start()?;
//! // qemu-system-x86_64 -chardev socket,path=...,id=ivshmem -device ivshmem-doorbell,chardev=ivshmem,vectors=2
//! println!("{} of {} bytes, {} clients", server.path().display(), server.size(), server.status()?.clients);
//! server.stop()?; // dropping it stops it too
//! # Ok(())
//! # }
//! ```
//!
//! One thread serves all clients and never waits for any of them: a client that does not read delays no other client, and
//! gets the outstanding messages when it reads again. The protocol itself is [`ivshmem::wire::server`].
//!
//! Each client takes one descriptor and one for each of its vectors, so a program with many clients calls
//! [`raise_descriptor_limit`] first.

mod acceptor;
mod admission;
mod builder;
mod clients;
mod connections;
mod error;
mod event_loop;
mod listener;
mod listening;
mod log;
mod memory;
mod place;
#[doc(hidden)]
pub mod program;
mod refused;
mod reserve;
mod server;
mod size;
mod space;
mod status;
mod status_query;
mod status_socket;
mod sys;
mod throttle;

pub use builder::Builder;
pub use error::Error;
pub use ivshmem::size::InvalidSize;
pub use listening::Listening;
pub use memory::Backing;
pub use server::Server;
pub use size::{MAX_SIZE, MIN_SIZE, parse_size};
pub use status::{CounterStatus, LimitsStatus, MemoryStatus, PeerState, PeerStatus, ServerStatus, Status};
pub use sys::process::raise_descriptor_limit;

// Compiles the samples in these documents, and runs those that can run.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
#[doc = include_str!("../../../docs/server.md")]
struct Documents;
