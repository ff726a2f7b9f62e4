//! Java on Windows with Java on Linux, as clients of one server; and the native library in the jar.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{BOTH, Bench, Place, built, file};
use crate::jvm::{
    VERSIONS, can_run_java, jar, linux_jvm, linux_peer, root, windows_jvm, windows_path, windows_peer,
};
use crate::program::Program;

const VECTORS: u16 = 2;

#[test]
fn java_on_windows_and_java_on_linux_exchange_data_and_a_thousand_interrupts_each_way() {
    if !can_run_java("java_on_windows_and_java_on_linux_exchange_data_and_a_thousand_interrupts_each_way") {
        return;
    }
    let place = Place::new(1 << 20, VECTORS);
    let bench = Bench::start(&[&place.device(VECTORS)]);
    let mut linux = linux_peer();
    let opened = linux.ask(&format!("open doorbell:{}", place.socket().display()));
    assert_eq!(opened, "opened id=true vectors=2 interrupts=true peers=true size=1048576 cache=CACHED");
    assert_eq!(linux.ask("join 0"), "joined");
    for version in VERSIONS {
        let mut windows = windows_peer(&bench, version);
        let listed = windows.ask("windows");
        assert!(listed.starts_with(r"[WindowsIvshmemPCIDevice{name='\\?\pci#ven_1af4&dev_1110"), "{listed}");
        assert!(listed.ends_with("', size=1048576}]"), "{listed}");
        let facts = "opened id=true vectors=2 interrupts=true peers=false size=1048576 cache=CACHED";
        assert_eq!(windows.ask("open-windows"), facts, "Java {version}");
        for what in ["peers", "listen", "list"] {
            let said = windows.ask(what);
            assert!(said.starts_with("failed UnsupportedOperationException: "), "{what}: {said}");
        }
        assert_eq!(windows.ask("join 1"), "joined");
        talk(&mut linux, &mut windows, version);

        in_use_until_closed(&bench, &mut windows, version);
        assert!(windows.end().success());
        bench.until_closed(0);
    }
}

/// Each side rings the other one on each vector; both sides check all data.
fn talk(linux: &mut Program, windows: &mut Program, version: &str) {
    for (caller, called) in [(&mut *linux, 1), (&mut *windows, 0)] {
        assert_eq!(caller.ask(&format!("meet {called}")), "met");
        let said = caller.ask(&format!("call {called} 1000"));
        assert!(said.starts_with("called 1000 times on 2 vectors, "), "{said}");
        println!("Java {version} on Windows, {}: {said}", if called == 1 { "called" } else { "calling" });
        assert_eq!(caller.ask(&format!("burst {called} 1000")), "rung 1000 times on 2 vectors");
    }
    for peer in [&mut *linux, &mut *windows] {
        assert_eq!(peer.ask("check"), "fine");
    }
    assert_eq!(linux.ask("write 900000"), "written");
    assert_eq!(windows.ask("read 900000"), linux.ask("read 900000"));
    assert_eq!(windows.ask("write 900100"), "written");
    assert_eq!(linux.ask("bytes 900100 61"), windows.ask("bytes 900000 61"));
    assert_eq!(windows.ask("limits"), "amd64 aligned=false wide=true nothing nothing");
}

fn in_use_until_closed(bench: &Bench, windows: &mut Program, version: &str) {
    let mut second = windows_peer(bench, version);
    let refused = second.ask("open auto");
    assert!(
        refused.starts_with("failed IvshmemException: ") && refused.contains("it is in use"),
        "{refused}"
    );
    assert_eq!(windows.ask("close"), "closed");
    bench.until_closed(0);
    let opened = second.ask("open auto");
    assert!(opened.starts_with("opened id=true vectors=2 interrupts=true"), "Java {version}: {opened}");
    assert_eq!(second.ask("close"), "closed");
    assert!(second.end().success());
    bench.until_closed(0);
}

