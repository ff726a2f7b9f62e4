use std::time::Instant;

use super::pci::{Finding, Guest};
use super::{Device, DeviceKind};
use crate::PeerId;
use crate::doorbell::{Doorbell, DoorbellError, Peer, PeerEvent, Registration};

/// Interrupts. A device that has memory only, such as a plain file, says [`DoorbellError::Unsupported`] to all of these
/// but [`supports_interrupts`](Self::supports_interrupts), [`own_id`](Self::own_id) and [`vectors`](Self::vectors).
///
/// A device of a guest does not know its peers, and says [`DoorbellError::PeersUnknown`] to who asks for them. It can
/// ring without being able to be rung: then callbacks, raw and asynchronous interrupts are
/// [`DoorbellError::NotPrepared`], and [`wait`](Self::wait) is a short pause.
///
/// All are callable from any thread at any time, also inside callbacks.
impl Device {
    /// Whether this device can be rung: it has vectors. A server may give some later, or none at all (`-n 0`).
    pub fn supports_interrupts(&self) -> bool {
        self.interrupt_finding().is_none() && self.vectors() > 0
    }

    /// Why a device of a guest cannot be rung. `None` when it can, and for other kinds of devices.
    pub fn interrupt_finding(&self) -> Option<&Finding> {
        self.guest.as_ref().and_then(|guest| guest.receiving.as_ref().err())
    }

    /// Whether this device is told who else is there, so that peers can be listed and their coming and going be seen.
    pub fn knows_peers(&self) -> bool {
        self.kind == DeviceKind::Doorbell
    }

    /// The id by which others ring this device; a reconnect may change it. `None` for memory only.
    pub fn own_id(&self) -> Option<PeerId> {
        self.doorbell.as_ref().map(Doorbell::own_id)
    }

    /// How many vectors this device has now, 0 to 256. 0 for memory only and after closing. The server may add some
    /// later, which [`PeerEvent::OwnVectors`] tells.
    pub fn vectors(&self) -> u16 {
        self.doorbell.as_ref().and_then(|doorbell| doorbell.vectors().ok()).unwrap_or(0)
    }

