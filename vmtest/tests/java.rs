//! Java in guests: with each other and with the host, with several devices, without an IOMMU, with 32 bits.
//!
//! Each JVM runs `Peer` of java/vmtest, which executes commands line by line; `scripts/java-jar` builds it.
#![expect(
    clippy::disallowed_methods,
    reason = "a test may wait for the other end of a socket, and its folders are changed by nobody else"
)]
#![expect(clippy::print_stdout, reason = "tests say what they measure")]
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::foreign::ForeignFd;
use ivshmem_conformance::bare_server::send;
use ivshmem_conformance::checkout;
use ivshmem_conformance::linger::Lingering;
use ivshmem_server::Server;
use ivshmem_vmtest::{Guest, GuestBuilder, Iommu, Packages, Process, Program, can_run};

const PEER: &str = "io.github.alexanderschuetz97.ivshmem4j.vmtest.Peer";
const MIB: u64 = 1 << 20;
const ROUNDS: u32 = 1000;

#[test]
fn java_in_two_guests_and_on_the_host_exchange_data_and_interrupts() {
    if !can_run_java("java_in_two_guests_and_on_the_host_exchange_data_and_interrupts") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), MIB, 3);
    let (guests, mut peers) = std::thread::scope(|scope| {
        // Both boot at once; the second has the newest JVM, which accesses memory in another way.
        let boots = [("java-first", oldest()), ("java-second", newest())].map(|(name, java)| {
            let socket = server.path();
            scope.spawn(move || {
                let guest = with_java(Guest::builder(name)).doorbell(socket, 3).boot().unwrap();
                bind(&guest, "0000:00:05.0");
                let peer = Peer::in_guest(&guest, &java);
                (guest, peer)
            })
        });
        boots.map(|boot| boot.join().unwrap()).into_iter().unzip::<_, _, Vec<_>, Vec<_>>()
    });
    peers.push(Peer::on_host());

    for peer in &mut peers[..2] {
        let listed = peer.ask("list");
        assert!(listed.starts_with("0000:00:05.0 size=1048576 revision=1 vectors=3 driver=vfio-pci group="));
        assert!(listed.ends_with("memory=null sending=null receiving=null | "), "{listed}");
        let facts = "opened id=true vectors=3 interrupts=true peers=false size=1048576 cache=WRITE_COMBINED";
        assert_eq!(peer.ask("open auto"), facts);
        for vector in 0..3 {
            assert_eq!(peer.ask(&format!("wait {vector} 0")), "rung false", "opening rings no vector");
        }
        for what in ["peers", "listen"] {
            let said = peer.ask(what);
            assert!(said.starts_with("failed UnsupportedOperationException: "), "{what}: {said}");
        }
        let said = peer.ask("register 3");
        assert!(said.starts_with("failed IvshmemException: this device has no vector 3: it has 3"), "{said}");
    }
    let opened = peers[2].ask(&format!("open doorbell:{}", server.path().display()));
    assert_eq!(opened, "opened id=true vectors=3 interrupts=true peers=true size=1048576 cache=CACHED");
    for (me, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.ask(&format!("join {me}")), "joined");
    }

    all_call_all(&mut peers, 3);
    same_bytes_and_atomics(&mut peers);

    // Closing gives the interrupts to another process.
    for peer in &mut peers {
        assert_eq!(peer.ask("close"), "closed");
    }
    assert!(peers[0].ask("open auto").contains("interrupts=true"));
    drop(peers);
    for guest in guests {
        guest.power_off().unwrap();
    }
}

