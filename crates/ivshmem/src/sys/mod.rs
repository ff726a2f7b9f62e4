//! One safe function for each system call; owned handles in and out; nothing is remembered.
//!
//! What a platform must provide:
//!
//! | module | gives |
//! |---|---|
//! | `event` | `Event` and `EventRef`: an event, owned and borrowed, that others can raise. `create`, `create_latch`, `ring`, `is_full`, `take`, and `wait` with a latch and a deadline |
//! | `poller` | `Poller`: one thread waits for many events, each told until somebody takes it. `create`, `add`, `remove`, `wait` |
//!
//! and an owned mapping of shared memory, unmapped on drop: Linux makes it of a file (`linux::mapping`), on Windows the
//! driver makes it (`windows::driver`).
//!
//! Linux has more (sockets that carry descriptors, memfd, file allocation); the rooms that need those exist on Linux
//! only. On a platform without a module here the library compiles and says `Unsupported`.

#[cfg(target_os = "linux")]
pub mod linux;
pub mod windows;

#[cfg(target_os = "linux")]
pub use linux::{epoll as poller, eventfd as event};
#[cfg(windows)]
pub use windows::{event, poller};
