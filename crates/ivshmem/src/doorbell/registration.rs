use std::fmt;

/// The registration of a callback. Dropping it removes the callback.
///
/// Dropping it waits until a call of the callback that is in progress on another thread has ended. After that the callback
/// is never called again, and everything that it captured is dropped. Dropping it inside the callback itself does not wait;
/// the call continues to its end. Dropping it inside another callback does not wait if the first callback waits for the end
/// of that one, for example if two callbacks on two executor threads drop each other's registrations: then one of them
/// waits, and the other does not.
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
