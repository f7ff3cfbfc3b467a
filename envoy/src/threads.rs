//! The ways to Envoy's threads from others: its schedulers.
//!
//! The main thread is reached through the scheduler of any filter configuration that lives; a
//! stream through its own, which is there while the stream is paused; a worker through any of its
//! paused streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use wasmplugin_host::control::{Letter, Task, Threads};

use crate::abi::*;

/// Envoy's threads.
#[derive(Debug)]
pub(crate) struct EnvoyThreads {
    configs: Mutex<Vec<(u64, ConfigScheduler)>>,
    /// The main thread was woken and has not come yet.
    is_woken: AtomicBool,
    /// Those of each worker apart, so that workers do not meet at their lock.
    mailboxes: [Mutex<Mailboxes>; WORKERS],
}

/// The most workers that are told apart in [`EnvoyThreads`]; more share, which is as right.
const WORKERS: usize = 128;

/// Mailboxes of paused streams, by worker and key.
type Mailboxes = BTreeMap<(u32, u64), Arc<Mailbox>>;

/// Ours.
pub(crate) fn threads() -> &'static Arc<EnvoyThreads> {
    static THREADS: std::sync::OnceLock<Arc<EnvoyThreads>> = std::sync::OnceLock::new();
    THREADS.get_or_init(|| {
        Arc::new(EnvoyThreads {
            configs: Mutex::default(),
            is_woken: AtomicBool::new(false),
            mailboxes: std::array::from_fn(|_| Mutex::default()),
        })
    })
}

/// A scheduler of a configuration, deleted when dropped.
#[derive(Debug)]
struct ConfigScheduler(ConfigSchedulerPtr);

// SAFETY: Envoy lets any thread commit to and delete a scheduler.
unsafe impl Send for ConfigScheduler {}

impl Drop for ConfigScheduler {
    fn drop(&mut self) {
        // SAFETY: made by Envoy, deleted once.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0) };
    }
}

/// Letters for a stream.
#[derive(Debug)]
pub(crate) struct Mailbox {
    scheduler: FilterSchedulerPtr,
    mail: Mutex<VecDeque<Mail>>,
}

/// What is sent to a stream.
#[derive(Debug)]
pub(crate) enum Mail {
    /// For the stream.
    Letter(Letter),
    /// For its worker.
    Task(Task),
}

// SAFETY: Envoy lets any thread commit to and delete a scheduler.
unsafe impl Send for Mailbox {}
// SAFETY: as above; commits may be made from several threads at once.
unsafe impl Sync for Mailbox {}

impl Mailbox {
    /// The mail so far.
    pub(crate) fn take(&self) -> VecDeque<Mail> {
        std::mem::take(&mut *self.mail.lock())
    }

    /// Puts back what is for the next time.
    pub(crate) fn put_back(&self, mut rest: VecDeque<Mail>) {
        if rest.is_empty() {
            return;
        }
        let mut mail = self.mail.lock();
        rest.append(&mut mail);
        *mail = rest;
        drop(mail);
        self.commit();
    }

    fn send(&self, mail: Mail) {
        let mut all = self.mail.lock();
        all.push_back(mail);
        let is_first = all.len() == 1;
        drop(all);
        // Whoever comes for the first takes the others along. Envoy does all that is scheduled before
        // it looks at its connections again: one hook each would keep it from them.
        if is_first {
            self.commit();
        }
    }

    fn commit(&self) {
        // SAFETY: it lives as long as the mailbox; any thread.
        unsafe {
            envoy_dynamic_module_callback_http_filter_scheduler_commit(self.scheduler, 0);
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        // SAFETY: made by Envoy, deleted once.
        unsafe { envoy_dynamic_module_callback_http_filter_scheduler_delete(self.scheduler) };
    }
}

impl EnvoyThreads {
    /// Offers the configuration `number` as a way to the main thread.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_new` of `config`.
    pub(crate) unsafe fn add_config(&self, number: u64, config: ConfigEnvoyPtr) {
        // SAFETY: the caller's word.
        let scheduler =
            unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(config) };
        if scheduler.0.is_null() {
            return;
        }
        self.configs
            .lock()
            .push((number, ConfigScheduler(scheduler)));
        self.wake_again();
    }

    /// The configuration is going, and what was scheduled through it with it.
    pub(crate) fn remove_config(&self, number: u64) {
        let removed = {
            let mut configs = self.configs.lock();
            let at = configs.iter().position(|(of, _)| *of == number);
            at.map(|at| configs.remove(at))
        };
        drop(removed);
        self.wake_again();
    }

    /// Whether any configuration lives.
    pub(crate) fn has_configs(&self) -> bool {
        !self.configs.lock().is_empty()
    }

    /// The main thread is here.
    pub(crate) fn came(&self) {
        self.is_woken.store(false, Ordering::Release);
    }

    /// Wakes the main thread if somebody wanted it: the way that was taken may be gone.
    fn wake_again(&self) {
        if self.is_woken.load(Ordering::Acquire) {
            self.commit();
        }
    }

    fn commit(&self) {
        if let Some((_, scheduler)) = self.configs.lock().last() {
            // SAFETY: it lives as long as it is in the list, whose lock is held; any thread.
            unsafe {
                envoy_dynamic_module_callback_http_filter_config_scheduler_commit(scheduler.0, 0);
            }
        }
    }

    /// Gives the stream `key` of `worker` a mailbox.
    ///
    /// # Safety
    ///
    /// In a hook of `filter`, on its worker.
    pub(crate) unsafe fn add_stream(
        &self,
        worker: u32,
        key: u64,
        filter: FilterEnvoyPtr,
    ) -> Option<Arc<Mailbox>> {
        // SAFETY: the caller's word.
        let scheduler = unsafe { envoy_dynamic_module_callback_http_filter_scheduler_new(filter) };
        if scheduler.0.is_null() {
            return None;
        }
        let mailbox = Arc::new(Mailbox {
            scheduler,
            mail: Mutex::default(),
        });
        self.of(worker)?
            .lock()
            .insert((worker, key), Arc::clone(&mailbox));
        Some(mailbox)
    }

    /// Takes the mailbox of the stream `key` away. Mail may still be in it.
    pub(crate) fn remove_stream(&self, worker: u32, key: u64) {
        let removed = self
            .of(worker)
            .and_then(|mailboxes| mailboxes.lock().remove(&(worker, key)));
        drop(removed);
    }

    fn of(&self, worker: u32) -> Option<&Mutex<Mailboxes>> {
        self.mailboxes.get(usize::try_from(worker).ok()? % WORKERS)
    }
}

impl Threads for EnvoyThreads {
    fn wake_main_thread(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.commit();
        }
    }

    fn send_to_stream(&self, worker: u32, key: u64, letter: Letter) {
        let Some(mailboxes) = self.of(worker) else {
            return;
        };
        // Under the lock, which a stream takes before it ends: Envoy's worker may end with it.
        if let Some(mailbox) = mailboxes.lock().get(&(worker, key)) {
            mailbox.send(Mail::Letter(letter));
        }
    }

    fn send_to_worker(&self, worker: u32, task: Task) -> Result<(), Task> {
        let Some(mailboxes) = self.of(worker) else {
            return Err(task);
        };
        // Under the lock: a stream takes its mailbox away before it looks for the last mail.
        let mailboxes = mailboxes.lock();
        match mailboxes.range((worker, 0)..=(worker, u64::MAX)).next() {
            Some((_, mailbox)) => {
                mailbox.send(Mail::Task(task));
                Ok(())
            }
            None => Err(task),
        }
    }
}
