//! Standard input and output as files, without the standard library's buffers. Closing such a file does not close the
//! process's own descriptor.

use std::fs::File;
use std::io;

#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(windows)]
use std::os::windows::io::AsHandle;

pub(crate) fn input() -> io::Result<File> {
    #[cfg(unix)]
    let owned = io::stdin().as_fd().try_clone_to_owned();
    #[cfg(windows)]
    let owned = io::stdin().as_handle().try_clone_to_owned();
    owned.map(File::from)
}

pub(crate) fn output() -> io::Result<File> {
    #[cfg(unix)]
    let owned = io::stdout().as_fd().try_clone_to_owned();
    #[cfg(windows)]
    let owned = io::stdout().as_handle().try_clone_to_owned();
    owned.map(File::from)
}
