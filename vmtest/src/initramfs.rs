//! The initramfs of a guest: an archive in the format of `cpio -H newc`, written without root's rights.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Error;

/// Collects files and writes them as an archive.
#[derive(Debug, Default)]
pub(crate) struct Initramfs(BTreeMap<String, Entry>);

#[derive(Debug)]
enum Entry {
    Directory,
    File { bytes: Vec<u8>, mode: u32 },
    Link(String),
}

impl Initramfs {
    pub(crate) fn directory(&mut self, path: &str) {
        let path = path.trim_matches('/');
        if !path.is_empty() && !self.0.contains_key(path) {
            self.parents_of(path);
            self.0.insert(path.to_owned(), Entry::Directory);
        }
    }

    pub(crate) fn file(&mut self, path: &str, bytes: Vec<u8>, mode: u32) {
        self.add(path, Entry::File { bytes, mode: mode & 0o7777 });
    }

    pub(crate) fn link_unless_there(&mut self, path: &str, to: &str) {
        if !self.0.contains_key(path) {
            self.link(path, to);
        }
    }

    fn link(&mut self, path: &str, to: &str) {
        self.add(path, Entry::Link(to.to_owned()));
    }

    /// Adds a file of the host, with its mode.
    pub(crate) fn host_file(&mut self, path: &str, from: &Path) -> Result<(), Error> {
        let name = || from.display().to_string();
        let bytes = std::fs::read(from).map_err(Error::host(name()))?;
        let mode = std::fs::metadata(from).map_err(Error::host(name()))?.permissions().mode();
        self.file(path, bytes, mode);
        Ok(())
    }

    /// Adds a directory of the host, without files that cannot be read.
    pub(crate) fn host_folder(&mut self, path: &str, from: &Path) -> Result<(), Error> {
        self.directory(path);
        for entry in std::fs::read_dir(from).map_err(Error::host(from.display().to_string()))?.flatten() {
            let inner = format!("{path}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                self.host_folder(&inner, &entry.path())?;
            } else if entry.path().is_file() {
                self.host_file(&inner, &entry.path())?;
            }
        }
        Ok(())
    }

    /// Adds the links in a directory of the host at the same path. A missing directory has none.
    pub(crate) fn host_links(&mut self, path: &str) {
        for entry in std::fs::read_dir(Path::new("/").join(path)).into_iter().flatten().flatten() {
            if let Ok(target) = std::fs::read_link(entry.path()) {
                self.link(
                    &format!("{path}/{}", entry.file_name().to_string_lossy()),
                    &target.to_string_lossy(),
                );
            }
        }
    }

    /// Adds a program of the host, and the libraries that it is linked with at their paths on the host.
    pub(crate) fn program(&mut self, path: &str, from: &Path) -> Result<(), Error> {
        match stripped(from) {
            Some(bytes) => self.file(path, bytes, 0o755),
            None => self.host_file(path, from)?,
        }
        for library in libraries(from)? {
            if let Some(place) = library.to_str()
                && !self.0.contains_key(place.trim_matches('/'))
            {
                self.host_file(place, &library)?;
            }
        }
        Ok(())
    }

    /// Writes the archive.
    pub(crate) fn write(&self, mut to: impl Write) -> io::Result<()> {
        for (path, entry) in &self.0 {
            let (bytes, mode): (&[u8], u32) = match entry {
                Entry::Directory => (&[], 0o040_755),
                Entry::File { bytes, mode } => (bytes, 0o100_000 | mode),
                Entry::Link(target) => (target.as_bytes(), 0o120_777),
            };
            let length = u32::try_from(bytes.len()).map_err(|_| {
                io::Error::other(format!("{path} has {} bytes; the format has 32 bits for that", bytes.len()))
            })?;
            let mut writer = cpio::newc::Builder::new(path).mode(mode).write(to, length);
            writer.write_all(bytes)?;
            to = writer.finish()?;
        }
        cpio::newc::trailer(to)?.flush()
    }

    fn add(&mut self, path: &str, entry: Entry) {
        let path = path.trim_matches('/');
        self.parents_of(path);
        self.0.insert(path.to_owned(), entry);
    }

    /// The kernel does not create parent directories itself.
    fn parents_of(&mut self, path: &str) {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent);
        }
    }
}

/// A program without debugging information, which is most of an unoptimised program and would be unpacked into the guest's
/// memory. `None` when strip is missing or refuses the file.
fn stripped(program: &Path) -> Option<Vec<u8>> {
    let result = tempfile::NamedTempFile::new().ok()?;
    let mut strip = Command::new("strip");
    strip.arg("--strip-debug").arg("-o").args([result.path(), program]).stderr(Stdio::null());
    if strip.status().ok()?.success() { std::fs::read(result.path()).ok() } else { None }
}

/// The libraries that `ldd` finds. A static program has none.
fn libraries(program: &Path) -> Result<Vec<PathBuf>, Error> {
    let output = Command::new("ldd").arg(program).output().map_err(Error::host("ldd"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    // "libc.so.6 => /lib/libc.so.6 (0x...)" or "/lib64/ld-linux-x86-64.so.2 (0x...)".
    let paths = text.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_come_before_what_is_in_them() {
        let mut files = Initramfs::default();
        files.file("/a/b/file", b"text".to_vec(), 0o640);
        files.link("a/link", "b/file");
        let mut bytes = Vec::new();
        files.write(&mut bytes).unwrap();
        let mut archive = &bytes[..];
        for (name, mode, content) in [
            ("a", 0o040_755, ""),
            ("a/b", 0o040_755, ""),
            ("a/b/file", 0o100_640, "text"),
            ("a/link", 0o120_777, "b/file"),
        ] {
            let mut reader = cpio::newc::Reader::new(archive).unwrap();
            assert_eq!((reader.entry().name(), reader.entry().mode()), (name, mode));
            let mut text = String::new();
            io::Read::read_to_string(&mut reader, &mut text).unwrap();
            assert_eq!(text, content);
            archive = reader.finish().unwrap();
        }
    }
}
