use std::time::{Duration, Instant};

use super::{COUNTER, HANG, Role, Side};

impl Side<'_> {
    /// On every vector and in both directions, rings `rings` times as fast as possible. Most rings are merged, and the last
    /// one must not be missed.
    ///
    /// # Panics
    /// When the last ring is missed.
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
                // Only after this may the counters be reused.
                self.meet();
            }
        }
    }

    /// Waits for the end of all rings, of which some may still be outstanding, and then rings the disconnected peer.
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
