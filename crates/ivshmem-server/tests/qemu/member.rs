//! A client that is a process of its own, to be stopped by a signal or to be another user.
//!
//! The process is this test program once more, running the one "test" below.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;

use crate::client::{Census, Client, eventfds_in, read_until};
use crate::descriptors::eventfds;
use crate::process::{Launch, Process};

const SOCKET: &str = "IVSHMEM_TEST_SOCKET";
const VECTORS: &str = "IVSHMEM_TEST_VECTORS";

/// The process of a client that keeps its eventfds and prints the id of every peer that is announced to it.
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

#[test]
fn member_process() {
    // Run as one of the tests there is nothing to do.
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