#[test]
fn a_hostile_server_neither_holds_up_a_jvm_nor_takes_its_last_descriptors() {
    if !can_run_java("a_hostile_server_neither_holds_up_a_jvm_nor_takes_its_last_descriptors") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut peer = Peer::on_host_with(4096);
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let open = format!("open doorbell:{}", path.display());
    let memory = || {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(MIB).unwrap();
        OwnedFd::from(file)
    };
    let lingering = || Lingering::new(Duration::from_secs(60)).unwrap();

    // In the greeting, and in the socket when the JVM gives up.
    peer.tell(&open);
    let begin = Instant::now();
    let stream = listener.accept().unwrap().0;
    let readers: Vec<_> = (0..3)
        .map_while(|_| {
            let Lingering { socket, reader } = lingering();
            let sent = send(&stream, 0, Some(&socket));
            drop(ForeignFd::from(socket));
            sent.ok().map(|()| reader)
        })
        .collect();
    let answer = peer.answer();
    assert!(answer.starts_with("failed IvshmemException: "), "{answer}");
    println!("opening failed after {:?}: {answer}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    drop((stream, readers));

    // After it: descriptors without end, then some whose closing waits.
    peer.tell(&open);
    let (stream, memory, vector) = (listener.accept().unwrap().0, memory(), eventfd::create().unwrap());
    for (value, fd) in [(0, None), (0, None), (-1, Some(&memory)), (0, Some(&vector)), (1, Some(&vector))] {
        send(&stream, value, fd).unwrap();
    }
    assert!(peer.answer().starts_with("opened "));
    let sent = (2..=65_535).take_while(|id| send(&stream, *id, Some(&vector)).is_ok()).count();
    println!("the JVM ended the connection after {sent} descriptors");
    assert!((2_000..65_000).contains(&sent), "{sent}");
    assert_eq!(peer.ask("run /bin/true"), "ran 0");
    assert_eq!(peer.ask("ring 1 0"), "rung");
    assert_eq!(peer.ask("close"), "closed");

    peer.tell(&open);
    let stream = listener.accept().unwrap().0;
    for (value, fd) in [(0, None), (0, None), (-1, Some(&memory)), (0, Some(&vector)), (1, Some(&vector))] {
        send(&stream, value, fd).unwrap();
    }
    assert!(peer.answer().starts_with("opened "));
    let baits: Vec<_> = (0..5).map(|_| lingering()).collect();
    for Lingering { socket, .. } in &baits {
        let _ = send(&stream, 2, Some(socket));
    }
    let readers: Vec<_> = baits
        .into_iter()
        .map(|Lingering { socket, reader }| {
            drop(ForeignFd::from(socket));
            reader
        })
        .collect();
    let begin = Instant::now();
    assert_eq!(peer.ask("close"), "closed");
    println!("closing took {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
    drop(readers);
}

#[test]
fn java_finds_the_right_device_and_sends_where_it_cannot_receive() {
    if !can_run_java("java_finds_the_right_device_and_sends_where_it_cannot_receive") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), MIB, 2);
    let plain = folder.path().join("plain");
    std::fs::write(&plain, vec![0; 4 << 20]).unwrap();
    let guest = with_java(Guest::builder("java-no-iommu"))
        .iommu(Iommu::None)
        .doorbell(server.path(), 2)
        .plain(&plain, 4 << 20)
        .boot()
        .unwrap();
    let mut inside = Peer::in_guest(&guest, &newest());
    let mut outside = Peer::on_host();

    let listed = inside.ask("list");
    let devices: Vec<_> = listed.trim_end_matches(" | ").split(" | ").collect();
    assert_eq!(devices.len(), 2, "{listed}");
    assert!(devices[0].starts_with("0000:00:05.0 size=1048576 revision=1 vectors=2 driver=null group=null"));
    assert!(devices[0].contains("memory=null sending=null receiving=no-iommu: "), "{listed}");
    assert!(devices[1].starts_with("0000:00:06.0 size=4194304 revision=1 vectors=0 "), "{listed}");
    assert!(devices[1].contains("receiving=no-vectors: "), "{listed}");
    assert!(inside.ask("open auto").contains("0000:00:06.0"), "it says which there are");

    let facts = "opened id=false vectors=0 interrupts=false peers=false size=4194304 cache=WRITE_COMBINED";
    assert_eq!(inside.ask("open-size 4194304"), facts);
    for what in ["register 0", "ring 0 0", "join 0"] {
        let said = inside.ask(what);
        assert!(said.starts_with("failed UnsupportedOperationException: "), "{what}: {said}");
        assert!(said.contains("it is an ivshmem-plain"), "{what}: {said}");
    }
    assert_eq!(inside.ask("wait 0 1000"), "rung true", "a pause replaces an interrupt");
    inside.ask("write 100");
    let opened = outside.ask(&format!("open plain:{}", plain.display()));
    assert!(opened.contains("size=4194304"), "{opened}");
    assert_eq!(outside.ask("read 100"), inside.ask("read 100"));
    inside.ask("close");
    outside.ask("close");

    let facts = "opened id=true vectors=0 interrupts=false peers=false size=1048576 cache=UNCACHED";
    assert_eq!(inside.ask("open pci:size=1M?cache=uncached"), facts);
    let said = inside.ask("register 0");
    let finding = "failed UnsupportedOperationException: this device cannot be interrupted: no-iommu: ";
    assert!(said.starts_with(finding), "{said}");
    let said = inside.ask("next 0");
    assert!(said.starts_with(finding), "{said}");
    for vector in [0, 1, 255] {
        assert_eq!(inside.ask(&format!("wait {vector} 1000")), "rung true", "a pause replaces an interrupt");
    }
    assert_eq!(inside.ask("wait 0 0"), "rung false");
    let said = inside.ask("wait 256 0");
    assert!(said.contains("no device has a vector 256: vectors are 0 to 255"), "{said}");
    assert!(outside.ask(&format!("open doorbell:{}", server.path().display())).starts_with("opened"));
    let witness = ivshmem::doorbell(server.path()).connect().unwrap();
    let id = witness.own_id().unwrap();
    for vector in 0..2 {
        // A ring is lost as long as the guest's QEMU has not heard of a new peer.
        let deadline = Instant::now() + Duration::from_secs(60);
        while !witness.wait(vector, Some(Instant::now() + Duration::from_millis(20))).unwrap() {
            assert_eq!(inside.ask(&format!("ring {} {vector}", id.0)), "rung");
            assert!(Instant::now() < deadline, "vector {vector} is never rung");
        }
    }
    same_bytes_and_atomics(&mut [inside, outside]);
    guest.power_off().unwrap();
}

