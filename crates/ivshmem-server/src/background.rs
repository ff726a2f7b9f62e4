//! Starting in the background without fork: the program starts a second process of itself, and exits when that process
//! listens.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

use ivshmem_server::{Error, program};

/// The line that the background process writes to standard output when it listens.
const READY: &str = "ready";

/// Starts the background process and waits until it listens or fails.
pub(crate) fn start() -> ExitCode {
    match start_and_wait() {
        Ok(code) => code,
        Err(error) => {
            program::tell(&format!("ivshmem-server: starting in the background: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn start_and_wait() -> io::Result<ExitCode> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--is-daemon")
        .args(std::env::args_os().skip(1))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = child.stdout.take().expect("piped above");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    if line.trim_end() == READY {
        return Ok(ExitCode::SUCCESS);
    }
    // The background process has printed its error, or was stopped before it listened.
    let code = child.wait()?.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0);
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// In the background process: leaves the session of the terminal, so that no terminal can end this process.
pub(crate) fn leave_terminal() -> Result<(), Error> {
    program::leave_terminal().map_err(failed)
}

/// In the background process: reports readiness to the starting process and detaches from the outputs that both share.
pub(crate) fn say_ready() -> Result<(), Error> {
    // The starting process may have been killed in the meantime; this process serves nevertheless.
    let _ = writeln!(io::stdout(), "{READY}").and_then(|()| io::stdout().flush());
    let null = File::options().write(true).open("/dev/null").map_err(failed)?;
    program::replace_outputs(&null).map_err(failed)
}

fn failed(source: io::Error) -> Error {
    Error::Io { doing: "going to the background".to_owned(), source }
}
