//! What happens to the root context.
//!
//! Its events run with whatever carries calls on the thread at hand: a stream, or Envoy's main
//! thread.

use super::failure::Failure;
use super::{Instance, call, size};
use crate::proxy_wasm::call::{CallEvent, Callouts};
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::state::LastStatus;

/// What carries the calls of root contexts.
pub type RootHost = Option<Box<dyn Callouts + Send>>;

/// `proxy_get_status` of a call that got no answer: `BROKEN_CONNECTION` of the ABI.
const BROKEN_CONNECTION: u32 = 11;

impl Instance {
    /// A call has come to its end. `context` is the stream that carried it, if one did, whose
    /// exchange is lent.
    pub fn on_call(
        &mut self,
        token: u32,
        event: CallEvent,
        context: u32,
        exchange: &mut Option<Box<Exchange>>,
        host: &mut RootHost,
    ) -> Result<(), Failure> {
        let state = self.store.data_mut();
        if !state.calls.remove(&token) {
            return Ok(());
        }
        let (answer, status) = match event {
            CallEvent::Response(answer) => (Some(answer), None),
            CallEvent::Lost => (None, Some(BROKEN_CONNECTION)),
        };
        let Some(callback) = self.exports.http_call_response.clone() else {
            return Ok(());
        };
        let sizes = answer.as_ref().map_or((0, 0, 0), |answer| {
            (
                size(answer.headers.len()),
                size(answer.body.len()),
                size(answer.trailers.len()),
            )
        });
        if let Some(code) = status {
            state.status = LastStatus {
                code,
                message: b"reset".to_vec(),
            };
        }
        state.answer = answer;
        let parameters = (self.root, token, sizes.0, sizes.1, sizes.2);
        let result = self.lend_root(context, exchange, host, |store| {
            call(store, &callback, parameters, "proxy_on_http_call_response")
        });
        let state = self.store.data_mut();
        state.answer = None;
        state.status.message.clear();
        result
    }

    /// The tick of the root context.
    pub fn on_tick(&mut self, host: &mut RootHost) -> Result<(), Failure> {
        let Some(tick) = self.exports.tick.clone() else {
            return Ok(());
        };
        let root = self.root;
        self.lend_root(0, &mut None, host, |store| {
            call(store, &tick, root, "proxy_on_tick")
        })
    }

    /// A queue has a new item.
    pub fn on_queue_ready(&mut self, token: u32, host: &mut RootHost) -> Result<(), Failure> {
        let Some(ready) = self.exports.queue_ready.clone() else {
            return Ok(());
        };
        let parameters = (self.root, token);
        self.lend_root(0, &mut None, host, |store| {
            call(store, &ready, parameters, "proxy_on_queue_ready")
        })
    }

    /// The plugin is about to go. A guest that wants more time does not get it: its instance goes
    /// with the last configuration that uses it, as in Envoy.
    pub fn shut_down(&mut self) -> Result<(), Failure> {
        let root = self.root;
        let Some(done) = self.exports.done.clone() else {
            return Ok(());
        };
        let is_done = self.lend_root(0, &mut None, &mut None, |store| {
            call(store, &done, root, "proxy_on_done")
        })?;
        if is_done == 0 {
            self.store.data_mut().finishing = true;
            return Ok(());
        }
        match self.exports.delete.clone() {
            Some(delete) => self.lend_root(0, &mut None, &mut None, |store| {
                call(store, &delete, root, "proxy_on_delete")
            }),
            None => Ok(()),
        }
    }

    fn lend_root<T>(
        &mut self,
        of: u32,
        exchange: &mut Option<Box<Exchange>>,
        host: &mut RootHost,
        work: impl FnOnce(&mut wasmtime::Store<super::State>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.store.data_mut().callouts = host.take();
        let result = self.lend(self.root, of, exchange, work);
        *host = self.store.data_mut().callouts.take();
        result
    }
}
