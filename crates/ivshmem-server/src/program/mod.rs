//! What the programs of this project share beyond the library: output that keeps nobody waiting, and files by which a
//! daemon is known. No part of the library's interface.

mod log_file;
mod pid_file;
mod sink;

pub use log_file::open_log;
pub use pid_file::PidFile;
pub(crate) use sink::lost;
pub use sink::{Output, Sink, tell};
