//! One safe function for each system call. The functions take and return owned or borrowed handles and keep no state.
//!
//! Every platform must provide these modules:
//!
//! - `event`: `Event` and `EventRef`, an owned and a borrowed event that other processes can raise; the functions `create`,
//!   `ring`, `is_full`, `take`, and `wait` with a wake event and a deadline.
//! - `poller`: `Poller`, with which one thread waits for many events; it reports each event until a thread takes it. The
//!   functions `create`, `add`, `remove` and `wait`.
//!
//! and an owned mapping of shared memory, unmapped on drop: Linux maps a file (`linux::mapping`), on Windows the driver
//! makes the mapping (`windows::driver`).
//!
//! Linux provides more (sockets that transfer descriptors, memfds, file allocation); the modules that need those exist on
//! Linux only. On a platform without a module here the library compiles and returns `Unsupported` errors.

#[cfg(target_os = "linux")]
pub mod linux;
pub mod windows;

#[cfg(target_os = "linux")]
pub use linux::{epoll as poller, eventfd as event};
#[cfg(windows)]
pub use windows::{event, poller};
