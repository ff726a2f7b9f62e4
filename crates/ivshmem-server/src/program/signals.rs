use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::libc::{SIGRTMAX, SIGRTMIN, c_int};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// Signals that ask for the end, and all others that would end a process at once, which would leave its socket behind. The
/// real-time signals are among them, and have no names; those of faults of the process itself are not, nor is SIGABRT, by which
/// others ask for a dump.
const ENDS: [Signal; 13] = [
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGXCPU,
    Signal::SIGALRM,
    Signal::SIGVTALRM,
    Signal::SIGPROF,
    Signal::SIGIO,
    Signal::SIGPWR,
    Signal::SIGSTKFLT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
];
/// Other daemons take these for a request, as to open their log anew. There is nothing to do, and no reason to end.
const IGNORED: [c_int; 2] = [SIGUSR1, SIGUSR2];

/// A descriptor that becomes readable with the first signal that ends a server, and stays so. SIGUSR1 and SIGUSR2 do nothing from
/// then on.
///
/// For a process with one thread: threads that exist already would still be ended by these signals.
///
/// # Errors
/// When the system has no room for the descriptor.
pub fn stop_signals() -> io::Result<Arc<OwnedFd>> {
    let mut ends = SigSet::all();
    for signal in Signal::iterator().filter(|signal| !ENDS.contains(signal)) {
        ends.remove(signal);
    }
    // Threads that are started from now on inherit it. It comes before the handlers, which would take a signal that is not blocked,
    // and the descriptor would not tell of it.
    ends.thread_block()?;
    // A signal that the parent had this process ignore is never pending, such as the interrupt of what a shell runs in the
    // background. With a handler it is.
    let named = ENDS.iter().map(|&signal| signal as c_int);
    for signal in named.chain(SIGRTMIN()..=SIGRTMAX()).chain(IGNORED) {
        flag::register(signal, Arc::default())?;
    }
    let descriptor = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    Ok(Arc::new(descriptor.into()))
}
