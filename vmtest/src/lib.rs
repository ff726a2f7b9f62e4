//! Boots Linux guests with ivshmem devices and runs programs in them.
//!
//! A guest runs Debian's stock kernel with an initramfs that this crate builds: busybox, the required modules, an agent,
//! and the files of a test. It boots in two seconds, or four with the host's `/usr` for a JVM. Nothing on the host is
//! changed; `scripts/vm-packages` fills the cache with the kernel and busybox.
//!
//! ```no_run
//! use ivshmem_vmtest::{Guest, Program};
//!
//! let guest = Guest::builder("example").doorbell("/tmp/server.sock", 2).boot()?;
//! println!("{}", guest.run(Program::new("lspci"))?);
//! # Ok::<(), ivshmem_vmtest::Error>(())
//! ```
#![expect(clippy::print_stderr, reason = "a test says where its console is kept")]

mod assemble;
mod builder;
mod error;
mod guest;
mod initramfs;
mod link;
mod packages;
mod program;
pub mod protocol;
mod qemu;

pub use builder::{GuestBuilder, Iommu};
pub use error::{Console, Error};
pub use guest::Guest;
pub use packages::Packages;
pub use program::{Output, Process, Program};
pub use protocol::{Ending, Stream};
pub use qemu::Accelerator;

/// Whether this machine can run guests. If not, reports that `test` is skipped, and the reason.
pub fn can_run(test: &str) -> bool {
    match Packages::find().and_then(|packages| Accelerator::choose(&packages)) {
        Ok(_) => true,
        Err(error) => {
            ivshmem_conformance::skip(test, &error.to_string());
            false
        }
    }
}
