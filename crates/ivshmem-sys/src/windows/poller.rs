//! Lets one thread wait for many events, level triggered like epoll.

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, OwnedHandle};
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use windows_sys::Win32::Foundation::HANDLE;

use super::event;

/// A set of events and their tokens.
#[derive(Debug)]
pub struct Poller {
    watched: Mutex<Arc<Vec<Watched>>>,
    /// Raised to make a wait start again with the current events.
    changed: OwnedHandle,
}

/// An event to wait for. It has a duplicate of the event's handle, which stays open while a wait uses it.
#[derive(Clone, Debug)]
struct Watched {
    token: u64,
    event: Arc<OwnedHandle>,
    /// The number of the original handle, which identifies the event.
    original: usize,
}

/// The maximum number of handles in one wait.
const MOST: usize = 64;
/// The maximum number of tokens that one wait returns.
pub const BATCH: usize = MOST - 1;

/// Creates an empty set of events.
pub fn create() -> io::Result<Poller> {
    Ok(Poller { watched: Mutex::default(), changed: event::create()? })
}

/// Adds `event` to the set. [`wait`] returns `token` while it is raised.
pub fn add(poller: &Poller, event: impl AsHandle, token: u64) -> io::Result<()> {
    let event = event.as_handle();
    let watched = Watched {
        token,
        original: event.as_raw_handle().addr(),
        event: Arc::new(event.try_clone_to_owned()?),
    };
    let mut list = poller.list();
    if list.len() == BATCH {
        return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "63 events are watched already"));
    }
    Arc::make_mut(&mut list).push(watched);
    drop(list);
    event::ring(poller.changed.as_handle())
}

/// Removes `event` from the set.
pub fn remove(poller: &Poller, event: impl AsHandle) -> io::Result<()> {
    let original = event.as_handle().as_raw_handle().addr();
    Arc::make_mut(&mut poller.list()).retain(|watched| watched.original != original);
    event::ring(poller.changed.as_handle())
}

/// Waits until an event is ready or the deadline has passed, and replaces the contents of `ready` with the tokens.
pub fn wait(poller: &Poller, ready: &mut Vec<u64>, deadline: Option<Instant>) -> io::Result<()> {
    ready.clear();
    loop {
        let watched = Arc::clone(&poller.list());
        let mut handles = [null_mut(); MOST];
        handles[0] = poller.changed.as_raw_handle();
        for (handle, watched) in handles[1..].iter_mut().zip(watched.iter()) {
            *handle = watched.event.as_raw_handle();
        }
        let handles = &handles[..=watched.len()];
        match event::wait_any(handles, deadline)? {
            None => return Ok(()),
            Some(0) => {}
            Some(first) => return collect(handles, first, &watched, ready),
        }
    }
}

/// Collects the tokens of all raised events from `first` on, so that an event that is always raised does not hide the
/// others. A wait takes the event that it returns, so this raises it again, for the thread that takes it later.
fn collect(handles: &[HANDLE], first: usize, watched: &[Watched], ready: &mut Vec<u64>) -> io::Result<()> {
    let mut next = Some(first);
    while let Some(index) = next {
        let found = &watched[index - 1];
        event::ring(found.event.as_handle())?;
        ready.push(found.token);
        let rest = &handles[index + 1..];
        let more = if rest.is_empty() { None } else { event::wait_any(rest, Some(Instant::now()))? };
        next = more.map(|more| index + 1 + more);
    }
    Ok(())
}

impl Poller {
    fn list(&self) -> MutexGuard<'_, Arc<Vec<Watched>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raised_events_are_told_until_removed() {
        let (set, event) = (create().unwrap(), event::create().unwrap());
        let mut ready = vec![7];
        add(&set, &event, 5).unwrap();
        wait(&set, &mut ready, Some(Instant::now())).unwrap();
        assert!(ready.is_empty());
        event::ring(event.as_handle()).unwrap();
        for _ in 0..2 {
            wait(&set, &mut ready, None).unwrap();
            assert_eq!(ready, [5], "nobody has taken it");
        }
        assert!(event::take(event.as_handle()).unwrap());
        event::ring(event.as_handle()).unwrap();
        remove(&set, &event).unwrap();
        wait(&set, &mut ready, Some(Instant::now())).unwrap();
        assert!(ready.is_empty());
    }

    #[test]
    fn an_event_that_is_always_raised_does_not_hide_others() {
        let set = create().unwrap();
        let events: Vec<_> = (0..BATCH).map(|_| event::create().unwrap()).collect();
        for (token, event) in (0..).zip(&events) {
            add(&set, event, token).unwrap();
        }
        assert!(add(&set, &events[0], 99).is_err());
        for index in [0, 30, 62] {
            event::ring(events[index].as_handle()).unwrap();
        }
        let mut ready = Vec::new();
        wait(&set, &mut ready, None).unwrap();
        assert_eq!(ready, [0, 30, 62]);
    }

    #[test]
    fn a_wait_that_runs_sees_what_is_added() {
        let (set, event) = (create().unwrap(), event::create().unwrap());
        event::ring(event.as_handle()).unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut ready = Vec::new();
                wait(&set, &mut ready, None).unwrap();
                ready
            });
            add(&set, &event, 3).unwrap();
            assert_eq!(waiter.join().unwrap(), [3]);
        });
    }
}
