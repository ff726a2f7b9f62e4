use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::doorbell::DoorbellError;
use crate::region::Memory;

/// Waiting on a device that cannot be rung: a wait ends after a pause, as after an interrupt, and the caller checks the
/// memory. The pause doubles while the caller waits again immediately, and starts again at the shortest after the caller
/// did something else, because then there was work.
#[derive(Debug)]
pub(crate) struct Polling(Mutex<Pace>);

#[derive(Debug)]
struct Pace {
    pause: Duration,
    last_return: Option<Instant>,
}

const SHORTEST: Duration = Duration::from_micros(20);
const LONGEST: Duration = Duration::from_millis(2);

impl Polling {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Pace { pause: SHORTEST, last_return: None }))
    }

    /// Returns true after a pause, and false if the deadline passes first.
    ///
    /// # Errors
    /// If the memory is closed before or during the wait.
    pub(crate) fn wait(&self, memory: &Memory, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
        let pause = self.pace().next(Instant::now());
        let left = deadline.map_or(pause, |d| d.saturating_duration_since(Instant::now()));
        memory.sleep(pause.min(left));
        if memory.is_closed() {
            return Err(DoorbellError::Closed);
        }
        self.pace().last_return = Some(Instant::now());
        Ok(pause <= left)
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn next(&mut self, now: Instant) -> Duration {
        let straight_back = self.last_return.is_some_and(|last| now - last <= self.pause);
        self.pause = if straight_back { (self.pause * 2).min(LONGEST) } else { SHORTEST };
        self.pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_grows_for_the_idle_and_begins_anew_for_the_busy() {
        let mut pace = Pace { pause: SHORTEST, last_return: None };
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
        let polling = Polling::new();
        assert!(polling.wait(&memory, None).unwrap());
        assert!(!polling.wait(&memory, Some(Instant::now())).unwrap());
        memory.close();
        assert!(matches!(polling.wait(&memory, None), Err(DoorbellError::Closed)));
    }
}
