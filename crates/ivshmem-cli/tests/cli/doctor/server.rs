//! Findings about servers.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use ivshmem_conformance::bare_server::{BareServer, Manner, send};
use ivshmem_conformance::{checkout, skip};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use super::mounts::in_mounts;
use super::{HERE, Nobody, Server, commands, cured, cured_after, is_root, visit, visit_by};

fn socket() -> (TempDir, PathBuf, String) {
    let dir = TempDir::new().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = dir.path().join("s.sock");
    let target = format!("doorbell:{}", path.display());
    (dir, path, target)
}

#[test]
fn a_server_in_order_gets_arguments_that_fit_it() {
    let (_dir, path, target) = socket();
    let _server = ivshmem_server::Server::builder(&path).size(1 << 20).vectors(3).start().unwrap();
    let visited = visit(&target, &["--size", "1M", "--vectors", "3"]);
    visited.is_well();
    let words = visited.report["qemu"].to_string() + &visited.report["libvirt_once"].to_string();
    assert!(words.contains("vectors=3") && words.contains("intel-iommu"), "{words}");
    assert!(visited.report["libvirt"].as_str().unwrap().contains("<msi vectors='3'"));
}

#[test]
fn a_missing_server_is_started_by_the_remedy() {
    let (dir, path, target) = socket();
    cured("server-missing", HERE, || visit(&target, &[]));
    // A socket that a killed server left is taken over. Sizes and vectors are the requested ones.
    drop(UnixListener::bind(&path).unwrap());
    cured("server-missing", HERE, || visit(&target, &["--size", "3M", "--vectors", "2"]));
    // A missing directory, and a name that needs quoting in a shell.
    let target = format!("doorbell:{}/new/s & t.sock", dir.path().display());
    cured("server-missing", HERE, || visit(&target, &[]));
}

#[test]
fn who_may_not_start_a_server_hears_that_root_may() {
    if !is_root("who_may_not_start_a_server_hears_that_root_may") {
        return;
    }
    let (dir, _, target) = socket();
    let nobody = Nobody::new();
    // The directory, or the nearest existing one above it, belongs to root; then the user is not in the machine's group.
    for (target, options) in [(&target, &[][..]), (&format!("{target}.d/s"), &[])] {
        let remedy = cured("server-missing", HERE, || nobody.visit(target, options));
        assert!(remedy.contains(": as root: `"), "{remedy}");
    }
    std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let remedy = cured("server-missing", HERE, || nobody.visit(&target, &["--qemu-user", "daemon"]));
    assert!(remedy.contains(": as root: `"), "{remedy}");
    for user in ["root", "nobody"] {
        let remedy = nobody.visit(&target, &["--qemu-user", user]).remedy("server-missing");
        assert!(!remedy.contains("as root"), "{remedy}");
        assert!(!remedy.contains("--owner"), "{remedy}");
    }
}

#[test]
fn no_socket_is_made_among_files_of_the_system() {
    let test = "no_socket_is_made_among_files_of_the_system";
    in_mounts(test, "tmpfs", "size=8M", |mounted| {
        mounted.run("mount --bind $M /run");
        let place = mounted.place();
        for path in ["/etc/cron.d/no.sock", "/usr/no/s.sock"] {
            let remedy = cured("server-missing", place, || place.visit(&format!("doorbell:{path}"), &[]));
            assert!(commands(&remedy)[0].contains(" -S /run/"), "{remedy}");
            mounted.run("rm -f /run/*.sock");
        }
    });
}

#[test]
fn a_missing_server_is_started_for_the_machine_as_well() {
    if !is_root("a_missing_server_is_started_for_the_machine_as_well") {
        return;
    }
    let (_dir, _, target) = socket();
    cured("server-missing", HERE, || visit(&target, &["--qemu-user", "nobody"]));
}

#[test]
fn what_is_no_server_is_told_apart() {
    let (_dir, path, target) = socket();
    fs::write(&path, vec![0; 4096]).unwrap();
    cured("not-a-socket", HERE, || visit(&target, &[]));
    fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = std::io::Write::write_all(&mut stream.unwrap(), b"{\"clients\": []}\n");
        }
    });
    let remedy = cured("not-a-server", HERE, || visit(&target, &[]));
    assert!(commands(&remedy)[0].contains("ivshmem.sock"), "{remedy}");
    // The cause names the reason for a socket of another type.
    let (_dir, path, target) = socket();
    let _packets = packets(&path);
    visit(&target, &[]).cause_has("Protocol wrong type for socket");
    cured("not-a-server", HERE, || visit(&target, &[]));
}

