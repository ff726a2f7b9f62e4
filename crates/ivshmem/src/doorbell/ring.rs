use std::os::fd::AsFd;

use super::DoorbellError;
use super::session::Session;
use crate::PeerId;
use crate::sys::linux::eventfd;

/// Raises an interrupt at a peer, or at this device itself. One that is pending already is a success.
///
/// The peers' lock is not held while the kernel is called: a hostile peer could make that take long.
pub(super) fn ring(session: &Session, peer: PeerId, vector: u16) -> Result<(), DoorbellError> {
    let rung = if peer == session.own_id() {
        eventfd::ring(session.own(vector)?)
    } else {
        eventfd::ring(session.peer_vector(peer, vector)?.as_fd())
    };
    rung.map_err(|source| DoorbellError::Io { doing: "ring a peer", source })
}
