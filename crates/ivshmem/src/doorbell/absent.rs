//! A `Doorbell` type without values, for systems without an implementation.

use std::time::Instant;

use super::{DoorbellError, Peer, PeerEvent, Registration};
use crate::PeerId;

#[derive(Debug)]
pub(crate) enum Doorbell {}

impl Doorbell {
    pub(crate) fn own_id(&self) -> PeerId {
        match *self {}
    }

    pub(crate) fn knows_peers(&self) -> bool {
        match *self {}
    }

    pub(crate) fn vectors(&self) -> Result<u16, DoorbellError> {
        match *self {}
    }

    pub(crate) fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        match *self {}
    }

    pub(crate) fn peer(&self, _: PeerId) -> Result<Option<Peer>, DoorbellError> {
        match *self {}
    }

    pub(crate) fn ring(&self, _: PeerId, _: u16) -> Result<(), DoorbellError> {
        match *self {}
    }

    pub(crate) fn wait(&self, _: u16, _: Option<Instant>) -> Result<bool, DoorbellError> {
        match *self {}
    }

    pub(crate) fn on_interrupt(
        &self,
        _: u16,
        _: Box<dyn FnMut(&u16) + Send>,
        _: Option<Box<dyn Fn(Box<dyn FnOnce() + Send>) + Send + Sync>>,
    ) -> Result<Registration, DoorbellError> {
        match *self {}
    }

    pub(crate) fn on_peer(
        &self,
        _: Box<dyn FnMut(&PeerEvent) + Send>,
    ) -> Result<Registration, DoorbellError> {
        match *self {}
    }

    pub(crate) fn close(&self) {
        match *self {}
    }
}
