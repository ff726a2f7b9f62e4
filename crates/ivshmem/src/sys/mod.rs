//! One safe function for each system call; owned handles in and out; nothing is remembered.
//!
//! What a platform must provide:
//!
//! | module | gives |
//! |---|---|
//! | `mapping` | `Mapping`: an owned mapping of shared memory, unmapped on drop |
//! | `event` | a counting event that another process can raise, waited for with a deadline |
//!
//! Linux has more (sockets that carry descriptors, memfd, file allocation); the rooms that need those exist on Linux
//! only. On a platform without a module here the library compiles and says `Unsupported`.

#[cfg(target_os = "linux")]
pub mod linux;
#[cfg(windows)]
pub mod windows;
