//! The harness itself, on which every other test with a guest relies.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use ivshmem_conformance::checkout;
use ivshmem_vmtest::{Ending, Error, Guest, Packages, Program, can_run};

#[test]
fn programs_run_side_by_side_and_their_output_and_end_are_told() {
    if !can_run("programs_run_side_by_side_and_their_output_and_end_are_told") {
        return;
    }
    let guest = Guest::builder("programs").boot().unwrap();

    let output = guest.output(Program::shell("echo out; echo $HERE >&2; exit 3").env("HERE", "err")).unwrap();
    assert_eq!((output.ending, &*output.out, &*output.err), (Ending::Status(3), "out\n", "err\n"));
    let output = guest.output(Program::shell("kill -TERM $$")).unwrap();
    assert_eq!(output.ending, Ending::Signal(15));
    let output = guest.output(Program::new("/bin/no-such-program")).unwrap();
    assert!(
        matches!(&output.ending, Ending::NotStarted(why) if why.contains("no-such-program")),
        "{output:?}"
    );

    let mut first = guest.spawn(Program::shell("read x; echo first $x; sleep 1000")).unwrap();
    let mut second = guest.spawn(Program::new("cat")).unwrap();
    second.write_line("a line").unwrap();
    assert_eq!(second.line().unwrap().as_deref(), Some("a line"));
    first.write_line("after second").unwrap();
    first.expect_line("first after second").unwrap();
    first.kill().unwrap();
    assert_eq!(first.wait().unwrap().ending, Ending::Signal(9));
    second.end_input().unwrap();
    assert_eq!(second.line().unwrap(), None);

    let text: String = (0..300_000).map(|i| format!("{i}\n")).collect();
    guest.write_file("/tmp/text", &text).unwrap();
    assert!(guest.run(Program::new("cat").arg("/tmp/text")).unwrap() == text, "two megabytes there and back");

    // A program is killed when its handle is dropped.
    let waiting = guest.spawn(Program::shell("exec sleep 4321")).unwrap();
    drop(waiting);
    guest.sh("while pgrep -f 'sleep 432[1]'; do sleep 0.1; done").unwrap();
    guest.power_off().unwrap();
}

#[test]
fn failures_name_the_guest_and_show_its_console() {
    if !can_run("failures_name_the_guest_and_show_its_console") {
        return;
    }
    let guest = Guest::builder("failing").boot().unwrap();
    guest.sh("echo a word on the console >/dev/console").unwrap();
    let error = guest.sh("echo some output; false").unwrap_err();
    let text = error.to_string();
    for part in ["guest failing", "some output", "Status(1)", "a word on the console"] {
        assert!(text.contains(part), "{text}");
    }
    let slow = Program::shell("echo begun; sleep 1000").limit(Duration::from_millis(500));
    let text = guest.run(slow).unwrap_err().to_string();
    assert!(text.contains("did not end in time") && text.contains("begun"), "{text}");

    // A guest that ends unexpectedly ends the waits for its programs.
    let text = guest.sh("echo c >/proc/sysrq-trigger; sleep 1000").unwrap_err().to_string();
    assert!(text.contains("rebooted by itself"), "{text}");
    let console = guest.console().to_owned();
    assert!(std::fs::read_to_string(&console).unwrap().contains("sysrq triggered crash"));
    drop(guest);
    assert!(console.exists(), "it is kept");
    std::fs::remove_file(console).unwrap();
}

