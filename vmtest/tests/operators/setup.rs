//! `ivshmem setup` in a guest with systemd and udev, over reboots.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ivshmem::PeerId;
use ivshmem_conformance::checkout;
use ivshmem_conformance::skip;
use ivshmem_server::Server;
use ivshmem_vmtest::{Ending, Guest, Output, Packages, Program, can_run};

use super::ivshmem;

/// Everything that setup could change, except backups and locks of the tools for users.
const STATE: &str = "
    find /etc /usr/local -type f ! -name '*[-+]' ! -name '.pwd.lock' ! -name ld.so.cache -exec sha256sum {} + | sort -k 2
    stat -c '%n %U %G %a' /sys/bus/pci/devices/0000:00:05.0/{resource0,resource2,resource2_wc,config,enable}
    readlink /sys/bus/pci/devices/0000:00:05.0/driver
    cat /sys/bus/pci/devices/0000:00:05.0/driver_override
    ls /dev/vfio | grep '[0-9]'; true";

#[test]
fn a_group_of_users_has_interrupts_after_a_reboot_and_undo_restores_all() {
    let name = "a_group_of_users_has_interrupts_after_a_reboot_and_undo_restores_all";
    if !can_run(name) {
        return;
    }
    let java = match Java::find() {
        Ok(java) => java,
        Err(why) => return skip(name, &why),
    };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("server");
    let _server = Server::builder(&socket).size(1 << 20).vectors(2).start().unwrap();
    let host = ivshmem::doorbell(&socket).connect().unwrap();
    let guest = Guest::builder("setup").memory(768).debian().doorbell(&socket, 2);
    let guest = java.given_to(guest).share(ivshmem().parent().unwrap(), "/share/bin").boot().unwrap();
    guest.sh("install -m 755 /share/bin/ivshmem /usr/local/bin/; useradd -m user; useradd -m other").unwrap();
    let state = || guest.run(Program::new("/bin/bash").args(["-c", STATE])).unwrap();
    let before = state();

    // Without root or with --dry-run nothing is changed.
    let refused = guest.output(as_user("user", "ivshmem setup")).unwrap();
    assert!(refused.ending == Ending::Status(1) && refused.err.contains("only root"), "{refused:?}");
    let dry = guest.sh("ivshmem setup --dry-run").unwrap();
    for what in ["write /etc/udev/rules.d/70-ivshmem.rules", "groupadd --system ivshmem", "bind 0000:00:05.0"]
    {
        assert!(dry.contains(what), "{dry}");
    }
    is_as(&state(), &before, "refused");
    let nothing = guest.output(Program::shell("ivshmem setup --undo")).unwrap();
    assert!(
        nothing.ending == Ending::Status(1) && nothing.err.contains("nothing has been set up"),
        "{nothing:?}"
    );

    // Without udev nothing is started, and an interrupted setup can be undone.
    let fails = |command: &str, parts: &[&str]| {
        let output = guest.output(Program::shell(command)).unwrap();
        assert_eq!(output.ending, Ending::Status(1), "{command}: {output:?}");
        parts
            .iter()
            .for_each(|part| assert!(output.err.contains(part), "{command}: {} has no {part}", output.err));
    };
    let (hide, show) = ("mv /usr/bin/udevadm /usr/bin/hidden", "mv /usr/bin/hidden /usr/bin/udevadm");
    guest.sh(hide).unwrap();
    fails(
        "ivshmem setup",
        &["no program udevadm", "install it (Debian's package udev); nothing was changed"],
    );
    assert_eq!(guest.sh("ls /etc/udev/rules.d").unwrap(), "", "a failed setup leaves rules");
    guest.sh(show).unwrap();
    let (stop, start) = ("systemctl stop systemd-udevd", "systemctl start systemd-udevd");
    let sockets = "systemd-udevd-control.socket systemd-udevd-kernel.socket";
    guest.sh(&format!("{stop} {sockets}")).unwrap();
    fails("ivshmem setup", &["udev does not run", "start systemd-udevd", "nothing was changed"]);
    guest.sh(&format!("systemctl start {sockets}; {start}; udevadm settle")).unwrap();
    is_as(&state(), &before, "refused");
    guest.sh(&format!("ivshmem setup && {hide} && ivshmem setup --undo && {show}")).unwrap();
    is_as(&state(), &before, "udev was there for setup only");
    guest
        .sh(&format!(
            "ivshmem setup && {stop} {sockets} && ivshmem setup --undo; systemctl start {sockets}; {start}"
        ))
        .unwrap();
    guest.sh("udevadm settle").unwrap();
    is_as(&state(), &before, "udev ran for setup only");
    // Partial failures: the group cannot be created, then it cannot be removed, and undo works once the obstacle is gone.
    let (pin, free) = ("mount --bind /etc/group /etc/group", "umount /etc/group");
    guest.sh(pin).unwrap();
    fails("ivshmem setup", &["cannot groupadd --system ivshmem", "ivshmem setup --undo"]);
    guest.sh(&format!("ivshmem setup --undo && {free}")).unwrap();
    is_as(&state(), &before, "setup failed halfway");
    guest.sh(&format!("ivshmem setup && {pin}")).unwrap();
    fails("ivshmem setup --undo", &["cannot groupdel ivshmem", "run `ivshmem setup --undo` again"]);
    assert!(!guest.sh("cat /etc/udev/rules.d/*").unwrap().contains("ACTION"));
    guest.sh(&format!("{free} && ivshmem setup --undo")).unwrap();
    is_as(&state(), &before, "undo was run again");
    // A second group replaces the first one, and undo does not take the device from a program that uses it.
    guest.sh("ivshmem setup && ivshmem setup --group second && ! getent group ivshmem").unwrap();
    let mut using = guest.spawn(Program::shell("exec ivshmem listen auto")).unwrap();
    using.expect_line("listening as peer 1 on vectors 0, 1").unwrap();
    fails("ivshmem setup --undo", &["cannot unbind 0000:00:05.0 from vfio-pci", "(ivshmem) receives"]);
    using.kill().unwrap();
    using.wait().unwrap();
    guest.sh("ivshmem setup --undo").unwrap();
    is_as(&state(), &before, "nobody uses the device any more");
    // Without the driver the rest is set up, and the reason is reported.
    let modules = "/usr/lib/modules/$(uname -r)";
    guest.sh(&format!("rmmod vfio_iommu_type1 vfio_pci; mv {modules} {modules}.hidden")).unwrap();
    let told = guest.sh("ivshmem setup").unwrap();
    assert!(told.contains("0000:00:05.0 cannot be rung: the kernel has no driver vfio-pci"), "{told}");
    guest.sh(&format!("ivshmem setup --undo; mv {modules}.hidden {modules}")).unwrap();
    is_as(&state(), &before, "there was no driver");

    // Programs with these names in other directories are not used, whatever PATH contains.
    let planted = "mkdir /planted && cd /planted && for name in groupadd groupdel udevadm modprobe; do \
        printf '#!/bin/sh\\ntouch /planted/was-run\\n' >$name; chmod 755 $name; done";
    guest.sh(planted).unwrap();
    for path in ["env -u PATH", "env PATH=/planted", "env PATH=", "env PATH=."] {
        guest.sh(&format!("cd /planted && {path} /usr/local/bin/ivshmem setup")).unwrap();
        guest.sh(&format!("cd /planted && {path} /usr/local/bin/ivshmem setup --undo")).unwrap();
        is_as(&state(), &before, path);
    }
    guest.sh("[ ! -e /planted/was-run ] && rm -r /planted").unwrap();

    // Works at once, and a second setup changes nothing more.
    guest.sh("ivshmem setup && usermod -aG ivshmem user").unwrap();
    is_well(&guest.output(as_user("user", "ivshmem doctor --json auto")).unwrap());
    let after = state();
    guest.sh("ivshmem setup").unwrap();
    assert_eq!(state(), after);

    guest.sh("sync").unwrap();
    guest.reboot().unwrap();
    guest.sh("udevadm settle").unwrap();
    assert_eq!(state(), after);
    is_well(&guest.output(as_user("user", "ivshmem doctor --json auto")).unwrap());
    let denied = guest.output(as_user("other", "ivshmem doctor --json auto")).unwrap();
    assert!(denied.ending == Ending::Status(4) && denied.out.contains("\"not-permitted\""), "{denied:?}");
    guest.sh(denied.out.split('`').nth(1).unwrap()).unwrap();
    is_well(&guest.output(as_user("other", "ivshmem doctor --json auto")).unwrap());

    // The host interrupts a JVM that does not run as root.
    let command = format!("{} -cp /share/classes:/share/jar/{} Receive", java.program, java.jar_name());
    let mut receiving = guest.spawn(as_user("user", &command).limit(Duration::from_secs(300))).unwrap();
    let first = loop {
        let line = receiving.line().unwrap().expect("the JVM has ended");
        if line.starts_with("peer ") {
            break line;
        }
    };
    assert!(first.ends_with(" of user user"), "{first}");
    let peer = PeerId(first.split(' ').nth(1).unwrap().parse().unwrap());
    for (number, vector) in [(41_u32, 0), (42, 1), (43, 0)] {
        host.memory().store(0, number, Ordering::Release).unwrap();
        host.ring(peer, vector).unwrap();
        let wanted = format!("vector {vector} with {number}");
        while receiving.line().unwrap().expect("the JVM has ended") != wanted {}
    }
    receiving.end_input().unwrap();
    receiving.succeed().unwrap();

    // Undo restores everything, at once and after a reboot.
    guest.sh("ivshmem setup --undo").unwrap();
    is_as(&state(), &before, "after undo");
    guest.sh("! getent group ivshmem && [ ! -e /sys/bus/pci/devices/0000:00:05.0/driver ] && sync").unwrap();
    guest.reboot().unwrap();
    guest.sh("udevadm settle").unwrap();
    is_as(&state(), &before, "after undo and a reboot");
}