    /// Everyone else who is connected, by ascending id.
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] after closing, [`DoorbellError::PeersUnknown`] in a guest.
    pub fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        self.bell()?.peers()
    }

    /// One peer; `None` when nobody has this id now.
    ///
    /// # Errors
    /// As [`peers`](Self::peers).
    pub fn peer(&self, id: impl Into<PeerId>) -> Result<Option<Peer>, DoorbellError> {
        self.bell()?.peer(id.into())
    }

    /// Whether a peer with this id is connected now. False after closing, and when nobody can tell.
    pub fn is_connected(&self, id: impl Into<PeerId>) -> bool {
        matches!(self.peer(id), Ok(Some(_)))
    }

    /// Raises an interrupt at a peer, or at this device itself when `peer` is its own id. An interrupt that
    /// is pending already is a success.
    ///
    /// Does not block, unless a hostile peer makes the eventfd blocking and fills it in this very moment: that can hold
    /// up the calling thread, and nobody else.
    ///
    /// In a guest an interrupt to an id or a vector that nobody has is lost without an error: hardware does not know. So
    /// is one to somebody who has just connected, until this machine's QEMU has heard of it: ring again until an answer
    /// comes.
    ///
    /// # Errors
    /// When nobody has this id, or the peer has no such vector, or the device is closed.
    pub fn ring(&self, peer: impl Into<PeerId>, vector: u16) -> Result<(), DoorbellError> {
        if let Some(Guest { sending: Err(finding), .. }) = &self.guest {
            return Err(not_prepared("ring", finding));
        }
        self.bell()?.ring(peer.into(), vector)
    }

    /// Waits in the calling thread until this device's `vector` is rung; false when the deadline has passed before.
    ///
    /// On a device of a guest that cannot be rung it returns true after a short pause, which grows to 2 milliseconds
    /// while nothing but waiting is done: look at the memory, as after any interrupt.
    ///
    /// A ring from before the call counts. Of several threads that wait for one vector, one gets each interrupt.
    ///
    /// # Errors
    /// When the device has no such vector, or callbacks or a raw interrupt have it, or the device is closed, also
    /// while this waits.
    ///
    /// # Examples
    /// ```no_run
    /// # use std::time::{Duration, Instant};
    /// let device = ivshmem::doorbell("/run/ivshmem.sock").connect()?;
    /// let soon = Instant::now() + Duration::from_secs(1);
    /// if device.wait(0, Some(soon))? {
    ///     println!("vector 0 was rung");
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait(&self, vector: u16, deadline: Option<Instant>) -> Result<bool, DoorbellError> {
        match &self.guest {
            Some(guest) if guest.receiving.is_err() => guest.polling.wait(&self.memory, deadline),
            _ => self.bell()?.wait(vector, deadline),
        }
    }

    /// Calls `f` with the vector's number after it was rung, in the device's one dispatcher thread.
    ///
    /// At least once after the last ring, though not once for each. All callbacks of a device share that thread, so a
    /// slow one delays the others. A callback may do anything: close the device, drop registrations, register others,
    /// ring. One that panics is reported by the panic hook as usual and will be called again; others go on.
    ///
    /// # Errors
    /// When the device has no such vector, or threads wait for it or a raw interrupt has it, or the device is closed.
    pub fn on_interrupt(
        &self,
        vector: u16,
        mut f: impl FnMut(u16) + Send + 'static,
    ) -> Result<Registration, DoorbellError> {
        self.receiver()?.on_interrupt(vector, Box::new(move |vector| f(*vector)), None)
    }

    /// As [`on_interrupt`](Self::on_interrupt), but `f` runs where `executor` runs the jobs it is given.
    ///
    /// At most one job of a callback waits in the executor at a time, and the callback never runs twice at once. An
    /// executor that drops a job loses that interrupt, not later ones. Closing the device does not wait for a job that
    /// runs; dropping the registration does.
    ///
    /// # Errors
    /// As `on_interrupt`.
    pub fn on_interrupt_with(
        &self,
        vector: u16,
        executor: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static,
        mut f: impl FnMut(u16) + Send + 'static,
    ) -> Result<Registration, DoorbellError> {
        self.receiver()?.on_interrupt(vector, Box::new(move |vector| f(*vector)), Some(Box::new(executor)))
    }

    /// Calls `f` in the dispatcher thread when peers come, grow or go, and when the server does.
    ///
    /// To see everyone: register first, then read [`peers`](Self::peers).
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] after closing.
    pub fn on_peer(&self, f: impl FnMut(&PeerEvent) + Send + 'static) -> Result<Registration, DoorbellError> {
        self.bell()?.on_peer(Box::new(f))
    }

    /// The vector's descriptor for an event loop of the caller's. Nobody else reads it until it is dropped.
    ///
    /// # Errors
    /// When the device has no such vector, or it has another reader, or the device is closed.
    #[cfg(target_os = "linux")]
    pub fn raw_interrupt(&self, vector: u16) -> Result<crate::doorbell::RawInterrupt, DoorbellError> {
        self.receiver()?.raw_interrupt(vector)
    }

    /// The vector, to be waited for by tasks of the tokio runtime this is called in.
    ///
    /// # Errors
    /// When the device has no such vector, or callbacks or a raw interrupt have it, or the device is closed.
    ///
    /// # Panics
    /// Outside a tokio runtime that has I/O enabled.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub fn async_interrupt(&self, vector: u16) -> Result<crate::doorbell::AsyncInterrupt, DoorbellError> {
        crate::doorbell::AsyncInterrupt::new(self.receiver()?, vector)
    }

    /// What happens among the peers from now on, to be awaited in any runtime.
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] after closing.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub fn peer_events(&self) -> Result<crate::doorbell::PeerEvents, DoorbellError> {
        crate::doorbell::PeerEvents::new(self.bell()?)
    }

    /// The doorbell of a device that can be rung.
    fn receiver(&self) -> Result<&Doorbell, DoorbellError> {
        self.interrupt_finding().map_or_else(|| self.bell(), |finding| Err(not_prepared("be rung", finding)))
    }

    fn bell(&self) -> Result<&Doorbell, DoorbellError> {
        self.doorbell.as_ref().ok_or(DoorbellError::Unsupported { device: self.kind.name() })
    }
}

fn not_prepared(doing: &'static str, finding: &Finding) -> DoorbellError {
    DoorbellError::NotPrepared { doing, why: finding.to_string() }
}
