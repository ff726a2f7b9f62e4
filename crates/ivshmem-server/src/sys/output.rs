//! Standard output, standard error, and files of logs.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::stdio::{dup2_stderr, dup2_stdout};
pub(crate) use rustix::stdio::{stderr, stdout};

use super::{Errno, poll};

/// Opens a file for appending, or creates it with read permission for its group. Follows no link, and waits for no reader of
/// a pipe.
pub(crate) fn append_to(path: &Path) -> Result<File, Errno> {
    let how = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    rustix::fs::open(path, how, Mode::RUSR | Mode::WUSR | Mode::RGRP).map(File::from)
}

/// Writes all bytes and waits as long as there is no room. Sets `begun` when some of the bytes are written.
pub(crate) fn write_all(output: BorrowedFd<'_>, mut bytes: &[u8], begun: &mut bool) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(output, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(count) => {
                *begun = true;
                bytes = &bytes[count..];
            }
            Err(Errno::INTR) => {}
            // Another process with the same pipe or terminal may have made it non-blocking.
            Err(Errno::AGAIN) => drop(poll::wait(&[], [output], None)?),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Makes standard output and standard error this file.
pub fn replace_outputs(file: impl AsFd) -> std::io::Result<()> {
    dup2_stdout(&file)?;
    Ok(dup2_stderr(&file)?)
}
