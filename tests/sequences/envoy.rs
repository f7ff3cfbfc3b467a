//! Envoy's part: it feeds the streams, and checks the rules of its ABI.
//!
//! - Nothing of a stream is touched after its end, or from elsewhere than its hooks.
//! - `continue_*` comes only where the last hook of that direction said to stop, never in a hook of
//!   the same direction, never before there is something to continue, and never twice.
//! - A stream is answered or reset once, and not at its end.
//! - What is read and written of bodies is there.
//! - Calls are complete, and none is made at the end.
//! - Headers, bodies and filter state stay within their bounds.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use wasmplugin_host::chain::{BodyStatus, Effect, Filter, Stream};
use wasmplugin_host::proxy_wasm::peers::{self, Peer};
use wasmplugin_host::proxy_wasm::{
    CallEvent, Callouts, Direction, Exchange, Failure, Fields, Instance, Map, Response, RootHost,
};

use super::host::{BUFFER, Host, State, at};
use super::plugin::{MainThread, Plugins};
use super::program::Event;

/// Streams that are open at a time.
const STREAMS: usize = 2;

/// Envoy.
pub(super) struct Envoy {
    plugins: Plugins,
    streams: [Option<Rc<Open>>; STREAMS],
    main: MainThread,
    /// Calls that the main thread has sent: plugin, its number, token.
    sent: Vec<(usize, u64, u32)>,
}

/// An open stream.
struct Open {
    key: u64,
    machine: RefCell<Stream>,
    state: Arc<Mutex<State>>,
}

const fn direction(response: bool) -> Direction {
    if response {
        Direction::Response
    } else {
        Direction::Request
    }
}

impl Envoy {
    pub(super) fn new(plugins: Plugins) -> Self {
        Self {
            plugins,
            streams: [const { None }; STREAMS],
            main: MainThread::default(),
            sent: Vec::new(),
        }
    }

    pub(super) fn on(&mut self, event: &Event) {
        match *event {
            Event::Open => self.open(),
            Event::Headers {
                stream,
                response,
                end,
            } => {
                self.with(stream, |open| open.headers(direction(response), end));
            }
            Event::Body {
                stream,
                response,
                len,
                end,
            } => {
                self.with(stream, |open| {
                    open.body(direction(response), len.into(), end)
                });
            }
            Event::Trailers { stream, response } => {
                self.with(stream, |open| open.trailers(direction(response)));
            }
            Event::Complete { stream } => self.complete(stream.into()),
            Event::Call { call, what, len } => self.answer(call, what, len.into()),
            Event::Tick { plugin } => self.tick(plugin.into()),
            Event::Deliver => self.deliver(),
        }
        peers::settle();
    }

    /// Everything ends.
    pub(super) fn end(&mut self) {
        self.deliver();
        for stream in 0..STREAMS {
            self.complete(stream);
        }
        self.deliver();
        for plugin in &self.plugins.all {
            let _ended = plugin.within(None, |instance| instance.shut_down());
        }
    }

    fn with(&self, stream: u8, work: impl FnOnce(&Rc<Open>)) {
        let stream = self.streams.get(usize::from(stream));
        if let Some(open) = stream.and_then(Option::as_ref) {
            work(open);
            open.settle_down();
        }
    }

    fn open(&mut self) {
        let Some(free) = self.streams.iter().position(Option::is_none) else {
            return;
        };
        let state = Arc::new(Mutex::new(State::default()));
        let host = Host::new(Arc::clone(&state));
        let exchange: Box<Exchange> = Box::new(Exchange::new(host));
        let key = exchange.key;
        let filters = self
            .plugins
            .all
            .iter()
            .map(|of| Arc::clone(of) as Arc<dyn Filter>);
        let mut machine = Stream::new(0, exchange);
        machine.meet(filters.collect());
        self.streams[free] = Some(Rc::new(Open {
            key,
            machine: RefCell::new(machine),
            state,
        }));
    }

    fn complete(&mut self, stream: usize) {
        if let Some(open) = self.streams.get_mut(stream).and_then(Option::take) {
            peers::remove(open.key);
            open.state().completed = true;
            open.machine.borrow_mut().complete();
            let effect = open.machine.borrow_mut().next_effect();
            assert_eq!(effect, None, "an effect of a dead stream");
            peers::settle();
        }
    }

