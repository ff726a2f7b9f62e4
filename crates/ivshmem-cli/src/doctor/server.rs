//! A server, by being its client for a moment.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ivshmem::ErrorKind;
use ivshmem::device::{Device, OpenError};
use ivshmem::doorbell::ConnectionError;
use ivshmem::wire::{ProtocolError, Refusal};
use rustix::process::{Resource, getrlimit};

use super::users::described;
use super::{Doctor, Finding, Report};
use crate::advice::{Region, Way};
use crate::values::units;

pub(super) fn examine(path: &Path, doctor: &Doctor, report: &mut Report) {
    let path = &std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match ivshmem::doorbell(path).connect() {
        Err(error) => report.add([not_connected(path, &error)]),
        Ok(device) => {
            report.add(size(path, device.memory().len(), doctor.size));
            report.add(vectors(&device, doctor.vectors));
            report.add(descriptors(&device));
            let way = Way::Server { socket: path.clone(), vectors: device.vectors().max(1) };
            report.region = Some(Region { size: device.memory().len(), way });
        }
    }
}

fn not_connected(path: &Path, error: &OpenError) -> Finding {
    let shown = path.display();
    match error {
        OpenError::NoServer { why, .. } => Finding::problem(
            "server-missing",
            format!("nobody serves {shown}: {why}"),
            format!("start a server before the machines: ivshmem-server -F -S {shown} -l SIZE -n VECTORS"),
        ),
        OpenError::NotASocket { .. } => Finding::problem(
            "not-a-socket",
            format!("{shown} is not a socket"),
            format!("for memory in a file, write plain:{shown}; else name the server's socket (-S PATH)"),
        ),
        OpenError::Denied { .. } => Finding::problem(
            "not-permitted",
            match fs::metadata(path) {
                Ok(facts) => format!("this user may not connect to {shown} ({})", described(&facts)),
                Err(_) => format!("this user may not pass the directories on the way to {shown}"),
            },
            "start the server with --mode 660 and --owner UID:GID of a group that this user is in, or change the \
             directories",
        ),
        OpenError::Overloaded { .. } => Finding::problem(
            "server-silent",
            format!("the server at {shown} accepts nobody: it hangs, or was stopped (Ctrl-Z)"),
            "look for it (fuser PATH), continue it (kill -CONT), or start it again when no machine needs it",
        ),
        OpenError::Server { reason, .. } => greeted_badly(path, reason),
        OpenError::LongPath { .. } => Finding::problem(
            "path-too-long",
            error.to_string(),
            "serve a shorter path, such as /run/ivshmem.sock",
        ),
        _ => Finding::problem(
            "not-a-server",
            error.to_string(),
            "name the socket of an ivshmem server (ivshmem-server -S PATH)",
        ),
    }
}

fn greeted_badly(path: &Path, reason: &ConnectionError) -> Finding {
    let shown = path.display();
    let cause = format!("{shown}: {reason}");
    match reason {
        ConnectionError::Protocol(ProtocolError::Refused(refusal))
            if !matches!(refusal, Refusal::Unknown(_)) =>
        {
            Finding::problem(
                "server-refuses",
                cause,
                "do what the reason asks for: docs/wire.md lists all; the server's log names who was refused",
            )
        }
        ConnectionError::OutOfDescriptors { .. } => short_of_descriptors(cause),
        _ if reason.kind() == ErrorKind::PermissionDenied => Finding::problem(
            "security-module",
            cause,
            "AppArmor: allow in this program's profile what the server sends; SELinux: ausearch -m avc tells what to allow",
        ),
        ConnectionError::TimedOut { .. } => Finding::problem(
            "server-silent",
            cause,
            "another kind of server listens there, or it hangs: look for it (fuser PATH), start an ivshmem server",
        ),
        _ => Finding::problem(
            "not-a-server",
            cause,
            "name the socket of an ivshmem server (ivshmem-server -S PATH); a server's control socket is no such one",
        ),
    }
}

fn size(path: &Path, size: u64, wanted: Option<u64>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(wanted) = wanted.filter(|wanted| *wanted != size) {
        findings.push(Finding::problem(
            "size-differs",
            format!(
                "the server at {} has {size} bytes ({}), and {wanted} ({}) are wanted",
                path.display(),
                units(size),
                units(wanted)
            ),
            format!("start it with -l {}, or use its size everywhere", units(wanted)),
        ));
    }
    if !size.is_power_of_two() {
        findings.push(Finding::problem(
            "size-not-a-power-of-two",
            format!("the server at {} has {size} bytes; QEMU ends at once with that", path.display()),
            format!("start it with -l {}", units(size.checked_next_power_of_two().unwrap_or(1 << 40))),
        ));
    }
    findings
}

fn vectors(device: &Device, wanted: Option<u16>) -> Option<Finding> {
    let peers = device.peers().unwrap_or_default();
    let all: BTreeSet<u16> = peers.iter().map(|peer| peer.vectors).chain([device.vectors()]).collect();
    let is_right = all.len() == 1 && wanted.is_none_or(|wanted| all.contains(&wanted));
    if is_right {
        return None;
    }
    let others = peers.iter().map(|peer| format!("peer {} has {}", peer.id, peer.vectors));
    let list: Vec<String> = others.chain([format!("a newcomer gets {}", device.vectors())]).collect();
    let wanted = wanted.map_or(String::new(), |wanted| format!(", and {wanted} are wanted"));
    Some(Finding::problem(
        "vectors-differ",
        format!(
            "numbers of vectors differ: {}{wanted}; nobody hears a vector above their own",
            list.join(", ")
        ),
        "start the server with -n N and each machine with vectors=N of the same N",
    ))
}

/// Descriptors that a program needs beside those of vectors.
const OTHERS: u64 = 32;

/// Each vector of each peer is a descriptor of each client.
fn descriptors(device: &Device) -> Option<Finding> {
    let peers = device.peers().unwrap_or_default();
    let needed: u64 =
        peers.iter().map(|peer| u64::from(peer.vectors)).sum::<u64>() + u64::from(device.vectors());
    let limit = getrlimit(Resource::Nofile).current?;
    (needed + OTHERS > limit).then(|| {
        short_of_descriptors(format!(
            "{} peers and this program have {needed} vectors, each of which is a descriptor, and the limit is {limit}: \
             few more fit",
            peers.len()
        ))
    })
}

fn short_of_descriptors(cause: String) -> Finding {
    let remedy = "raise the limit for programs, machines and server: ulimit -n 65536, LimitNOFILE=65536 in a unit, \
                  max_files in /etc/libvirt/qemu.conf; or have fewer vectors";
    Finding::problem("descriptors-short", cause, remedy)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_a_security_module_refuses_is_not_put_down_to_the_server() {
        let reason = Arc::new(io::Error::from(io::ErrorKind::PermissionDenied));
        let refused = ConnectionError::Io { doing: "receive from the server", reason };
        let finding = greeted_badly(Path::new("/run/ivshmem.sock"), &refused);
        assert!(format!("{finding:?}").contains("security-module"), "{finding:?}");
    }
}
