//! A progress bar on standard error for long operations, if standard error is a terminal.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar for an operation of unknown length: it appears when so many bytes have been copied that the operation takes long.
pub(crate) struct Counter {
    copied: u64,
    bar: Option<ProgressBar>,
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { copied: 0, bar: None }
    }

    pub(crate) fn inc(&mut self, bytes: u64) {
        self.copied += bytes;
        if self.copied >= LONG {
            self.bar.get_or_insert_with(counter).set_position(self.copied);
        }
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        self.bar.take().inspect(ProgressBar::finish_and_clear);
    }
}

fn counter() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {bytes}, {bytes_per_sec}");
    ProgressBar::new_spinner().with_style(style.expect("the template names fields that exist"))
}

/// A shorter operation ends before a user can read the bar.
const LONG: u64 = 64 << 20;

/// A bar for the progress of copying `length` bytes. It is hidden unless standard error is a terminal and the copy goes
/// elsewhere.
pub(crate) fn bar(length: u64, to_terminal: bool) -> ProgressBar {
    if length < LONG || to_terminal || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{wide_bar} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} to go");
    ProgressBar::new(length).with_style(style.expect("the template names fields that exist"))
}
