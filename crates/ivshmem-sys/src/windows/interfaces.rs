//! Lists the devices that offer a device interface.

// UNSAFETY: SetupAPI writes to memory of this process by pointer and length.
#![expect(unsafe_code, reason = "enumeration by SetupAPI")]

use std::ffi::OsString;
use std::io;
use std::os::windows::ffi::OsStringExt;
use std::ptr::{null, null_mut};

use windows_sys::Win32::Devices::DeviceAndDriverInstallation::{
    DIGCF_DEVICEINTERFACE, DIGCF_PRESENT, HDEVINFO, SETUP_DI_REGISTRY_PROPERTY, SP_DEVICE_INTERFACE_DATA,
    SP_DEVICE_INTERFACE_DETAIL_DATA_W, SP_DEVINFO_DATA, SPDRP_ADDRESS, SPDRP_BUSNUMBER,
    SetupDiDestroyDeviceInfoList, SetupDiEnumDeviceInterfaces, SetupDiGetClassDevsW,
    SetupDiGetDeviceInterfaceDetailW, SetupDiGetDeviceRegistryPropertyW,
};
use windows_sys::Win32::Foundation::{ERROR_INSUFFICIENT_BUFFER, ERROR_NO_MORE_ITEMS};
use windows_sys::core::GUID;

/// A device that offers the interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The path by which to open the device.
    pub path: OsString,
    /// Bus, device and function, if Windows reports them.
    pub location: Option<(u32, u32, u32)>,
}

/// Lists all devices that offer the interface and are present now.
pub fn list(interface: u128) -> io::Result<Vec<Interface>> {
    let interface = GUID::from_u128(interface);
    let set = Set::of(&interface)?;
    let mut found = Vec::new();
    while let Some(data) = set.interface(u32::try_from(found.len()).unwrap_or(u32::MAX))? {
        let (path, mut device) = set.detail(&data)?;
        let location = set.location(&mut device);
        found.push(Interface { path, location });
    }
    Ok(found)
}

/// A list of devices from SetupAPI.
struct Set<'a> {
    list: HDEVINFO,
    interface: &'a GUID,
}

impl<'a> Set<'a> {
    fn of(interface: &'a GUID) -> io::Result<Self> {
        let which = DIGCF_PRESENT | DIGCF_DEVICEINTERFACE;
        // SAFETY: Windows reads only the GUID; there is no enumerator and no window.
        let list = unsafe { SetupDiGetClassDevsW(interface, null(), null_mut(), which) };
        // -1 is the value of an invalid list.
        if list == -1 { Err(io::Error::last_os_error()) } else { Ok(Self { list, interface }) }
    }

    /// The interface with this index; `None` after the last one.
    fn interface(&self, index: u32) -> io::Result<Option<SP_DEVICE_INTERFACE_DATA>> {
        let mut data =
            SP_DEVICE_INTERFACE_DATA { cbSize: size::<SP_DEVICE_INTERFACE_DATA>(), ..Default::default() };
        let found =
            // SAFETY: the list is open, and the structure contains its own length.
            unsafe { SetupDiEnumDeviceInterfaces(self.list, null(), self.interface, index, &raw mut data) };
        match found {
            0 if last_error() == ERROR_NO_MORE_ITEMS => Ok(None),
            0 => Err(io::Error::last_os_error()),
            _ => Ok(Some(data)),
        }
    }

    fn detail(&self, data: &SP_DEVICE_INTERFACE_DATA) -> io::Result<(OsString, SP_DEVINFO_DATA)> {
        let mut device = SP_DEVINFO_DATA { cbSize: size::<SP_DEVINFO_DATA>(), ..Default::default() };
        let mut needed = 0;
        // SAFETY: there is no buffer, so Windows writes only the length.
        unsafe {
            SetupDiGetDeviceInterfaceDetailW(self.list, data, null_mut(), 0, &raw mut needed, null_mut());
        }
        if last_error() != ERROR_INSUFFICIENT_BUFFER {
            return Err(io::Error::last_os_error());
        }
        // A buffer of words, because the structure at its start has the alignment of a word.
        let mut buffer = vec![0_u32; needed.div_ceil(4).max(2) as usize];
        buffer[0] = size::<SP_DEVICE_INTERFACE_DETAIL_DATA_W>();
        let room = u32::try_from(buffer.len() * 4).expect("a path has at most 64 KiB");
        let start = buffer.as_mut_ptr().cast();
        // SAFETY: the buffer has the given length, and starts with the length of the structure's fixed part.
        let filled = unsafe {
            SetupDiGetDeviceInterfaceDetailW(self.list, data, start, room, null_mut(), &raw mut device)
        };
        if filled == 0 {
            return Err(io::Error::last_os_error());
        }
        let text: Vec<u16> =
            buffer[1..].iter().flat_map(|word| [word & 0xffff, word >> 16]).map(half).collect();
        let end = text.iter().position(|unit| *unit == 0).unwrap_or(text.len());
        Ok((OsString::from_wide(&text[..end]), device))
    }

    /// Bus, device and function. In the address, the upper 16 bits are the device, and the lower 16 bits are the function.
    fn location(&self, device: &mut SP_DEVINFO_DATA) -> Option<(u32, u32, u32)> {
        let bus = self.number(device, SPDRP_BUSNUMBER)?;
        let address = self.number(device, SPDRP_ADDRESS)?;
        Some((bus, address >> 16, address & 0xffff))
    }

    fn number(&self, device: &mut SP_DEVINFO_DATA, property: SETUP_DI_REGISTRY_PROPERTY) -> Option<u32> {
        let mut bytes = [0; 4];
        let start = bytes.as_mut_ptr();
        // SAFETY: the device belongs to this list; the buffer has four bytes.
        let found = unsafe {
            SetupDiGetDeviceRegistryPropertyW(self.list, device, property, null_mut(), start, 4, null_mut())
        };
        (found != 0).then(|| u32::from_le_bytes(bytes))
    }
}

impl Drop for Set<'_> {
    fn drop(&mut self) {
        // SAFETY: created by `of`, destroyed only here.
        unsafe { SetupDiDestroyDeviceInfoList(self.list) };
    }
}

fn last_error() -> u32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0).cast_unsigned()
}

fn size<T>() -> u32 {
    u32::try_from(size_of::<T>()).expect("a structure of a few words")
}

fn half(word: u32) -> u16 {
    u16::try_from(word & 0xffff).expect("16 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_nobody_offers_has_no_devices() {
        assert_eq!(list(0x1234).unwrap(), []);
    }
}
