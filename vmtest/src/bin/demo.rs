//! The demo: a server, two guests with a JVM in each, and a JVM on the host, which share one region of memory.
//!
//! scripts/demo builds everything and runs this program. It exits with 0 only when everything succeeded. Its child
//! processes end with it, however it ends.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a tool for developers, which may end when nobody reads"
)]

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use ivshmem_vmtest::{Accelerator, Guest, Packages, Program};

/// Lets JVMs in two guests and on the host exchange data and interrupts.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder with ivshmem-server and ivshmem.
    #[arg(long)]
    programs: PathBuf,
    /// The jars, below the folder java.
    #[arg(long)]
    class_path: String,
    /// The folder for the socket.
    #[arg(long)]
    folder: PathBuf,
    /// What to say in addition to "Hello World!".
    #[arg(long)]
    token: String,
    /// How often each calls each other one on each vector.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
}

const VECTORS: u16 = 2;
const MEET: &str = "io.github.alexanderschuetz97.ivshmem4j.examples.Meet";
/// The participants of `Meet`, indexed by number.
const NAMES: [&str; 3] = ["guest A", "guest B", "host"];
/// A limit against hanging only.
const PATIENCE: Duration = Duration::from_secs(300);

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let begun = Instant::now();
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => {
            println!("Done in {:.1} s: data and interrupts went every way.", begun.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("\nFAILED: {failure}");
            // The file does not exist when the server was never started.
            eprint!("{}", std::fs::read_to_string(log(&arguments)).unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

/// The path of the server's log.
fn log(arguments: &Arguments) -> PathBuf {
    arguments.folder.join("server.log")
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let socket = arguments.folder.join("server.sock");
    let step = Step::begin("starting the server");
    let mut server = start_server(arguments, &socket)?;
    step.done(&format!("process {}: 1 MiB of memory, {VECTORS} vectors", server.id()));

    let step = Step::begin("booting two virtual machines");
    let (a, b) = thread::scope(|scope| {
        let a = scope.spawn(|| boot(arguments, &socket, "demo-a"));
        let b = boot(arguments, &socket, "demo-b");
        (a.join().unwrap_or_else(|_| Err("booting panicked".into())), b)
    });
    let guests = [a?, b?];
    let by = match Accelerator::choose(&Packages::find()?)? {
        Accelerator::Kvm => "KVM",
        Accelerator::Tcg => "TCG, as KVM boots none here",
    };
    let kernel = guests[0].sh("uname -r")?;
    step.done(&format!(
        "processes {} and {}: Linux {}, by {by}",
        guests[0].pid(),
        guests[1].pid(),
        kernel.trim()
    ));

    let step = Step::begin("giving their devices to VFIO");
    let mut bound = String::new();
    for guest in &guests {
        bound = guest.run(Program::new("ivshmem").args(["bind", "auto"]))?;
    }
    step.done(&format!("in both, {}", bound.trim()));

    let step = Step::begin("three JVMs meet");
    let said = meet(arguments, &guests, &socket)?;
    check(arguments, &said)?;
    step.done("all heard each other, and called each other on every vector:");
    for (name, lines) in NAMES.iter().zip(&said) {
        for line in lines {
            println!("    {name:<8} {line}");
        }
    }

    let step = Step::begin("stopping all");
    for guest in guests {
        guest.power_off()?;
    }
    stop_server(&mut server, &socket)?;
    step.done("nothing is left behind");
    Ok(())
}

/// A command for a program that is killed when this process ends.
fn child(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).stdin(Stdio::null());
    command
}

fn start_server(arguments: &Arguments, socket: &Path) -> Result<Child, Failure> {
    let mut command = child(&arguments.programs.join("ivshmem-server"));
    command.args(["-F", "-l", "1M", "-n", &VECTORS.to_string(), "-S"]).arg(socket);
    let mut server = command.stdout(Stdio::null()).stderr(File::create(log(arguments))?).spawn()?;
    let begun = Instant::now();
    while !socket.exists() {
        if let Some(status) = server.try_wait()? {
            return Err(format!("the server ended at once with {status}").into());
        }
        if begun.elapsed() > PATIENCE {
            return Err("the server makes no socket".into());
        }
        thread::sleep(Duration::from_millis(2));
    }
    Ok(server)
}

fn stop_server(server: &mut Child, socket: &Path) -> Result<(), Failure> {
    if let Some(status) = server.try_wait()? {
        return Err(format!("the server has ended with {status}").into());
    }
    let pid = rustix::process::Pid::from_child(server);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
    let status = server.wait()?;
    if !status.success() {
        return Err(format!("the server ended with {status}").into());
    }
    if socket.exists() { Err("the server left its socket behind".into()) } else { Ok(()) }
}

fn boot(arguments: &Arguments, socket: &Path, name: &str) -> Result<Guest, Failure> {
    let java = java_home()?;
    let mut builder = Guest::builder(name)
        .memory(512)
        .doorbell(socket, VECTORS)
        .host_programs()
        .share(common_folder(&arguments.class_path)?, "/share/java")
        .program(arguments.programs.join("ivshmem"));
    if !java.starts_with("/usr") {
        builder = builder.share(java, "/share/jdk");
    }
    Ok(builder.boot()?)
}

/// The directory that contains all jars of a class path.
fn common_folder(class_path: &str) -> Result<PathBuf, Failure> {
    let mut jars = std::env::split_paths(class_path);
    let first = jars.next().filter(|jar| jar.is_absolute()).ok_or("the class path needs absolute paths")?;
    let jars: Vec<PathBuf> = jars.collect();
    let common = first.ancestors().skip(1).find(|folder| jars.iter().all(|jar| jar.starts_with(folder)));
    Ok(common.ok_or("the jars of the class path have no folder in common")?.to_path_buf())
}

fn java_home() -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let java = std::env::split_paths(&path).map(|folder| folder.join("java")).find(|java| java.exists());
    let java = java.ok_or("there is no java in PATH")?.canonicalize()?;
    let home = java.ancestors().nth(2).ok_or("java is in no JDK")?;
    Ok(home.to_path_buf())
}

/// Runs `Meet` in both guests and on the host, and returns the lines of each.
fn meet(arguments: &Arguments, guests: &[Guest; 2], socket: &Path) -> Result<[Vec<String>; 3], Failure> {
    let home = java_home()?;
    let inside = if home.starts_with("/usr") { home.clone() } else { PathBuf::from("/share/jdk") };
    let jars = common_folder(&arguments.class_path)?;
    let class_path = arguments.class_path.replace(&*jars.to_string_lossy(), "/share/java");
    let java = inside.join("bin/java").to_string_lossy().into_owned();

    let (sender, events) = channel();
    let begun = Instant::now();
    for (me, guest) in guests.iter().enumerate() {
        let program = Program::new(&*java).args(words(arguments, &class_path, "auto", me)).limit(PATIENCE);
        let mut process = guest.spawn(program)?;
        let sender = sender.clone();
        thread::spawn(move || {
            let mut tell = teller(me, &sender, begun);
            let ended = loop {
                match process.line() {
                    Ok(Some(line)) => tell(Event::Line(line)),
                    Ok(None) => break process.succeed().map(drop).map_err(|error| error.to_string()),
                    Err(error) => break Err(error.to_string()),
                }
            };
            tell(Event::Ended(ended));
        });
    }
    let host = NAMES.len() - 1;
    let target = format!("doorbell:{}", socket.display());
    let mut command = child(&home.join("bin/java"));
    command.args(words(arguments, &arguments.class_path, &target, host)).stdout(Stdio::piped());
    let mut jvm = command.spawn()?;
    let output = jvm.stdout.take().ok_or("no pipe")?;
    thread::spawn(move || {
        let mut tell = teller(host, &sender, begun);
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            tell(Event::Line(line));
        }
        tell(Event::Ended(match jvm.wait() {
            Ok(status) if status.success() => Ok(()),
            other => Err(format!("it ended with {other:?}")),
        }));
    });

    let mut said: [Vec<String>; 3] = Default::default();
    let mut running = NAMES.len();
    while running > 0 {
        let (who, event) = events.recv_timeout(PATIENCE).map_err(|_| transcript("nothing happens", &said))?;
        match event {
            Event::Line(line) => said[who].push(line),
            Event::Ended(Ok(())) => running -= 1,
            Event::Ended(Err(why)) => {
                return Err(transcript(&format!("the JVM of {}: {why}", NAMES[who]), &said).into());
            }
        }
    }
    Ok(said)
}

