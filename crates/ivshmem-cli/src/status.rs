//! `status`: prints a server's report of its state, from its status socket.

use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{fs, io};

use ivshmem::sys::linux::socket::{self, Received, Receiver};
use ivshmem::wire::Refusal;
use ivshmem_server::program::socket_path;
use serde_json::Value;

use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

/// A status has a few hundred bytes for each client, of which there are at most 65,536.
const LIMIT: usize = 64 << 20;
/// Time limit for the whole answer. A server answers at once.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Show the state of a server: clients, vectors, limits, counters
///
/// The server was started with `ivshmem-server --status SOCKET`, and SOCKET is this one: not the one that clients
/// connect to.
#[derive(clap::Args, Debug)]
pub(crate) struct Status {
    /// The server's control socket
    #[arg(value_parser = socket_path)]
    socket: PathBuf,
    #[command(flatten)]
    format: Format,
}

impl Status {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let no_status = |source: io::Error| {
            let is_socket = || fs::metadata(&self.socket).is_ok_and(|facts| facts.file_type().is_socket());
            if source.kind() == io::ErrorKind::ConnectionRefused && !is_socket() {
                return Failure::NoSocket { path: self.socket.clone() };
            }
            Failure::NoStatus { socket: self.socket.clone(), source }
        };
        let Some(answer) = self.ask().map_err(no_status)? else {
            return Err(Failure::ClientSocket { socket: self.socket.clone() });
        };
        let wrong = |why: String| Failure::BadStatus { socket: self.socket.clone(), why };
        let status: Value = serde_json::from_slice(&answer).map_err(|e| wrong(e.to_string()))?;
        match &status {
            Value::Object(_) if self.format.json => out.json(&status),
            Value::Object(_) => show(&status, 0, out),
            _ => Err(wrong("it is no object".to_owned())),
        }
    }

    /// Reads the status; `None` when the socket is the one for clients.
    fn ask(&self) -> io::Result<Option<Vec<u8>>> {
        let deadline = Instant::now() + TIMEOUT;
        let mut stream = Receiver::from(socket::connect(&self.socket, TIMEOUT)?);
        let (mut answer, mut buffer) = (Vec::new(), [0; 64 << 10]);
        while answer.len() < LIMIT {
            if Instant::now() >= deadline || !socket::wait_readable(stream.as_fd(), deadline)? {
                let seconds = TIMEOUT.as_secs();
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    format!("its answer has not ended within {seconds} s"),
                ));
            }
            match stream.receive(&mut buffer)? {
                Received::Bytes(count, descriptor) => {
                    answer.extend_from_slice(&buffer[..count]);
                    if is_greeting(&answer) {
                        return Ok(None);
                    }
                    if descriptor.is_some() {
                        return Err(io::Error::other("it sends descriptors, which no status has"));
                    }
                }
                Received::WouldBlock => {}
                Received::Closed => break,
                _ => return Err(io::Error::other("it sends descriptors, which no status has")),
            }
        }
        Ok(Some(answer))
    }
}

/// Whether these are the first bytes that a server sends to a client: the version of the protocol, or a refusal in its
/// place.
fn is_greeting(bytes: &[u8]) -> bool {
    let Some(version) = bytes.first_chunk().copied().map(i64::from_le_bytes) else { return false };
    !matches!(Refusal::from_version(version), Some(Refusal::Unknown(_)))
}

/// Prints any object as text: names and values, arrays of objects as tables. A newer server may send unknown fields.
fn show(value: &Value, indent: usize, out: &mut Out) -> Result<(), Failure> {
    let Value::Object(fields) = value else { return out.line(plain(value)) };
    let width = fields.keys().map(String::len).max().unwrap_or(0);
    for (name, value) in fields {
        match value {
            Value::Array(rows) if rows.iter().all(Value::is_object) && !rows.is_empty() => {
                out.line(format_args!("{:indent$}{name}", ""))?;
                table(rows, indent + 2, out)?;
            }
            Value::Object(_) => {
                out.line(format_args!("{:indent$}{name}", ""))?;
                show(value, indent + 2, out)?;
            }
            _ => out.line(format_args!("{:indent$}{name:width$}  {}", "", plain(value)))?,
        }
    }
    Ok(())
}

/// The names of the first row are the columns.
fn table(rows: &[Value], indent: usize, out: &mut Out) -> Result<(), Failure> {
    let names: Vec<&String> = rows[0].as_object().into_iter().flat_map(|row| row.keys()).collect();
    let cells = |row: &Value| names.iter().map(|name| row.get(*name).map_or(String::new(), plain)).collect();
    let mut lines: Vec<Vec<String>> = vec![names.iter().map(|name| (*name).clone()).collect()];
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..names.len()).map(width).collect();
    lines.iter().try_for_each(|line| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:>width$}"));
        out.line(format_args!("{:indent$}{}", "", cells.collect::<Vec<_>>().join("  ")))
    })
}

/// A value in one line. Control characters are replaced, so that escape sequences do not reach the terminal.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace(char::is_control, "?"),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}
