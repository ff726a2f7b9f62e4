//! Code that the project's programs share in addition to the library: output that never blocks, and files that identify a
//! daemon. Not part of the library's interface.

mod help;
mod log_file;
mod names;
mod options;
mod pid_file;
mod sink;

pub use help::{fit, write_manual};
pub use log_file::open_log;
pub use names::{Owner, owner};
pub use options::{ServerOptions, octal, socket_path};
pub use pid_file::PidFile;
pub use sink::{Output, Sink, tell};

pub use crate::sys::output::replace_outputs;
pub use crate::sys::process::leave_terminal;
pub use crate::sys::signals::stop_signals;