#[test]
fn java_of_32_and_of_64_bits_share_a_region() {
    let name = "java_of_32_and_of_64_bits_share_a_region";
    if !can_run_java(name) {
        return;
    }
    if let Err(error) = Packages::find().unwrap().root_32() {
        return ivshmem_conformance::skip(name, &error.to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), MIB, 2);
    let guest = Guest::builder("java-32")
        .memory(512)
        .root_32()
        .share(folder_of_jars(), "/share/java")
        .doorbell(server.path(), 2)
        .boot()
        .unwrap();
    bind(&guest, "0000:00:05.0");
    let home = guest.sh("cd /i386; ls -d usr/lib/jvm/java-*-openjdk-i386 | tail -n 1").unwrap();
    let java = format!("/{}/bin/java", home.trim());
    let inside = Peer::started(&guest, Program::new(java).args(words(Place::Guest)).root("/i386"));
    let mut peers = [inside, Peer::on_host()];

    assert!(peers[0].ask("open pci:0").contains("interrupts=true"));
    assert!(peers[1].ask(&format!("open doorbell:{}", server.path().display())).contains("interrupts=true"));
    let limits = "i386 aligned=true wide=false IllegalArgumentException UnsupportedOperationException";
    assert_eq!(peers[0].ask("limits"), limits);
    assert_eq!(peers[1].ask("limits"), "amd64 aligned=false wide=true nothing nothing");
    for (me, peer) in peers.iter_mut().enumerate() {
        assert_eq!(peer.ask(&format!("join {me}")), "joined");
    }
    all_call_all(&mut peers, 2);
    same_bytes_and_atomics(&mut peers);
    drop(peers);
    guest.power_off().unwrap();
}

/// Linux 6.1, in which a mapping over another one unmaps that before it finds that there is no memory.
#[test]
fn a_jvm_survives_closing_what_other_threads_copy_when_the_kernel_has_no_memory_for_it() {
    let name = "a_jvm_survives_closing_what_other_threads_copy_when_the_kernel_has_no_memory_for_it";
    if !can_run_java(name) {
        return;
    }
    let classes = tempfile::tempdir().unwrap();
    let source = checkout::package().join("tests/java_programs/CloseWithoutMemory.java");
    let Some(javac) = jvms().iter().map(|java| java.with_file_name("javac")).find(|javac| javac.exists())
    else {
        return ivshmem_conformance::skip(name, "no JDK with javac in /usr/lib/jvm");
    };
    let mut javac = Command::new(javac);
    javac
        .args(["--release", "8", "-Xlint:-options", "-d"])
        .arg(classes.path())
        .arg("-cp")
        .arg(folder_of_jars().join(JARS[0]))
        .arg(source);
    assert!(javac.status().unwrap().success(), "javac");
    let guest = with_java(Guest::builder("java-strict")).memory(1024).share(classes.path(), "/share/classes");
    let guest = guest.boot().unwrap();
    guest.sh("fallocate -l 128M /dev/shm/memory").unwrap();
    for java in [oldest(), newest()] {
        let path = format!("/share/java/{}:/share/classes", JARS[0]);
        let words = ["-Xms64m", "-Xmx64m", "-Duser.home=/tmp", "-cp", &path, "CloseWithoutMemory"];
        let program = Program::new(java.to_str().unwrap()).args(words).arg("/dev/shm/memory");
        let said = guest.run(program.limit(Duration::from_secs(300))).unwrap();
        println!("{}: {said}", java.display());
        assert!(said.starts_with("closed 0 refused 20 "), "the kernel had memory: {said}");
        assert!(said.contains("IvshmemException: cannot give shared pages back"), "{said}");
    }
    guest.power_off().unwrap();
}

