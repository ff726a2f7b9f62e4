use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use nix::libc::{SIGPWR, SIGSTKFLT};
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
};
use signal_hook::flag;
use signal_hook::low_level::pipe;

/// Signals that ask for the end, and all others that would end a process without its having a say: it would leave its socket
/// behind.
const ENDS: [i32; 11] =
    [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT];
/// Those that other daemons take for a request, as to open their log anew. There is nothing to do, and no reason to end.
const IGNORED: [i32; 2] = [SIGUSR1, SIGUSR2];

/// A stream that becomes readable with the first signal that ends a server. SIGUSR1 and SIGUSR2 do nothing from then on.
///
/// # Errors
/// When the system has no room for the stream or a handler.
pub fn stop_signals() -> io::Result<UnixStream> {
    let (stop, wake) = UnixStream::pair()?;
    for signal in ENDS {
        pipe::register(signal, wake.try_clone()?)?;
    }
    for signal in IGNORED {
        flag::register(signal, Arc::default())?;
    }
    Ok(stop)
}
