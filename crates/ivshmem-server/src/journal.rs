//! Where the log goes and how its lines look: with the time in a file or a terminal, with the level that the journal
//! understands when systemd reads standard error.

use std::fmt;
use std::fs::File;
use std::io;
use std::sync::Mutex;

use ivshmem_server::Error;
use rustix::fs::fstat;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{Args, LogLevel};

pub(crate) fn start(args: &Args) -> Result<(), Error> {
    let level = match args.log_level() {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let log = tracing_subscriber::fmt().with_max_level(level).with_target(false).with_ansi(false);
    match &args.log {
        None if journal_reads(std::env::var("JOURNAL_STREAM").ok().as_deref()) => {
            let bare = Format::default().with_target(false).with_level(false).without_time();
            log.event_format(Prioritized(bare)).with_writer(io::stderr).init();
        }
        None => log.with_writer(io::stderr).init(),
        Some(path) => {
            let file = File::options().append(true).create(true).open(path).map_err(|source| Error::Io {
                doing: format!("opening the log {}", path.display()),
                source,
            })?;
            log.with_writer(Mutex::new(file)).init();
        }
    }
    Ok(())
}

/// Whether standard error is the stream that systemd names in the environment. The variable alone tells nothing: children
/// inherit it, with other streams.
fn journal_reads(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else { return false };
    let Ok(stat) = fstat(io::stderr()) else { return false };
    (device.parse(), inode.parse()) == (Ok(stat.st_dev), Ok(stat.st_ino))
}

/// Lines with the level in front, as sd-daemon(3) describes it.
struct Prioritized(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Prioritized
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut to: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            _ => 7,
        };
        write!(to, "<{priority}>")?;
        self.0.format_event(context, to, event)
    }
}
