//! The ivshmem server protocol: messages, limits and the state machines of both ends.
//!
//! All messages go from the server to the client: each is an 8-byte little-endian signed integer, and some have a file
//! descriptor. docs/wire.md shows a whole connection. This module does no I/O, reads no clock and has no unsafe code: its
//! input is bytes and descriptors, and its output is events or messages. The type parameter `F` is the descriptor, so tests
//! run without real ones.

mod client;
mod message;
mod refusal;
pub mod server;

pub use client::{Client, ClientEvent, ProtocolError};
pub use message::{MAX_PEERS, MAX_VECTORS, MESSAGE_LEN, MessageReader, PROTOCOL_VERSION, PeerId, RawMessage};
pub use refusal::Refusal;