#[test]
fn the_library_comes_from_the_jar_is_used_again_and_one_that_was_tampered_with_is_not_used() {
    if !can_run_java(
        "the_library_comes_from_the_jar_is_used_again_and_one_that_was_tampered_with_is_not_used",
    ) {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = |name| format!("file={},vectors=1", file(folder.path(), name, 1 << 16).display());
    let bench = Bench::start(&[&device("a"), &device("b")]);
    let cache = local_app_data(Path::new(bench.prefix())).join("ivshmem4j");
    let opens = |peer: &mut Program, what: &str| {
        let said = peer.ask(&format!("open windows:{what}"));
        assert!(said.starts_with("opened id=true vectors=1"), "{said}");
    };

    // Two first uses at the same time.
    let mut peers = [windows_peer(&bench, "17"), windows_peer(&bench, "25")];
    for (peer, what) in peers.iter_mut().zip(["0", "1"]) {
        peer.send(&format!("open windows:{what}"));
    }
    for peer in &mut peers {
        let said = peer.line().unwrap();
        assert!(said.starts_with("opened id=true vectors=1"), "{said}");
    }
    let files = list(&cache);
    assert_eq!(files.len(), 1, "{files:?}");
    let name = files[0].file_name().unwrap().to_str().unwrap();
    assert!(name.len() == 68 && name.ends_with(".dll"), "{name}");
    let library = fs::read(&files[0]).unwrap();
    assert_eq!(digest(&files[0]), name[..64]);
    assert!(fs::read(jar()).unwrap().len() > library.len() / 4);

    // While one program uses its copy, another copy is damaged. Windows cannot replace a file in use.
    let mut tampered = library.clone();
    let middle = tampered.len() / 2;
    tampered[middle] ^= 1;
    let [mut first, second] = peers;
    drop(second);
    bench.until_closed(1);
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[0], &tampered).unwrap();
    let mut third = windows_peer(&bench, "11");
    opens(&mut third, "1");
    let intact = list(&cache).into_iter().filter(|file| fs::read(file).unwrap() == library).count();
    assert_eq!(intact, 1, "{:?}", list(&cache));
    for peer in [&mut first, &mut third] {
        assert_eq!(peer.ask("close"), "closed");
        assert!(peer.end().success());
    }
    bench.until_closed(1);

    // A directory to which other users can write is not used.
    fs::remove_dir_all(&cache).unwrap();
    fs::create_dir(&cache).unwrap();
    fs::set_permissions(&cache, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let mut fourth = windows_peer(&bench, "17");
    opens(&mut fourth, "1");
    assert!(list(&cache).is_empty(), "{:?}", list(&cache));
    assert!(fourth.end().success());
}

#[test]
fn the_samples_of_the_documents_run_on_windows() {
    if !can_run_java("the_samples_of_the_documents_run_on_windows") {
        return;
    }
    let place = Place::new(1 << 20, VECTORS);
    let bench = Bench::start(&[&place.device(VECTORS)]);
    // JVMs in Wine do not see paths that begin with a dot, as those of temporary directories do.
    let classes = &root().join("target/wintest/samples");
    fs::create_dir_all(classes).unwrap();
    for (document, class) in [("docs/windows.md", "WindowsGuest"), ("docs/java.md", "Talk")] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let sample = text
            .split("```java\n")
            .skip(1)
            .map(|rest| rest.split("```").next().unwrap())
            .find(|sample| sample.contains(&format!("public class {class} ")))
            .unwrap_or_else(|| panic!("{document} has no sample {class}"));
        let file = classes.join(format!("{class}.java"));
        fs::write(&file, sample).unwrap();
        let mut javac = Command::new("javac");
        javac.args(["--release", "8", "-Xlint:-options", "-d"]).arg(classes).arg("-cp").arg(jar()).arg(&file);
        assert!(javac.status().unwrap().success(), "{class}");
    }
    let class_path = format!("{};{}", windows_path(&jar()), windows_path(classes));
    let start = |words: &[&str]| {
        let mut command = windows_jvm(&bench, "17");
        Program::begun(command.args(["-cp", &class_path]).args(words))
    };

    let (program, listed) = start(&["WindowsGuest"]);
    assert!(listed.ends_with(": 1048576 bytes"), "{listed}");
    program.expect("read 42");
    program.expect("interrupted");
    assert_eq!(program.line(), None);
    drop(program);
    bench.until_closed(0);

    let (waiting, peer) = start(&["Talk", "auto"]);
    let id = peer.strip_prefix("peer ").unwrap();
    let target = format!("doorbell:{}", place.socket().display());
    let linux_path = format!("{}:{}", jar().display(), classes.display());
    assert!(linux_jvm().args(["-cp", &linux_path, "Talk", &target, id]).status().unwrap().success());
    waiting.expect("Hello World!");
    assert_eq!(waiting.line(), None);
}

/// The directory for application data of Wine's only user.
fn local_app_data(prefix: &Path) -> PathBuf {
    let users = list(&prefix.join("drive_c/users"));
    let user = users.iter().find(|user| !user.ends_with("Public")).unwrap();
    user.join("AppData/Local")
}

fn list(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

fn digest(file: &Path) -> String {
    let said = crate::bench::good(Command::new("sha256sum").arg(file));
    said[..64].to_owned()
}

#[test]
fn the_native_library_of_each_size_serves_a_jvm_of_that_size() {
    if !can_run_java("the_native_library_of_each_size_serves_a_jvm_of_that_size") {
        return;
    }
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let device = format!("file={},vectors=2,peer=7", file(folder.path(), "m", 1 << 16).display());
    let bench = Bench::start(&[&device]);
    for (bits, size) in BOTH.into_iter().zip([64, 32]) {
        let library = windows_path(&built(bits, "ivshmem4j.dll"));
        let program = root().join(format!("target/wintest/jni{size}.exe"));
        let mut command = bench.wine();
        let (program, mut last) = Program::begun(command.arg(program).args([&library, "windows:0"]));
        let mut checked = 0;
        while let Some(line) = program.line() {
            checked += 1;
            last = line;
        }
        assert_eq!(last, format!("all of {size} bits passed"));
        println!("{size} bits: {checked} checks passed");
        bench.until_closed(0);
    }
}