/// Compares states, and shows the lines that are in only one of them.
#[track_caller]
fn is_as(state: &str, wanted: &str, when: &str) {
    let only_in = |one: &str, other: &str| {
        let lines = one.lines().filter(|line| !other.lines().any(|there| there == *line));
        lines.map(|line| format!("{line}\n")).collect::<String>()
    };
    let (now, before) = (only_in(state, wanted), only_in(wanted, state));
    assert!(state == wanted, "{when}: now\n{now}and before\n{before}");
}

pub(super) fn as_user(user: &str, command: &str) -> Program {
    let script = format!("exec setpriv --reuid {user} --regid $(id -g {user}) --init-groups {command}");
    Program::shell(&script).env("HOME", format!("/home/{user}"))
}

#[track_caller]
pub(super) fn is_well(output: &Output) {
    let is_well = output.ending == Ending::Status(0) && output.out.contains("\"findings\":[]");
    assert!(is_well, "{output:?}");
}

/// The Java library, a program that uses it, and a JVM of the host.
struct Java {
    /// The path of the JVM in the guest.
    program: String,
    jar: PathBuf,
    classes: tempfile::TempDir,
}

impl Java {
    fn find() -> Result<Self, String> {
        let debian = Packages::find().and_then(|packages| packages.debian());
        debian.map_err(|e| e.to_string())?;
        let root = checkout::root();
        let jars = std::fs::read_dir(root.join("java/ivshmem4j/target"));
        let mut jars = jars.into_iter().flatten().flatten().map(|entry| entry.path());
        let jar = jars.find(|path| path.to_string_lossy().ends_with("-SNAPSHOT.jar"));
        let jar = jar.ok_or("no jar of the Java library: run scripts/test-vm, which builds it")?;
        let home = "/usr/lib/jvm/java-17-openjdk-amd64";
        if !Path::new(home).join("bin/javac").exists() {
            return Err("no JDK 17 of Debian here".to_owned());
        }
        let classes = tempfile::tempdir().unwrap();
        let source = root.join("vmtest/tests/operators/Receive.java");
        let mut javac = Command::new(format!("{home}/bin/javac"));
        let status = javac.arg("-d").arg(classes.path()).arg("-cp").args([&jar, &source]).status().unwrap();
        assert!(status.success(), "javac");
        Ok(Self { program: format!("/host{home}/bin/java"), jar, classes })
    }

    fn jar_name(&self) -> &str {
        self.jar.file_name().unwrap().to_str().unwrap()
    }

    fn given_to(&self, guest: ivshmem_vmtest::GuestBuilder) -> ivshmem_vmtest::GuestBuilder {
        let guest = guest.share("/usr", "/host/usr").share("/etc/java-17-openjdk", "/etc/java-17-openjdk");
        guest.share(self.jar.parent().unwrap(), "/share/jar").share(self.classes.path(), "/share/classes")
    }
}
