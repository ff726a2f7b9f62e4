//! `serve`: a server in the foreground, what to type next, and a log on standard error.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ivshmem_server::{Server, raise_descriptor_limit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::Failure;

pub(crate) fn serve(socket: &Path, size: u64, vectors: u16, out: &mut impl Write) -> Result<(), Failure> {
    let stop = signals().map_err(Failure::Signals)?;
    // When it cannot be raised, fewer clients fit.
    let _ = raise_descriptor_limit();
    // Who comes, goes or stops reading, and that a size was rounded up.
    tracing_subscriber::fmt().with_target(false).with_writer(io::stderr).init();
    let listening = Server::builder(socket).size(size).vectors(vectors.into()).listen()?;
    let path = listening.path().display();
    write!(
        out,
        "serving {size} bytes and {vectors} vectors for each client on {path}; Ctrl-C ends it\n\
         QEMU:     -chardev socket,path={path},id=ivshmem -device ivshmem-doorbell,chardev=ivshmem,vectors={vectors}\n\
         programs: doorbell:{path}, for example: ivshmem info doorbell:{path}\n",
        size = listening.size(),
        vectors = listening.vectors(),
    )
    .and_then(|()| out.flush())
    .map_err(Failure::Output)?;
    listening.run(stop)?;
    Ok(())
}

/// A stream that becomes readable with the first signal that asks to stop.
fn signals() -> io::Result<UnixStream> {
    let (stop, wake) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT, SIGHUP] {
        pipe::register(signal, wake.try_clone()?)?;
    }
    Ok(stop)
}
