//! The system calls of Linux, most of them through the safe functions of rustix.

mod closer;
pub mod epoll;
pub mod eventfd;
pub mod file;
pub mod foreign;
pub mod inherited;
mod ioctl;
pub mod lock;
pub mod mapping;
pub mod peer;
pub mod registers;
#[cfg(feature = "tokio")]
pub mod runtime;
pub mod socket;
pub mod vfio;
