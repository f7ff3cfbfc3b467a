//! A stream on our side: the chain's machine, and the effects that it asks for.
//!
//! Envoy's hooks nest: `http_send_response` and `continue_*` call other hooks of the same stream
//! before they return. So the machine is borrowed for one event at a time, and its effects are
//! carried out after the borrow has ended. The stream itself is counted: up to Envoy 1.39,
//! `http_send_response` may even call `http_filter_destroy` before it returns.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use wasmplugin_host::chain::{self, BodyStatus, Effect};
use wasmplugin_host::control::{self, Generation, Letter, TURN};
use wasmplugin_host::proxy_wasm::peers::{self, Peer};
use wasmplugin_host::proxy_wasm::{CallEvent, Direction, Exchange, Number, Reply};

use crate::abi::*;
use crate::callout;
use crate::config::Config;
use crate::guard::guard;
use crate::host::{self, EnvoyStream};
use crate::idle;
use crate::route::Route;
use crate::threads::{Mail, Mailbox, threads};

/// Details of a stream that a bug of ours has ended.
const INTERNAL_ERROR: &[u8] = b"wasmplugin.internal_error";

/// A stream. Lives on its worker.
#[derive(Debug)]
pub(crate) struct Stream {
    filter: FilterEnvoyPtr,
    worker: u32,
    /// Outlives its streams.
    config: NonNull<Config>,
    /// Keeps its plugins.
    generation: Option<Arc<Generation>>,
    /// The machine has its plugins.
    begun: Cell<bool>,
    pub(crate) machine: RefCell<chain::Stream>,
    /// A hook panicked: the machine is not to be trusted any more.
    broken: Cell<bool>,
    /// `http_filter_stream_complete` has come.
    completed: Cell<bool>,
    /// While a plugin has paused it: how others reach it.
    mailbox: RefCell<Option<Arc<Mailbox>>>,
}

impl Stream {
    /// A new stream, as the pointer that Envoy keeps.
    ///
    /// # Safety
    ///
    /// In `http_filter_new` of `filter`, whose configuration is `config`.
    pub(crate) unsafe fn open(filter: FilterEnvoyPtr, config: &Config) -> *const Self {
        // SAFETY: the caller's word; the machine is used in hooks of this stream alone, and not
        // after `complete`.
        let (host, worker) = unsafe {
            (
                EnvoyStream::new(filter),
                envoy_dynamic_module_callback_http_filter_get_worker_index(filter),
            )
        };
        let generation = config.generation();
        let config = NonNull::from_ref(config);
        Rc::into_raw(match idle::take(worker, host) {
            Ok(mut stream) => {
                if let Some(stream) = Rc::get_mut(&mut stream) {
                    stream.filter = filter;
                    stream.worker = worker;
                    stream.config = config;
                    stream.generation = generation;
                    stream.begun = Cell::new(false);
                    stream.completed = Cell::new(false);
                }
                stream
            }
            Err(host) => Rc::new(Self {
                filter,
                worker,
                config,
                generation,
                begun: Cell::new(false),
                machine: RefCell::new(chain::Stream::new(worker, Box::new(Exchange::new(host)))),
                broken: Cell::new(false),
                completed: Cell::new(false),
                mailbox: RefCell::new(None),
            }),
        })
    }

    /// Lets go of what a stream uses that is through. False if it is not, or not to be trusted.
    pub(crate) fn empty(&mut self) -> bool {
        let is_over =
            self.completed.get() && !self.broken.get() && self.mailbox.get_mut().is_none();
        if is_over {
            self.machine.get_mut().empty();
            self.generation = None;
        }
        is_over
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
        idle::put(unsafe { Rc::from_raw(pointer.cast::<Self>()) });
    }

    pub(crate) fn on_headers(self: &Rc<Self>, name: &str, direction: Direction, end: bool) -> u32 {
        let goes_on = self.run(name, false, |machine| machine.on_headers(direction, end));
        if goes_on {
            headers_status::CONTINUE
        } else {
            headers_status::STOP_ITERATION
        }
    }

