use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use ivshmem_server::Error;
use rustix::fs::{FlockOperation, OFlags, flock};

/// A file with this process's id, locked while the process lives and removed at its end.
#[derive(Debug)]
pub(crate) struct PidFile {
    path: PathBuf,
    file: File,
}

impl PidFile {
    /// Creates it, or takes over one that a dead server left. A link, or a file that holds anything but a process id,
    /// is left alone.
    pub(crate) fn create(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Io {
            doing: format!("writing the pid file {} (-p chooses another, -F needs none)", path.display()),
            source,
        };
        loop {
            let file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(
                    i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).expect("small flags"),
                )
                .open(path)
                .map_err(failed)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)
                .map_err(|_| Error::PidFileInUse(path.to_owned()))?;
            // The one who held the lock until now may have removed the file.
            if is_in_place(&file, path) {
                write(&file).map_err(failed)?;
                return Ok(Self { path: path.to_owned(), file });
            }
        }
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if is_in_place(&self.file, &self.path)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn write(mut file: &File) -> io::Result<()> {
    let mut old = String::new();
    file.take(32).read_to_string(&mut old)?;
    if !old.trim().bytes().all(|b| b.is_ascii_digit()) {
        let text = "exists and holds no process id; remove it or choose another path";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
    }
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

fn is_in_place(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(found)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (held.dev(), held.ino()) == (found.dev(), found.ino())
}