/// Each calls each other one, a thousand times on each vector, and rings as often without waiting.
fn all_call_all(peers: &mut [Peer], vectors: u32) {
    let all = peers.len();
    for (caller, peer) in peers.iter_mut().enumerate() {
        for called in (0..all).filter(|called| *called != caller) {
            assert_eq!(peer.ask(&format!("meet {called}")), "met");
            let said = peer.ask(&format!("call {called} {ROUNDS}"));
            let wanted = format!("called {ROUNDS} times on {vectors} vectors");
            assert!(said.starts_with(&wanted), "{caller} calls {called}: {said}");
            println!("{caller} {said} there and back to {called} ({} is the host)", all - 1);
            let wanted = format!("rung {ROUNDS} times on {vectors} vectors");
            assert_eq!(peer.ask(&format!("burst {called} {ROUNDS}")), wanted, "{caller} calls {called}");
        }
    }
    for peer in peers {
        assert_eq!(peer.ask("check"), "fine");
    }
}

/// What one writes the others read, and what all add to at the same time is the sum.
fn same_bytes_and_atomics(peers: &mut [Peer]) {
    const VALUES: u64 = 0x8_0000;
    const SUMS: u64 = 0x9_0000;
    const ADDS: u64 = 20_000;
    for writer in 0..peers.len() {
        let at = VALUES + 128 * writer as u64;
        assert_eq!(peers[writer].ask(&format!("write {at}")), "written");
        let read: Vec<_> = peers.iter_mut().map(|peer| peer.ask(&format!("read {at}"))).collect();
        let wanted = "-2 -12345 305419896 1234605616436508552 1.5 -2.25 16909060 -9223372036854775801 99 -99 1099511627776";
        assert!(read.iter().all(|read| read == wanted), "{read:?}");
        let bytes: Vec<_> = peers.iter_mut().map(|peer| peer.ask(&format!("bytes {at} 64"))).collect();
        assert!(bytes.iter().all(|other| *other == bytes[0]), "{bytes:?}");
    }
    for peer in &mut *peers {
        peer.tell(&format!("add {SUMS} {ADDS}"));
    }
    for peer in &mut *peers {
        assert_eq!(peer.answer(), "added");
    }
    let sum = ADDS * peers.len() as u64;
    let mut wanted = [0_u8; 48];
    wanted[0] = sum.to_le_bytes()[0];
    wanted[8..10].copy_from_slice(&sum.to_le_bytes()[..2]);
    for at in [16, 24, 32, 40] {
        wanted[at..at + 8].copy_from_slice(&sum.to_le_bytes());
    }
    for peer in peers {
        // As Java prints them.
        let signed: Vec<_> = wanted.iter().map(|byte| byte.cast_signed()).collect();
        assert_eq!(peer.ask(&format!("bytes {SUMS} 48")), format!("{signed:?}"));
    }
}

/// A JVM that answers each line with a line.
struct Peer {
    jvm: Jvm,
}

enum Jvm {
    Guest(Option<Process>),
    Host { child: Child, input: ChildStdin, output: BufReader<ChildStdout> },
}

impl Peer {
    fn in_guest(guest: &Guest, java: &Path) -> Self {
        Self::started(guest, Program::new(java.to_str().unwrap()).args(words(Place::Guest)))
    }

    fn started(guest: &Guest, program: Program) -> Self {
        Self { jvm: Jvm::Guest(Some(guest.spawn(program.limit(Duration::from_secs(600))).unwrap())) }
    }

    fn on_host() -> Self {
        Self::on_host_by(Command::new(oldest()))
    }

