//! When to try again to load a plugin: after a while, or at once if what stood in its way may be
//! gone.
//!
//! A registry that refuses is left alone for a minute. If it refuses for want of the right pull
//! secret, that is repaired on this machine, and whoever does so watches for the effect.

use std::sync::Weak;
use std::time::Duration;

use super::super::lease::FileStamp;
use super::Runner;
use crate::source::Request;

/// The next attempt, while it is not due.
#[derive(Debug)]
pub(super) struct Waiting {
    /// Tells it from later ones.
    number: u64,
    /// The pull secret with which the last attempt failed.
    secret: Option<FileStamp>,
}

impl Runner {
    /// The pull secret as it is now.
    pub(super) fn secret(&self) -> Option<FileStamp> {
        let file = Request::from(self.spec()).secret_file(&self.wanted().fetch)?;
        FileStamp::of(file)
    }

    /// Loads again after `wait`, in the attempt of that number. The last one failed with `secret`.
    pub(super) fn load_again(&self, wait: Duration, attempt: u32, secret: Option<FileStamp>) {
        let number = self.process.next_number();
        *self.waiting.lock() = Some(Waiting { number, secret });
        self.load_in(wait, number, attempt);
        // It may have changed since the attempt has read it.
        self.look_at_secret();
    }

    /// Loads at once if the pull secret is another one than that with which loading failed.
    pub(in super::super) fn look_at_secret(&self) {
        let mut waiting = self.waiting.lock();
        let Some(waiting) = waiting.as_mut() else {
            return;
        };
        let secret = self.secret();
        if waiting.secret != secret {
            let number = self.process.next_number();
            *waiting = Waiting { number, secret };
            self.load_in(Duration::ZERO, number, 1);
        }
    }

    fn load_in(&self, wait: Duration, number: u64, attempt: u32) {
        let me = Weak::clone(&self.me);
        self.process.loads.run_in(wait, move || {
            if let Some(me) = me.upgrade()
                && me.is_due(number)
            {
                me.load_until_ready(attempt);
            }
        });
    }

    /// Whether nothing has come before the attempt that waits under `number`, which waits no more.
    fn is_due(&self, number: u64) -> bool {
        let mut waiting = self.waiting.lock();
        waiting
            .take_if(|waiting| waiting.number == number)
            .is_some()
    }
}
