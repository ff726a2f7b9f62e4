//! Signals that end a server, as a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::libc::{SIGRTMAX, SIGRTMIN, c_int};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use signal_hook::consts::{SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// Signals that request the end, and all others whose default action would end the process at once and leave its socket
/// behind. The real-time signals belong to these too, but have no names. Signals for faults of the process itself do not,
/// nor does SIGABRT, with which others request a dump.
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
/// Other daemons interpret these as a request, for example to reopen their log. The server has nothing to do, and does not
/// end.
const IGNORED: [c_int; 2] = [SIGUSR1, SIGUSR2];

/// Returns a descriptor that becomes readable with the first signal that ends a server, and stays readable. SIGUSR1 and
/// SIGUSR2 have no effect from then on.
///
/// Call it while the process has one thread: these signals would still end the process through threads that exist already.
///
/// # Errors
/// When the system cannot create the descriptor.
pub fn stop_signals() -> io::Result<Arc<OwnedFd>> {
    let mut ends = SigSet::all();
    for signal in Signal::iterator().filter(|signal| !ENDS.contains(signal)) {
        ends.remove(signal);
    }
    // Threads that are started from now on inherit the mask. Block before installing the handlers: a handler would consume
    // a signal that is not blocked, and the descriptor would not report it.
    ends.thread_block()?;
    // A signal that the parent process set to ignored never becomes pending, for example SIGINT in what a shell runs in the
    // background. With a handler it does.
    let named = ENDS.iter().map(|&signal| signal as c_int);
    for signal in named.chain(SIGRTMIN()..=SIGRTMAX()).chain(IGNORED) {
        flag::register(signal, Arc::default())?;
    }
    let descriptor = SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
    Ok(Arc::new(descriptor.into()))
}

/// Blocks all signals in the calling thread, so that other threads handle them.
pub(crate) fn block_all() {
    let _ = SigSet::all().thread_block();
}
