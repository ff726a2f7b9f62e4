//! The doorbell suite and the memory suite for clients of servers.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]

use std::path::PathBuf;

use ivshmem::device::Device;
use ivshmem::region::Memory;
use ivshmem_conformance::bare_server::{BareServer, Manner};
use ivshmem_conformance::{doorbell, memory};
use ivshmem_server::Server;

/// Clients of the server that listens on the socket.
struct Clients {
    socket: PathBuf,
}

impl Clients {
    fn connect(&self) -> Device {
        ivshmem::doorbell(&self.socket).vectors(2).connect().unwrap()
    }
}

impl doorbell::Fixture for Clients {
    fn open(&self) -> Device {
        self.connect()
    }

    fn other(&self) -> Box<dyn doorbell::Other> {
        Box::new(self.connect())
    }
}

impl memory::Fixture for Clients {
    fn open(&self) -> Memory {
        self.connect().memory().clone()
    }

    fn open_read_only(&self, _memory: &Memory) -> Option<Memory> {
        Some(ivshmem::doorbell(&self.socket).read_only().connect().unwrap().memory().clone())
    }
}

fn both_suites(server: impl FnOnce(&PathBuf) -> Box<dyn std::any::Any>) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("socket");
    let _server = server(&socket);
    let clients = Clients { socket };
    doorbell::run(&clients);
    memory::run(&clients);
}

#[test]
fn clients_of_our_server() {
    both_suites(|path| Box::new(Server::builder(path).size(1 << 20).vectors(2).start().unwrap()));
}

#[test]
fn clients_of_a_server_like_qemus() {
    both_suites(|path| {
        let manner = Manner { in_pieces: true, late_vectors: 1, ..Manner::default() };
        Box::new(BareServer::start(path, manner).unwrap())
    });
}
