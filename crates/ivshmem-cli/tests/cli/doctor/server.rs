//! Findings about servers.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;

use ivshmem_conformance::bare_server::{BareServer, Manner, send};
use ivshmem_server::Server;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use tempfile::TempDir;

use super::{Nobody, is_root, visit, visit_by};

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
    let _server = Server::builder(&path).size(1 << 20).vectors(3).start().unwrap();
    let visited = visit(&target, &["--size", "1M", "--vectors", "3"]);
    visited.is_well();
    let words = visited.report["qemu"].to_string();
    assert!(words.contains("vectors=3") && words.contains("intel-iommu"), "{words}");
    assert!(visited.report["libvirt"].as_str().unwrap().contains("<msi vectors='3'"));
}

#[test]
fn a_missing_server_is_started_by_the_remedy() {
    let (_dir, path, target) = socket();
    let remedy = visit(&target, &[]).remedy("server-missing");
    assert!(remedy.contains(&format!("ivshmem-server -F -S {}", path.display())), "{remedy}");
    // A socket that a killed server left behind.
    drop(UnixListener::bind(&path).unwrap());
    visit(&target, &[]).remedy("server-missing");
    // It takes over the stale socket.
    let _server = Server::builder(&path).start().unwrap();
    visit(&target, &[]).is_well();
}

#[test]
fn what_is_no_server_is_told_apart() {
    let (_dir, path, target) = socket();
    fs::write(&path, "").unwrap();
    visit(&target, &[]).remedy("not-a-socket");
    fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::io::Write::write_all(&mut stream.unwrap(), b"{\"clients\": []}\n").unwrap();
        }
    });
    visit(&target, &[]).remedy("not-a-server");
    visit(&format!("doorbell:/tmp/{}", "x".repeat(120)), &[]).remedy("path-too-long");
}

#[test]
fn a_server_that_keeps_silent_is_told_apart() {
    let (_dir, path, target) = socket();
    let _listener = UnixListener::bind(&path).unwrap();
    visit(&target, &[]).remedy("server-silent");
}

#[test]
fn a_server_that_refuses_serves_again_after_the_remedy() {
    let (_dir, path, target) = socket();
    let _server = Server::builder(&path).max_clients(1).start().unwrap();
    let client = ivshmem::doorbell(&path).connect().unwrap();
    let visited = visit(&target, &[]);
    visited.remedy("server-refuses");
    visited.cause_has("too many clients");
    // What the reason asks for: disconnect some.
    drop(client);
    while visit(&target, &[]).names.iter().any(|name| name == "server-refuses") {}
    visit(&target, &[]).is_well();
}

#[test]
fn a_socket_without_permission_is_opened_by_the_remedy() {
    if !is_root("a_socket_without_permission_is_opened_by_the_remedy") {
        return;
    }
    let (_dir, path, target) = socket();
    let server = Server::builder(&path).start().unwrap();
    let nobody = Nobody::new();
    let visited = nobody.visit(&target);
    let remedy = visited.remedy("not-permitted");
    assert!(remedy.contains("--mode 660 and --owner UID:GID"), "{remedy}");
    visited.cause_has("mode 600, user root");
    server.stop().unwrap();
    let _server = Server::builder(&path).mode(0o660).owner(0, 65534).start().unwrap();
    nobody.visit(&target).is_well();
}

#[test]
fn sizes_of_servers_are_compared_and_checked() {
    let (_dir, path, target) = socket();
    let server = BareServer::start(&path, Manner { size: 12_288, ..Manner::default() }).unwrap();
    let visited = visit(&target, &[]);
    assert!(visited.remedy("size-not-a-power-of-two").contains("-l 16K"), "{}", visited.report);
    drop(server);
    let _server = Server::builder(&path).size(16 << 10).start().unwrap();
    visit(&target, &[]).is_well();
    let remedy = visit(&target, &["--size", "32K"]).remedy("size-differs");
    assert!(remedy.contains("-l 32K"), "{remedy}");
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
            // Peer 1 has two vectors, the newcomer, 2, has one.
            let messages = [
                (0, None),
                (2, None),
                (-1, Some(&memory)),
                (1, Some(&bell)),
                (1, Some(&bell)),
                (2, Some(&bell)),
            ];
            messages.iter().for_each(|(value, fd)| send(&stream, *value, *fd).unwrap());
            // Until the doctor has seen enough.
            let _ = std::io::Read::read(&mut &stream, &mut [0]);
        }
    });
    let visited = visit(&target, &[]);
    assert!(visited.remedy("vectors-differ").contains("-n N"));
    visited.cause_has("peer 1 has 2, a newcomer gets 1");

    let (_dir, path, target) = socket();
    let _server = Server::builder(&path).vectors(2).start().unwrap();
    visit(&target, &["--vectors", "4"]).remedy("vectors-differ");
    visit(&target, &["--vectors", "2"]).is_well();
}

#[test]
fn a_limit_of_descriptors_that_is_too_low_is_told_before_and_when_it_hurts() {
    let (_dir, path, target) = socket();
    let _server = Server::builder(&path).vectors(64).start().unwrap();
    let _peer = ivshmem::doorbell(&path).connect().unwrap();
    let limited = |limit: &str| {
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={limit}:"), env!("CARGO_BIN_EXE_ivshmem")]);
        command
    };
    // 128 vectors: they fit, and hardly anything else does; and they do not.
    for limit in ["150", "60"] {
        let visited = visit_by(limited(limit), &target, &[]);
        assert!(visited.remedy("descriptors-short").contains("ulimit -n"), "{}", visited.report);
    }
    visit_by(limited("1024"), &target, &[]).is_well();
}
