//! The agent: runs programs in a guest for the host, which is connected by a virtio port.
//!
//! The agent is a child of the init script and runs as long as the guest. Programs run concurrently; each has one thread
//! that waits for its end and one for each of its streams, so none can delay another.
#![expect(
    clippy::unwrap_used,
    reason = "a guest whose agent fails is powered off, and the host shows its console"
)]

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use ivshmem_vmtest::protocol::{Ending, Receiver, Report, Request, Stream, send};
use rustix::process::{Pid, Signal, kill_process};

fn main() {
    let device = std::env::args().nth(1).expect("usage: vmtest-agent DEVICE");
    let port = File::options().read(true).write(true).open(&device).unwrap();
    let host = Host(Arc::new(Mutex::new(port.try_clone().unwrap())));
    let mut receiver = Receiver::new(port);
    let running = Running::default();
    host.tell(&Report::Ready);
    // The loop ends only with the guest: when the host's process ends, so does the virtual machine.
    while let Some(request) = receiver.receive().unwrap() {
        match request {
            Request::Start(id, words, env) => match start(&words, env) {
                Ok(child) => running.watch(id, child, host.clone()),
                Err(e) => host.ended(id, Ending::NotStarted(format!("{words:?}: {e}"))),
            },
            Request::Input(id, bytes) => running.with(id, |program| program.feed(Some(bytes))),
            Request::EndOfInput(id) => running.with(id, |program| program.feed(None)),
            Request::Kill(id) => running.with(id, |program| program.kill()),
        }
    }
}

fn start(words: &[String], env: BTreeMap<String, String>) -> std::io::Result<Child> {
    let (program, arguments) = words.split_first().ok_or(std::io::ErrorKind::InvalidInput)?;
    let mut command = Command::new(program);
    command.args(arguments).envs(env);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
}

#[derive(Clone)]
struct Host(Arc<Mutex<File>>);

impl Host {
    fn tell(&self, report: &Report) {
        send(&mut *self.0.lock().unwrap(), report).unwrap();
    }

    fn ended(&self, id: u32, ending: Ending) {
        self.tell(&Report::Ended(id, ending));
    }
}

/// The programs that have not ended.
#[derive(Clone, Default)]
struct Running(Arc<Mutex<HashMap<u32, Program>>>);

impl Running {
    fn watch(&self, id: u32, mut child: Child, host: Host) {
        let (input, to_write) = mpsc::channel();
        let program = Program { pid: Pid::from_child(&child), input };
        self.0.lock().unwrap().insert(id, program);
        let stdin = child.stdin.take().unwrap();
        thread::spawn(move || write_all(stdin, &to_write));
        let out = forward(id, Stream::Out, child.stdout.take().unwrap(), host.clone());
        let err = forward(id, Stream::Err, child.stderr.take().unwrap(), host.clone());
        let running = self.clone();
        thread::spawn(move || {
            out.join().unwrap();
            err.join().unwrap();
            let status = child.wait().unwrap();
            running.0.lock().unwrap().remove(&id);
            let ending =
                status.code().map_or_else(|| Ending::Signal(status.signal().unwrap()), Ending::Status);
            host.ended(id, ending);
        });
    }

    /// Calls `what` with the program, unless the program has ended.
    fn with(&self, id: u32, what: impl FnOnce(&Program)) {
        if let Some(program) = self.0.lock().unwrap().get(&id) {
            what(program);
        }
    }
}

struct Program {
    pid: Pid,
    input: mpsc::Sender<Option<Vec<u8>>>,
}

impl Program {
    fn feed(&self, bytes: Option<Vec<u8>>) {
        // The program may have closed its standard input.
        let _ = self.input.send(bytes);
    }

    fn kill(&self) {
        // A program that is already ending cannot be killed.
        let _ = kill_process(self.pid, Signal::KILL);
    }
}

/// Writes the host's bytes until the host ends the input or the program stops reading.
fn write_all(mut stdin: ChildStdin, to_write: &mpsc::Receiver<Option<Vec<u8>>>) {
    while let Ok(Some(bytes)) = to_write.recv() {
        if stdin.write_all(&bytes).is_err() {
            return;
        }
    }
}

fn forward(
    id: u32,
    stream: Stream,
    mut from: impl Read + Send + 'static,
    host: Host,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => host.tell(&Report::Output(id, stream, buffer[..n].to_vec())),
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => panic!("cannot read what program {id} writes: {e}"),
            }
        }
    })
}
