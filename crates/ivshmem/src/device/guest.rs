//! The state that devices of Linux and of Windows guests share.

use std::fmt::Debug;
use std::sync::{Mutex, PoisonError};

use super::finding::Finding;
#[cfg(any(target_os = "linux", windows))]
use super::polling::Polling;

/// The state of an open device of a guest, in addition to memory and doorbell.
#[derive(Debug)]
pub(super) struct Guest {
    /// Why it cannot ring.
    pub(super) sending: Result<(), Finding>,
    /// Why it cannot be rung.
    pub(super) receiving: Result<(), Finding>,
    #[cfg(any(target_os = "linux", windows))]
    pub(super) polling: std::sync::Arc<Polling>,
    receiver: Mutex<Option<Box<dyn Receiver>>>,
}

/// Keeps the interrupts of a device for this process. Dropping it releases them.
pub(super) trait Receiver: Debug + Send {}

impl Guest {
    /// `receiver` is `None` for a device whose interrupts end with its doorbell.
    #[cfg(any(target_os = "linux", windows))]
    pub(super) fn new(
        memory: &crate::region::Memory,
        sending: Result<(), Finding>,
        receiving: Result<(), Finding>,
        receiver: Option<Box<dyn Receiver>>,
    ) -> Self {
        let polling = Polling::new(memory.clone()).into();
        Self { sending, receiving, polling, receiver: Mutex::new(receiver) }
    }

    /// Releases the device, so that another process can receive its interrupts.
    pub(super) fn close(&self) {
        drop(self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
