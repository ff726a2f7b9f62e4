//! Shared memory and interrupts between QEMU virtual machines and their host.
//!
//! QEMU's ivshmem device maps one region of memory into several virtual machines and processes on the host, and lets
//! them interrupt each other. This crate opens such a region on the host and in a guest.
//!
//! The feature `tokio`, off by default, adds asynchronous functions that wait for interrupts and peers in a tokio
//! runtime.

// Dependencies run one way. wire uses no other room, nor does the crate sys; region may use sys; doorbell may use sys and wire;
// device composes all of them. A room never uses a later one.
#[cfg(fuzzing)]
pub mod decoders;
pub mod device;
pub mod doorbell;
mod error;
mod face;
pub mod region;
pub mod size;
pub mod wire;

use std::path::Path;

pub use error::ErrorKind;
pub use face::Face;
#[doc(hidden)]
pub use face::{remedy, shell_word};
#[doc(hidden)]
pub use ivshmem_sys as sys;
pub use wire::PeerId;

/// A builder for memory backed by a file: in /dev/shm or another tmpfs, on hugetlbfs, or a regular file on disk.
///
/// All programs on the host that open the file share its memory, and so do virtual machines whose `ivshmem-plain`
/// device is backed by the same file.
///
/// # Examples
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("example");
/// let device = ivshmem::plain(&path).size(4096).open()?;
/// device.memory().write(0, b"hello")?;
///
/// let other = ivshmem::plain(&path).read_only().open()?;
/// let mut copy = [0; 5];
/// other.memory().read(0, &mut copy)?;
/// assert_eq!(&copy, b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn plain(path: impl AsRef<Path>) -> device::Plain {
    device::plain(path.as_ref())
}

/// A builder for memory backed by a descriptor: a memfd, or a file that is already open. Once the device is open, the
/// mapping no longer needs the descriptor.
#[cfg(unix)]
pub fn plain_fd(fd: impl Into<std::os::fd::OwnedFd>) -> device::Plain {
    device::plain_fd(fd.into())
}

/// A builder for a client of an ivshmem server on the host. The client maps the server's memory, and sends interrupts
/// to the other clients of the server and receives theirs. `path` is the server's socket.
///
/// # Examples
/// ```no_run
/// let device = ivshmem::doorbell("/run/ivshmem.sock").connect()?;
/// let _registration = device.on_interrupt(0, |vector| println!("vector {vector} was rung"))?;
/// for peer in device.peers()? {
///     device.ring(peer.id, 0)?;
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn doorbell(path: impl AsRef<Path>) -> device::Doorbell {
    device::doorbell(path.as_ref())
}

/// A builder for an ivshmem device of the Linux guest in which this program runs: its memory, and interrupts if the
/// guest is set up for them.
///
/// The selector is an address (`0000:00:05.0` or `00:05.0`), an index in the order of addresses (`0`), a size
/// (`size=64M`), or the empty string if there is only one device.
///
/// # Examples
/// ```no_run
/// let device = ivshmem::pci("").open()?;
/// if let Some(finding) = device.interrupt_finding() {
///     eprintln!("polling: {finding}");
/// }
/// device.memory().write(0, b"hello")?;
/// device.ring(0, 1)?;
/// while device.wait(0, None)? {
///     // Look at the memory.
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn pci(selector: &str) -> device::Pci {
    device::pci::pci(selector)
}

/// Lists the ivshmem devices of a Linux guest, with what each of them supports and what prevents the rest; see also
/// [`pci()`].
pub mod pci {
    pub use crate::device::pci::{PciDevice, devices, find};
    pub use crate::device::{Finding, PciAddress};
}

/// A builder for an ivshmem device of the Windows guest in which this program runs: its memory and its interrupts,
/// through the virtio-win driver.
///
/// The selector is an index (`0`), the path of the device's interface (`\\\\?\\pci#...`), a size (`size=64M`), an
/// address (`00:05.0`) if Windows reports one, or the empty string if there is only one device.
///
/// # Examples
/// ```no_run
/// let device = ivshmem::windows("").open()?;
/// device.memory().write(0, b"hello")?;
/// device.ring(0, 1)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn windows(selector: &str) -> device::Windows {
    device::windows::windows(selector)
}

/// Lists the ivshmem devices of a Windows guest, with the reason why a device cannot be opened; see also [`windows()`].
pub mod windows {
    pub use crate::device::windows::{DriverError, WindowsDevice, devices, find};
}

/// Opens the device that a target string names. Programs use it for command lines and configuration files.
///
/// A target is `plain:PATH`, `plain:PATH?size=64M`, `doorbell:PATH`, `pci:SELECTOR` or `windows:SELECTOR`, or `auto`
/// for the only ivshmem device of this guest. [`pci()`](pci()) and [`windows()`](windows()) describe their selectors.
///
/// Options follow the first `?`, in a windows target the last one, and are separated by `&`. Each may occur once:
///
/// - A plain target accepts `readonly`, `prefault`, and `size=BYTES`, which creates or extends the file. [`size::parse`]
///   describes the format of BYTES, 1 to 2^62.
/// - A doorbell target accepts `readonly`, see [`read_only`](device::Doorbell::read_only), and `reconnect`, see
///   [`reconnect`](device::Doorbell::reconnect).
/// - A pci target accepts `cache=wc` or `cache=uncached`, and `memory-only`.
/// - A windows target accepts `cache=cached`, `cache=wc` or `cache=uncached`.
///
/// So a plain or doorbell target cannot name a path with a `?`; [`plain()`](plain()) and [`doorbell()`](doorbell()) accept any path.
///
/// # Errors
/// [`OpenError`](device::OpenError): of the kind `InvalidArgument` if the string is not a target, otherwise the error
/// from opening the device.
///
/// # Examples
/// ```
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("example");
/// let device = ivshmem::open(&format!("plain:{}?size=4K", path.display()))?;
/// assert_eq!(device.memory().len(), 4096);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn open(target: &str) -> Result<device::Device, device::OpenError> {
    device::open(target)
}

/// Opens the device that a target string names, as [`open()`] does, but for reading only.
///
/// It neither creates a file nor makes one longer. The memory of a file or of a server is read-only, and
/// [`Memory::peek`](region::Memory::peek) reads it without allocating pages for holes. The option `prefault`, which would
/// fill the holes, has no effect. A guest's device has no holes; this function opens it as [`open()`] does.
///
/// # Errors
/// The same as [`open()`].
pub fn open_read_only(target: &str) -> Result<device::Device, device::OpenError> {
    device::open_read_only(target)
}