    pub(crate) fn on_body(self: &Rc<Self>, name: &str, direction: Direction, end: bool) -> u32 {
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

    pub(crate) fn on_trailers(self: &Rc<Self>, name: &str, direction: Direction) -> u32 {
        let goes_on = self.run(name, false, |machine| machine.on_trailers(direction));
        if goes_on {
            trailers_status::CONTINUE
        } else {
            trailers_status::STOP_ITERATION
        }
    }

    /// Something has happened to a call that this stream carries.
    pub(crate) fn on_call(self: &Rc<Self>, name: &str, id: u64, event: impl FnOnce() -> CallEvent) {
        if self.machine.try_borrow_mut().is_err() {
            // In the middle of an event, the machine only gives up what it began to see if it can.
            return;
        }
        self.run(name, (), |machine| machine.on_call(id, event()));
    }

    /// There is mail.
    pub(crate) fn on_mail(self: &Rc<Self>) {
        let Some(mailbox) = self.mailbox.borrow().clone() else {
            return;
        };
        let start = Instant::now();
        let mut all = mailbox.take();
        while let Some(mail) = all.pop_front() {
            match mail {
                Mail::Letter(letter) => self.read(letter),
                Mail::Task(task) => guard("http_filter_scheduled", (), || {
                    self.config().process().run_on_worker(task);
                    peers::settle();
                }),
            }
            // The other streams of this worker get their turn.
            if start.elapsed() > TURN {
                break;
            }
        }
        let is_there = |now: &Arc<Mailbox>| Arc::ptr_eq(now, &mailbox);
        if self.mailbox.borrow().as_ref().is_some_and(is_there) {
            mailbox.put_back(all);
            return;
        }
        for mail in all {
            match mail {
                Mail::Letter(letter) => self.read(letter),
                Mail::Task(task) => self.config().process().send_again(task),
            }
        }
    }

    fn read(self: &Rc<Self>, letter: Letter) {
        self.run("http_filter_scheduled", (), |machine| match letter {
            Letter::Asked {
                instance,
                context,
                actions,
            } => machine.on_actions(instance, context, actions),
            Letter::Gone { instance } => machine.on_gone(instance),
        });
    }

    /// Gives the machine its plugins. At the first hook that comes, when the route is known; up to
    /// then, other filters may still change it.
    #[inline]
    fn begin(&self) {
        if self.begun.replace(true) {
            return;
        }
        control::opened();
        let (Some(generation), Ok(mut machine)) = (&self.generation, self.machine.try_borrow_mut())
        else {
            return;
        };
        let Some(exchange) = machine.exchange() else {
            return;
        };
        let host = exchange.host();
        // SAFETY: in a hook of this stream.
        let key = control::route_key(unsafe { Route::number_of(self.filter) }, host);
        let port = || u16::try_from(host.number(Number::DestinationPort)?).ok();
        let filters = self.config().filters(generation, &key, port);
        if let Some(limit) = filters.iter().filter_map(|filter| filter.max_body()).max() {
            // SAFETY: in a hook of this stream.
            unsafe { envoy_dynamic_module_callback_http_set_buffer_limit(self.filter, limit) };
        }
        machine.meet(filters);
    }

    fn config(&self) -> &Config {
        // SAFETY: a configuration outlives its streams.
        unsafe { self.config.as_ref() }
    }

    pub(crate) fn complete(self: &Rc<Self>) {
        self.completed.set(true);
        if !self.broken.get() {
            guard("http_filter_stream_complete", (), || {
                self.begin();
                // Borrowed here means that a callback of ours, in the middle of an event, made
                // Envoy end the stream: none does. The plugins would miss the end, no more.
                if let Ok(mut machine) = self.machine.try_borrow_mut() {
                    machine.complete();
                }
                self.be_reachable(false);
                // SAFETY: in a hook of this stream.
                unsafe { self.config().on_stream_end(self.filter) };
                peers::settle();
            });
        }
    }

    /// Hands an event to the machine, and does what comes of it. A bug ends the stream: `stop` is
    /// what keeps anything from passing.
    fn run<T>(
        self: &Rc<Self>,
        name: &str,
        stop: T,
        event: impl FnOnce(&mut chain::Stream) -> T,
    ) -> T {
        if self.broken.get() {
            return stop;
        }
        let status = guard(name, None, || {
            self.begin();
            let (status, is_quiet) = {
                let machine = &mut *self.machine.try_borrow_mut().ok()?;
                (event(machine), machine.is_quiet())
            };
            // As for most events nothing came of it.
            if !is_quiet || self.mailbox.borrow().is_some() {
                self.go_on();
            }
            peers::settle();
            Some(status)
        });
        status.unwrap_or_else(|| {
            self.fail();
            stop
        })
    }

    /// Does what came of an event, with no borrow held.
    fn go_on(self: &Rc<Self>) {
        self.perform();
        let is_paused = match self.machine.try_borrow() {
            Ok(machine) => machine.is_paused(),
            Err(_) => return,
        };
        self.be_reachable(is_paused);
    }

    /// Lets others reach the stream, or not.
    fn be_reachable(self: &Rc<Self>, wanted: bool) {
        let is_reachable = self.mailbox.borrow().is_some();
        if wanted == is_reachable {
            return;
        }
        let key = match self.machine.try_borrow_mut() {
            Ok(mut machine) => machine.exchange().map(|exchange| exchange.key),
            Err(_) => None,
        };
        let Some(key) = key else { return };
        if wanted {
            let peer: Rc<dyn Peer> = Rc::<Self>::clone(self);
            peers::put(key, peer);
            // SAFETY: in a hook of this stream.
            let mailbox = unsafe { threads().add_stream(self.worker, key, self.filter) };
            *self.mailbox.borrow_mut() = mailbox;
        } else {
            peers::remove(key);
            threads().remove_stream(self.worker, key);
            let mailbox = self.mailbox.borrow_mut().take();
            // Mail that came too late: what is for the worker finds another way.
            for mail in mailbox.into_iter().flat_map(|mailbox| mailbox.take()) {
                if let Mail::Task(task) = mail {
                    self.config().process().send_again(task);
                }
            }
        }
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
                // SAFETY: as above.
                Effect::ResetCall(id) => unsafe { callout::reset(self.filter, id) },
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
        // SAFETY: in a hook of this stream other than `stream_complete`, with no borrow of it.
        unsafe { refuse(self.filter, 503) };
    }
}

/// Answers a stream that a bug of ours has ended.
///
/// # Safety
///
/// As [`host::send_response`].
pub(crate) unsafe fn refuse(filter: FilterEnvoyPtr, status: u32) {
    let reply = Reply {
        status,
        details: INTERNAL_ERROR.to_vec(),
        ..Reply::default()
    };
    // SAFETY: the caller's word.
    unsafe { host::send_response(filter, &reply) };
}

impl Peer for Stream {
    fn lend(&self, instance: u64, context: u32) -> Option<Box<Exchange>> {
        let mut machine = self.machine.try_borrow_mut().ok()?;
        machine.lend(instance, context)
    }

    fn give_back(&self, instance: u64, context: u32, exchange: Box<Exchange>) {
        // Nothing of this stream ran since it was lent.
        if let Ok(mut machine) = self.machine.try_borrow_mut() {
            machine.give_back(instance, context, exchange);
        }
    }

    fn settle(self: Rc<Self>) {
        self.run("http_filter_scheduled", (), chain::Stream::settle_lent);
    }
}
