use std::time::Instant;

use super::guest::Guest;
use super::{Device, Finding};
use crate::PeerId;
use crate::doorbell::{Doorbell, DoorbellError, Peer, PeerEvent, Registration};

/// # Interrupts
///
/// For a device without interrupts, such as a plain file, the functions that send or receive interrupts or report peers
/// return [`DoorbellError::Unsupported`].
///
/// A device of a guest cannot list its peers: functions about peers return [`DoorbellError::PeersUnknown`]. Such a device
/// may be able to ring but not to be rung. Then callbacks, raw and asynchronous interrupts fail with
/// [`DoorbellError::NotPrepared`], and [`wait`](Self::wait) is a short pause.
///
/// Any thread may call these functions at any time, also inside callbacks.
impl Device {
    /// Whether this device can be rung: it has vectors, and can receive their interrupts. A server may assign vectors later,
    /// or none at all (`-n 0`).
    pub fn supports_interrupts(&self) -> bool {
        self.interrupt_finding().is_none() && self.vectors() > 0
    }

    /// Why a device of a guest cannot be rung. `None` if it can, and for other kinds of devices.
    pub fn interrupt_finding(&self) -> Option<&Finding> {
        self.guest.as_ref().and_then(|guest| guest.receiving.as_ref().err())
    }

    /// Whether this device can list its peers and report when they connect and disconnect.
    pub fn knows_peers(&self) -> bool {
        self.doorbell.as_ref().is_some_and(Doorbell::knows_peers)
    }

    /// The id by which peers ring this device. Reconnecting may change it. `None` for a device without interrupts.
    pub fn own_id(&self) -> Option<PeerId> {
        self.doorbell.as_ref().map(Doorbell::own_id)
    }

    /// The current number of this device's vectors, 0 to 256. It is 0 for a device without interrupts and after closing. The
    /// server may add vectors later, which [`PeerEvent::OwnVectors`] reports.
    pub fn vectors(&self) -> u16 {
        self.doorbell.as_ref().and_then(|doorbell| doorbell.vectors().ok()).unwrap_or(0)
    }

