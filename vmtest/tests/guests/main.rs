//! Devices in guests, with peers on the host and in other guests.
#![expect(clippy::unwrap_used, reason = "tests and their helpers")]

mod bits32;
mod churn;
mod conformance;
mod linger;
mod strict;
mod talk;

use ivshmem::PeerId;
use ivshmem::device::Device;
use ivshmem_conformance::checkout;
use ivshmem_conformance::peer::{Role, Side};
use ivshmem_server::Server;
use ivshmem_vmtest::{Guest, GuestBuilder, Process, Program};
use tempfile::TempDir;

/// The program for the side in a guest.
const PEER: &str = "vmtest-peer";
const VECTORS: u16 = 2;

/// A server and the directory of its socket.
struct Place {
    folder: TempDir,
    server: Option<Server>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::builder(folder.path().join("server")).size(1 << 20).vectors(VECTORS.into());
        Self { server: Some(server.start().unwrap()), folder }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.folder.path().join("server")
    }

    /// A device of the host.
    fn host(&self) -> Device {
        ivshmem::doorbell(self.socket()).vectors(VECTORS).connect().unwrap()
    }

    /// A guest with a device of this server and the program for the other side.
    fn describe(&self, name: &str) -> GuestBuilder {
        Guest::builder(name).doorbell(self.socket(), VECTORS).program(checkout::built(PEER))
    }

    /// The same guest, booted and with its device bound to vfio-pci.
    fn guest(&self, name: &str) -> Guest {
        let guest = self.describe(name).boot().unwrap();
        bind(&guest);
        guest
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.stop().unwrap();
        }
    }
}

fn peer(target: &str, words: &[&str]) -> Program {
    Program::new("/bin/vmtest-peer").arg(target).args(words.iter().copied())
}

fn bind(guest: &Guest) {
    guest.run(peer("auto", &["bind"])).unwrap();
}

/// The id of a guest's device, which the machine keeps while QEMU runs.
fn id(guest: &Guest) -> PeerId {
    PeerId(guest.run(peer("pci:?memory-only", &["id"])).unwrap().trim().parse().unwrap())
}

/// A guest's side of a conversation.
struct There(Process);

impl There {
    fn open(guest: &Guest, role: Role, other: PeerId, conversation: u32) -> Self {
        let role = if role == Role::First { "first" } else { "second" };
        let words = ["with", role, &other.to_string(), &conversation.to_string()];
        let mut process = guest.spawn(peer("auto", &words)).unwrap();
        process.expect_line("open").unwrap();
        Self(process)
    }

    /// Starts the guest's part.
    fn order(&self, what: &str) {
        self.0.write_line(what).unwrap();
    }

    fn done(&mut self) {
        self.0.expect_line("done").unwrap();
    }

    /// Runs both sides' parts, with this one on the host.
    fn with(&mut self, what: &str, here: impl FnOnce()) {
        self.order(what);
        here();
        self.done();
    }

    fn close(self) {
        self.0.end_input().unwrap();
        self.0.succeed().unwrap();
    }
}

/// Runs everything that two sides do, with one of them on the host.
fn converse(guest: &Guest, host: &Device, role: Role, conversation: u32) {
    let other_role = if role == Role::First { Role::Second } else { Role::First };
    let mut there = There::open(guest, other_role, host.own_id().unwrap(), conversation);
    let mut here = Side::new(host, id(guest), role, conversation);
    there.with("exchange 1000", || here.exchange(1000));
    there.with("burst 1000", || here.burst(1000));
    there.close();
}
