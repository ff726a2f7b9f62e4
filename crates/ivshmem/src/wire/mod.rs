//! The ivshmem server protocol: messages, limits and the state machines of both ends.
//!
//! Everything travels from the server to the client as 8-byte little-endian signed integers, some with a file
//! descriptor beside them. docs/wire.md pictures a whole connection. This room does no I/O, has no clock and no
//! unsafe code: bytes and descriptors go in, events or messages come out. `F` stands for the descriptor, so tests
//! run without any.

mod client;
mod message;
mod refusal;
pub mod server;

pub use client::{Client, ClientEvent, ProtocolError};
pub use message::{MAX_PEERS, MAX_VECTORS, MESSAGE_LEN, MessageReader, PROTOCOL_VERSION, PeerId, RawMessage};
pub use refusal::Refusal;
