use std::io::BufRead;

use super::Side;

impl Side<'_> {
    /// Executes the lines of standard input until it ends: each line is the name of a method and its argument. Prints
    /// "open" first, and "done" after each line.
    ///
    /// # Panics
    /// When a line is invalid, or as the methods do.
    pub fn obey(mut self) {
        println!("open");
        for line in std::io::stdin().lock().lines() {
            let line = line.expect("the host's lines");
            let (what, count) = line.trim().split_once(' ').unwrap_or((line.trim(), "0"));
            let count = count.parse().expect("a number");
            match what {
                "exchange" => self.exchange(count),
                "burst" => self.burst(count),
                "sums" => self.sums(count),
                "words" => self.words(),
                "alone" => self.alone(),
                _ => panic!("there is no {what:?}"),
            }
            println!("done");
        }
    }
}
