//! Further processes for a test, which it can stop by a signal or run as another user.
//!
//! Each runs this test program again, with only one of the "tests" below. Run as tests, these do nothing.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use ivshmem::sys::linux::eventfd;
use ivshmem::sys::linux::socket::{Sent, send};
use ivshmem_conformance::program;

use crate::client::{Census, Client, eventfds_in, read_until};
use crate::descriptors::eventfds;
use crate::process::{Launch, Nobody, Process, eventually};

const SOCKET: &str = "IVSHMEM_TEST_SOCKET";
const VECTORS: &str = "IVSHMEM_TEST_VECTORS";
const HOG: &str = "IVSHMEM_TEST_HOG";
const FULL: &str = "no descriptor more";

/// The process of a client that keeps its eventfds and prints the id of every announced peer.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) process: Process,
}

impl Member {
    pub(crate) fn connect(dir: &Path, server: &Path, vectors: usize) -> Self {
        let program = std::env::current_exe().unwrap();
        let args = ["--exact", "member::member_process", "--nocapture"];
        let launch = Launch::new(&program, args, dir.join("member.log"))
            .env(SOCKET, server)
            .env(VECTORS, OsStr::new(&vectors.to_string()));
        Self { process: launch.start() }
    }

    /// Whether it holds each eventfd of `census` and no other.
    pub(crate) fn holds_exactly(&self, census: &Census) -> bool {
        eventfds(self.process.id()) == eventfds_in(census)
    }

    /// The ids that were announced to it so far.
    pub(crate) fn announced(&self) -> BTreeSet<u16> {
        self.process.log().lines().filter_map(|l| l.strip_prefix("announced ")?.parse().ok()).collect()
    }
}

/// A process of `user` that holds as many descriptors in flight as the kernel allows a user with this limit.
pub(crate) fn hog_descriptors_in_flight(user: Nobody, dir: &Path, limit: u32) -> Process {
    let program = dir.join("hog");
    program::copy(std::env::current_exe().unwrap(), &program);
    let args = ["--exact", "member::hog_process", "--nocapture"];
    let launch =
        Launch::new(&program, args, dir.join("hog.log")).run_as(user).descriptors(limit).env(HOG, "1");
    let mut hog = launch.start();
    eventually("the kernel takes no more of its descriptors", || {
        hog.assert_alive();
        hog.log().contains(FULL)
    });
    hog
}

#[test]
fn hog_process() {
    if std::env::var_os(HOG).is_none() {
        return;
    }
    let gift = eventfd::create().unwrap();
    let mut pairs = Vec::new();
    // One socket takes a few hundred messages; several sockets reach the kernel's limit for the user.
    loop {
        let (ours, theirs) = UnixStream::pair().unwrap();
        match std::iter::repeat_with(|| send(ours.as_fd(), &[0], Some(gift.as_fd())).unwrap())
            .find(|sent| !matches!(sent, Sent::Bytes(_)))
        {
            Some(Sent::WouldBlock) => pairs.push((ours, theirs)),
            Some(Sent::TooManyInFlight) => break pairs.push((ours, theirs)),
            other => panic!("{other:?}"),
        }
    }
    println!("{FULL}");
    loop {
        std::thread::park();
    }
}

#[test]
fn member_process() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let vectors = std::env::var(VECTORS).unwrap().parse().unwrap();
    let mut member = [Client::connect(Path::new(&socket), vectors).keeping_eventfds()];
    let mut printed = 0;
    while !member[0].is_closed() {
        let messages = member[0].messages();
        read_until("the next message", &mut member, |m| m[0].messages() > messages || m[0].is_closed());
        for id in &member[0].announced()[printed..] {
            println!("announced {id}");
        }
        printed = member[0].announced().len();
    }
}
