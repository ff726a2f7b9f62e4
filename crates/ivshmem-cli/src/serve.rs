//! `serve`: runs a server in the foreground, prints the arguments for clients, and logs to standard error.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use ivshmem::shell_word;
use ivshmem_server::program::{Output, ServerOptions, Sink, socket_path, stop_signals};
use ivshmem_server::{Error, Listening, raise_descriptor_limit};
use serde_json::json;

use crate::advice::{Region, Way};
use crate::args::Format;
use crate::failure::Failure;
use crate::output::Out;

/// Run a server: virtual machines and programs that connect to its socket share one memory
///
/// It stays in the foreground, logs to standard error, and ends with Ctrl-C. The daemon ivshmem-server is the same for
/// the background and for service managers.
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// The Unix socket to listen on
    #[arg(value_parser = nameable)]
    socket: PathBuf,
    #[command(flatten)]
    server: ServerOptions,
    #[command(flatten)]
    format: Format,
}

/// Refuses a path that the printed targets could not name.
fn nameable(text: &str) -> Result<PathBuf, String> {
    let path = socket_path(text).map_err(|error| error.to_string())?;
    match std::path::absolute(&path) {
        Ok(absolute) if absolute.as_os_str().as_encoded_bytes().contains(&b'?') => Err(format!(
            "no target can name {}, because options follow a question mark; take another path",
            absolute.display()
        )),
        _ => Ok(path),
    }
}

impl Serve {
    /// Does not use the buffered output of the other verbs, which could make the server wait for a reader.
    pub(crate) fn run(&self, _: &mut Out) -> Result<(), Failure> {
        // Before another thread exists.
        let stop = stop_signals().map_err(Failure::Signals)?;
        // If the limit cannot be raised, fewer clients fit.
        let _ = raise_descriptor_limit();
        let sink = |output| Sink::new(output).map_err(Failure::Thread);
        let (greeting, log) = (sink(Output::Stdout)?, sink(Output::Stderr)?);
        // Logs clients that connect, leave or stop reading, and a size that was rounded up.
        tracing_subscriber::fmt()
            .with_target(false)
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(Arc::new(log.clone()))
            .init();
        let result = self.serve(&greeting, &stop);
        greeting.drain();
        log.drain();
        result
    }

    fn serve(&self, greeting: &Sink, stop: &Arc<OwnedFd>) -> Result<(), Failure> {
        let listening = match self.server.builder(&self.socket).stop_on(Arc::clone(stop)).listen() {
            Err(Error::Stopped { .. }) => return Ok(()),
            listening => listening?,
        };
        // Clients may be waiting, so the server serves them even if the reader of this output is gone or does not read.
        greeting.put(self.greeting(&listening).as_bytes());
        listening.run(stop)?;
        Ok(())
    }

    fn greeting(&self, listening: &Listening) -> String {
        let (size, vectors) = (listening.size(), listening.vectors());
        // Absolute, because users copy the output to other shells.
        let socket = std::path::absolute(listening.path()).unwrap_or_else(|_| listening.path().to_owned());
        if self.format.json {
            let event = json!({ "event": "serving", "socket": socket.display().to_string(), "size": size, "vectors": vectors });
            return format!("{event}\n");
        }
        let target = shell_word(format_args!("doorbell:{}", socket.display()));
        let serving =
            format!("serving {size} bytes and {vectors} vectors for each client on {}", socket.display());
        // QEMU has no device without vectors; with a server without vectors, the device's vector is never signalled.
        let region = Region { size, way: Way::Server { socket, vectors: vectors.max(1) } };
        format!(
            "{serving}; Ctrl-C ends it\n{}libvirt:  ivshmem doctor {target} prints the elements\n\
             programs: {target}, for example: ivshmem info {target}\n",
            region.qemu_text()
        )
    }
}
