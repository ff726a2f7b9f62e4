//! The command on Windows: its devices, and errors for verbs that exist on Linux only.

mod absent;
pub(crate) mod doctor;
pub(crate) mod list;

pub(crate) use absent::{bind, create, serve, setup, status};