    /// Something comes of a call, of a stream's or the main thread's.
    fn answer(&mut self, call: u8, what: u8, len: usize) {
        let call = usize::from(call);
        let of_streams: Vec<_> = self.streams.iter().flatten().map(Rc::clone).collect();
        for open in of_streams {
            let calls = open.state().calls.clone();
            if calls.is_empty() {
                continue;
            }
            let id = calls[call % calls.len()];
            let event = happening(what, len);
            if event.is_last() {
                open.state().calls.retain(|known| *known != id);
            }
            open.machine.borrow_mut().on_call(id, event);
            open.carry_out();
            open.settle_down();
            return;
        }
        if !self.sent.is_empty() {
            let at = call % self.sent.len();
            let (plugin, id, token) = self.sent[at];
            let event = happening(what, len);
            if event.is_last() {
                self.sent.remove(at);
            }
            let _ = id;
            self.at_main(plugin, |instance, host| {
                instance.on_call(token, event, 0, &mut None, host)
            });
        }
    }

    fn tick(&mut self, plugin: usize) {
        let wants = self
            .plugins
            .all
            .get(plugin)
            .is_some_and(|of| of.left().ticks);
        if wants {
            self.at_main(plugin, |instance, host| instance.on_tick(host));
        }
    }

    /// Runs `work` on the main thread, with its calls.
    fn at_main(
        &mut self,
        plugin: usize,
        work: impl FnOnce(&mut Instance, &mut RootHost) -> Result<(), Failure>,
    ) {
        let Some(of) = self.plugins.all.get(plugin) else {
            return;
        };
        let main = MainThread {
            last: self.main.last + 1000,
        };
        self.main.last = main.last;
        let mut host: RootHost = Some(Box::new(main));
        let _ended = of.within(None, |instance| work(instance, &mut host));
        self.deliver();
    }

    /// Does what plugins left to be done elsewhere. What comes of that waits for the next time, so
    /// that there is an end.
    fn deliver(&mut self) {
        for plugin in 0..self.plugins.all.len() {
            let Some(of) = self.plugins.all.get(plugin).map(Arc::clone) else {
                continue;
            };
            let left = std::mem::take(&mut *of.left());
            of.left().ticks = left.ticks;
            self.sent
                .extend(left.sent.into_iter().map(|(id, token)| (plugin, id, token)));
            for (token, call) in left.unsent {
                let sent = call.lend(|call| self.main.call(call));
                match sent {
                    Ok(id) => self.sent.push((plugin, id, token)),
                    Err(_) => {
                        let _ended = of.within(None, |instance| {
                            instance.on_call(token, CallEvent::Lost, 0, &mut None, &mut None)
                        });
                    }
                }
            }
            self.sent
                .retain(|(by, _, token)| *by != plugin || !left.cancelled.contains(token));
            for (address, token, _notice) in left.ready {
                let to = usize::try_from(address.plugin).ok();
                if let Some(to) = to.and_then(|to| self.plugins.all.get(to)) {
                    let instance = Some(address.instance);
                    let _ended = to.within(instance, |instance| {
                        instance.on_queue_ready(token, &mut None)
                    });
                }
            }
            for (key, context, actions) in left.asked {
                let open = self.streams.iter().flatten().find(|open| open.key == key);
                if let Some(open) = open.map(Rc::clone) {
                    let instance = plugin as u64 + 1;
                    open.machine
                        .borrow_mut()
                        .on_actions(instance, context, actions);
                    open.carry_out();
                    open.settle_down();
                }
            }
        }
        peers::settle();
    }
}

/// What can come of a call.
fn happening(what: u8, len: usize) -> CallEvent {
    let ok = || vec![(b":status".to_vec(), b"200".to_vec())];
    let bytes = |len: usize| {
        // A gRPC message, if it is read as one.
        let mut bytes = vec![0, 0, 0, 0];
        bytes.push(u8::try_from(len).unwrap_or(u8::MAX));
        bytes.resize(5 + len, b'm');
        bytes
    };
    let end = what & 0x10 != 0;
    match what & 7 {
        0 => CallEvent::Response(Response {
            headers: ok(),
            body: bytes(len),
            trailers: Fields::new(),
        }),
        1 | 2 => CallEvent::Headers { headers: ok(), end },
        3 | 4 => CallEvent::Data {
            bytes: bytes(len),
            end,
        },
        5 => CallEvent::Trailers(vec![(b"grpc-status".to_vec(), b"0".to_vec())]),
        6 => CallEvent::Complete,
        _ => CallEvent::Lost,
    }
}

