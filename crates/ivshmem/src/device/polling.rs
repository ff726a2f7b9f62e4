use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::doorbell::{DoorbellError, Outcome, Read, Source, Waiters};
use crate::region::Memory;
use crate::wire::MAX_VECTORS;

/// Waiting on a device that cannot be rung: a wait ends after a pause, as after an interrupt, and the caller checks the
/// memory. The pause doubles while the caller waits again immediately, and starts again at the shortest after the caller
/// did something else, because then there was work.
///
/// All vectors are the same. Of several threads that wait, one pauses, and the end of its pause ends all their waits.
#[derive(Debug)]
pub(crate) struct Polling {
    memory: Memory,
    waiters: Waiters,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Pace {
    pause: Duration,
    last_return: Option<Instant>,
    /// The end of the present pause, which a thread whose deadline comes first leaves to the next thread.
    end: Option<Instant>,
}

const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(2);

impl Polling {
    /// Polls this memory. Closing the memory ends all waits.
    pub(crate) fn new(memory: Memory) -> Self {
        let pace = Mutex::new(Pace { pause: SHORTEST, last_return: None, end: None });
        Self { memory, waiters: Waiters::new(), pace }
    }

    /// Returns true after a pause, and false if the deadline passes first.
    ///
    /// # Errors
    /// If the memory is closed before or during the wait.
    pub(crate) fn wait_once(&self, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
        let outcome = self.wait(0, Some(self.waiters.interrupts()), true, deadline, &|| false)?;
        Ok(outcome != Outcome::TimedOut)
    }

    fn pause(&self, deadline: Option<Instant>) -> Result<Read, DoorbellError> {
        let now = Instant::now();
        let is_over = |now| deadline.is_some_and(|deadline| deadline <= now);
        let Some(end) = self.pace().end(now, !is_over(now)) else { return Ok(Read::TimedOut) };
        let until = deadline.map_or(end, |deadline| deadline.min(end));
        self.memory.sleep(until.saturating_duration_since(now));
        if self.memory.is_closed() {
            return Err(DoorbellError::Closed);
        }
        let now = Instant::now();
        if now < end {
            return Ok(if is_over(now) { Read::TimedOut } else { Read::Again });
        }
        let mut pace = self.pace();
        (pace.end, pace.last_return) = (None, Some(now));
        Ok(Read::Interrupt)
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source for Polling {
    fn claim(&self, vector: u16) -> Result<(), DoorbellError> {
        if vector >= MAX_VECTORS {
            return Err(DoorbellError::UnknownVector { vector, vectors: 0 });
        }
        if self.memory.is_closed() { Err(DoorbellError::Closed) } else { Ok(()) }
    }

    fn share(&self, _: u16) {}

    fn release(&self, _: u16) {}

    fn waiters(&self, _: u16) -> &Waiters {
        &self.waiters
    }

    /// The thread that pauses checks its condition at the end of its pause.
    fn wake(&self, _: u16) {
        self.waiters.wake(|| {});
    }

    fn wait(
        &self,
        _: u16,
        seen: Option<u64>,
        _: bool,
        deadline: Option<Instant>,
        cancelled: &dyn Fn() -> bool,
    ) -> Result<Outcome, DoorbellError> {
        if self.memory.is_closed() {
            return Err(DoorbellError::Closed);
        }
        // No thread passes the end of a pause on.
        self.waiters.wait(seen, true, deadline, cancelled, || self.pause(deadline))
    }
}

impl Pace {
    /// The end of the present pause. If there is none, or it ended long ago, a new one begins if it `may`.
    fn end(&mut self, now: Instant, may: bool) -> Option<Instant> {
        self.end = self.end.filter(|end| now <= *end + LONGEST);
        if self.end.is_none() && may {
            self.end = Some(now + self.next(now));
        }
        self.end
    }

    fn next(&mut self, now: Instant) -> Duration {
        let straight_back = self.last_return.is_some_and(|last| now - last <= self.pause);
        self.pause = if straight_back { (self.pause * 2).min(LONGEST) } else { SHORTEST };
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::doorbell::Waiter;

    #[test]
    fn the_pause_grows_for_the_idle_and_begins_anew_for_the_busy() {
        let mut pace = Pace { pause: SHORTEST, last_return: None, end: None };
        let mut now = Instant::now();
        assert_eq!(pace.next(now), SHORTEST);
        for _ in 0..20 {
            pace.last_return = Some(now);
            let before = pace.pause;
            assert_eq!(pace.next(now), (before * 2).min(LONGEST));
        }
        assert_eq!(pace.pause, LONGEST);
        now += LONGEST * 2;
        assert_eq!(pace.next(now), SHORTEST);
    }

    #[test]
    fn waiting_ends_with_a_hint_the_deadline_or_closing() {
        let memory = Memory::heap(64).unwrap();
        let polling = Polling::new(memory.clone());
        assert!(polling.wait_once(None).unwrap());
        assert!(!polling.wait_once(Some(Instant::now())).unwrap());
        memory.close();
        assert!(matches!(polling.wait_once(None), Err(DoorbellError::Closed)));
    }

    #[test]
    fn a_thread_with_short_timeouts_does_not_keep_another_from_the_end_of_its_pause() {
        let memory = Memory::heap(64).unwrap();
        let polling = Polling::new(memory.clone());
        std::thread::scope(|scope| {
            scope.spawn(|| while polling.wait_once(Some(Instant::now() + SHORTEST)).is_ok() {});
            let paused = (0..100).all(|_| polling.wait_once(Some(Instant::now() + 5000 * LONGEST)).unwrap());
            memory.close();
            assert!(paused);
        });
    }

    #[test]
    fn the_end_of_one_pause_ends_the_waits_of_all_waiters_and_closing_ends_them_with_an_error() {
        let memory = Memory::heap(64).unwrap();
        let polling: Arc<dyn Source> = Arc::new(Polling::new(memory.clone()));
        assert!(matches!(
            Waiter::new(polling.clone(), MAX_VECTORS),
            Err(DoorbellError::UnknownVector { .. })
        ));
        let mut first = Waiter::new(polling.clone(), 0).unwrap();
        let mut second = first.clone();
        assert!(first.wait(None).unwrap());
        let before = first.position();
        assert!(second.wait(Some(Instant::now())).unwrap());
        assert_eq!(second.position(), before);
        assert!(second.wait(None).unwrap());
        memory.close();
        assert!(matches!(first.wait(None), Err(DoorbellError::Closed)));
        assert!(matches!(Waiter::new(polling, 0), Err(DoorbellError::Closed)));
    }
}
