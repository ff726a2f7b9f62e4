//! A bar on standard error for what takes long, when somebody is there to look at it.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// Less than this is over before a bar can be read.
const LONG: u64 = 64 << 20;

/// Shows how far a copy of `length` bytes is. Nothing is drawn unless standard error is a terminal and what is copied
/// goes elsewhere.
pub(crate) fn bar(length: u64, to_terminal: bool) -> ProgressBar {
    if length < LONG || to_terminal || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go");
    ProgressBar::new(length).with_style(style.expect("the template names fields that exist"))
}
