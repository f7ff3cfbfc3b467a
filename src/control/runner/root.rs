//! Events that belong to no stream.
//!
//! Envoy gives a module no timer on its workers, and no way to run there without a stream. So what
//! Envoy's own Wasm filter does on each worker's thread happens on the main thread here, in the
//! instance of each worker, unless that worker has a paused stream to lead there: see
//! [`crate::control::Threads`].

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Runner, Slot};
use crate::control::{Letter, Work};
use crate::proxy_wasm::{Address, CallEvent, Failure, Instance, Outbox, RootHost, peers};

/// Where an instance was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At its start, on a thread of ours.
    Start,
    /// In a hook of a stream.
    Hook,
    /// In a task; `config` is whose calls the main thread sends.
    Task { config: u64 },
}

/// The tick of a root context.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tick {
    /// Zero for none.
    period: Duration,
    /// Counts how often the period was set: a tick that was under way before does not count.
    pub(super) epoch: u64,
}

impl Runner {
    /// Does work of this plugin. `config` is the filter configuration on whose behalf the main
    /// thread is here, and `host` its calls.
    pub(in crate::control) fn run(&self, work: Work, config: u64, host: &mut RootHost) {
        match work {
            Work::Tick { address, epoch } => {
                let ticked = self.at(address, config, |instance, slot_epoch| {
                    if slot_epoch == epoch {
                        instance.on_tick(host)
                    } else {
                        Ok(())
                    }
                });
                if ticked {
                    self.next_tick(address, epoch);
                }
            }
            Work::Ready {
                address,
                token,
                notice: _told,
            } => {
                self.at(address, config, |instance, _| {
                    instance.on_queue_ready(token, host)
                });
            }
            Work::Call {
                address,
                token,
                call,
            } => {
                let sent = match host {
                    Some(host) => call.lend(|call| host.call(call)).ok(),
                    None => None,
                };
                match sent {
                    Some(id) => self.process.expect_answer(config, id, address, token),
                    None => self.process.post(Work::Answer {
                        address,
                        token,
                        event: CallEvent::Lost,
                    }),
                }
            }
            Work::Answer {
                address,
                token,
                event,
            } => self.answer(address, token, event, config, host),
            Work::Resolved {
                address,
                token,
                found,
            } => {
                self.at(address, config, |instance, _| {
                    instance.on_resolved(token, found, host)
                });
            }
            // The process does it: the plugin may be gone.
            Work::Cancel { .. } => {}
        }
    }

    fn answer(
        &self,
        address: Address,
        token: u32,
        event: CallEvent,
        config: u64,
        host: &mut RootHost,
    ) {
        self.at(address, config, |instance, _| {
            instance.on_call(token, event, 0, &mut None, host)
        });
    }

    /// Runs `work` in the instance at `address`, with the epoch of its tick. Whether it did, and
    /// the instance lives.
    fn at(
        &self,
        address: Address,
        config: u64,
        work: impl FnOnce(&mut Instance, u64) -> Result<(), Failure>,
    ) -> bool {
        let Some(slot) = self.slot(address.worker) else {
            return false;
        };
        let slot = &mut *slot.lock();
        let epoch = slot.tick.epoch;
        let Some(instance) = &mut slot.instance else {
            return false;
        };
        if instance.number() != address.instance {
            return false;
        }
        match work(instance, epoch) {
            Ok(()) => {
                self.empty_outbox(address.worker, slot, Place::Task { config });
                self.see_off(slot)
            }
            Err(failure) => {
                self.fail(address.worker, slot, &failure);
                false
            }
        }
    }

    /// Lets the instance of a retired plugin go once it has said `proxy_done`. Whether it stays.
    fn see_off(&self, slot: &mut Slot) -> bool {
        let is_done = |instance: &Instance| !instance.is_finishing();
        if !self.retired.load(Ordering::Acquire) || !slot.instance.as_ref().is_some_and(is_done) {
            return true;
        }
        if let Some(mut instance) = slot.instance.take() {
            // Nobody is left whom a failure could concern.
            let _ended = instance.delete_root();
            self.process.flush_metrics_soon();
        }
        false
    }

    /// Does what the last call into an instance left to be done elsewhere.
    pub(super) fn empty_outbox(&self, worker: u32, slot: &mut Slot, at: Place) {
        let Some(instance) = &mut slot.instance else {
            return;
        };
        let Some(outbox) = instance.take_outbox() else {
            return;
        };
        let address = Address {
            plugin: self.number,
            worker,
            instance: instance.number(),
        };
        let Outbox {
            tick,
            ready,
            calls,
            sent,
            cancelled,
            lookups,
            metrics,
            asked,
        } = outbox;
        if metrics {
            self.process.flush_metrics_soon();
        }
        if let Some(period) = tick {
            slot.tick.period = Duration::from_millis(period.into());
            slot.tick.epoch += 1;
            self.arm_tick(address, slot.tick);
        }
        for (address, token, notice) in ready {
            let work = Work::Ready {
                address,
                token,
                notice,
            };
            if at == Place::Hook {
                // The stream may be about to pause, for this very queue.
                let process = Arc::clone(&self.process);
                peers::later(Box::new(move || process.post(work)));
            } else {
                self.process.post(work);
            }
        }
        for (token, call) in calls {
            self.process.post(Work::Call {
                address,
                token,
                call,
            });
        }
        for (id, token) in sent {
            if let Place::Task { config } = at {
                self.process.expect_answer(config, id, address, token);
            }
        }
        for token in cancelled {
            self.process.post(Work::Cancel { address, token });
        }
        for (token, name) in lookups {
            self.process.resolve(address, token, name);
        }
        for (stream, context, actions) in asked {
            let letter = Letter::Asked {
                instance: address.instance,
                context,
                actions,
            };
            self.process.threads.send_to_stream(worker, stream, letter);
        }
    }

    /// Arms the tick anew, unless the guest changed it.
    fn next_tick(&self, address: Address, epoch: u64) {
        let tick = self.slot(address.worker).map(|slot| slot.lock().tick);
        if let Some(tick) = tick
            && tick.epoch == epoch
        {
            self.arm_tick(address, tick);
        }
    }

    fn arm_tick(&self, address: Address, tick: Tick) {
        if tick.period.is_zero() {
            return;
        }
        let process = Arc::downgrade(&self.process);
        self.process.timers.run_in(tick.period, move || {
            if let Some(process) = process.upgrade() {
                let epoch = tick.epoch;
                process.post(Work::Tick { address, epoch });
            }
        });
    }
}