enum Event {
    Line(String),
    Ended(Result<(), String>),
}

/// Forwards the events of a participant, with a timestamp on each line.
fn teller(who: usize, sender: &Sender<(usize, Event)>, begun: Instant) -> impl FnMut(Event) {
    let sender = sender.clone();
    move |event| {
        let event = match event {
            Event::Line(line) => Event::Line(format!("{:5.2} s  {line}", begun.elapsed().as_secs_f64())),
            ended => ended,
        };
        // The receiver is gone after a failure of another participant.
        let _ = sender.send((who, event));
    }
}

fn words(arguments: &Arguments, class_path: &str, target: &str, me: usize) -> Vec<String> {
    // Only the first participant gets the token.
    let text = match me {
        0 => format!("Hello World! {}", arguments.token),
        _ => format!("Hello from {}", NAMES[me]),
    };
    // Options for a short run on a slow processor.
    let mut words =
        ["-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", class_path, MEET].map(str::to_owned).to_vec();
    words.extend([target.to_owned(), me.to_string(), NAMES.len().to_string()]);
    words.extend([arguments.rounds.to_string(), text]);
    words
}

/// Checks what the programs cannot check themselves.
fn check(arguments: &Arguments, said: &[Vec<String>; 3]) -> Result<(), Failure> {
    for (me, lines) in said.iter().enumerate() {
        let wants = |text: &str| match lines.iter().any(|line| line.contains(text)) {
            true => Ok(()),
            false => Err(transcript(&format!("{} did not say {text:?}", NAMES[me]), said)),
        };
        if me != 0 {
            wants(&format!("heard 0 say: Hello World! {}", arguments.token))?;
        }
        for other in (0..NAMES.len()).filter(|other| *other != me) {
            for vector in 0..VECTORS {
                wants(&format!(
                    "called {other} on vector {vector}: {} interrupts each way",
                    arguments.rounds
                ))?;
            }
        }
    }
    Ok(())
}

fn transcript(why: &str, said: &[Vec<String>; 3]) -> String {
    let mut text = why.to_owned();
    for (name, lines) in NAMES.iter().zip(said) {
        for line in lines {
            let _ = write!(text, "\n    {name:<8} {line}");
        }
    }
    text
}

/// Prints a step when it begins, and its duration and result when it is done.
struct Step {
    begun: Instant,
}

impl Step {
    fn begin(what: &str) -> Self {
        print!("{what:<32}");
        // Fails only when no reader is left.
        let _ = std::io::Write::flush(&mut std::io::stdout());
        Self { begun: Instant::now() }
    }

    fn done(self, now: &str) {
        println!("{:6.2} s   {now}", self.begun.elapsed().as_secs_f64());
    }
}
