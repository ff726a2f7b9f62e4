//! Events that every holder can raise, and functions that wait for them with a deadline.

// UNSAFETY: the Windows functions take handles as plain pointers.
#![expect(unsafe_code, reason = "events are made, set and waited for by handle")]

use std::io;
use std::os::windows::io::{AsHandle, AsRawHandle, BorrowedHandle, FromRawHandle, OwnedHandle};
use std::ptr::null;
use std::time::Instant;

use windows_sys::Win32::Foundation::{HANDLE, WAIT_FAILED, WAIT_OBJECT_0, WAIT_TIMEOUT};
use windows_sys::Win32::System::Threading::{CreateEventW, INFINITE, SetEvent, WaitForMultipleObjects};

/// An owned event on this platform.
pub type Event = OwnedHandle;
/// A borrowed event on this platform.
pub type EventRef<'a> = BorrowedHandle<'a>;

/// Creates an event that is not raised. Taking it resets it.
pub fn create() -> io::Result<Event> {
    // SAFETY: no security attributes and no name, so Windows reads no pointer.
    let handle = unsafe { CreateEventW(null(), 0, 0, null()) };
    if handle.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new handle without another owner.
    Ok(unsafe { OwnedHandle::from_raw_handle(handle) })
}

/// Borrows an event.
pub fn borrow(event: &Event) -> EventRef<'_> {
    event.as_handle()
}

/// Raises the event. An event that is already raised stays raised.
pub fn ring(event: EventRef<'_>) -> io::Result<()> {
    // SAFETY: the event is borrowed, so it is open.
    match unsafe { SetEvent(event.as_raw_handle()) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Whether a ring may block; always false, because SetEvent does not block.
pub fn is_full(_: EventRef<'_>) -> io::Result<bool> {
    Ok(false)
}

/// Takes a pending interrupt without blocking. Returns whether one was pending.
pub fn take(event: EventRef<'_>) -> io::Result<bool> {
    Ok(wait_any(&[event.as_raw_handle()], Some(Instant::now()))?.is_some())
}

/// The reason why a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The event was raised. The wait has taken it.
    Rung,
    /// The wake event was raised. The wait has taken it.
    Woken,
    /// The deadline has passed.
    TimedOut,
}

/// Waits for `event` or `wake` and takes one, or until the deadline has passed. If both are raised, it takes `wake`.
pub fn wait(event: EventRef<'_>, wake: EventRef<'_>, deadline: Option<Instant>) -> io::Result<Waited> {
    // Of several raised handles Windows returns the first, and takes only that one.
    Ok(match wait_any(&[wake.as_raw_handle(), event.as_raw_handle()], deadline)? {
        None => Waited::TimedOut,
        Some(0) => Waited::Woken,
        Some(_) => Waited::Rung,
    })
}

/// Waits until one of up to 64 handles is raised, and takes that one; returns its index, or `None` if the deadline has
/// passed.
pub(super) fn wait_any(handles: &[HANDLE], deadline: Option<Instant>) -> io::Result<Option<usize>> {
    let count = u32::try_from(handles.len()).expect("at most 64 handles");
    loop {
        let (millis, last) = match deadline {
            None => (INFINITE, false),
            Some(deadline) => millis_until(deadline),
        };
        // SAFETY: the handles are open: the callers hold each of them during this call.
        match unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, millis) } {
            WAIT_FAILED => return Err(io::Error::last_os_error()),
            WAIT_TIMEOUT if last => return Ok(None),
            WAIT_TIMEOUT => {}
            index => return Ok(Some((index - WAIT_OBJECT_0) as usize)),
        }
    }
}

/// The time to wait in milliseconds, and whether the deadline has passed. Long waits are split, and no wait ends early.
fn millis_until(deadline: Instant) -> (u32, bool) {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return (0, true);
    }
    let millis = left.as_nanos().div_ceil(1_000_000);
    (u32::try_from(millis).unwrap_or(INFINITE).min(INFINITE - 1), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn rings_merge_and_are_taken_once() {
        let event = create().unwrap();
        assert!(!take(event.as_handle()).unwrap());
        ring(event.as_handle()).unwrap();
        assert!(!is_full(event.as_handle()).unwrap());
        ring(event.as_handle()).unwrap();
        assert!(take(event.as_handle()).unwrap());
        assert!(!take(event.as_handle()).unwrap());
    }

    #[test]
    fn waiting_ends_with_the_deadline_the_event_or_the_wake_event() {
        let (event, wake) = (create().unwrap(), create().unwrap());
        let waited = |deadline| wait(event.as_handle(), wake.as_handle(), deadline).unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(waited(Some(soon)), Waited::TimedOut);
        assert!(Instant::now() >= soon);
        ring(event.as_handle()).unwrap();
        assert_eq!(waited(None), Waited::Rung);
        ring(event.as_handle()).unwrap();
        ring(wake.as_handle()).unwrap();
        assert_eq!(
            [waited(None), waited(None), waited(Some(soon))],
            [Waited::Woken, Waited::Rung, Waited::TimedOut]
        );
    }
}
