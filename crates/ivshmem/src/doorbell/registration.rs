use std::fmt;

/// Keeps a callback registered; dropping it ends that.
///
/// Dropped by another thread than the one that runs the callback, it waits until a run that has begun has ended: from
/// then on nothing of the callback runs or exists. Dropped inside the callback itself it does not wait, and the run
/// goes on to its end. Nor does it wait inside another callback for whose end this one waits, for instance when both drop
/// each other's registrations on two executor threads: one of the two then waits, the other does not.
#[must_use = "dropping it ends the registration at once"]
pub struct Registration {
    unregister: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl Registration {
    #[cfg(any(target_os = "linux", windows))]
    pub(super) fn new(unregister: impl FnOnce() + Send + Sync + 'static) -> Self {
        Self { unregister: Some(Box::new(unregister)) }
    }

    /// Keeps the callback registered until the device is closed.
    pub fn forget(mut self) {
        self.unregister = None;
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(unregister) = self.unregister.take() {
            unregister();
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").finish_non_exhaustive()
    }
}
