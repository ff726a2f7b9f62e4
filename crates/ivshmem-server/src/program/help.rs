//! Help and man pages from the same text: the text after the options has sections, which this module lays out.
//!
//! A section begins with a line like `Examples:`. Lines with an indent of two spaces are entries: a term and its text,
//! separated by at least two spaces, or with the text in the following lines, which have a larger indent. Other lines are
//! paragraphs.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::roff::{Roff, bold, roman};

/// The widest line that is still easy to read, in columns.
const WIDEST: usize = 100;

/// Lays out the help of a command and its verbs for the width of the terminal, or else for `COLUMNS` of the environment.
pub fn fit(command: Command) -> Command {
    let columns = || std::env::var("COLUMNS").ok()?.parse().ok();
    let terminal = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    fit_to(command, terminal.or_else(columns).unwrap_or(WIDEST).clamp(20, WIDEST))
}

fn fit_to(command: Command, width: usize) -> Command {
    let words = command.get_after_help().map(|text| laid_out(&text.to_string(), width));
    let command = match words {
        Some(words) => command.after_help(words),
        None => command,
    };
    command.term_width(width).mut_subcommands(|verb| fit_to(verb, width))
}

/// Writes a man page for a command and one for each of its verbs. Each verb's page ends with the exit statuses of the
/// command.
///
/// # Errors
/// When a file cannot be written.
pub fn write_manual(command: Command, directory: &Path, see_also: &[&str]) -> io::Result<()> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let name = command.get_name().to_owned();
    let statuses = text(&command)
        .lines()
        .skip_while(|line| *line != STATUS)
        .fold(String::new(), |text, line| text + line + "\n");
    let verbs: Vec<_> = command.get_subcommands().filter(|verb| !verb.is_hide_set()).cloned().collect();
    let pages = verbs.iter().map(|verb| format!("{name}-{}", verb.get_name()));
    let mut of_all: Vec<String> = pages.collect();
    of_all.extend(see_also.iter().map(|page| (*page).to_owned()));
    let source = format!("{name} {}", command.get_version().unwrap_or_default());
    page(&command, &text(&command), &of_all, &source, directory)?;
    let mut of_verb = vec![name];
    of_verb.extend(see_also.iter().map(|page| (*page).to_owned()));
    verbs
        .iter()
        .try_for_each(|verb| page(verb, &format!("{}\n{statuses}", text(verb)), &of_verb, &source, directory))
}

const STATUS: &str = "Exit status:";

fn text(command: &Command) -> String {
    command.get_after_help().map(ToString::to_string).unwrap_or_default()
}

fn page(
    command: &Command,
    text: &str,
    see_also: &[String],
    source: &str,
    directory: &Path,
) -> io::Result<()> {
    let man = clap_mangen::Man::new(command.clone()).source(source);
    let mut file = File::create(directory.join(man.get_filename()))?;
    man.render_title(&mut file)?;
    man.render_name_section(&mut file)?;
    man.render_synopsis_section(&mut file)?;
    man.render_description_section(&mut file)?;
    man.render_options_section(&mut file)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut file)?;
    }
    sections(text).to_writer(&mut file)?;
    let mut end = Roff::new();
    end.control("SH", ["SEE ALSO"]);
    end.text([roman(see_also.iter().map(|page| format!("{page}(1)")).collect::<Vec<_>>().join(", "))]);
    end.to_writer(&mut file)?;
    file.flush()
}

fn sections(text: &str) -> Roff {
    let mut roff = Roff::new();
    for block in blocks(text) {
        match block {
            Block::Heading(heading) => {
                roff.control("SH", [heading.trim_end_matches(':').to_uppercase().as_str()]);
            }
            Block::Paragraph(text) => {
                roff.control("PP", []);
                roff.text([roman(text)]);
            }
            Block::Entry { term, text, .. } => {
                roff.control("TP", []);
                roff.text([bold(term)]);
                roff.text([roman(text)]);
            }
        }
    }
    roff
}

