//! The state that devices of Linux and of Windows guests share.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use super::finding::Finding;
use super::polling::Polling;

/// The state of an open device of a guest, in addition to memory and doorbell.
#[derive(Debug)]
pub(super) struct Guest {
    /// Why it cannot ring.
    pub(super) sending: Result<(), Finding>,
    /// Why it cannot be rung.
    pub(super) receiving: Result<(), Finding>,
    pub(super) polling: Polling,
    receiver: Mutex<Option<Box<dyn Receiver>>>,
}

/// Keeps the interrupts of a device for this process. Dropping it releases them.
pub(super) trait Receiver: Debug + Send {}

impl Guest {
    /// `receiver` is `None` for a device whose interrupts end with its doorbell.
    pub(super) fn new(
        sending: Result<(), Finding>,
        receiving: Result<(), Finding>,
        receiver: Option<Box<dyn Receiver>>,
    ) -> Self {
        Self { sending, receiving, polling: Polling::new(), receiver: Mutex::new(receiver) }
    }

    /// Releases the device, so that another process can receive its interrupts.
    pub(super) fn close(&self) {
        drop(self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
