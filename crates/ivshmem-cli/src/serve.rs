//! `serve`: a server in the foreground, what to type next, and a log on standard error.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;

use ivshmem_server::program::{Output, Sink};
use ivshmem_server::{Listening, Server, raise_descriptor_limit};
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::Failure;
use crate::advice::quoting::shell;
use crate::advice::{Region, Way};
use crate::args::Format;
use crate::output::Out;
use crate::values::bytes;

/// Run a server: virtual machines and programs that connect to its socket share one memory
///
/// It stays in the foreground and ends with Ctrl-C. The daemon ivshmem-server has more options: a named memory, who
/// may connect, the background.
#[derive(clap::Args, Debug)]
pub(crate) struct Serve {
    /// The Unix socket to listen on
    socket: PathBuf,
    /// Size of the shared memory, 4K to 1T, rounded up to a power of two
    #[arg(long, value_parser = bytes, default_value = "4M")]
    size: u64,
    /// Interrupt vectors of each client, 1 to 256
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256), default_value = "1")]
    vectors: u16,
    #[command(flatten)]
    format: Format,
}

impl Serve {
    /// Not through the buffer of the others, which could keep the server waiting for a reader.
    pub(crate) fn run(&self, _: &mut Out) -> Result<(), Failure> {
        let stop = signals().map_err(Failure::Signals)?;
        // When it cannot be raised, fewer clients fit.
        let _ = raise_descriptor_limit();
        let sink = |output| Sink::new(output).map_err(Failure::Thread);
        let (greeting, log) = (sink(Output::Stdout)?, sink(Output::Stderr)?);
        // Who comes, goes or stops reading, and that a size was rounded up.
        tracing_subscriber::fmt()
            .with_target(false)
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(Arc::new(log.clone()))
            .init();
        let result = self.serve(&greeting, stop);
        greeting.drain();
        log.drain();
        result
    }

    fn serve(&self, greeting: &Sink, stop: UnixStream) -> Result<(), Failure> {
        let listening =
            Server::builder(&self.socket).size(self.size).vectors(self.vectors.into()).listen()?;
        // Clients may be waiting: a reader of this that is gone, or does not read, is no reason not to serve them.
        greeting.put(self.greeting(&listening).as_bytes());
        listening.run(stop)?;
        Ok(())
    }

    fn greeting(&self, listening: &Listening) -> String {
        let (size, vectors) = (listening.size(), listening.vectors());
        // What is printed is typed elsewhere.
        let socket = std::path::absolute(listening.path()).unwrap_or_else(|_| listening.path().to_owned());
        if self.format.json {
            let event = json!({ "event": "serving", "socket": socket.display().to_string(), "size": size, "vectors": vectors });
            return format!("{event}\n");
        }
        let target = shell(&format!("doorbell:{}", socket.display()));
        let serving =
            format!("serving {size} bytes and {vectors} vectors for each client on {}", socket.display());
        let region = Region { size, way: Way::Server { socket, vectors } };
        format!(
            "{serving}; Ctrl-C ends it\n{}libvirt:  ivshmem doctor {target} prints the elements\n\
             programs: {target}, for example: ivshmem info {target}\n",
            region.qemu_text()
        )
    }
}

/// A stream that becomes readable with the first signal that asks to stop.
fn signals() -> io::Result<UnixStream> {
    let (stop, wake) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        pipe::register(signal, wake.try_clone()?)?;
    }
    Ok(stop)
}
