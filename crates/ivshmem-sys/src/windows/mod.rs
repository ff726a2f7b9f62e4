//! The system calls of Windows: the control codes of the ivshmem driver, events, and the list of devices.

pub mod contract;
#[cfg(windows)]
pub mod driver;
#[cfg(windows)]
pub mod event;
#[cfg(windows)]
pub mod interfaces;
#[cfg(windows)]
pub mod poller;
#[cfg(windows)]
pub mod process;
