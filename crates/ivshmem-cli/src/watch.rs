//! `watch`: shows changes in a range of memory.

use std::thread;
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use ivshmem::region::Memory;
use serde_json::json;

use crate::args::{Format, Range, Target};
use crate::failure::Failure;
use crate::hexdump::{self, LINE, hex};
use crate::output::Out;
use crate::values::seconds;

/// The largest range to watch in bytes; a copy of it is kept in memory.
const LIMIT: u64 = 64 << 20;
/// Changes with fewer unchanged bytes between them are reported as one.
const GAP: usize = 4;
/// Bytes of one change shown in a line of text.
const SHOWN: usize = 16;

/// Show what changes in a range of memory
///
/// On a terminal, the range is redrawn in place, with the last changes in colour. Otherwise, and with --json or --lines, each
/// change is a line. The memory is read at intervals: a change that is undone within an interval is not seen.
#[derive(clap::Args, Debug)]
pub(crate) struct Watch {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    range: Range,
    /// Seconds between two reads
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "0.1")]
    interval: Duration,
    /// End after this number of reads that found changes
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this number of seconds; with --count and too few changes that is exit status 3
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    timeout: Option<Duration>,
    /// A line for each change on a terminal too
    #[arg(long)]
    lines: bool,
    #[command(flatten)]
    format: Format,
}

impl Watch {
    pub(crate) fn run(&self, out: &mut Out) -> Result<(), Failure> {
        let device = self.target.look()?;
        let length = self.range.length_in(device.memory().len())?;
        if length > LIMIT {
            return Err(Failure::TooMuch { length, limit: LIMIT });
        }
        let part = device.memory().view(self.range.offset, length)?;
        let length = usize::try_from(length).expect("below the limit");
        let (mut before, mut now) = (vec![0; length], vec![0; length]);
        part.peek(0, &mut before)?;
        let mut screen = (out.is_terminal() && !self.lines && !self.format.json).then(Screen::default);
        if let Some(screen) = &mut screen {
            screen.paint(self.range.offset, &before, &[], out)?;
        } else if self.format.json {
            out.json(&json!({ "event": "watching", "offset": self.range.offset, "length": length }))?;
        }
        out.flush()?;
        let deadline = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut seen = 0;
        while self.count != Some(seen) {
            if !self.pause(deadline) {
                return match self.count {
                    Some(count) => Err(Failure::TooFew { what: "changes", count, came: seen }),
                    None => Ok(()),
                };
            }
            let changes = look(&part, &before, &mut now)?;
            if changes.is_empty() {
                continue;
            }
            seen += 1;
            match &mut screen {
                Some(screen) => screen.paint(self.range.offset, &now, &changes, out)?,
                None => changes.iter().try_for_each(|change| self.tell(change, &before, &now, out))?,
            }
            out.flush()?;
            std::mem::swap(&mut before, &mut now);
        }
        Ok(())
    }

    /// Waits until the next examination; returns false after the deadline.
    fn pause(&self, deadline: Option<Instant>) -> bool {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        thread::sleep(left.map_or(self.interval, |left| left.min(self.interval)));
        left.is_none_or(|left| !left.is_zero())
    }

    fn tell(&self, change: &Change, before: &[u8], now: &[u8], out: &mut Out) -> Result<(), Failure> {
        let (from, to) = (change.0, change.1);
        let offset = self.range.offset + from as u64;
        if self.format.json {
            let (old, new) = (hex(&before[from..to]), hex(&now[from..to]));
            return out.json(&json!({ "event": "changed", "offset": offset, "old": old, "new": new }));
        }
        let short = |bytes: &[u8]| match bytes.get(..SHOWN) {
            Some(first) if bytes.len() > SHOWN => format!("{}... ({} bytes)", hex(first), bytes.len()),
            _ => hex(bytes),
        };
        out.line(format_args!("{offset:08x}  {} -> {}", short(&before[from..to]), short(&now[from..to])))
    }
}

/// A part of the range, from the first changed byte to the byte after the last one.
#[derive(Debug, PartialEq, Eq)]
struct Change(usize, usize);

fn look(part: &Memory, before: &[u8], now: &mut [u8]) -> Result<Vec<Change>, Failure> {
    part.peek(0, now)?;
    Ok(if before == now { Vec::new() } else { changes(before, now) })
}

fn changes(before: &[u8], now: &[u8]) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for at in (0..now.len()).filter(|&at| before[at] != now[at]) {
        match changes.last_mut() {
            Some(last) if at - last.1 < GAP => last.1 = at + 1,
            _ => changes.push(Change(at, at + 1)),
        }
    }
    changes
}

/// The part of a terminal in which the range is painted repeatedly.
#[derive(Default)]
struct Screen {
    painted: usize,
}

impl Screen {
    fn paint(&mut self, offset: u64, bytes: &[u8], changes: &[Change], out: &mut Out) -> Result<(), Failure> {
        let changed = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        // As many lines as the terminal has, except one for the cursor and one for the number of hidden bytes.
        let rows = terminal_size::terminal_size().map_or(24, |(_, height)| usize::from(height.0));
        let shown = bytes.len().div_ceil(LINE).min(rows.saturating_sub(2).max(1));
        if self.painted > 0 {
            out.text(format_args!("\x1b[{}F\x1b[J", self.painted))?;
        }
        for (line, part) in bytes.chunks(LINE).take(shown).enumerate() {
            let start = line * LINE;
            let style = |column, byte| {
                let at = start + column;
                let is_new = changes.iter().any(|change| (change.0..change.1).contains(&at));
                if is_new { out.paint(changed, hex(&[byte])) } else { hex(&[byte]) }
            };
            let text = hexdump::line(offset + start as u64, part, style);
            out.line(text)?;
        }
        self.painted = shown;
        let rest = bytes.len().saturating_sub(shown * LINE);
        if rest > 0 {
            out.line(format_args!("... {rest} bytes more; give a smaller range, or --lines"))?;
            self.painted += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_near_each_other_are_one() {
        let before = [0; 32];
        let mut now = before;
        (now[1], now[4], now[20]) = (1, 1, 1);
        assert_eq!(changes(&before, &now), [Change(1, 5), Change(20, 21)]);
        assert_eq!(changes(&before, &before), []);
    }
}
