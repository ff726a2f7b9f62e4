use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use crate::error::Error;
use crate::sys::{Errno, output, process};

/// Opens a file to which a log is appended, or creates it with read permission for its group.
///
/// The function does not follow a link, does not wait for a pipe, and refuses a file of another user: a user with write
/// permission on the directory could have put it there. It accepts a character device like /dev/null, as only root can
/// create those.
///
/// # Errors
/// When the file is refused or cannot be opened.
pub fn open_log(path: &Path) -> Result<OwnedFd, Error> {
    let opening = || format!("opening the log {}", path.display());
    let refused = |problem: &str| Error::NotTrusted { path: path.to_owned(), problem: problem.to_owned() };
    let no_file = "is a link, a pipe or a directory, not a file for the log; name a file, or leave --log out";
    let file = match output::append_to(path) {
        Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Err(refused(no_file)),
        file => file.map_err(Error::io(opening()))?,
    };
    let stat = file.metadata().map_err(Error::io(opening()))?;
    if stat.file_type().is_char_device() {
        return Ok(file.into());
    }
    if !stat.is_file() {
        return Err(refused(no_file));
    }
    let uid = stat.uid();
    if ![0, process::user()].contains(&uid) {
        return Err(refused(&format!(
            "belongs to user {uid}, who could change the log; remove it or name another"
        )));
    }
    if stat.nlink() != 1 {
        return Err(refused("is a file that has other names too; remove it or name another for the log"));
    }
    Ok(file.into())
}
