//! What happens to the root context.
//!
//! Its events run with whatever carries calls on the thread at hand: a stream, or Envoy's main
//! thread.

use super::answers::{Callback, GrpcCallback, Step, http_steps, stream_steps, unary_steps};
use super::failure::Failure;
use super::{Instance, Vm, call, size};
use crate::proxy_wasm::call::{CallEvent, Callouts};
use crate::proxy_wasm::calls::{self, TokenKind};
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::state::LastStatus;

/// What carries the calls of root contexts.
pub type RootHost = Option<Box<dyn Callouts + Send>>;

impl Instance {
    /// Something has happened to a call. `context` is the stream that carries it, if one does,
    /// whose exchange is lent.
    pub fn on_call(
        &mut self,
        token: u32,
        event: CallEvent,
        context: u32,
        exchange: &mut Option<Box<Exchange>>,
        host: &mut RootHost,
    ) -> Result<(), Failure> {
        let goes_on = matches!(
            event,
            CallEvent::Headers { end: false, .. } | CallEvent::Data { end: false, .. }
        );
        let mut is_over = false;
        for step in self.steps_of(token, event) {
            let state = self.vm.store.data_mut();
            // The callback before may have given the call up.
            if state.calls.get(token).is_none() {
                break;
            }
            if step.is_last {
                // Nobody listens any more, but the guest may say so still.
                if let Some(pending) = state.calls.get(token) {
                    pending.is_half_closed = true;
                }
                is_over = true;
            }
            if let Some((code, message)) = step.status {
                state.status = LastStatus { code, message };
            }
            state.answer = step.answer;
            let result = self.tell_of_call(token, step.callback, context, exchange, host);
            let state = self.vm.store.data_mut();
            state.answer = None;
            state.status.message.clear();
            if step.is_last {
                state.calls.remove(token);
            }
            result?;
        }
        if is_over && goes_on {
            self.give_up(token, exchange);
        }
        Ok(())
    }

    /// Ends a call whose answer is of no use, but goes on.
    fn give_up(&mut self, token: u32, exchange: &mut Option<Box<Exchange>>) {
        let state = self.vm.store.data_mut();
        state.exchange = exchange.take();
        calls::cancel(state, token);
        *exchange = state.exchange.take();
    }

    fn tell_of_call(
        &mut self,
        token: u32,
        callback: Callback,
        context: u32,
        exchange: &mut Option<Box<Exchange>>,
        host: &mut RootHost,
    ) -> Result<(), Failure> {
        let root = self.root;
        match callback {
            Callback::HttpResponse([headers, body, trailers]) => {
                let Some(function) = &self.exports.http_call_response else {
                    return Ok(());
                };
                let parameters = (root, token, headers, body, trailers);
                self.vm
                    .lend_root(self.root, context, exchange, host, |store| {
                        call(store, function, parameters, "proxy_on_http_call_response")
                    })
            }
            Callback::Grpc(callback, value) => {
                let (function, name) = match callback {
                    GrpcCallback::Initial => (
                        &self.exports.grpc_receive_initial_metadata,
                        "proxy_on_grpc_receive_initial_metadata",
                    ),
                    GrpcCallback::Message => (&self.exports.grpc_receive, "proxy_on_grpc_receive"),
                    GrpcCallback::Trailing => (
                        &self.exports.grpc_receive_trailing_metadata,
                        "proxy_on_grpc_receive_trailing_metadata",
                    ),
                    GrpcCallback::Close => (&self.exports.grpc_close, "proxy_on_grpc_close"),
                };
                let Some(function) = function else {
                    return Ok(());
                };
                let parameters = (root, token, value);
                self.vm
                    .lend_root(self.root, context, exchange, host, |store| {
                        call(store, function, parameters, name)
                    })
            }
        }
    }

    /// The callbacks that an event of a call comes to.
    fn steps_of(&mut self, token: u32, event: CallEvent) -> Vec<Step> {
        let calls = &mut self.vm.store.data_mut().calls;
        let bytes = match &event {
            CallEvent::Data { bytes, .. } => bytes.len(),
            _ => 0,
        };
        let event = if calls.receive(token, bytes) {
            event
        } else {
            CallEvent::Lost
        };
        let Some(pending) = calls.get(token) else {
            return Vec::new();
        };
        match TokenKind::of(token) {
            Some(TokenKind::Http) => http_steps(pending, event),
            Some(TokenKind::GrpcCall) => unary_steps(pending, event),
            Some(TokenKind::GrpcStream) => stream_steps(pending, event),
            None => Vec::new(),
        }
    }

    /// The tick of the root context.
    pub fn on_tick(&mut self, host: &mut RootHost) -> Result<(), Failure> {
        let Some(tick) = &self.exports.tick else {
            return Ok(());
        };
        let root = self.root;
        self.vm.lend_root(self.root, 0, &mut None, host, |store| {
            call(store, tick, root, "proxy_on_tick")
        })
    }

    /// A queue has a new item.
    pub fn on_queue_ready(&mut self, token: u32, host: &mut RootHost) -> Result<(), Failure> {
        let Some(ready) = &self.exports.queue_ready else {
            return Ok(());
        };
        let parameters = (self.root, token);
        self.vm.lend_root(self.root, 0, &mut None, host, |store| {
            call(store, ready, parameters, "proxy_on_queue_ready")
        })
    }

    /// A name has been looked up; `found` is what the guest reads of it.
    pub fn on_resolved(
        &mut self,
        token: u32,
        found: Vec<u8>,
        host: &mut RootHost,
    ) -> Result<(), Failure> {
        self.vm.store.data_mut().lookups.close();
        let Some(resolved) = self.exports.resolve_dns.clone() else {
            return Ok(());
        };
        let parameters = (self.root, token, size(found.len()));
        self.vm.store.data_mut().call_data = Some(found);
        let result = self.vm.lend_root(self.root, 0, &mut None, host, |store| {
            call(store, &resolved, parameters, "envoy_on_resolve_dns")
        });
        self.vm.store.data_mut().call_data = None;
        result
    }

    /// The plugin is about to go. Whether its guest is done; else it says `proxy_done` later.
    pub fn shut_down(&mut self) -> Result<bool, Failure> {
        let root = self.root;
        if let Some(done) = &self.exports.done {
            let is_done = self
                .vm
                .lend_root(self.root, 0, &mut None, &mut None, |store| {
                    call(store, done, root, "proxy_on_done")
                })?;
            if is_done == 0 {
                self.vm.store.data_mut().finishing = true;
                return Ok(false);
            }
        }
        self.delete_root()?;
        Ok(true)
    }

    /// Whether the guest has yet to say `proxy_done`.
    pub fn is_finishing(&self) -> bool {
        self.vm.store.data().finishing
    }

    /// The plugin goes.
    pub fn delete_root(&mut self) -> Result<(), Failure> {
        let root = self.root;
        match &self.exports.delete {
            Some(delete) => self
                .vm
                .lend_root(self.root, 0, &mut None, &mut None, |store| {
                    call(store, delete, root, "proxy_on_delete")
                }),
            None => Ok(()),
        }
    }
}

impl Vm {
    fn lend_root<T>(
        &mut self,
        root: u32,
        of: u32,
        exchange: &mut Option<Box<Exchange>>,
        host: &mut RootHost,
        work: impl FnOnce(&mut wasmtime::Store<super::State>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.store.data_mut().callouts = host.take();
        let result = self.lend(root, of, exchange, work);
        *host = self.store.data_mut().callouts.take();
        result
    }
}
