use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::Error;

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
    let flags = OFlags::WRONLY
        | OFlags::APPEND
        | OFlags::CREATE
        | OFlags::NOFOLLOW
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::CLOEXEC;
    let no_file = "is a link, a pipe or a directory, not a file for the log; name a file, or leave --log out";
    let file = match open(path, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP) {
        Err(Errno::LOOP | Errno::NXIO | Errno::ISDIR) => return Err(refused(no_file)),
        file => file.map_err(Error::io(opening()))?,
    };
    let stat = fstat(&file).map_err(Error::io(opening()))?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice => return Ok(file),
        FileType::RegularFile => {}
        _ => return Err(refused(no_file)),
    }
    if ![0, geteuid().as_raw()].contains(&stat.st_uid) {
        let uid = stat.st_uid;
        return Err(refused(&format!(
            "belongs to user {uid}, who could change the log; remove it or name another"
        )));
    }
    if stat.st_nlink != 1 {
        return Err(refused("is a file that has other names too; remove it or name another for the log"));
    }
    Ok(file)
}
