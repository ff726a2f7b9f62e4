use std::time::{Duration, Instant};

/// Lets lines of one kind into the log until there are too many and counts the rest for a summary, so that a flood neither
/// fills the log nor hides the important line.
#[derive(Debug)]
pub(crate) struct Throttle {
    /// Lines that may follow at once.
    lines: u32,
    /// Since when the interval until the next refill runs.
    refilled: Instant,
    left_out: u64,
    /// When the first of the suppressed lines came.
    since: Option<Instant>,
}

/// Lines that may be logged at once.
const BURST: u32 = 50;
/// Interval after which one more line may be logged.
const REFILL: Duration = Duration::from_secs(10);
/// How long lines are counted before the summary is logged.
const SUM: Duration = Duration::from_secs(10);

impl Throttle {
    pub(crate) fn new(now: Instant) -> Self {
        Self { lines: BURST, refilled: now, left_out: 0, since: None }
    }

    /// Whether this line may be logged.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        while self.lines < BURST && now.duration_since(self.refilled) >= REFILL {
            self.lines += 1;
            self.refilled += REFILL;
        }
        if self.lines == 0 {
            self.left_out += 1;
            self.since.get_or_insert(now);
            return false;
        }
        if self.lines == BURST {
            self.refilled = now;
        }
        self.lines -= 1;
        true
    }

    /// The number of suppressed lines, if the summary is due.
    pub(crate) fn sum(&mut self, now: Instant) -> Option<u64> {
        self.due().filter(|due| *due <= now)?;
        self.since = None;
        Some(std::mem::take(&mut self.left_out))
    }

    /// When the summary is due; `None` while no line is suppressed.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.since.map(|since| since + SUM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_its_sum_told_though_nothing_follows() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        assert!((0..BURST).all(|_| throttle.admits(start)));
        assert_eq!((throttle.due(), throttle.sum(start + SUM)), (None, None));
        assert!((0..7).all(|_| !throttle.admits(start + SUM / 2)));
        assert_eq!(throttle.sum(start + SUM), None, "not yet");
        assert_eq!(throttle.due(), Some(start + SUM / 2 + SUM));
        assert_eq!(throttle.sum(start + 2 * SUM), Some(7));
        assert_eq!((throttle.due(), throttle.sum(start + 9 * SUM)), (None, None));
    }

    #[test]
    fn a_flood_of_an_hour_gets_a_line_and_a_sum_each_time_and_no_more() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        let (mut lines, mut sums) = (0, 0);
        for second in 0..3_600 {
            let now = start + Duration::from_secs(second);
            lines += (0..1_000).filter(|_| throttle.admits(now)).count();
            sums += usize::from(throttle.sum(now).is_some());
        }
        assert_eq!(lines, 50 + 359);
        assert!((320..=360).contains(&sums), "{sums}");
        // All lines are available again after a quiet period.
        let later = start + Duration::from_secs(7_200);
        assert_eq!((0..1_000).filter(|_| throttle.admits(later)).count(), 50);
    }
}