/// A socket that preserves message boundaries.
fn packets(path: &Path) -> OwnedFd {
    let packets = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
    rustix::net::bind(&packets, &SocketAddrUnix::new(path).unwrap()).unwrap();
    rustix::net::listen(&packets, 1).unwrap();
    packets
}

#[test]
fn a_path_that_is_too_long_is_replaced_by_the_remedy() {
    let target = format!("doorbell:/tmp/{}", "x".repeat(120));
    visit(&target, &[]).remedy("path-too-long");
    in_mounts("a_path_that_is_too_long_is_replaced_by_the_remedy", "tmpfs", "size=4M", |mounted| {
        mounted.run("mount --bind $M /run");
        let place = mounted.place();
        cured("path-too-long", place, || place.visit(&target, &[]));
    });
}

#[test]
fn a_server_that_keeps_silent_is_told_apart() {
    let (_dir, path, target) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let visited = visit(&target, &[]);
    let remedy = visited.remedy("server-silent");
    assert!(remedy.contains(&format!("process {} listens there", std::process::id())), "{remedy}");
    assert!(HERE.type_in(&remedy).is_well);
    drop(listener);
    // A stopped server continues.
    fs::remove_file(&path).unwrap();
    let remedy = visit(&target, &[]).remedy("server-missing");
    let server = HERE.type_in(&remedy);
    let group = server.group();
    rustix::process::kill_process_group(group, Signal::STOP).unwrap();
    let remedy = cured("server-silent", HERE, || visit(&target, &[]));
    assert!(remedy.contains("kill -CONT"), "{remedy}");
}

#[test]
fn a_stopped_server_whose_queue_is_full_goes_on_after_the_remedy() {
    let test = "a_stopped_server_whose_queue_is_full_goes_on_after_the_remedy";
    if !is_root(test) {
        return;
    }
    let (_dir, path, target) = socket();
    // In a separate network namespace the backlog can be short.
    let serve = "echo 4 >/proc/sys/net/core/somaxconn && exec \"$0\" serve \"$1\" --mode 666";
    let mut command = Command::new("unshare");
    command.args(["-n", "sh", "-c", serve, checkout::built("ivshmem")]).arg(&path).process_group(0);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let (pid, _server) = (child.id().to_string(), Server(child));
    let mut line = String::new();
    while !line.starts_with("programs:") {
        line.clear();
        if said.read_line(&mut line).unwrap() == 0 {
            return skip(test, "networks cannot be had here");
        }
    }
    rustix::process::kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::STOP).unwrap();
    let connect = || ivshmem::sys::linux::socket::connect(&path, Duration::from_millis(100));
    let _queue: Vec<_> = std::iter::from_fn(|| connect().ok()).collect();
    // As a user to whom the server does not belong.
    let remedy = Nobody::new().visit(&target, &[]).remedy("server-silent");
    assert!(remedy.contains(&format!("as root, `ivshmem doctor {target}`")), "{remedy}");
    let remedy = cured("server-silent", HERE, || {
        let mut command = Command::new("nsenter");
        command.args(["-n", "-t", &pid, checkout::built("ivshmem")]);
        visit_by(command, &target, &[])
    });
    assert_eq!(commands(&remedy), [format!("kill -CONT {pid}")], "{remedy}");
}

#[test]
fn a_server_that_refuses_serves_again_after_the_remedy() {
    let (_dir, path, target) = socket();
    let _server = ivshmem_server::Server::builder(&path).max_clients(1).start().unwrap();
    let client = ivshmem::doorbell(&path).connect().unwrap();
    let visited = visit(&target, &[]);
    visited.remedy("server-refuses");
    visited.cause_has("too many clients");
    // The remedy in the reason: disconnect some clients.
    drop(client);
    let admits = (0..1000).any(|_| visit(&target, &[]).names.iter().all(|name| name != "server-refuses"));
    assert!(admits, "still refused after 1,000 visits");
    visit(&target, &[]).is_well();
}