enum Block<'a> {
    Heading(&'a str),
    Paragraph(&'a str),
    /// `column` is where the text begins; `is_below` is set when the term has its own line.
    Entry {
        term: &'a str,
        text: String,
        column: usize,
        is_below: bool,
    },
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let words = line.trim_start();
        match (line.len() - words.len(), blocks.last_mut()) {
            (0, _) if line.ends_with(':') => blocks.push(Block::Heading(line)),
            (0, _) => blocks.push(Block::Paragraph(line)),
            (indent @ 3.., Some(Block::Entry { text, column, is_below, .. })) => {
                if text.is_empty() {
                    (*column, *is_below) = (indent, true);
                } else {
                    text.push(' ');
                }
                text.push_str(words);
            }
            (indent, _) => {
                let (term, text) = words.split_once("  ").unwrap_or((words, ""));
                let text = text.trim_start();
                let column = indent + words.len() - text.len();
                blocks.push(Block::Entry { term, text: text.to_owned(), column, is_below: false });
            }
        }
    }
    blocks
}

/// Lays out text. Commands are never wrapped, because users copy them.
fn laid_out(text: &str, width: usize) -> String {
    let mut out = String::new();
    for block in blocks(text) {
        match block {
            Block::Heading(heading) => {
                out += if out.is_empty() { "" } else { "\n" };
                out += heading;
                out.push('\n');
            }
            Block::Paragraph(text) => {
                out += if out.is_empty() { "" } else { "\n" };
                put_wrapped(text, 0, 0, width, &mut out);
            }
            Block::Entry { term, text, column, is_below } => {
                out += "  ";
                out += term;
                // Too narrow for two columns.
                let (column, is_below) = if column + 20 > width { (6, true) } else { (column, is_below) };
                if is_below || term.len() + 3 > column {
                    out.push('\n');
                    put_wrapped(&text, 0, column, width, &mut out);
                } else {
                    put_wrapped(&text, term.len() + 2, column, width, &mut out);
                }
            }
        }
    }
    out
}

/// Appends words from a column on, beginning in a line in which `used` columns are taken.
fn put_wrapped(text: &str, used: usize, column: usize, width: usize, out: &mut String) {
    let mut at = used;
    let mut is_first = true;
    for word in text.split_whitespace() {
        if !is_first && at + 1 + word.chars().count() > width {
            out.push('\n');
            (at, is_first) = (0, true);
        }
        if is_first {
            out.extend(std::iter::repeat_n(' ', column.saturating_sub(at)));
            at = at.max(column);
        } else {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += word.chars().count();
        is_first = false;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
Targets:
  plain:PATH      a file that is shared memory, as in plain:/dev/shm/x
  auto            the only one

Sizes are bytes: 4096, 0x1000 or 4K.

Examples:
  ivshmem dump plain:/dev/shm/x 0x1000 256
      256 bytes from 4096 on";

    #[test]
    fn entries_keep_their_column_and_no_line_is_too_wide_but_a_command() {
        assert_eq!(
            laid_out(TEXT, 50),
            "Targets:\n  plain:PATH      a file that is shared memory, as\n                  in plain:/dev/shm/x\n  auto            the only one\n\n\
             Sizes are bytes: 4096, 0x1000 or 4K.\n\nExamples:\n  ivshmem dump plain:/dev/shm/x 0x1000 256\n      256 bytes from 4096 on\n"
        );
        for width in 20..120 {
            for line in laid_out(TEXT, width).lines().filter(|line| !line.starts_with("  ivshmem")) {
                assert!(line.len() <= width.max(26), "{width}: {line:?}");
            }
        }
    }

    #[test]
    fn a_man_page_has_the_same_entries() {
        let roff = sections(TEXT).render();
        for part in
            [".SH TARGETS", ".TP\n\\fBauto\\fR\nthe only one", ".SH EXAMPLES", "256 bytes from 4096 on"]
        {
            assert!(roff.contains(part), "{part:?} is not in {roff}");
        }
    }
}
