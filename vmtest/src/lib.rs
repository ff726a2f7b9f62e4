//! Boots Linux guests with ivshmem devices and runs programs in them.
//!
//! A guest is Debian's stock kernel with an initramfs that is made here: busybox, the modules it needs, an agent, and what
//! a test gives. It is up in two seconds, or four with the host's `/usr` in it for a JVM. Nothing of the host is changed;
//! `scripts/vm-packages` fills the cache that kernel and busybox come from.
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

/// Whether this machine can run guests. When it cannot, says that `test` is skipped, and why.
pub fn can_run(test: &str) -> bool {
    match Packages::find().and_then(|packages| Accelerator::choose(&packages)) {
        Ok(_) => true,
        Err(error) => {
            ivshmem_conformance::skip(test, &error.to_string());
            false
        }
    }
}