    /// It may have so many descriptors, and raises its limit by itself no further.
    fn on_host_with(descriptors: u32) -> Self {
        let mut command = Command::new("bash");
        command.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\"")]).arg(oldest());
        Self::on_host_by(command)
    }

    fn on_host_by(mut command: Command) -> Self {
        // Cargo names its folders there, where a JVM looks before it takes the jar's library.
        command.env_remove("LD_LIBRARY_PATH");
        command.args(words(Place::Host)).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { jvm: Jvm::Host { child, input, output } }
    }

    fn ask(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    fn tell(&mut self, line: &str) {
        match &mut self.jvm {
            Jvm::Guest(process) => {
                process.as_ref().expect("it is there until this is dropped").write_line(line).unwrap()
            }
            Jvm::Host { input, .. } => writeln!(input, "{line}").unwrap(),
        }
    }

    fn answer(&mut self) -> String {
        match &mut self.jvm {
            Jvm::Guest(process) => {
                let line = process.as_mut().expect("it is there until this is dropped").line().unwrap();
                line.unwrap_or_else(|| panic!("the JVM in the guest has ended: {}", self.end()))
            }
            Jvm::Host { output, .. } => {
                let mut line = String::new();
                assert!(output.read_line(&mut line).unwrap() > 0, "the JVM on the host has ended");
                line.trim_end_matches('\n').to_owned()
            }
        }
    }

    /// Ends it as a program ends, and says what it left unsaid.
    fn end(&mut self) -> String {
        match &mut self.jvm {
            Jvm::Guest(process) => process.take().map_or_else(String::new, |process| {
                let _ = process.end_input();
                format!("{:?}", process.wait())
            }),
            Jvm::Host { child, .. } => {
                let _ = child.kill();
                format!("{:?}", child.wait())
            }
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

enum Place {
    Guest,
    Host,
}

/// Arguments of a JVM that runs `Peer`.
fn words(place: Place) -> Vec<String> {
    let (folder, home) = match place {
        Place::Guest => (PathBuf::from("/share/java"), PathBuf::from("/tmp")),
        Place::Host => (folder_of_jars(), checkout::root().join("target")),
    };
    let jars: Vec<_> = JARS.iter().map(|jar| folder.join(jar).display().to_string()).collect();
    // What a short life in a slow processor needs.
    let mut words = ["-XX:TieredStopAtLevel=1", "-Xshare:auto"].map(str::to_owned).to_vec();
    words.extend([
        format!("-Duser.home={}", home.display()),
        "-cp".to_owned(),
        jars.join(":"),
        PEER.to_owned(),
    ]);
    words
}

const JARS: [&str; 2] =
    ["ivshmem4j/target/ivshmem4j-2.0.0-SNAPSHOT.jar", "vmtest/target/ivshmem4j-vmtest-2.0.0-SNAPSHOT.jar"];

fn folder_of_jars() -> PathBuf {
    checkout::root().join("java")
}

fn can_run_java(test: &str) -> bool {
    if JARS.iter().any(|jar| !folder_of_jars().join(jar).exists()) {
        ivshmem_conformance::skip(test, "the jar is not there; scripts/java-jar 32 makes it");
        return false;
    }
    can_run(test)
}

/// The JVMs of this machine, by version.
fn jvms() -> Vec<PathBuf> {
    let version = |home: &Path| -> Option<u32> {
        let release = std::fs::read_to_string(home.join("release")).ok()?;
        let text = release.lines().find_map(|line| line.strip_prefix("JAVA_VERSION=\""))?;
        text.split(['.', '"', '+']).next()?.parse().ok()
    };
    let homes = std::fs::read_dir("/usr/lib/jvm").unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = homes.filter_map(|home| Some((version(&home)?, home.join("bin/java")))).collect();
    found.sort();
    found.into_iter().map(|(_, java)| java).collect()
}

fn oldest() -> PathBuf {
    jvms().swap_remove(0)
}

fn newest() -> PathBuf {
    jvms().pop().unwrap()
}

fn with_java(builder: GuestBuilder) -> GuestBuilder {
    builder.memory(512).host_programs().share(folder_of_jars(), "/share/java")
}

fn start(folder: &Path, size: u64, vectors: u32) -> Server {
    Server::builder(folder.join("server.sock")).size(size).vectors(vectors).start().unwrap()
}

/// Gives a device to vfio-pci.
fn bind(guest: &Guest, address: &str) {
    let device = format!("/sys/bus/pci/devices/{address}");
    guest
        .sh(&format!("echo vfio-pci >{device}/driver_override && echo {address} >/sys/bus/pci/drivers_probe"))
        .unwrap();
}
