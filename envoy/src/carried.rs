//! The calls that a configuration carries, and how they end before it does.
//!
//! They are the main thread's. But Envoy ends a configuration on whatever thread lets go of it last:
//! one that was discovered, and replaced since, on a worker as its last stream ends. Envoy then takes
//! the main thread's calls apart from there, and crashes. So a configuration that ends elsewhere has
//! the main thread reset its calls first, and waits for that.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;
use wasmplugin_host::control::Threads as _;

use crate::abi::ConfigEnvoyPtr;
use crate::callout;
use crate::threads::threads;

/// How long an ending configuration waits for the main thread. That comes in a moment, unless it is
/// itself waiting for this worker to end, as when Envoy quits; then it does not touch its calls.
const PATIENCE: Duration = Duration::from_secs(5);

/// Configurations that wait for the main thread.
static ENDING: Mutex<Vec<Ending>> = Mutex::new(Vec::new());

/// A configuration that waits until the sender is gone.
struct Ending {
    calls: Arc<Carried>,
    _done: Sender<()>,
}

thread_local! {
    /// This is Envoy's main thread.
    static IS_MAIN: Cell<bool> = const { Cell::new(false) };
}

/// The calls of a configuration.
#[derive(Debug)]
pub(crate) struct Carried {
    config: ConfigEnvoyPtr,
    /// Those that Envoy may still have something to say of.
    open: Mutex<HashSet<u64>>,
}

// SAFETY: the pointer is used on the main thread alone, before the configuration ends.
unsafe impl Send for Carried {}
// SAFETY: as above.
unsafe impl Sync for Carried {}

impl Carried {
    /// Nothing yet.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_new` of `config`, whose `http_filter_config_destroy` calls
    /// [`Self::end`].
    pub(crate) unsafe fn new(config: ConfigEnvoyPtr) -> Arc<Self> {
        IS_MAIN.set(true);
        Arc::new(Self {
            config,
            open: Mutex::default(),
        })
    }

    /// Who carries them.
    pub(crate) const fn config(&self) -> ConfigEnvoyPtr {
        self.config
    }

    /// A call has begun.
    pub(crate) fn add(&self, id: u64) {
        self.open.lock().insert(id);
    }

    /// Nothing more will be heard of a call. Not said before the hook that tells so is through with
    /// the configuration, which may end from here on.
    pub(crate) fn remove(&self, id: u64) {
        self.open.lock().remove(&id);
    }

    /// The configuration ends when this returns.
    pub(crate) fn end(self: &Arc<Self>) {
        if IS_MAIN.get() || self.open.lock().is_empty() {
            return;
        }
        let (sender, done) = channel();
        ENDING.lock().push(Ending {
            calls: Arc::clone(self),
            _done: sender,
        });
        threads().wake_main_thread();
        if done.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            ENDING
                .lock()
                .retain(|ending| !Arc::ptr_eq(&ending.calls, self));
            // Gone with that, unless the main thread is at it.
            let _gone = done.recv();
        }
    }

    fn reset(&self) {
        let open: Vec<_> = self.open.lock().iter().copied().collect();
        for id in open {
            // SAFETY: on the main thread; the configuration waits.
            unsafe { callout::reset_carried(self.config, id) };
        }
    }
}

/// Resets the calls of configurations that wait for it. On the main thread.
pub(crate) fn reset_ending() {
    let ending = std::mem::take(&mut *ENDING.lock());
    for Ending { calls, _done } in ending {
        calls.reset();
    }
}