#[test]
fn a_guest_reboots_and_is_killed_and_leaves_nothing() {
    if !can_run("a_guest_reboots_and_is_killed_and_leaves_nothing") {
        return;
    }
    let guest = Guest::builder("reboot").boot().unwrap();
    let first = guest.sh("cat /proc/sys/kernel/random/boot_id").unwrap();
    guest.write_file("/tmp/gone", "x").unwrap();
    let lost = guest.spawn(Program::shell("sleep 1000")).unwrap();
    guest.reboot().unwrap();
    let text = lost.wait().unwrap_err().to_string();
    assert!(text.contains("has rebooted"), "{text}");
    assert_ne!(guest.sh("cat /proc/sys/kernel/random/boot_id").unwrap(), first);
    guest.sh("[ ! -e /tmp/gone ]").unwrap();

    let (pid, console) = (guest.pid(), guest.console().to_owned());
    assert!(std::fs::exists(format!("/proc/{pid}")).unwrap());
    guest.kill();
    assert!(!std::fs::exists(format!("/proc/{pid}")).unwrap());
    // The lost program counts as a failure, so the console output is kept.
    std::fs::remove_file(console).unwrap();
}

#[test]
fn no_qemu_outlives_the_program_that_booted_it() {
    if !can_run("no_qemu_outlives_the_program_that_booted_it") {
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    let mut vmtest = Command::new(checkout::built("vmtest"))
        .args(["run", "--", "sh", "-c", "echo up; sleep 1000"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(vmtest.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let qemu = child_of(vmtest.id());
    let lives =
        || std::fs::read_to_string(format!("/proc/{qemu}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(lives());
    vmtest.kill().unwrap();
    vmtest.wait().unwrap();
    while lives() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0, "files are gone");
}

/// The only child of a process, created by any of its threads.
fn child_of(process: u32) -> u32 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap().flatten();
    let children: Vec<_> =
        tasks.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap()).collect();
    children.concat().trim().parse().unwrap()
}

#[test]
fn a_jvm_of_the_host_runs_in_a_guest() {
    if !can_run("a_jvm_of_the_host_runs_in_a_guest") {
        return;
    }
    let guest = Guest::builder("jvm").memory(512).host_programs().boot().unwrap();
    let said = guest.output(Program::new("java").arg("-version")).unwrap();
    assert!(said.ending == Ending::Status(0) && said.err.contains("Runtime Environment"), "{said:?}");
}

#[test]
fn programs_of_32_bits_run_in_a_guest() {
    let name = "programs_of_32_bits_run_in_a_guest";
    if !can_run(name) {
        return;
    }
    if let Err(error) = Packages::find().unwrap().root_32() {
        return ivshmem_conformance::skip(name, &error.to_string());
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "shared\n").unwrap();
    let guest = Guest::builder("i386").memory(512).root_32().share(folder.path(), "/share/x").boot().unwrap();
    assert_eq!(guest.sh("cat /i386/share/x/file").unwrap(), "shared\n");
    let java = guest.sh("ls -d /i386/usr/lib/jvm/java-17-openjdk-i386").unwrap();
    let program =
        Program::new(format!("{}/bin/java", java.trim().trim_start_matches("/i386"))).arg("-version");
    let said = guest.output(program.root("/i386")).unwrap();
    assert!(said.ending == Ending::Status(0) && said.err.contains("Server VM"), "{said:?}");
}

#[test]
fn without_packages_the_remedy_is_named() {
    let nothing = tempfile::tempdir().unwrap();
    let output = Command::new(checkout::built("vmtest"))
        .args(["run", "--", "true"])
        .env("XDG_CACHE_HOME", nothing.path())
        .env_remove("VMTEST_KERNEL")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("no linux in") && text.contains("run scripts/vm-packages"), "{text}");
}

#[test]
fn what_cannot_boot_says_why() {
    if !can_run("what_cannot_boot_says_why") {
        return;
    }
    let error = Guest::builder("wrong").options(["-device", "no-such-device"]).boot().unwrap_err();
    let Error::Guest { what, console, .. } = error else { panic!("{error}") };
    assert!(what.contains("QEMU ended"), "{what}");
    assert!(console.to_string().contains("no-such-device"), "{console}");
    let error = Guest::builder("wrong").program("/no/such/file").boot().unwrap_err();
    assert!(error.to_string().contains("/no/such/file"), "{error}");
}
