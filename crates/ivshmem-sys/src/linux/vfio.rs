//! VFIO, through which the kernel gives a process access to a PCI device's interrupts and configuration.
//!
//! Numbers and structures are those of the kernel's stable interface, linux/vfio.h and linux/iommufd.h.

// UNSAFETY: the opcode determines what the kernel reads and writes.
#![expect(unsafe_code, reason = "ioctl opcodes that rustix does not wrap")]

use std::ffi::{CStr, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::ioctl::{IntegerSetter, Ioctl, IoctlOutput, Opcode, ioctl};

/// How a container translates the memory accesses of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IommuModel {
    /// An x86 IOMMU, second version of the interface.
    Type1v2,
    /// An x86 IOMMU, first version of the interface.
    Type1,
    /// No IOMMU: the device can write to all of the memory.
    None,
}

/// Whether every device of a group is bound to a VFIO driver or to no driver.
pub fn group_is_viable(group: BorrowedFd<'_>) -> io::Result<bool> {
    let mut status = GroupStatus { argsz: size::<GroupStatus>(), flags: 0 };
    call(group, GROUP_GET_STATUS, &mut status)?;
    Ok(status.flags & GROUP_VIABLE != 0)
}

/// Adds a group to a container.
pub fn set_container(group: BorrowedFd<'_>, container: BorrowedFd<'_>) -> io::Result<()> {
    let mut container = container.as_raw_fd();
    call(group, GROUP_SET_CONTAINER, &mut container).map(drop)
}

/// Sets the model of a container that has a group.
pub fn set_iommu(container: BorrowedFd<'_>, model: IommuModel) -> io::Result<()> {
    let model = match model {
        IommuModel::Type1 => 1,
        IommuModel::Type1v2 => 3,
        IommuModel::None => 8,
    };
    // SAFETY: SET_IOMMU takes a number and accesses no memory of this process.
    let setter = unsafe { IntegerSetter::<SET_IOMMU>::new_usize(model) };
    // SAFETY: as above.
    Ok(unsafe { ioctl(container, setter) }?)
}

/// Opens the device with this address in a group.
pub fn device(group: BorrowedFd<'_>, address: &CStr) -> io::Result<OwnedFd> {
    let mut name = address.to_bytes_with_nul().to_vec();
    let call = Call { opcode: GROUP_GET_DEVICE_FD, argument: name.as_mut_slice() };
    // SAFETY: the kernel reads the name up to its terminating zero, which is there.
    let fd = unsafe { ioctl(group, call) }?;
    // SAFETY: a new descriptor without another owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The offset of the device's configuration space in the device's descriptor.
pub fn configuration(device: BorrowedFd<'_>) -> io::Result<u64> {
    let mut info = RegionInfo { argsz: size::<RegionInfo>(), index: CONFIG_REGION, ..RegionInfo::default() };
    call(device, DEVICE_GET_REGION_INFO, &mut info)?;
    Ok(info.offset)
}

/// The number of MSI-X vectors of the device.
pub fn vectors(device: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = IrqInfo { argsz: size::<IrqInfo>(), flags: 0, index: MSIX, count: 0 };
    call(device, DEVICE_GET_IRQ_INFO, &mut info)?;
    Ok(info.count)
}

/// Connects the vectors to eventfds in order, all in one call: adding vectors later is an error. The inner result is
/// `Err` with the number of free interrupts if the machine has too few; no vector is connected then.
pub fn set_vectors(device: BorrowedFd<'_>, eventfds: &[BorrowedFd<'_>]) -> io::Result<Result<(), u32>> {
    let mut set = irq_set(eventfds);
    let call = Call { opcode: DEVICE_SET_IRQS, argument: set.as_mut_slice() };
    // SAFETY: the kernel reads the number of bytes in the structure's first word, which is the length of the structure.
    let possible = unsafe { ioctl(device, call) }?;
    Ok(match u32::try_from(possible) {
        Ok(possible) if possible > 0 => Err(possible),
        _ => Ok(()),
    })
}

/// Binds a device that was opened without a group to an IOMMU descriptor.
pub fn bind_iommufd(device: BorrowedFd<'_>, iommufd: BorrowedFd<'_>) -> io::Result<()> {
    let mut bind = Bind { argsz: size::<Bind>(), flags: 0, iommufd: iommufd.as_raw_fd(), out_devid: 0 };
    call(device, DEVICE_BIND_IOMMUFD, &mut bind).map(drop)
}

/// Creates an empty address space of an IOMMU descriptor, and returns its id.
pub fn address_space(iommufd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut alloc = AllocateSpace { size: size::<AllocateSpace>(), flags: 0, out_id: 0 };
    call(iommufd, IOAS_ALLOC, &mut alloc)?;
    Ok(alloc.out_id)
}

/// Attaches a bound device to an address space.
pub fn attach(device: BorrowedFd<'_>, space: u32) -> io::Result<()> {
    let mut attach = Attach { argsz: size::<Attach>(), flags: 0, space };
    call(device, DEVICE_ATTACH_IOMMUFD_PT, &mut attach).map(drop)
}