    /// All connected peers, without this device, by ascending id.
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] after closing, [`DoorbellError::PeersUnknown`] in a guest.
    pub fn peers(&self) -> Result<Vec<Peer>, DoorbellError> {
        self.bell()?.peers()
    }

    /// The peer with this id; `None` if it is not connected now.
    ///
    /// # Errors
    /// The same as [`peers`](Self::peers).
    pub fn peer(&self, id: impl Into<PeerId>) -> Result<Option<Peer>, DoorbellError> {
        self.bell()?.peer(id.into())
    }

    /// Whether a peer with this id is connected now. False after closing, and if the device cannot list its peers.
    pub fn is_connected(&self, id: impl Into<PeerId>) -> bool {
        matches!(self.peer(id), Ok(Some(_)))
    }

    /// Raises an interrupt at a peer, or at this device itself if `peer` is its own id. If an interrupt is already
    /// pending, this is a success.
    ///
    /// It does not block, except if a hostile peer makes the eventfd blocking and fills it at the same moment: this can
    /// block the calling thread, but no other thread.
    ///
    /// In a guest, an interrupt to an id or a vector that does not exist is lost without an error, because the hardware does
    /// not report it. An interrupt to a new peer is also lost until the server has announced the peer to this machine's QEMU:
    /// ring again until the peer answers.
    ///
    /// # Errors
    /// If no peer with this id is connected, the peer has no such vector, or the device is closed.
    pub fn ring(&self, peer: impl Into<PeerId>, vector: u16) -> Result<(), DoorbellError> {
        if let Some(Guest { sending: Err(finding), .. }) = &self.guest {
            return Err(not_prepared("ring", finding));
        }
        self.bell()?.ring(peer.into(), vector)
    }

    /// Blocks the calling thread until this device's `vector` is rung. Returns false if the deadline passes first.
    ///
    /// For a guest's device that cannot be rung, it returns true after a short pause, which grows up to 2 milliseconds over
    /// waits that follow each other immediately: check the memory, as after any interrupt.
    ///
    /// An interrupt that is pending when the call begins ends the wait at once. If several threads call this function for one
    /// vector, each interrupt ends the wait of one of them. Without a deadline, it waits without limit.
    ///
    /// # Errors
    /// If the device has no such vector, if the vector is in use by callbacks or by a raw interrupt, or if the device is closed
    /// before or during the wait. The first wait for a vector needs a descriptor: [`DoorbellError::Io`] if the process has none
    /// left.
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
        #[cfg(any(target_os = "linux", windows))]
        if let Some(polling) = self.polling() {
            return polling.wait_once(deadline);
        }
        self.bell()?.wait(vector, deadline)
    }

    /// A waiter for this device's `vector`: every waiter receives every interrupt, and another thread can cancel a wait. Earlier
    /// interrupts that no thread has received yet end the first wait of the waiter.
    ///
    /// For a guest's device that cannot be rung, a wait ends after a short pause instead, as in [`wait`](Self::wait); a
    /// cancellation then takes effect at the end of the pause.
    ///
    /// # Errors
    /// If the device has no such vector, if the vector is in use by callbacks or by a raw interrupt, or if the device is closed.
    /// The first waiter of a vector needs a descriptor: [`DoorbellError::Io`] if the process has none left.
    #[cfg(any(target_os = "linux", windows))]
    pub fn waiter(&self, vector: u16) -> Result<crate::doorbell::Waiter, DoorbellError> {
        match self.polling() {
            Some(polling) => crate::doorbell::Waiter::new(polling.clone(), vector),
            None => self.bell()?.waiter(vector),
        }
    }

    /// Calls `f` with the number of the vector after the vector is rung, in the device's dispatcher thread.
    ///
    /// After every ring, `f` starts at least once more; one run may serve several rings. Dropping the registration ends the
    /// callback. All callbacks of a device share one thread, so
    /// a slow callback delays the others. A callback may do anything: close the device, drop registrations, register others,
    /// ring. A panic in `f` goes to the panic hook; later rings still call `f`, and other callbacks are not affected.
    ///
    /// # Errors
    /// If the device has no such vector, if threads or tasks wait for it, if a raw interrupt uses it, or if the device is closed.
    pub fn on_interrupt(
        &self,
        vector: u16,
        mut f: impl FnMut(u16) + Send + 'static,
    ) -> Result<Registration, DoorbellError> {
        self.receiver()?.on_interrupt(vector, Box::new(move |vector| f(*vector)), None)
    }

    /// Like [`on_interrupt`](Self::on_interrupt), but `f` runs in a job, which this device passes to `executor`.
    ///
    /// At most one job of a callback is in the executor's queue at a time, and a callback never runs concurrently with itself.
    /// If the executor drops a job, that interrupt is lost, but later ones are not. Closing the device does not wait for a
    /// running job; dropping the registration does.
    ///
    /// # Errors
    /// The same as `on_interrupt`.
    pub fn on_interrupt_with(
        &self,
        vector: u16,
        executor: impl Fn(Box<dyn FnOnce() + Send>) + Send + Sync + 'static,
        mut f: impl FnMut(u16) + Send + 'static,
    ) -> Result<Registration, DoorbellError> {
        self.receiver()?.on_interrupt(vector, Box::new(move |vector| f(*vector)), Some(Box::new(executor)))
    }

    /// Calls `f` in the dispatcher thread when a peer connects, gets more vectors or disconnects, and when the connection to
    /// the server changes.
    ///
    /// To miss no peer, register first and then read [`peers`](Self::peers).
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] after closing.
    pub fn on_peer(&self, f: impl FnMut(&PeerEvent) + Send + 'static) -> Result<Registration, DoorbellError> {
        self.bell()?.on_peer(Box::new(f))
    }

    /// The descriptor of a vector, for the caller's own event loop. The vector has no other reader until it is dropped.
    ///
    /// # Errors
    /// If the device has no such vector, the vector has another reader, or the device is closed.
    #[cfg(target_os = "linux")]
    pub fn raw_interrupt(&self, vector: u16) -> Result<crate::doorbell::RawInterrupt, DoorbellError> {
        self.receiver()?.raw_interrupt(vector)
    }

    /// Prepares tasks of the current tokio runtime to wait for a vector.
    ///
    /// # Errors
    /// If the device has no such vector, if the vector is in use by callbacks or by a raw interrupt, or if the device is closed.
    ///
    /// # Panics
    /// Outside a tokio runtime that has I/O enabled.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub fn async_interrupt(&self, vector: u16) -> Result<crate::doorbell::AsyncInterrupt, DoorbellError> {
        crate::doorbell::AsyncInterrupt::new(self.receiver()?, vector)
    }

    /// A stream of all peer events from now on. It works in any runtime.
    ///
    /// # Errors
    /// [`DoorbellError::Closed`] after closing.
    #[cfg(all(target_os = "linux", feature = "tokio"))]
    pub fn peer_events(&self) -> Result<crate::doorbell::PeerEvents, DoorbellError> {
        crate::doorbell::PeerEvents::new(self.bell()?)
    }

    /// What replaces the interrupts of a device of a guest that cannot be rung.
    #[cfg(any(target_os = "linux", windows))]
    fn polling(&self) -> Option<&std::sync::Arc<super::polling::Polling>> {
        self.guest.as_ref().filter(|guest| guest.receiving.is_err()).map(|guest| &guest.polling)
    }

    /// The doorbell, if the device can be rung.
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
