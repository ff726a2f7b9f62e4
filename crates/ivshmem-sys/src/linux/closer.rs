//! Threads that close descriptors whose closing may wait for another process.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Descriptors to close, and the threads that close them.
pub(super) struct Closer<T> {
    queue: Mutex<Queue<T>>,
    more: Condvar,
    pub(super) max_workers: usize,
    /// The number of descriptors in the queue for which one worker is started.
    per_worker: usize,
    /// The number of descriptors that a worker takes at a time. One that cannot be closed delays the others.
    batch: usize,
    close_all: fn(Vec<T>),
}

#[derive(Debug)]
struct Queue<T> {
    fds: VecDeque<T>,
    /// The number of descriptors in `fds`, plus those that workers are closing now.
    unclosed: usize,
    workers: usize,
    /// The number of workers that are closing nothing now.
    idle: usize,
}

/// The time that an idle worker waits before it ends. Starting a worker takes longer than everything else in `close`.
pub(super) const REST: Duration = Duration::from_millis(100);
/// The time before a worker begins that was started because another one may be unable to finish.
const SPARE_PAUSE: Duration = Duration::from_millis(1);
const STACK: usize = 128 << 10;

impl<T: Send + 'static> Closer<T> {
    /// There is more than one worker, so that a descriptor whose closing waits nevertheless does not delay the next ones.
    pub(super) const fn new(
        max_workers: usize,
        per_worker: usize,
        batch: usize,
        close_all: fn(Vec<T>),
    ) -> Self {
        let queue = Mutex::new(Queue { fds: VecDeque::new(), unclosed: 0, workers: 0, idle: 0 });
        Self { queue, more: Condvar::new(), max_workers, per_worker, batch, close_all }
    }

    /// Closes a descriptor without waiting. If no thread can be started, it stays open until a later call of this method,
    /// `unclosed` or `busy` starts one.
    pub(super) fn close(&'static self, fd: T) {
        let mut queue = self.queue();
        queue.fds.push_back(fd);
        queue.unclosed += 1;
        self.start(&mut queue);
    }

    pub(super) fn unclosed(&'static self) -> usize {
        let mut queue = self.queue();
        // Start workers for descriptors for which no thread could be started before.
        self.start(&mut queue);
        queue.unclosed
    }

    /// The number of workers that are closing descriptors now, plus the number that the queue needs.
    pub(super) fn busy(&'static self) -> usize {
        let mut queue = self.queue();
        self.start(&mut queue);
        queue.workers - queue.idle + queue.fds.len() / self.per_worker
    }

    fn start(&'static self, queue: &mut Queue<T>) {
        while queue.fds.len() > queue.idle.saturating_mul(self.per_worker)
            && queue.workers < self.max_workers
            && spawn(|| self.work(Duration::ZERO))
        {
            queue.workers += 1;
            queue.idle += 1;
        }
        self.more.notify_all();
    }

    /// Closes the descriptors in the queue after a pause, and ends after the queue has been empty for [`REST`].
    fn work(&'static self, pause: Duration) {
        thread::sleep(pause);
        let mut queue = self.queue();
        loop {
            queue = self
                .more
                .wait_timeout_while(queue, REST, |queue| queue.fds.is_empty())
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            queue.idle -= 1;
            if queue.fds.is_empty() {
                queue.workers -= 1;
                return;
            }
            let count = self.batch.min(queue.fds.len());
            let batch = queue.fds.drain(..count).collect();
            // If this batch cannot be closed, another worker must close the rest. Usually it can, before that worker begins.
            if queue.idle == 0
                && !queue.fds.is_empty()
                && queue.workers < self.max_workers
                && spawn(|| self.work(SPARE_PAUSE))
            {
                queue.workers += 1;
                queue.idle += 1;
            }
            drop(queue);
            (self.close_all)(batch);
            queue = self.queue();
            queue.unclosed -= count;
            queue.idle += 1;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        // The code under this lock can only fail to allocate, which aborts the process instead of poisoning the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn spawn(function: impl FnOnce() + Send + 'static) -> bool {
    thread::Builder::new().name("ivshmem-close".into()).stack_size(STACK).spawn(function).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_cannot_be_closed_delays_nothing_else() {
        type Item = Box<dyn FnOnce() + Send>;
        static CLOSER: Closer<Item> =
            Closer::new(4, 64, 1, |batch| batch.into_iter().for_each(|close| close()));
        let (release, released) = mpsc::channel::<()>();
        let (close, closed) = mpsc::channel();
        CLOSER.close(Box::new(move || _ = released.recv()));
        for number in 0..10 {
            let close = close.clone();
            CLOSER.close(Box::new(move || close.send(number).unwrap()));
        }
        for _ in 0..10 {
            closed.recv_timeout(Duration::from_secs(20)).expect("a descriptor waits for another one");
        }
        drop(release);
    }
}
