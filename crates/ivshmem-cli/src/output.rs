//! Destination of results: standard output, or a file instead.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use anstream::{AutoStream, ColorChoice};
use serde_json::Value;

use crate::failure::Failure;
use crate::standard;

/// Buffered output: call [`flush`](Self::flush) when a reader waits for the output, as with events. `main` flushes the
/// rest.
pub(crate) struct Out {
    sink: BufWriter<File>,
    /// The name in errors.
    name: String,
    is_terminal: bool,
    colours: bool,
}

impl Out {
    pub(crate) fn stdout() -> Result<Self, Failure> {
        let stdout = io::stdout();
        let name = "standard output".to_owned();
        // Bypasses the standard library's buffer, which is flushed at each line.
        let file = standard::output().map_err(|source| Failure::Output { to: name.clone(), source })?;
        Ok(Self {
            sink: BufWriter::new(file),
            name,
            is_terminal: stdout.is_terminal(),
            colours: AutoStream::choice(&stdout) != ColorChoice::Never,
        })
    }

    /// Creates a file, or empties an existing one.
    pub(crate) fn file(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        let failed = |source| Failure::Output { to: name.clone(), source };
        let file = File::options().write(true).create(true).truncate(false).open(path).map_err(failed)?;
        if is_mapped(&file).map_err(failed)? {
            return Err(Failure::OutputIsMemory { path: path.to_owned() });
        }
        if file.metadata().map_err(failed)?.is_file() {
            file.set_len(0).map_err(failed)?;
        }
        Ok(Self { sink: BufWriter::new(file), name, is_terminal: false, colours: false })
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    pub(crate) fn line(&mut self, line: impl Display) -> Result<(), Failure> {
        let result = writeln!(self.sink, "{line}");
        self.checked(result)
    }

    /// Text that contains its own line ends.
    pub(crate) fn text(&mut self, text: impl Display) -> Result<(), Failure> {
        let result = write!(self.sink, "{text}");
        self.checked(result)
    }

    pub(crate) fn json(&mut self, value: &Value) -> Result<(), Failure> {
        self.line(value)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let result = self.sink.write_all(bytes);
        self.checked(result)
    }

    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let result = self.sink.flush();
        self.checked(result)
    }

    /// The text in this style where colours are enabled: on a terminal, without NO_COLOR, or as `--color` says.
    pub(crate) fn paint(&self, style: anstyle::Style, text: impl Display) -> String {
        if self.colours { format!("{style}{text}{style:#}") } else { text.to_string() }
    }

    fn checked(&self, result: io::Result<()>) -> Result<(), Failure> {
        result.map_err(|source| Failure::Output { to: self.name.clone(), source })
    }
}

/// Whether this process has mapped the file. Emptying it would kill this process, and all others that use the memory.
#[cfg(target_os = "linux")]
fn is_mapped(file: &File) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let file = file.metadata()?;
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| {
        let text =
            format!("nobody knows whether it is the memory itself, as /proc/self/maps cannot be read ({e})");
        io::Error::new(e.kind(), text)
    })?;
    Ok(maps.lines().any(|line| {
        // Addresses, access, offset, device, inode, name. For some file systems the device numbers differ from those of
        // stat.
        let mut words = line.split_whitespace();
        let addresses = words.next().unwrap_or_default();
        let is_same_inode = words.nth(3) == Some(file.ino().to_string().as_str());
        let mapped = || std::fs::metadata(format!("/proc/self/map_files/{addresses}"));
        is_same_inode && mapped().map_or(true, |mapped| mapped.dev() == file.dev())
    }))
}

#[cfg(not(target_os = "linux"))]
#[expect(clippy::unnecessary_wraps, reason = "as on Linux")]
fn is_mapped(_file: &File) -> io::Result<bool> {
    Ok(false)
}
