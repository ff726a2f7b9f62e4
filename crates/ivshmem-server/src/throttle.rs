use std::time::{Duration, Instant};

/// Lets so many lines of one kind into the log each second and counts the rest, so that ten thousand connections do not
/// bury the line that matters.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    since: Option<Instant>,
    lines: u32,
    left_out: u64,
}

const LINES_PER_SECOND: u32 = 20;

impl Throttle {
    /// Whether this line may go into the log. Says before it how many were left out.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        match self.admit(now) {
            None => false,
            Some(left_out) => {
                if left_out > 0 {
                    tracing::info!("{left_out} lines like the next one left out");
                }
                true
            }
        }
    }

    /// How many lines were left out before this one; `None` when this one is to be left out too.
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            self.since = Some(now);
            self.lines = 0;
        }
        if self.lines == LINES_PER_SECOND {
            self.left_out += 1;
            return None;
        }
        self.lines += 1;
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_cut_and_counted() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for _ in 0..LINES_PER_SECOND {
            assert_eq!(throttle.admit(start), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(throttle.admit(start + Duration::from_millis(999)), None);
        }
        assert_eq!(throttle.admit(start + Duration::from_secs(1)), Some(7));
        assert_eq!(throttle.admit(start + Duration::from_secs(1)), Some(0));
    }
}
