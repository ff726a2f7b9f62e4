use std::time::{Duration, Instant};

use super::{COUNTER, HANG, Role, Side};

impl Side<'_> {
    /// On every vector and in both directions: so many rings as fast as can be. Most of them are merged, and the last is
    /// never missed.
    ///
    /// # Panics
    /// When the last one is missed.
    pub fn burst(&mut self, rings: u32) {
        for vector in 0..self.device.vectors() {
            for ringer in [Role::First, Role::Second] {
                self.store(vector, COUNTER, 0);
                self.meet();
                let ears = self.ears(vector);
                if self.role == ringer {
                    for count in 1..=rings {
                        self.store(vector, COUNTER, count);
                        self.ring(vector);
                    }
                } else {
                    self.until_counted(&ears, vector, rings);
                }
                drop(ears);
                // Only then may the counters be used again.
                self.meet();
            }
        }
    }

    /// Waits for the end of all rings, of which some may still be on their way, and then rings somebody who is gone.
    ///
    /// # Panics
    /// When the rings do not end.
    pub fn alone(&self) {
        for vector in 0..self.device.vectors() {
            let limit = Instant::now() + HANG;
            while self.device.wait(vector, Some(Instant::now() + Duration::from_millis(50))).unwrap() {
                assert!(Instant::now() < limit, "vector {vector} is still rung");
            }
            self.ring(vector);
        }
    }
}
