//! The host's end of the connection to an agent: sends requests, and passes each report to the caller that waits for it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::protocol::{self, Ending, Report, Request, Stream, send};

const WRITE_LIMIT: Duration = Duration::from_secs(60);

/// An event of a program.
#[derive(Debug)]
pub(crate) enum Event {
    Output(Stream, Vec<u8>),
    Ended(Ending),
}

#[derive(Debug)]
pub(crate) struct Link {
    stream: Mutex<UnixStream>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    last_id: u32,
    programs: HashMap<u32, Sender<Event>>,
    /// How often the agent has reported that it is ready, and the expected number.
    boots: u32,
    expected: u32,
    /// Why no more reports will come.
    lost: Option<String>,
}

impl Link {
    /// Takes over the connection and reads from it until it ends.
    pub(crate) fn new(stream: UnixStream) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.state().expected = 1;
        // An agent that stops reading causes an error, not a hang.
        stream.set_write_timeout(Some(WRITE_LIMIT))?;
        let receiver = protocol::Receiver::new(stream.try_clone()?);
        let reader = Arc::clone(&shared);
        std::thread::spawn(move || reader.read(receiver));
        Ok(Self { stream: Mutex::new(stream), shared })
    }

    /// Starts a program; the receiver gets its events.
    pub(crate) fn start(
        &self,
        words: Vec<String>,
        env: BTreeMap<String, String>,
    ) -> Result<(u32, Receiver<Event>), String> {
        let (sender, receiver) = channel();
        let id = {
            let mut state = self.shared.state();
            state.last_id += 1;
            let id = state.last_id;
            state.programs.insert(id, sender);
            id
        };
        self.ask(&Request::Start(id, words, env)).inspect_err(|_| self.forget(id))?;
        Ok((id, receiver))
    }

    pub(crate) fn ask(&self, request: &Request) -> Result<(), String> {
        if let Some(why) = &self.shared.state().lost {
            return Err(why.clone());
        }
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut *stream, request).map_err(|e| format!("cannot write to the agent: {e}"))
    }

    /// Drops the events of a program from now on.
    pub(crate) fn forget(&self, id: u32) {
        self.shared.state().programs.remove(&id);
    }

    /// Allows the agent to restart once from now on.
    pub(crate) fn expect_boot(&self) {
        self.shared.state().expected += 1;
    }

    /// Waits until the agent has reported ready as often as expected.
    pub(crate) fn until_ready(&self, deadline: Instant) -> Result<(), String> {
        let mut state = self.shared.state();
        loop {
            if let Some(why) = &state.lost {
                return Err(why.clone());
            }
            if state.boots == state.expected {
                return Ok(());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err("the agent does not come".to_owned());
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Why a running program is lost.
    pub(crate) fn why_lost(&self) -> String {
        self.shared.state().lost.clone().unwrap_or_else(|| "the guest has rebooted".to_owned())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, mut receiver: protocol::Receiver<UnixStream>) {
        let why = loop {
            match receiver.receive() {
                Ok(Some(report)) => {
                    if let Err(why) = self.take(report) {
                        break why;
                    }
                }
                Ok(None) => break "the line to the agent has ended".to_owned(),
                // The rest of a frame that the agent was writing when the guest was reset.
                Err(e) if e.kind() == io::ErrorKind::InvalidData && self.is_rebooting() => {}
                Err(e) => break format!("the line to the agent: {e}"),
            }
        };
        let mut state = self.state();
        state.lost = Some(why);
        state.programs.clear();
        self.changed.notify_all();
    }

    fn is_rebooting(&self) -> bool {
        let state = self.state();
        state.boots < state.expected
    }

    fn take(&self, report: Report) -> Result<(), String> {
        let mut state = self.state();
        match report {
            Report::Ready => {
                state.boots += 1;
                // Programs of the previous boot are gone.
                state.programs.clear();
                self.changed.notify_all();
                if state.boots > state.expected {
                    return Err("the guest has rebooted by itself".to_owned());
                }
            }
            // A send fails when the receiver was dropped.
            Report::Output(id, stream, bytes) => {
                drop(state.programs.get(&id).map(|to| to.send(Event::Output(stream, bytes))));
            }
            Report::Ended(id, ending) => {
                drop(state.programs.remove(&id).map(|to| to.send(Event::Ended(ending))));
            }
        }
        Ok(())
    }
}
