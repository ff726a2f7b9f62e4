//! Shared memory and interrupts between QEMU virtual machines and their host.
//!
//! One region of memory, seen by several virtual machines and by processes on the host, and a way to
//! interrupt each other: QEMU calls it ivshmem. This crate opens such a region from either side.
//!
//! The feature `tokio`, off by default, adds waiting for interrupts and peers as tasks of a tokio runtime.

// Data flows one way. wire, sys and layout know nobody; region may use sys; doorbell may use sys and wire;
// device composes all of them. A room never uses a later one.
#[cfg(fuzzing)]
pub mod decoders;
pub mod device;
pub mod doorbell;
mod error;
mod face;
pub mod region;
#[doc(hidden)]
pub mod sys;
pub mod wire;

use std::path::Path;

pub use error::ErrorKind;
pub use face::Face;
#[doc(hidden)]
pub use face::{remedy, shell_word};
pub use wire::PeerId;

/// Memory that is a file: in /dev/shm or any other tmpfs, on hugetlbfs, or a regular file on disk.
///
/// Programs on one host, and virtual machines whose `ivshmem-plain` device has the same file behind it, share it.
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

/// Memory behind a descriptor: a memfd, or a file that was opened elsewhere. The mapping does not need the descriptor
/// any more once it is open.
#[cfg(unix)]
pub fn plain_fd(fd: impl Into<std::os::fd::OwnedFd>) -> device::Plain {
    device::plain_fd(fd.into())
}

/// A server's client on the host: its memory, and interrupts to and from everyone else who is connected.
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

/// An ivshmem device of the Linux guest this runs in: its memory, and interrupts where the guest is prepared for them.
///
/// The selector is an address (`0000:00:05.0` or `00:05.0`), an index in the order of addresses (`0`), a size
/// (`size=64M`), or nothing when there is only one device.
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

/// The ivshmem devices of a Linux guest: which there are, what each can do, and why not; see also [`pci()`].
pub mod pci {
    pub use crate::device::pci::{Finding, PciAddress, PciDevice, devices, find};
}

/// An ivshmem device of the Windows guest this runs in, through virtio-win's driver: its memory and its interrupts.
///
/// The selector is an index (`0`), the path of the device's interface (`\\\\?\\pci#...`), a size (`size=64M`), an
/// address (`00:05.0`) where Windows tells it, or nothing when there is only one device.
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

/// The ivshmem devices of a Windows guest: which there are, and why one cannot be opened; see also [`windows()`].
pub mod windows {
    pub use crate::device::windows::{DriverError, WindowsDevice, devices, find};
}

/// Opens what one string names: `plain:PATH`, `plain:PATH?size=64M`, `doorbell:PATH`, `pci:SELECTOR`, or `windows:SELECTOR`,
/// or `auto` for the only ivshmem device of this guest. For command lines and configuration files.
///
/// Options stand behind a `?` and are joined by `&`. A plain target takes `size=BYTES`, decimal or 0x..., with K, M, G
/// or T behind the number, by which a file is created or grows, `readonly`, and `prefault`. A pci target, whose selector [`pci()`](pci()) explains, takes `cache=wc` or
/// `cache=uncached`, and `memory-only`; a windows target, whose selector [`windows()`](windows()) explains, takes
/// `cache=cached`, `cache=wc` or `cache=uncached`.
///
/// # Errors
/// [`OpenError`](device::OpenError): of the kind `InvalidArgument` when the string names nothing, otherwise what
/// opening the device gives.
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

/// Opens what one string names, as [`open()`] does, to look at it: a file is neither created nor grown, no write is possible
/// to it or to the memory of a server, and [`Memory::peek`](region::Memory::peek) reads without giving pages to holes. So
/// `prefault` among a target's options, which would fill them, has no effect. A guest's device, which has none, is opened
/// as ever.
///
/// # Errors
/// As [`open()`].
pub fn open_read_only(target: &str) -> Result<device::Device, device::OpenError> {
    device::open_read_only(target)
}
