//! What happens to streams.

use super::failure::Failure;
use super::{Instance, call, size};
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::exports::HeadersCallback;
use crate::proxy_wasm::host::Direction;

/// Something that happens to a stream, for one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Headers have arrived.
    Headers {
        /// Which way.
        direction: Direction,
        /// How many entries they have.
        count: usize,
        /// No body and no trailers follow.
        end: bool,
    },
    /// A part of the body has arrived.
    Body {
        /// Which way.
        direction: Direction,
        /// Bytes that the plugin sees.
        len: usize,
        /// No more of the body and no trailers follow.
        end: bool,
    },
    /// Trailers have arrived.
    Trailers {
        /// Which way.
        direction: Direction,
        /// How many entries they have.
        count: usize,
    },
}

impl Instance {
    /// Makes a context for a stream.
    pub fn create_stream(&mut self, exchange: &mut Option<Box<Exchange>>) -> Result<u32, Failure> {
        let id = self.new_context();
        let key = exchange.as_ref().map_or(0, |exchange| exchange.key);
        self.vm.store.data_mut().streams.insert(id, key);
        if let Some(create) = &self.exports.context_create {
            let ids = (id, self.root);
            self.vm.lend(id, id, exchange, |store| {
                call(store, create, ids, "proxy_on_context_create")
            })?;
        }
        Ok(id)
    }

    /// Tells the stream `id` of an event. What comes back is the guest's action, a number that
    /// newer ABIs may give new meanings.
    pub fn on_event(
        &mut self,
        id: u32,
        event: &Event,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<u32, Failure> {
        use Direction::{Request, Response};
        const CONTINUE: u32 = 0;
        match *event {
            Event::Headers {
                direction,
                count,
                end,
            } => {
                let (callback, name) = match direction {
                    Request => (&self.exports.request_headers, "proxy_on_request_headers"),
                    Response => (&self.exports.response_headers, "proxy_on_response_headers"),
                };
                match callback {
                    None => Ok(CONTINUE),
                    Some(HeadersCallback::WithEnd(callback)) => {
                        let parameters = (id, size(count), u32::from(end));
                        self.vm.lend(id, id, exchange, |store| {
                            call(store, callback, parameters, name)
                        })
                    }
                    Some(HeadersCallback::WithoutEnd(callback)) => {
                        let parameters = (id, size(count));
                        self.vm.lend(id, id, exchange, |store| {
                            call(store, callback, parameters, name)
                        })
                    }
                }
            }
            Event::Body {
                direction,
                len,
                end,
            } => {
                let (callback, name) = match direction {
                    Request => (&self.exports.request_body, "proxy_on_request_body"),
                    Response => (&self.exports.response_body, "proxy_on_response_body"),
                };
                let Some(callback) = callback else {
                    return Ok(CONTINUE);
                };
                let parameters = (id, size(len), u32::from(end));
                self.vm.lend(id, id, exchange, |store| {
                    call(store, callback, parameters, name)
                })
            }
            Event::Trailers { direction, count } => {
                let (callback, name) = match direction {
                    Request => (&self.exports.request_trailers, "proxy_on_request_trailers"),
                    Response => (
                        &self.exports.response_trailers,
                        "proxy_on_response_trailers",
                    ),
                };
                let Some(callback) = callback else {
                    return Ok(CONTINUE);
                };
                let parameters = (id, size(count));
                self.vm.lend(id, id, exchange, |store| {
                    call(store, callback, parameters, name)
                })
            }
        }
    }

    /// `proxy_on_log`.
    pub fn log_stream(
        &mut self,
        id: u32,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<(), Failure> {
        match &self.exports.log {
            Some(log) => self.vm.lend(id, id, exchange, |store| {
                call(store, log, id, "proxy_on_log")
            }),
            None => Ok(()),
        }
    }

    /// `proxy_on_done` and `proxy_on_delete`; the context is gone afterwards.
    pub fn delete_stream(
        &mut self,
        id: u32,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<(), Failure> {
        if let Some(done) = &self.exports.done {
            // A stream cannot put off its end: what it returns does not matter.
            self.vm.lend(id, id, exchange, |store| {
                call(store, done, id, "proxy_on_done")
            })?;
        }
        if let Some(delete) = &self.exports.delete {
            self.vm.lend(id, id, exchange, |store| {
                call(store, delete, id, "proxy_on_delete")
            })?;
        }
        self.vm.store.data_mut().streams.remove(&id);
        Ok(())
    }
}