impl Open {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic before")
    }

    fn headers(self: &Rc<Self>, direction: Direction, end: bool) {
        {
            let mut state = self.state();
            let request_began = state.sides[0].headers;
            let side = &mut state.sides[at(direction)];
            // A response comes to a request that has begun, and each comes once.
            if side.headers
                || (direction == Direction::Response && !request_began)
                || state.answered
            {
                return;
            }
            state.sides[at(direction)].headers = true;
            state.sides[at(direction)].ended = end;
            state.hook = Some(direction);
        }
        let (map, headers): (_, &[(&str, &str)]) = match direction {
            Direction::Request => (
                Map::RequestHeaders,
                &[(":path", "/"), (":method", "GET"), (":authority", "a")],
            ),
            Direction::Response => (Map::ResponseHeaders, &[(":status", "200")]),
        };
        for (name, value) in headers {
            self.arrive(map, name, value);
        }
        let goes_on = self.machine.borrow_mut().on_headers(direction, end);
        self.follow(direction, goes_on);
    }

    fn body(self: &Rc<Self>, direction: Direction, len: usize, end: bool) {
        {
            let mut state = self.state();
            let is_done = state.answered;
            let side = &mut state.sides[at(direction)];
            if !side.headers || side.ended || is_done {
                return;
            }
            side.ended = end;
            if state.bodies[at(direction)].len() + len > 8 * BUFFER {
                return;
            }
            state.bodies[at(direction)].extend(vec![b'b'; len]);
            state.hook = Some(direction);
        }
        let status = self.machine.borrow_mut().on_body(direction, end);
        if status == BodyStatus::Drop {
            self.state().bodies[at(direction)].clear();
        }
        self.follow(direction, status == BodyStatus::Continue);
    }

    fn trailers(self: &Rc<Self>, direction: Direction) {
        {
            let mut state = self.state();
            let is_done = state.answered;
            let side = &mut state.sides[at(direction)];
            if !side.headers || side.ended || is_done {
                return;
            }
            side.ended = true;
            state.hook = Some(direction);
        }
        let map = match direction {
            Direction::Request => Map::RequestTrailers,
            Direction::Response => Map::ResponseTrailers,
        };
        self.arrive(map, "x-trailer", "1");
        let goes_on = self.machine.borrow_mut().on_trailers(direction);
        self.follow(direction, goes_on);
    }

    /// An entry of a map comes from outside.
    fn arrive(&self, map: Map, name: &str, value: &str) {
        let mut machine = self.machine.borrow_mut();
        let exchange = machine.exchange().expect("it is not lent");
        let host = exchange.host_mut();
        host.add_header(map, name.as_bytes(), value.as_bytes());
    }

    /// What a hook said.
    fn follow(self: &Rc<Self>, direction: Direction, goes_on: bool) {
        {
            let mut state = self.state();
            state.sides[at(direction)].stopped = !goes_on;
            if goes_on {
                state.send(direction);
            }
        }
        self.carry_out();
        self.state().hook = None;
    }

    /// Does what the machine wants done, with no borrow of it.
    fn carry_out(&self) {
        loop {
            let next = self.machine.borrow_mut().next_effect();
            let Some(effect) = next else { return };
            let mut state = self.state();
            assert!(!state.completed, "an effect of a dead stream");
            match effect {
                Effect::ContinueRequest => state.go_on(Direction::Request),
                Effect::ContinueResponse => state.go_on(Direction::Response),
                Effect::Reply(_) | Effect::Reset { .. } => {
                    assert!(!state.answered, "answered twice");
                    state.answered = true;
                }
                Effect::ResetCall(id) => state.calls.retain(|known| *known != id),
            }
        }
    }

    /// Lets others reach the stream while it is paused.
    fn settle_down(self: &Rc<Self>) {
        let is_paused = self.machine.borrow().is_paused();
        if is_paused {
            let peer: Rc<dyn Peer> = Rc::<Self>::clone(self);
            peers::put(self.key, peer);
        } else {
            peers::remove(self.key);
        }
    }
}

impl Peer for Open {
    fn lend(&self, instance: u64, context: u32) -> Option<Box<Exchange>> {
        self.machine.try_borrow_mut().ok()?.lend(instance, context)
    }

    fn give_back(&self, instance: u64, context: u32, exchange: Box<Exchange>) {
        let mut machine = self
            .machine
            .try_borrow_mut()
            .expect("nothing ran meanwhile");
        machine.give_back(instance, context, exchange);
    }

    fn settle(self: Rc<Self>) {
        if self.state().completed {
            return;
        }
        self.machine.borrow_mut().settle_lent();
        self.carry_out();
        self.settle_down();
    }
}