#[test]
fn a_socket_without_permission_is_opened_by_the_remedy() {
    if !is_root("a_socket_without_permission_is_opened_by_the_remedy") {
        return;
    }
    let (dir, path, target) = socket();
    let server = ivshmem_server::Server::builder(&path).start().unwrap();
    let nobody = Nobody::new();
    nobody.visit(&target, &[]).cause_has("mode 600, user root");
    let remedy = nobody.visit(&target, &[]).remedy("not-permitted");
    // The listening program may not be a server, so the remedy gives no user access to it.
    assert!(!remedy.contains("chmod"), "{remedy}");
    cured_after("not-permitted", HERE, || nobody.visit(&target, &[]), || server.stop().unwrap());

    let _server = ivshmem_server::Server::builder(&path).mode(0o666).start().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    nobody.visit(&target, &[]).cause_has("may not pass");
    cured("not-permitted", HERE, || nobody.visit(&target, &[]));
}

#[test]
fn a_socket_is_judged_for_the_user_who_runs_machines() {
    if !is_root("a_socket_is_judged_for_the_user_who_runs_machines") {
        return;
    }
    let options = ["--qemu-user", "nobody"];
    // The socket, its directory, and both.
    for (socket_mode, directory_mode) in [(0o600, 0o755), (0o666, 0o700), (0o600, 0o700)] {
        let (dir, path, target) = socket();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(directory_mode)).unwrap();
        let _server = ivshmem_server::Server::builder(&path).mode(socket_mode).start().unwrap();
        visit(&target, &["--qemu-user", "root"]).is_well();
        cured("qemu-not-permitted", HERE, || visit(&target, &options));
        let facts = fs::metadata(&path).unwrap();
        assert_eq!(facts.permissions().mode() & 0o006, socket_mode & 0o006, "others get nothing");
    }
    // A supplementary group is enough.
    let (_dir, path, target) = socket();
    let _server = ivshmem_server::Server::builder(&path).mode(0o660).owner(0, 65534).start().unwrap();
    visit(&target, &options).is_well();
    // The permissions let the user connect, but the server refuses.
    let (_dir, path, target) = socket();
    let server = ivshmem_server::Server::builder(&path).mode(0o666).allow_uids([0]).start().unwrap();
    let end = || server.stop().unwrap();
    let remedy = cured_after("qemu-not-permitted", HERE, || visit(&target, &options), end);
    assert!(remedy.contains("--allow-uid root,nobody"), "{remedy}");
    // A directory for other purposes stays closed: the server moves.
    in_mounts("a_socket_is_judged_for_the_user_who_runs_machines", "tmpfs", "size=8M", |mounted| {
        mounted.run("mkdir -p $M/run/private && chmod 700 $M/run/private && mount --bind $M/run /run");
        let place = mounted.place();
        let start = place.visit("doorbell:/run/private/s.sock", &[]).remedy("server-missing");
        let _server = place.type_in(&start);
        let remedy = place.visit("doorbell:/run/private/s.sock", &options).remedy("qemu-not-permitted");
        assert!(!remedy.contains("chmod"), "{remedy}");
        let _other = place.type_in(&remedy);
        place.visit("doorbell:/run/s.sock", &options).is_well();
    });
}

#[test]
fn a_server_that_is_started_anew_keeps_its_size_and_its_vectors() {
    let (_dir, path, target) = socket();
    let server = || ivshmem_server::Server::builder(&path).size(64 << 20).vectors(4);
    let running = server().start().unwrap();
    // Only what was requested changes.
    let remedy = visit(&target, &["--size", "1M"]).remedy("size-differs");
    assert!(commands(&remedy)[0].contains(" -l 1M -n 4"), "{remedy}");
    let remedy = visit(&target, &["--vectors", "2"]).remedy("vectors-differ");
    assert!(commands(&remedy)[0].contains(" -l 64M -n 2"), "{remedy}");
    assert!(remedy.contains("its other options"), "{remedy}");
    running.stop().unwrap();
    if !is_root("a_server_that_is_started_anew_keeps_its_size_and_its_vectors") {
        return;
    }
    let visits = || visit(&target, &["--qemu-user", "nobody"]);
    let running = server().mode(0o666).allow_uids([0]).start().unwrap();
    cured_after("qemu-not-permitted", HERE, visits, || running.stop().unwrap());
    let running = server().mode(0o666).allow_uids([0]).start().unwrap();
    let remedy = visits().remedy("qemu-not-permitted");
    assert!(commands(&remedy)[0].contains(" -l 64M -n 4 "), "{remedy}");
    running.stop().unwrap();
    // Also where the socket is opened, which lasts until the server starts again.
    let _running = server().start().unwrap();
    let remedy = visits().remedy("qemu-not-permitted");
    assert!(remedy.contains(" -l 64M -n 4 "), "{remedy}");
    // A user who may not connect cannot know these values.
    let remedy = Nobody::new().visit(&target, &[]).remedy("not-permitted");
    assert!(remedy.contains("with -l, -n and its other options"), "{remedy}");
}

