//! Model checking: the sources of the callbacks and of the waiting threads, compiled with loom, over all interleavings of a few
//! threads.
//!
//! `cargo test -p ivshmem --release --test model`

#![expect(clippy::unwrap_used, reason = "a failure is a failed test")]

#[path = "../src/doorbell/callbacks.rs"]
mod callbacks;
#[path = "../src/doorbell/waiters.rs"]
#[expect(dead_code, reason = "deadlines are not modelled")]
mod waiters;
#[path = "../src/doorbell/waits.rs"]
mod waits;

mod sync {
    pub(super) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(super) use loom::thread::{ThreadId, current};

    loom::lazy_static! {
        pub(super) static ref WAITS: Mutex<Vec<super::waits::Wait>> = Mutex::new(Vec::new());
    }
}

use callbacks::{Callback, Callbacks, Closed, Job};
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use waiters::{Outcome, Read, Waiters};

/// A model of the kernel: the counter of one vector and a stop event, for which the dispatcher waits together.
#[derive(Default)]
struct Kernel {
    state: Mutex<Pending>,
    changed: Condvar,
}

#[derive(Default)]
struct Pending {
    rung: bool,
    stop: bool,
}

impl Kernel {
    fn ring(&self) {
        self.state.lock().unwrap().rung = true;
        self.changed.notify_all();
    }

    fn stop(&self) {
        self.state.lock().unwrap().stop = true;
        self.changed.notify_all();
    }

    fn take(&self) -> bool {
        std::mem::take(&mut self.state.lock().unwrap().rung)
    }

    /// Waits for a ring or a stop. Returns false after a stop.
    fn wait(&self) -> bool {
        let mut state = self.state.lock().unwrap();
        while !state.rung && !state.stop {
            state = self.changed.wait(state).unwrap();
        }
        !state.stop
    }
}

/// A device with one vector: the dispatcher's loop on the modelled kernel.
struct Device {
    kernel: Kernel,
    callbacks: Callbacks<u16>,
}

impl Device {
    fn new() -> Arc<Self> {
        Arc::new(Self { kernel: Kernel::default(), callbacks: Callbacks::new() })
    }

    fn dispatch_once(&self) {
        if self.callbacks.deliver(&0, || self.kernel.take()) {
            self.kernel.ring();
        }
    }

    fn close(&self) {
        self.kernel.stop();
        self.callbacks.close();
    }
}

fn add(device: &Device, f: impl FnMut() + Send + 'static) -> Arc<Callback<u16>> {
    let mut f = f;
    let callback = Callback::new(Box::new(move |_: &u16| f()), None);
    device.callbacks.add(&callback, || Ok::<(), Closed>(())).unwrap();
    callback
}

