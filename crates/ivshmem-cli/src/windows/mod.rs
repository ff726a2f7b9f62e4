//! What the command is on Windows: its devices, and a plain word for verbs that exist on Linux only.

mod absent;
pub(crate) mod doctor;
pub(crate) mod list;

pub(crate) use absent::{bind, create, serve, setup, status};
