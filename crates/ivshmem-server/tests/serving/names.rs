//! The socket's name: taken over from a server that has ended, left alone if a server uses it or if it is not a socket.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};

use ivshmem::ErrorKind;
use ivshmem_server::{Backing, Server};

use crate::client::Client;

#[test]
fn a_second_server_on_the_same_socket_is_refused_and_the_first_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let first = Server::builder(&path).start().unwrap();
    for _ in 0..10 {
        let error = Server::builder(&path).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    }
    Client::greeted(first.path(), 1);
}

#[test]
fn a_stale_socket_is_taken_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let server = Server::builder(&path).start().unwrap();
    Client::greeted(server.path(), 1);
}

#[test]
fn of_many_servers_that_find_a_stale_socket_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for _ in 0..20 {
        drop(UnixListener::bind(&path).unwrap());
        let starts: Vec<_> = (0..8)
            .map(|_| {
                let path = path.clone();
                std::thread::spawn(move || Server::builder(path).start())
            })
            .collect();
        let results: Vec<_> = starts.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        Client::greeted(&path, 1);
        drop(results);
        assert!(!path.exists());
    }
}

#[test]
fn a_path_as_long_as_an_address_allows_is_served_and_a_longer_one_refused() {
    let dir = tempfile::tempdir().unwrap();
    let room = 107 - dir.path().as_os_str().len() - 1;
    // Also with a name that takes nearly all of the length.
    let paths =
        [dir.path().join("x".repeat(room)), dir.path().join("d".repeat(40)).join("x".repeat(room - 41))];
    fs::create_dir(dir.path().join("d".repeat(40))).unwrap();
    for path in paths {
        assert_eq!(path.as_os_str().len(), 107);
        for _ in 0..2 {
            let server = Server::builder(&path).start().unwrap();
            Client::greeted(server.path(), 1);
            assert_eq!(Server::builder(&path).start().unwrap_err().kind(), ErrorKind::Busy);
            server.stop().unwrap();
            // The socket of a server that has ended.
            drop(UnixListener::bind(&path).unwrap());
        }
        fs::remove_file(&path).unwrap();
        let error = Server::builder(path.with_extension("y")).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    }
    let error = Server::builder(dir.path().join("..")).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[test]
fn what_is_no_socket_of_a_dead_server_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "precious").unwrap();
    let link = dir.path().join("link");
    symlink(&file, &link).unwrap();
    for path in [&file, &link, &dir.path().to_owned()] {
        let error = Server::builder(path).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error}");
    }
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    let datagrams = dir.path().join("datagrams");
    let _other = UnixDatagram::bind(&datagrams).unwrap();
    assert_eq!(Server::builder(&datagrams).start().unwrap_err().kind(), ErrorKind::Busy);
    let missing = dir.path().join("missing/socket");
    assert_eq!(Server::builder(missing).start().unwrap_err().kind(), ErrorKind::NotFound);
    let long = dir.path().join("x".repeat(108));
    let error = Server::builder(long).start().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
}

#[test]
fn the_socket_has_the_permissions_asked_for_whatever_the_umask() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for mode in [0o600, 0o660, 0o666] {
        let _server = Server::builder(&path).mode(mode).start().unwrap();
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o777, mode);
    }
}

#[test]
fn socket_and_object_belong_to_the_owner_asked_for() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    let (path, object) = (dir.path().join("socket"), dir.path().join("object"));
    let builder = || Server::builder(&path).backing(Backing::Named(object.clone()));
    if !rustix::process::geteuid().is_root() {
        let error = builder().owner(65_531, 65_532).start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(!path.exists() && !object.exists(), "nothing half done");
        return;
    }
    let _server = builder().owner(65_531, 65_532).start().unwrap();
    for file in [&path, &object] {
        let metadata = fs::metadata(file).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (65_531, 65_532));
    }
}

#[test]
fn a_socket_that_was_replaced_meanwhile_is_not_removed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let server = Server::builder(&path).start().unwrap();
    fs::remove_file(&path).unwrap();
    let _successor = UnixListener::bind(&path).unwrap();
    server.stop().unwrap();
    assert!(path.exists());
}

#[test]
fn values_out_of_range_are_refused_with_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    for builder in [
        Server::builder(&path).size(0),
        Server::builder(&path).size((1 << 40) + 1),
        Server::builder(&path).vectors(257),
        Server::builder(&path).vectors(65_537),
        Server::builder(&path).max_clients(0),
        Server::builder(&path).max_clients(65_537),
        // Java's -1, 660 without the leading 0, and bits that are not permissions.
        Server::builder(&path).mode(u32::MAX),
        Server::builder(&path).mode(660),
        Server::builder(&path).mode(0o1777),
        Server::builder(&path).status_mode(660),
        Server::builder(&path).owner(u32::MAX, None),
        Server::builder(&path).owner(None, u32::MAX),
        Server::builder(&path).allow_uids([0, u32::MAX]),
        Server::builder(&path).allow_gids([u32::MAX]),
    ] {
        let error = builder.start().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        assert!(!path.exists());
    }
    let text = Server::builder(&path).mode(660).start().unwrap_err().to_string();
    assert!(text.contains("0o1224, which is 660 in decimal") && text.contains("0o777"), "{text}");
}
