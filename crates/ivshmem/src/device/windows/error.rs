use std::fmt;

use crate::ErrorKind;

/// An error of a Windows guest's driver. The text contains the Windows error number, the cause and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverError {
    /// The driver has not started the device.
    NotReady,
    /// The driver allows only one mapping, and another program or this one has it.
    InUse,
    /// The memory is larger than the driver can map.
    TooLarge {
        /// The size of the memory in bytes.
        size: u64,
    },
    /// The memory does not fit into the address space of this process.
    NoRoom {
        /// The size of the memory in bytes.
        size: u64,
    },
    /// The user may not open the device.
    NotPermitted,
    /// The device was removed, or its driver stopped.
    Gone {
        /// The Windows error number.
        code: u32,
    },
    /// Any other error.
    Other {
        /// The operation that failed.
        doing: &'static str,
        /// The Windows error text, with its number.
        reason: String,
    },
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause_and_remedy() {
            (cause, Some(remedy)) => write!(f, "{cause}; {remedy}"),
            (cause, None) => f.write_str(&cause),
        }
    }
}

impl std::error::Error for DriverError {}

impl DriverError {
    /// Why the driver failed, in one line without the remedy.
    pub fn cause(&self) -> String {
        self.cause_and_remedy().0
    }

    /// What the user can do, in one line; `None` if that is not known.
    pub fn remedy(&self) -> Option<&'static str> {
        self.cause_and_remedy().1
    }

    fn cause_and_remedy(&self) -> (String, Option<&'static str>) {
        match self {
            Self::NotReady => (
                "the driver is not ready (error 21): the device is starting, stopping or has failed"
                    .to_string(),
                Some("look at it in the Device Manager"),
            ),
            Self::InUse => (
                "it is in use (error 548): the driver lets one program at a time have the memory".to_string(),
                Some("close it there, or give the machine another device"),
            ),
            Self::TooLarge { size } => (
                format!("the driver cannot map {size} bytes (error 1117): it fails with 4 GiB and more"),
                Some("give the machine a smaller device"),
            ),
            Self::NoRoom { size } => (
                format!("Windows has no room for {size} bytes in this process (error 1117)"),
                Some("use a 64-bit program, or give the machine a smaller device"),
            ),
            Self::NotPermitted => (
                "no permission to open the device (error 5)".to_string(),
                Some("run the program as administrator"),
            ),
            Self::Gone { code } => (
                format!("the device is gone (error {code}): it was removed, or its driver stopped"),
                Some("open it anew when it is back"),
            ),
            Self::Other { doing, reason } => (format!("cannot {doing}: {reason}"), None),
        }
    }

    /// The kind of this failure, for programs to decide by.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse => ErrorKind::Busy,
            Self::TooLarge { .. } => ErrorKind::Unsupported,
            Self::NoRoom { .. } => ErrorKind::NoSpace,
            Self::NotPermitted => ErrorKind::PermissionDenied,
            Self::Gone { .. } => ErrorKind::NotFound,
            Self::NotReady | Self::Other { .. } => ErrorKind::Io,
        }
    }

    /// Classifies an error of the driver or of opening it. `size` is the size of the memory in bytes, or 0 if it is unknown.
    #[cfg(any(windows, test))]
    pub(super) fn of(error: &std::io::Error, doing: &'static str, size: u64) -> Self {
        let code = error.raw_os_error().map(i32::cast_unsigned);
        match code {
            Some(21) => Self::NotReady,
            Some(548) => Self::InUse,
            Some(1117) if size >= TOO_LARGE => Self::TooLarge { size },
            Some(1117) => Self::NoRoom { size },
            Some(5) => Self::NotPermitted,
            Some(code) if crate::sys::windows::contract::is_gone(code) => Self::Gone { code },
            _ => Self::Other { doing, reason: error.to_string() },
        }
    }
}

/// From this size on, in bytes, the driver's arithmetic fails.
#[cfg(any(windows, test))]
const TOO_LARGE: u64 = 1 << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_of_the_driver_has_its_cause_and_remedy() {
        for (code, size, kind, words) in [
            (21, 0, ErrorKind::Io, "not ready"),
            (548, 0, ErrorKind::Busy, "close it there"),
            (1117, 1 << 32, ErrorKind::Unsupported, "4294967296 bytes"),
            (1117, 1 << 31, ErrorKind::NoSpace, "64-bit program"),
            (5, 0, ErrorKind::PermissionDenied, "administrator"),
            (1617, 0, ErrorKind::NotFound, "is gone"),
            (2, 0, ErrorKind::NotFound, "is gone"),
            (87, 0, ErrorKind::Io, "cannot map it"),
        ] {
            let error = DriverError::of(&std::io::Error::from_raw_os_error(code), "map it", size);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.remedy().is_some() == (code != 87), "{error}");
            assert!(error.to_string().contains(&format!("error {code}")), "{error} has no number {code}");
        }
    }
}
