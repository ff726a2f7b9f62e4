//! One safe function for each system call that only the server needs; `ivshmem::sys` has the others. No other file of the
//! server uses rustix or nix, and this room uses no other one.

pub(crate) mod directory;
pub(crate) mod lock;
pub(crate) mod memory;
pub(crate) mod output;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod socket;

pub(crate) use rustix::io::Errno;