// The type letter of VFIO is ';', its first number is 100; IOMMU descriptors use the same letter and begin at 0x80. No
// opcode contains a direction or a size.
const fn opcode(number: Opcode) -> Opcode {
    ((b';' as Opcode) << 8) | number
}

const SET_IOMMU: Opcode = opcode(102);
const GROUP_GET_STATUS: Opcode = opcode(103);
const GROUP_SET_CONTAINER: Opcode = opcode(104);
const GROUP_GET_DEVICE_FD: Opcode = opcode(106);
const DEVICE_GET_REGION_INFO: Opcode = opcode(108);
const DEVICE_GET_IRQ_INFO: Opcode = opcode(109);
const DEVICE_SET_IRQS: Opcode = opcode(110);
const DEVICE_BIND_IOMMUFD: Opcode = opcode(118);
const DEVICE_ATTACH_IOMMUFD_PT: Opcode = opcode(119);
const IOAS_ALLOC: Opcode = opcode(0x81);

const GROUP_VIABLE: u32 = 1;
const CONFIG_REGION: u32 = 7;
const MSIX: u32 = 2;
const DATA_EVENTFD: u32 = 1 << 2;
const ACTION_TRIGGER: u32 = 1 << 5;

#[repr(C)]
struct GroupStatus {
    argsz: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct RegionInfo {
    argsz: u32,
    flags: u32,
    index: u32,
    cap_offset: u32,
    size: u64,
    offset: u64,
}

#[repr(C)]
struct IrqInfo {
    argsz: u32,
    flags: u32,
    index: u32,
    count: u32,
}

#[repr(C)]
struct Bind {
    argsz: u32,
    flags: u32,
    iommufd: RawFd,
    out_devid: u32,
}

#[repr(C)]
struct Attach {
    argsz: u32,
    flags: u32,
    space: u32,
}

#[repr(C)]
struct AllocateSpace {
    size: u32,
    flags: u32,
    out_id: u32,
}

/// The argument of SET_IRQS: five words, then a descriptor for each vector.
fn irq_set(eventfds: &[BorrowedFd<'_>]) -> Vec<u32> {
    let count = u32::try_from(eventfds.len()).expect("a device has at most 2048 vectors");
    let mut set = vec![(5 + count) * 4, DATA_EVENTFD | ACTION_TRIGGER, MSIX, 0, count];
    set.extend(eventfds.iter().map(|fd| fd.as_raw_fd().cast_unsigned()));
    set
}

fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("a structure of a few words")
}

/// An ioctl whose structure contains its own size or has a fixed one.
fn call<T>(fd: BorrowedFd<'_>, opcode: Opcode, argument: &mut T) -> io::Result<RawFd> {
    let call = Call { opcode, argument: std::slice::from_mut(argument) };
    // SAFETY: each caller in this file pairs an opcode with the kernel's structure for it.
    Ok(unsafe { ioctl(fd.as_fd(), call) }?)
}

/// An ioctl that reads and may write its argument, and returns a number.
struct Call<'a, T> {
    opcode: Opcode,
    argument: &'a mut [T],
}

// SAFETY: the pointer is to memory that the call borrows for its lifetime, and IS_MUTATING declares that it may be written.
unsafe impl<T> Ioctl for Call<'_, T> {
    type Output = RawFd;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        self.opcode
    }

    fn as_ptr(&mut self) -> *mut c_void {
        self.argument.as_mut_ptr().cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut c_void) -> rustix::io::Result<RawFd> {
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values that a C compiler computes from the kernel's headers, on every processor that encodes directions as x86 does.
    #[test]
    fn opcodes_and_sizes_are_the_kernels() {
        let opcodes = [
            SET_IOMMU,
            GROUP_GET_STATUS,
            GROUP_SET_CONTAINER,
            GROUP_GET_DEVICE_FD,
            DEVICE_GET_REGION_INFO,
            DEVICE_GET_IRQ_INFO,
            DEVICE_SET_IRQS,
            DEVICE_BIND_IOMMUFD,
            DEVICE_ATTACH_IOMMUFD_PT,
            IOAS_ALLOC,
        ];
        let expected = [0x3b66, 0x3b67, 0x3b68, 0x3b6a, 0x3b6c, 0x3b6d, 0x3b6e, 0x3b76, 0x3b77, 0x3b81];
        assert_eq!(opcodes, expected);
        let sizes = [
            size::<GroupStatus>(),
            size::<RegionInfo>(),
            size::<IrqInfo>(),
            size::<Bind>(),
            size::<Attach>(),
            size::<AllocateSpace>(),
        ];
        assert_eq!(sizes, [8, 32, 16, 16, 12, 12]);
    }

    #[test]
    fn all_vectors_are_set_by_one_structure() {
        let fd = super::super::eventfd::create().unwrap();
        let number = fd.as_raw_fd().cast_unsigned();
        assert_eq!(irq_set(&[fd.as_fd(), fd.as_fd()]), [28, 0x24, 2, 0, 2, number, number]);
    }
}