#[test]
fn sizes_of_servers_are_compared_and_checked() {
    let (_dir, path, target) = socket();
    let server = BareServer::start(&path, Manner { size: 12_288, ..Manner::default() }).unwrap();
    assert!(visit(&target, &[]).remedy("size-not-a-power-of-two").contains("-l 16K"));
    let end = || drop(server);
    cured_after("size-not-a-power-of-two", HERE, || visit(&target, &[]), end);
    let server = ivshmem_server::Server::builder(&path).size(16 << 10).start().unwrap();
    let end = || server.stop().unwrap();
    let remedy = cured_after("size-differs", HERE, || visit(&target, &["--size", "32K"]), end);
    assert!(remedy.contains("-l 32K"), "{remedy}");
    // A request for 3M is satisfied by 4M, which every server provides.
    let _server = ivshmem_server::Server::builder(&path).size(3 << 20).start().unwrap();
    visit(&target, &["--size", "3M"]).is_well();
}

#[test]
fn vectors_that_differ_are_told_with_who_has_how_many() {
    let (_dir, path, target) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let memory: OwnedFd = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, 4096).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, bell) = (stream.unwrap(), eventfd(0, EventfdFlags::CLOEXEC).unwrap());
            // Peer 1 has two vectors, the new client, 2, has one.
            let messages = [
                (0, None),
                (2, None),
                (-1, Some(&memory)),
                (1, Some(&bell)),
                (1, Some(&bell)),
                (2, Some(&bell)),
            ];
            messages.iter().for_each(|(value, fd)| send(&stream, *value, *fd).unwrap());
            // Until the doctor disconnects.
            let _ = std::io::Read::read(&mut &stream, &mut [0]);
        }
    });
    let visited = visit(&target, &[]);
    assert!(visited.remedy("vectors-differ").contains("-n 2"));
    visited.cause_has("peer 1 has 2, a newcomer gets 1");

    let (_dir, path, target) = socket();
    let server = ivshmem_server::Server::builder(&path).vectors(2).start().unwrap();
    visit(&target, &["--vectors", "2"]).is_well();
    let end = || server.stop().unwrap();
    cured_after("vectors-differ", HERE, || visit(&target, &["--vectors", "4"]), end);
}

#[test]
fn a_server_that_pauses_between_vectors_has_them_all() {
    let (_dir, path, target) = socket();
    let listener = UnixListener::bind(&path).unwrap();
    let memory: OwnedFd = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&memory, 4096).unwrap();
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let bell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        for (value, fd) in [(0, None), (0, None), (-1, Some(&memory)), (0, Some(&bell))] {
            send(&stream, value, fd).unwrap();
        }
        // As QEMU's server does on a busy host.
        std::thread::sleep(Duration::from_millis(100));
        send(&stream, 0, Some(&bell)).unwrap();
        let _ = std::io::Read::read(&mut &stream, &mut [0]);
    });
    visit(&target, &["--vectors", "2"]).is_well();
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_told_before_and_when_it_hurts() {
    let (_dir, path, target) = socket();
    let _server = ivshmem_server::Server::builder(&path).vectors(64).start().unwrap();
    let _peer = ivshmem::doorbell(&path).connect().unwrap();
    let limited = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={limit}:"), checkout::built("ivshmem")]);
        command
    };
    // 128 vectors: with the first limit they fit, but hardly anything else; with the second one they do not.
    for limit in ["150", "60"] {
        let visited = visit_by(limited(limit), &target, &[]);
        let remedy = visited.remedy("descriptors-short");
        let [command] = &commands(&remedy)[..] else { panic!("{remedy}") };
        // The command is typed in the shell that runs the doctor.
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("ulimit -Sn {limit}; {command}; exec \"$0\" \"$@\"")]);
        shell.arg(checkout::built("ivshmem"));
        visit_by(shell, &target, &[]).is_well();
    }
}
