//! The server's log, with a throttle for each kind of line, because clients can cause most of the lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use ivshmem::wire::Refusal;

use crate::throttle::Throttle;

/// Lines that this process has lost.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Number of lines of output that this process could not write.
pub(crate) fn lost() -> u64 {
    LOST.load(Ordering::Relaxed)
}

/// Counts a line that could not be written.
pub(crate) fn lose_a_line() {
    LOST.fetch_add(1, Ordering::Relaxed);
}

/// Kinds of lines with separate throttles, so that many lines of one kind suppress none of another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// Clients that connected or left.
    ComingAndGoing,
    /// Clients that stopped reading or caught up.
    Stalls,
    /// Calls that the kernel refused.
    Kernel,
    Refused(Refusal),
}

#[derive(Debug)]
pub(crate) struct Log {
    /// Indexed by `Kind::index`.
    throttles: [Throttle; KINDS],
}

const KINDS: usize = 3 + Refusal::ALL.len() + 1;

impl Log {
    pub(crate) fn new(now: Instant) -> Self {
        Self { throttles: std::array::from_fn(|_| Throttle::new(now)) }
    }

    /// Whether a line of this kind may be logged now; otherwise the throttle counts it.
    pub(crate) fn admits(&mut self, kind: Kind) -> bool {
        self.throttles[kind.index()].admits(Instant::now())
    }

    /// Logs the number of suppressed lines of each kind that is due.
    pub(crate) fn sum_up(&mut self, now: Instant) {
        let kinds = [Kind::ComingAndGoing, Kind::Stalls, Kind::Kernel];
        for kind in kinds.into_iter().chain(Refusal::ALL.map(Kind::Refused)) {
            let Some(more) = self.throttles[kind.index()].sum(now) else { continue };
            match kind {
                Kind::ComingAndGoing => tracing::info!(more, "clients connected and left"),
                Kind::Stalls => tracing::warn!(more, "clients stopped reading or caught up"),
                Kind::Kernel => tracing::warn!(more, "calls refused by the kernel"),
                Kind::Refused(refusal) => tracing::warn!(more, "clients refused: {refusal}"),
            }
        }
    }

    /// When the next such line is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.throttles.iter().filter_map(Throttle::due).min()
    }
}

impl Kind {
    fn index(self) -> usize {
        match self {
            Self::ComingAndGoing => 0,
            Self::Stalls => 1,
            Self::Kernel => 2,
            Self::Refused(refusal) => 3 + refusal_index(refusal),
        }
    }
}

/// Its index in `Refusal::ALL`, or the length of that array for a reason that it lacks.
pub(crate) fn refusal_index(refusal: Refusal) -> usize {
    Refusal::ALL.iter().position(|known| *known == refusal).unwrap_or(Refusal::ALL.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_of_one_reason_hides_no_other() {
        let start = Instant::now();
        let mut log = Log::new(start);
        while log.admits(Kind::Refused(Refusal::TooOften)) {}
        assert!(log.admits(Kind::Refused(Refusal::NotAdmitted)) && log.admits(Kind::ComingAndGoing));
        assert!(log.due().is_some());
        log.sum_up(start + Duration::from_secs(60));
        assert_eq!(log.due(), None);
    }
}
