//! Destination and format of the log: lines have a timestamp in a file or on a terminal, and the journal's priority prefix
//! when systemd reads standard error.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use ivshmem_server::Error;
use ivshmem_server::program::{Output, Sink, open_log};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::args::{Args, LogLevel};

/// Starts the log, which never blocks a thread that logs. The caller can drain the returned sink.
pub(crate) fn start(args: &Args) -> Result<Sink, Error> {
    let level = match args.log_level() {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
    };
    let output = match &args.log {
        None => Output::Stderr,
        Some(path) => Output::File(open_log(path)?),
    };
    let journal = args.log.is_none() && journal_reads(std::env::var("JOURNAL_STREAM").ok().as_deref());
    let sink = Sink::new(output)
        .map_err(|source| Error::Io { doing: "starting the log's thread".to_owned(), source })?;
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_target(false)
        .with_ansi(false)
        .log_internal_errors(false)
        .with_writer(Arc::new(sink.clone()));
    if journal {
        let bare = Format::default().with_target(false).with_level(false).without_time();
        log.event_format(Prioritized(bare)).init();
    } else {
        log.init();
    }
    Ok(sink)
}

/// Whether standard error is the stream that systemd names in the environment. The variable alone proves nothing: child
/// processes inherit it and may have other streams.
fn journal_reads(stream: Option<&str>) -> bool {
    let Some((device, inode)) = stream.and_then(|stream| stream.split_once(':')) else { return false };
    let stat = io::stderr().as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata());
    stat.is_ok_and(|stat| (device.parse(), inode.parse()) == (Ok(stat.dev()), Ok(stat.ino())))
}

/// Lines with the priority in front, as in sd-daemon(3).
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
