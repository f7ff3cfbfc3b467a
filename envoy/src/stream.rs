//! A stream on our side: the chain's machine, and the effects that it asks for.
//!
//! Envoy's hooks nest: `http_send_response` and `continue_*` call other hooks of the same stream
//! before they return. So the machine is borrowed for one event at a time, and its effects are
//! carried out after the borrow has ended. The stream itself is counted: up to Envoy 1.39,
//! `http_send_response` may even call `http_filter_destroy` before it returns.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use wasmplugin_host::chain::{self, BodyStatus, Effect, Filter};
use wasmplugin_host::proxy_wasm::{Direction, Exchange, Reply};

use crate::abi::*;
use crate::guard::guard;
use crate::host::{self, EnvoyStream};

/// Details of a stream that a bug of ours has ended.
const INTERNAL_ERROR: &[u8] = b"wasmplugin.internal_error";

/// A stream. Lives on its worker.
#[derive(Debug)]
pub(crate) struct Stream {
    filter: FilterEnvoyPtr,
    machine: RefCell<chain::Stream>,
    /// A hook panicked: the machine is not to be trusted any more.
    broken: Cell<bool>,
    /// `http_filter_stream_complete` has come.
    completed: Cell<bool>,
}

impl Stream {
    /// A new stream, as the pointer that Envoy keeps.
    ///
    /// # Safety
    ///
    /// In `http_filter_new` of `filter`.
    pub(crate) unsafe fn open(filter: FilterEnvoyPtr, filters: &[Arc<dyn Filter>]) -> *const Self {
        // SAFETY: the caller's word; the machine is used in hooks of this stream alone, and not
        // after `complete`.
        let (stream, worker) = unsafe {
            (
                EnvoyStream::new(filter),
                envoy_dynamic_module_callback_http_filter_get_worker_index(filter),
            )
        };
        let machine = chain::Stream::new(filters, worker, Box::new(Exchange::new(stream)));
        Rc::into_raw(Rc::new(Self {
            filter,
            machine: RefCell::new(machine),
            broken: Cell::new(false),
            completed: Cell::new(false),
        }))
    }

    /// The stream behind Envoy's pointer, kept alive beyond what Envoy does meanwhile.
    ///
    /// # Safety
    ///
    /// `pointer` came from [`Self::open`] and [`Self::destroy`] has not had it.
    pub(crate) unsafe fn of(pointer: FilterModulePtr) -> Rc<Self> {
        let pointer = pointer.cast::<Self>();
        // SAFETY: Envoy's count is still in, so the stream lives.
        unsafe {
            Rc::increment_strong_count(pointer);
            Rc::from_raw(pointer)
        }
    }

    /// Gives up Envoy's hold of the stream.
    ///
    /// # Safety
    ///
    /// `pointer` came from [`Self::open`] and is not used again.
    pub(crate) unsafe fn destroy(pointer: FilterModulePtr) {
        // SAFETY: the count that `open` left with Envoy.
        drop(unsafe { Rc::from_raw(pointer.cast::<Self>()) });
    }

    pub(crate) fn on_headers(&self, name: &str, direction: Direction, end: bool) -> u32 {
        let goes_on = self.run(name, false, |machine| machine.on_headers(direction, end));
        if goes_on {
            headers_status::CONTINUE
        } else {
            headers_status::STOP_ITERATION
        }
    }

    pub(crate) fn on_body(&self, name: &str, direction: Direction, end: bool) -> u32 {
        let status = self.run(name, BodyStatus::Drop, |machine| {
            machine.on_body(direction, end)
        });
        match status {
            BodyStatus::Continue => body_status::CONTINUE,
            BodyStatus::Buffer => body_status::STOP_ITERATION_AND_BUFFER,
            BodyStatus::Watermark => body_status::STOP_ITERATION_AND_WATERMARK,
            BodyStatus::Drop => body_status::STOP_ITERATION_NO_BUFFER,
        }
    }

    pub(crate) fn on_trailers(&self, name: &str, direction: Direction) -> u32 {
        let goes_on = self.run(name, false, |machine| machine.on_trailers(direction));
        if goes_on {
            trailers_status::CONTINUE
        } else {
            trailers_status::STOP_ITERATION
        }
    }

    pub(crate) fn complete(&self) {
        self.completed.set(true);
        if !self.broken.get() {
            guard("http_filter_stream_complete", (), || {
                // Borrowed here means that a callback of ours, in the middle of an event, made
                // Envoy end the stream: none does. The plugins would miss the end, no more.
                if let Ok(mut machine) = self.machine.try_borrow_mut() {
                    machine.complete();
                }
            });
        }
    }

    /// Hands an event to the machine, and does what comes of it. A bug ends the stream: `stop` is
    /// what keeps anything from passing.
    fn run<T>(&self, name: &str, stop: T, event: impl FnOnce(&mut chain::Stream) -> T) -> T {
        if self.broken.get() {
            return stop;
        }
        let status = guard(name, None, || {
            let status = event(&mut *self.machine.try_borrow_mut().ok()?);
            self.perform();
            Some(status)
        });
        status.unwrap_or_else(|| {
            self.fail();
            stop
        })
    }

    /// Carries out the effects of the last event. Nested hooks may add some: the innermost loop
    /// takes them, in order.
    fn perform(&self) {
        loop {
            let next = match self.machine.try_borrow_mut() {
                Ok(mut machine) => machine.next_effect(),
                // Whoever has the borrow performs what it leaves.
                Err(_) => return,
            };
            let Some(effect) = next else { return };
            if self.completed.get() {
                continue;
            }
            match effect {
                // SAFETY: in a hook of this stream other than `stream_complete` (checked above),
                // with no borrow of it.
                Effect::Reply(reply) => unsafe { host::send_response(self.filter, &reply) },
                // SAFETY: as above; the details are copied.
                Effect::Reset { details } => unsafe {
                    envoy_dynamic_module_callback_http_filter_reset_stream(
                        self.filter,
                        reset_reason::LOCAL_RESET,
                        ModuleBuffer::new(details.as_bytes()),
                    );
                },
                // SAFETY: as above, and the machine never resumes the direction whose hook runs.
                Effect::ContinueRequest => unsafe {
                    envoy_dynamic_module_callback_http_filter_continue_decoding(self.filter);
                },
                // SAFETY: as above; the machine resumes a response only if it stopped one.
                Effect::ContinueResponse => unsafe {
                    envoy_dynamic_module_callback_http_filter_continue_encoding(self.filter);
                },
            }
        }
    }

    /// Ends a stream whose machine is broken. Fails closed: nobody gets past a plugin because of a
    /// bug.
    #[cold]
    fn fail(&self) {
        self.broken.set(true);
        if self.completed.get() {
            return;
        }
        let reply = Reply {
            status: 503,
            details: INTERNAL_ERROR.to_vec(),
            ..Reply::default()
        };
        // SAFETY: in a hook of this stream other than `stream_complete`, with no borrow of it.
        unsafe { host::send_response(self.filter, &reply) };
    }
}
