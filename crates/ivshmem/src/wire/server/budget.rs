use std::collections::BTreeSet;

use super::super::PeerId;

/// Divides the budget of messages in flight, which the kernel holds until the clients read them, among the clients.
///
/// Dynamic thresholds (Choudhury and Hahne, 1998): a client may have another message in flight if it has fewer messages in
/// flight than the budget has left for all. With n clients that do not read, each of them ends up with 1/(n+1) of the budget,
/// and the same amount is left for the next one. A client that has read everything may always get one message.
#[derive(Debug)]
pub(super) struct Budget {
    limit: u32,
    /// The known number of messages sent and not yet read. It is never less than the real number.
    in_flight: u32,
    /// The clients that wait until others have read, ordered by their number of messages in flight.
    pub(super) parked: BTreeSet<(u32, PeerId)>,
}

impl Budget {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, in_flight: 0, parked: BTreeSet::new() }
    }

    pub(super) fn admits(&self, own: u32) -> bool {
        own == 0 || own < self.limit.saturating_sub(self.in_flight)
    }

    /// Changes a client's number of messages in flight from `before` to `now`.
    pub(super) fn change(&mut self, before: u32, now: u32) {
        self.in_flight = self.in_flight - before + now;
    }

    pub(super) fn park(&mut self, own: u32, id: PeerId) {
        self.parked.insert((own, id));
    }

    pub(super) fn unpark(&mut self, own: u32, id: PeerId) {
        self.parked.remove(&(own, id));
    }

    /// Removes and returns a waiting client that the budget admits again.
    pub(super) fn next_admitted(&mut self) -> Option<PeerId> {
        let (own, _) = *self.parked.first()?;
        if !self.admits(own) {
            return None;
        }
        self.parked.pop_first().map(|(_, id)| id)
    }

    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_that_do_not_read_leave_as_much_for_the_next_one() {
        for stalled in 1..50_u32 {
            let mut budget = Budget::new(512);
            let mut own = vec![0; usize::try_from(stalled).unwrap()];
            while own.iter().any(|n| budget.admits(*n)) {
                for n in &mut own {
                    if budget.admits(*n) {
                        budget.change(*n, *n + 1);
                        *n += 1;
                    }
                }
            }
            let left = 512 - budget.in_flight();
            assert!(left + 1 >= 512 / (stalled + 1), "{stalled} stalled leave {left}");
            assert!(budget.admits(0));
        }
    }

    #[test]
    fn who_has_least_in_flight_goes_on_first() {
        let mut budget = Budget::new(10);
        budget.change(0, 9);
        budget.park(3, PeerId(1));
        budget.park(2, PeerId(2));
        assert_eq!(budget.next_admitted(), None);
        budget.change(9, 7);
        assert_eq!(budget.next_admitted(), Some(PeerId(2)));
        assert_eq!(budget.next_admitted(), None, "3 in flight, 3 left");
        budget.unpark(3, PeerId(1));
        budget.change(7, 0);
        assert_eq!(budget.next_admitted(), None);
    }
}
