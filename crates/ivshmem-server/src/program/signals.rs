use std::io;
use std::sync::Arc;

use nix::libc::{SIGPWR, SIGSTKFLT};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
};
use signal_hook::flag;

/// Signals that ask for the end, and all others that would end a process without its having a say: it would leave its socket
/// behind.
const ENDS: [i32; 11] =
    [SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGVTALRM, SIGPROF, SIGIO, SIGPWR, SIGSTKFLT];
/// Those that other daemons take for a request, as to open their log anew. There is nothing to do, and no reason to end.
const IGNORED: [i32; 2] = [SIGUSR1, SIGUSR2];

/// A descriptor that becomes readable with the first signal that ends a server, and stays so. SIGUSR1 and SIGUSR2 do nothing from
/// then on.
///
/// For a process with one thread: threads that are there already would still be ended by these signals.
///
/// # Errors
/// When the system has no room for the descriptor.
pub fn stop_signals() -> io::Result<SignalFd> {
    // Also where whoever started this process had it ignore some, as a shell does with the interrupt for what is in its background.
    for signal in ENDS.into_iter().chain(IGNORED) {
        flag::register(signal, Arc::default())?;
    }
    let mut ends = SigSet::empty();
    for signal in ENDS {
        ends.add(Signal::try_from(signal)?);
    }
    // Threads that are started from now on inherit it.
    ends.thread_block()?;
    Ok(SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?)
}
