//! A plugin as the chain drives it, on the worker of a stream.

use super::Runner;
use super::root::Place;
use crate::chain::{Context, Filter, Lent, Outage};
use crate::control::Work;
use crate::proxy_wasm::{Address, Call, CallEvent, Event, Failure, Instance};
use crate::telemetry::WorkerStats;

impl Runner {
    /// Runs `work` in the instance that `context` belongs to. `None` where that is gone.
    fn within<T>(
        &self,
        context: &Context,
        work: impl FnOnce(&mut Instance) -> Result<T, Failure>,
    ) -> Option<Result<T, Outage>> {
        let slot = &mut *self.slot(context.worker)?.lock();
        let instance = slot.instance.as_mut()?;
        if instance.number() != context.instance {
            return None;
        }
        let stats = self.stats.worker(context.worker);
        let timed = stats.and_then(WorkerStats::begin_call);
        let result = work(instance);
        if let Some(stats) = stats {
            stats.end_call(timed);
        }
        match result {
            Ok(result) => {
                self.empty_outbox(context.worker, slot, Place::Hook);
                Some(Ok(result))
            }
            Err(failure) => Some(Err(self.fail(context.worker, slot, &failure))),
        }
    }
}

impl Filter for Runner {
    fn open(&self, worker: u32, exchange: &mut Lent) -> Result<Context, Outage> {
        let Some(slot) = self.slot(worker) else {
            return Err(self.outage());
        };
        let slot = &mut *slot.lock();
        let Some(instance) = &mut slot.instance else {
            return Err(self.outage());
        };
        if let Some(stats) = self.stats.worker(worker) {
            stats.count_request();
        }
        self.process.flush_metrics_soon();
        match instance.create_stream(exchange) {
            Ok(id) => {
                let instance = instance.number();
                self.empty_outbox(worker, slot, Place::Hook);
                Ok(Context {
                    worker,
                    instance,
                    id,
                })
            }
            Err(failure) => Err(self.fail(worker, slot, &failure)),
        }
    }

    fn on_event(
        &self,
        context: &Context,
        event: &Event,
        exchange: &mut Lent,
    ) -> Result<u32, Outage> {
        self.within(context, |instance| {
            instance.on_event(context.id, event, exchange)
        })
        .unwrap_or_else(|| Err(self.outage()))
    }

    fn wants(&self, event: &Event) -> bool {
        let loaded = self.loaded.get();
        loaded.is_none_or(|loaded| loaded.module.guest.wants(event))
    }

    fn outage(&self) -> Outage {
        Runner::outage(self)
    }

    fn holds_headers_only(&self) -> bool {
        self.spec().hold_headers
    }

    fn max_body(&self) -> Option<u64> {
        self.spec().limits.max_body
    }

    fn on_call(
        &self,
        context: &Context,
        token: u32,
        event: CallEvent,
        exchange: &mut Lent,
    ) -> Result<(), Outage> {
        self.within(context, |instance| {
            instance.on_call(token, event, context.id, exchange, &mut None)
        })
        .unwrap_or_else(|| Err(self.outage()))
    }

    fn call_elsewhere(&self, context: &Context, token: u32, call: Call) {
        let address = Address {
            plugin: self.number,
            worker: context.worker,
            instance: context.instance,
        };
        self.process.post(Work::Call {
            address,
            token,
            call,
        });
    }

    fn log(&self, context: &Context, exchange: &mut Lent) {
        let _ended = self.within(context, |instance| {
            instance.log_stream(context.id, exchange)
        });
    }

    fn delete(&self, context: &Context, exchange: &mut Lent) {
        let _ended = self.within(context, |instance| {
            instance.delete_stream(context.id, exchange)
        });
    }
}