#[test]
fn after_the_last_ring_the_callback_sees_what_was_written_before_it() {
    loom::model(|| {
        let device = Device::new();
        let (written, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (w, s) = (Arc::clone(&written), Arc::clone(&seen));
        let _callback = add(&device, move || s.store(w.load(SeqCst), SeqCst));
        let ringer = {
            let (device, written) = (Arc::clone(&device), Arc::clone(&written));
            thread::spawn(move || {
                for value in 1..=2 {
                    written.store(value, SeqCst);
                    device.kernel.ring();
                }
            })
        };
        while seen.load(SeqCst) < 2 {
            assert!(device.kernel.wait());
            device.dispatch_once();
        }
        ringer.join().unwrap();
        device.close();
    });
}

#[test]
fn a_removed_callback_has_ended_and_what_it_did_not_get_goes_to_the_next_reader() {
    loom::model(|| {
        let device = Device::new();
        let (running, runs) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (r, n) = (Arc::clone(&running), Arc::clone(&runs));
        let callback = add(&device, move || {
            r.store(true, SeqCst);
            n.fetch_add(1, SeqCst);
            r.store(false, SeqCst);
        });
        device.kernel.ring();
        let dispatcher = {
            let device = Arc::clone(&device);
            thread::spawn(move || device.dispatch_once())
        };
        device.callbacks.remove(&callback, || {});
        assert!(!running.load(SeqCst), "it runs after its removal has returned");
        let after_removal = runs.load(SeqCst);
        dispatcher.join().unwrap();
        assert_eq!(runs.load(SeqCst), after_removal, "it ran after its removal had returned");
        assert_eq!(device.kernel.take(), after_removal == 0, "a ring is delivered once: here or to the next");
    });
}

#[test]
fn close_against_dispatch_and_a_callback_that_closes_removes_and_adds() {
    loom::model(|| {
        let device = Device::new();
        let own: Arc<Mutex<Option<Arc<Callback<u16>>>>> = Arc::new(Mutex::new(None));
        let runs = Arc::new(AtomicUsize::new(0));
        let callback = {
            let (d, own, runs) = (Arc::clone(&device), Arc::clone(&own), Arc::clone(&runs));
            add(&device, move || {
                runs.fetch_add(1, SeqCst);
                let registered = own.lock().unwrap().take();
                if let Some(registered) = registered {
                    d.callbacks.remove(&registered, || {});
                }
                d.close();
                let late = Callback::new(Box::new(|_: &u16| {}), None);
                let refused = d.callbacks.add(&late, || Ok::<(), Closed>(()));
                runs.fetch_add(if refused == Err(Closed) { 10 } else { 100 }, SeqCst);
            })
        };
        *own.lock().unwrap() = Some(callback);
        device.kernel.ring();
        let dispatcher = {
            let device = Arc::clone(&device);
            thread::spawn(move || {
                while device.kernel.wait() {
                    device.dispatch_once();
                }
            })
        };
        device.close();
        dispatcher.join().unwrap();
        assert!([0, 11].contains(&runs.load(SeqCst)), "it ran twice, or added to a closed device");
    });
}

type Pair = [Option<Arc<Callback<u16>>>; 2];

#[test]
fn callbacks_of_two_threads_that_remove_each_other_both_end() {
    loom::model(|| {
        let devices = [Device::new(), Device::new()];
        let registered = Arc::new(Mutex::new(Pair::default()));
        for me in [0, 1] {
            let (other, all) = (Arc::clone(&devices[1 - me]), Arc::clone(&registered));
            let callback = add(&devices[me], move || {
                let its = all.lock().unwrap()[1 - me].take();
                if let Some(its) = its {
                    other.callbacks.remove(&its, || {});
                }
            });
            registered.lock().unwrap()[me] = Some(callback);
            devices[me].kernel.ring();
        }
        let second = Arc::clone(&devices[1]);
        let second = thread::spawn(move || second.dispatch_once());
        devices[0].dispatch_once();
        second.join().unwrap();
        devices.iter().for_each(|device| device.close());
        *registered.lock().unwrap() = [None, None];
    });
}

/// Jobs that wait for the test's thread, as in an executor with one thread.
type Queue = Arc<Mutex<Vec<Job>>>;

#[test]
fn an_executors_callback_is_queued_once_and_runs_after_the_last_ring() {
    loom::model(|| {
        let device = Device::new();
        let (written, seen) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let queue = Queue::default();
        let (w, s, q) = (Arc::clone(&written), Arc::clone(&seen), Arc::clone(&queue));
        let executor = Box::new(move |job: Job| {
            let mut queue = q.lock().unwrap();
            queue.push(job);
            assert_eq!(queue.len(), 1, "queued twice");
        });
        let run = Box::new(move |_: &u16| s.store(w.load(SeqCst), SeqCst));
        let callback = Callback::new(run, Some(executor));
        device.callbacks.add(&callback, || Ok::<(), Closed>(())).unwrap();
        let dispatcher = {
            let (device, written) = (Arc::clone(&device), Arc::clone(&written));
            thread::spawn(move || {
                for value in 1..=2 {
                    written.store(value, SeqCst);
                    device.kernel.ring();
                    device.dispatch_once();
                }
            })
        };
        let run_all = || {
            while let Some(job) = { queue.lock().unwrap().pop() } {
                job();
            }
        };
        run_all();
        dispatcher.join().unwrap();
        run_all();
        assert_eq!(seen.load(SeqCst), 2, "no run after the last ring");
        device.close();
    });
}

/// A device with one vector, for which threads wait: the modelled kernel, whose `stop` is the event that wakes the reader.
#[derive(Default)]
struct Waited {
    kernel: Kernel,
    cancelled: AtomicBool,
}

impl Waited {
    /// What the reader does with the event of the vector.
    fn read(&self) -> Result<Read, Closed> {
        let mut state = self.kernel.state.lock().unwrap();
        loop {
            if std::mem::take(&mut state.stop) {
                return Ok(Read::Again);
            }
            if std::mem::take(&mut state.rung) {
                return Ok(Read::Interrupt);
            }
            state = self.kernel.changed.wait(state).unwrap();
        }
    }

    fn cancel(&self, waiters: &Waiters) {
        self.cancelled.store(true, SeqCst);
        waiters.wake(|| self.kernel.stop());
    }
}

fn pair() -> (Arc<Waited>, Arc<Waiters>) {
    (Arc::new(Waited::default()), Arc::new(Waiters::new()))
}

#[test]
fn each_of_two_waiters_sees_the_interrupt_that_one_of_them_reads() {
    loom::model(|| {
        let (device, waiters) = pair();
        let waits = |device: &Arc<Waited>, waiters: &Arc<Waiters>| {
            let (device, waiters) = (Arc::clone(device), Arc::clone(waiters));
            move || waiters.wait(Some(0), true, None, || false, || device.read()).unwrap()
        };
        let other = thread::spawn(waits(&device, &waiters));
        let ringer = {
            let device = Arc::clone(&device);
            thread::spawn(move || device.kernel.ring())
        };
        assert_eq!(waits(&device, &waiters)(), Outcome::Interrupt(1));
        assert_eq!(other.join().unwrap(), Outcome::Interrupt(1));
        ringer.join().unwrap();
    });
}

#[test]
fn of_two_threads_that_wait_for_an_unreceived_interrupt_one_gets_it() {
    loom::model(|| {
        let (device, waiters) = pair();
        // The thread that gets the interrupt cancels the wait of the other one.
        let waits = |device: &Arc<Waited>, waiters: &Arc<Waiters>| {
            let (device, waiters) = (Arc::clone(device), Arc::clone(waiters));
            move || {
                let cancelled = || device.cancelled.load(SeqCst);
                let outcome = waiters.wait(None, true, None, cancelled, || device.read()).unwrap();
                if outcome == Outcome::Interrupt(1) {
                    device.cancel(&waiters);
                }
                outcome
            }
        };
        device.kernel.ring();
        let other = thread::spawn(waits(&device, &waiters));
        let mut outcomes = [waits(&device, &waiters)(), other.join().unwrap()];
        outcomes.sort_by_key(|outcome| *outcome == Outcome::Cancelled);
        assert_eq!(outcomes, [Outcome::Interrupt(1), Outcome::Cancelled]);
    });
}

#[test]
fn a_cancelled_wait_ends_whether_its_thread_reads_or_parks_and_the_other_waits_on() {
    loom::model(|| {
        let (device, waiters) = pair();
        let cancelled = {
            let (device, waiters) = (Arc::clone(&device), Arc::clone(&waiters));
            thread::spawn(move || {
                let cancelled = || device.cancelled.load(SeqCst);
                waiters.wait(Some(0), true, None, cancelled, || device.read()).unwrap()
            })
        };
        let other = {
            let (device, waiters) = (Arc::clone(&device), Arc::clone(&waiters));
            thread::spawn(move || waiters.wait(Some(0), true, None, || false, || device.read()).unwrap())
        };
        device.cancel(&waiters);
        assert_eq!(cancelled.join().unwrap(), Outcome::Cancelled);
        device.kernel.ring();
        assert_eq!(other.join().unwrap(), Outcome::Interrupt(1));
    });
}

#[test]
fn when_reading_fails_each_waiter_ends_with_the_error() {
    loom::model(|| {
        let waiters = Arc::new(Waiters::new());
        let wait = |waiters: &Waiters| waiters.wait(Some(0), true, None, || false, || Err::<Read, _>(Closed));
        let other = {
            let waiters = Arc::clone(&waiters);
            thread::spawn(move || wait(&waiters))
        };
        assert_eq!(wait(&waiters), Err(Closed));
        assert_eq!(other.join().unwrap(), Err(Closed));
    });
}

#[test]
fn an_interrupt_that_was_observed_or_given_back_is_received_by_the_next() {
    loom::model(|| {
        let (device, waiters) = pair();
        device.kernel.ring();
        let read = || device.read();
        assert_eq!(waiters.wait(Some(0), false, None, || false, read), Ok(Outcome::Interrupt(1)));
        assert_eq!(waiters.received(), 0);
        assert_eq!(waiters.wait(None, true, None, || false, read), Ok(Outcome::Interrupt(1)));
        assert_eq!(waiters.receive(), 1);
        waiters.give_back(0);
        assert_eq!(waiters.wait(None, true, None, || false, read), Ok(Outcome::Interrupt(1)));
        assert_eq!(waiters.interrupts(), 1);
    });
}

#[test]
fn a_thread_that_waits_receives_an_interrupt_that_is_given_back() {
    loom::model(|| {
        let (device, waiters) = pair();
        device.kernel.ring();
        waiters.wait(None, true, None, || false, || device.read()).unwrap();
        let waiter = {
            let (device, waiters) = (Arc::clone(&device), Arc::clone(&waiters));
            thread::spawn(move || waiters.wait(None, true, None, || false, || device.read()))
        };
        waiters.give_back(0);
        waiters.wake(|| device.kernel.stop());
        assert_eq!(waiter.join().unwrap(), Ok(Outcome::Interrupt(1)));
    });
}

#[cfg(feature = "tokio")]
#[test]
fn an_interrupt_that_a_task_takes_is_received_and_wakes_threads() {
    loom::model(|| {
        let (device, waiters) = pair();
        let waiter = {
            let (device, waiters) = (Arc::clone(&device), Arc::clone(&waiters));
            thread::spawn(move || waiters.wait(Some(0), true, None, || false, || device.read()))
        };
        waiters.count();
        waiters.wake(|| device.kernel.stop());
        assert_eq!(waiter.join().unwrap(), Ok(Outcome::Interrupt(1)));
    });
}
