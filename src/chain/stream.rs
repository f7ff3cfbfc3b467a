//! The state machine of a stream. See [`super`] for the ideas.

use std::sync::Arc;

use smallvec::SmallVec;

use super::calls;
use super::flow::{Body, Both, End, Flow, Headers, Hold, Lane};
use super::{Context, Filter, Lent, Outage};
use crate::proxy_wasm::{
    Actions, Carrier, Direction, Event, Exchange, Map, Maps, Reply, View, Window,
};

/// Plugins of a stream that need no allocation.
const USUAL: usize = 6;

/// A stream in its filter entry.
pub struct Stream {
    pub(super) worker: u32,
    pub(super) stages: SmallVec<[Stage; USUAL]>,
    pub(super) flows: Both<Flow>,
    pub(super) exchange: Lent,
    pub(super) effects: SmallVec<[Effect; 2]>,
    /// Plugins to resume once the running event is through.
    pub(super) resumes: SmallVec<[(Direction, usize); 2]>,
    /// What was asked while the exchange was lent, by plugin.
    pub(super) asked: Vec<(usize, Actions)>,
    pub(super) completed: bool,
}

/// A plugin on this stream.
pub(super) struct Stage {
    pub(super) filter: Arc<dyn Filter>,
    pub(super) context: Option<Context>,
    pub(super) reach: Reach,
    pub(super) lanes: Both<Lane>,
}

/// Whether a plugin takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The request has not come to it.
    Unreached,
    /// It sees the stream.
    Active,
    /// It cannot run; the stream goes on without it.
    Bypassed,
}

/// What the owner of the stream has to do once it holds no borrow of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Let the held request go on.
    ContinueRequest,
    /// Let the held response go on.
    ContinueResponse,
    /// Answer the client. After response headers went out, Envoy resets the stream instead.
    Reply(Reply),
    /// Reset a call that the stream carries, by the proxy's number.
    ResetCall(u64),
    /// Reset the stream.
    Reset {
        /// `%RESPONSE_CODE_DETAILS%`.
        details: &'static str,
    },
}

/// What a body event comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyStatus {
    /// What is there goes on.
    Continue,
    /// What is there is kept; the stream fails beyond Envoy's limit.
    Buffer,
    /// What is there is kept; the peer waits beyond Envoy's limit.
    Watermark,
    /// What has just arrived is dropped: nobody will read it.
    Drop,
}

/// How a call into a plugin ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The plugin's answer.
    Action(u32),
    /// The stream was answered, reset or refused.
    Closed,
}

/// Actions of guests. What they mean depends on the event.
mod action {
    pub(super) const CONTINUE: u32 = 0;
    /// The SDKs' "pause".
    pub(super) const STOP_ITERATION: u32 = 1;
    /// At headers "end the stream", which Envoy does not do; at bodies "watermark".
    pub(super) const TWO: u32 = 2;
    /// At headers "stop all, and buffer".
    pub(super) const STOP_ALL_AND_BUFFER: u32 = 3;
}

/// Details of a stream that a guest closed, as in Envoy.
const CLOSED_BY_GUEST: &str = "wasm_close_stream";

impl Stream {
    /// A stream on `worker`, before its request headers.
    pub fn new(filters: &[Arc<dyn Filter>], worker: u32, exchange: Box<Exchange>) -> Self {
        let stage = |filter: &Arc<dyn Filter>| Stage {
            filter: Arc::clone(filter),
            context: None,
            reach: Reach::Unreached,
            lanes: Both::default(),
        };
        Self {
            worker,
            stages: filters.iter().map(stage).collect(),
            flows: Both::default(),
            exchange: Some(exchange),
            effects: SmallVec::new(),
            resumes: SmallVec::new(),
            asked: Vec::new(),
            completed: false,
        }
    }

    /// Headers have arrived. Whether they go on; if not, body events follow all the same.
    pub fn on_headers(&mut self, direction: Direction, end: bool) -> bool {
        if direction == Direction::Response && self.has_reply() {
            // Envoy answers by itself, as on a timeout: past the reply that a plugin holds.
            self.shut();
        }
        let flow = self.flow_mut(direction);
        if flow.closed {
            return direction == Direction::Response;
        }
        flow.started = true;
        flow.end_with_headers = end;
        self.pass_headers(direction, 0);
        self.settle(direction)
    }

    /// A part of the body has arrived, and is in the exchange's body behind what was held.
    pub fn on_body(&mut self, direction: Direction, end: bool) -> BodyStatus {
        if self.flow(direction).closed {
            return match direction {
                Direction::Request => BodyStatus::Drop,
                Direction::Response => BodyStatus::Continue,
            };
        }
        let known = self.offset(direction, None);
        let total = self
            .exchange
            .as_ref()
            .map_or(known, |e| e.body_len(direction));
        self.pass_body(direction, 0, total.saturating_sub(known), end);
        if self.settle(direction) {
            return BodyStatus::Continue;
        }
        if self.flow(direction).closed {
            return BodyStatus::Drop;
        }
        let lanes = self.stages.iter().map(|stage| stage.lanes.of(direction));
        if lanes.into_iter().any(Lane::is_watermarked) {
            BodyStatus::Watermark
        } else {
            BodyStatus::Buffer
        }
    }

    /// Trailers have arrived. Whether everything goes on.
    pub fn on_trailers(&mut self, direction: Direction) -> bool {
        if self.flow(direction).closed {
            return direction == Direction::Response;
        }
        self.pass_trailers(direction, 0);
        self.settle(direction)
    }

    /// Resumes plugin number `index`, if it has paused in `direction`: outside of Envoy's hooks
    /// of that direction.
    pub fn resume(&mut self, direction: Direction, index: usize) {
        self.resumes.push((direction, index));
        self.run_resumes(None);
    }

    /// The stream has ended, however it did.
    pub fn complete(&mut self) {
        if std::mem::replace(&mut self.completed, true) {
            return;
        }
        self.shut();
        if let Some(exchange) = &mut self.exchange {
            exchange.carrier = Carrier::MainThread;
        }
        let all = [
            Map::RequestHeaders,
            Map::ResponseHeaders,
            Map::ResponseTrailers,
        ];
        let readable = all.into_iter().fold(Maps::NONE, Maps::with);
        let log = View {
            readable,
            log: true,
            ..View::default()
        };
        let stages = &mut self.stages;
        for stage in &mut *stages {
            // Plugins that the request never came to see its end, too.
            if stage.reach == Reach::Unreached {
                show(&mut self.exchange, View::default());
                stage.context = stage.filter.open(self.worker, &mut self.exchange).ok();
            }
            if let Some(context) = stage.context.filter(|_| stage.reach != Reach::Bypassed) {
                show(&mut self.exchange, log);
                stage.filter.log(&context, &mut self.exchange);
            }
        }
        show(&mut self.exchange, View::default());
        for stage in &mut *stages {
            if let Some(context) = stage.context {
                stage.filter.delete(&context, &mut self.exchange);
            }
        }
        self.lose_calls();
        self.stages
            .iter_mut()
            .for_each(|stage| stage.context = None);
        // Whatever they asked for comes too late.
        self.effects.clear();
        self.resumes.clear();
    }

    /// The next thing to do, once no borrow of the stream is held.
    pub fn next_effect(&mut self) -> Option<Effect> {
        if self.effects.is_empty() {
            None
        } else {
            Some(self.effects.remove(0))
        }
    }

    /// The proxy's side of the stream.
    pub fn exchange(&mut self) -> Option<&mut Exchange> {
        self.exchange.as_deref_mut()
    }

    // === moving on: headers, body, trailers, each from a position as far as it gets ===

    fn pass_headers(&mut self, direction: Direction, from: usize) {
        let end = self.flow(direction).end_with_headers;
        for index in self.order(direction, from) {
            if direction == Direction::Request && !self.open(index) {
                return;
            }
            if !self.is_active(index) {
                self.lane_mut(direction, index).headers = Headers::Passed;
                continue;
            }
            let count = self.entries(headers_of(direction));
            let event = Event::Headers {
                direction,
                count,
                end,
            };
            let hold = match self.call(index, &event) {
                Step::Closed => return,
                Step::Action(action::CONTINUE | action::TWO) => None,
                Step::Action(action::STOP_ITERATION) if self.holds_headers_only(index) => {
                    Some(Hold::HeadersOnly)
                }
                Step::Action(action::STOP_ALL_AND_BUFFER) => Some(Hold::AllBuffered),
                Step::Action(_) => Some(Hold::AllWatermarked),
            };
            let lane = self.lane_mut(direction, index);
            match hold {
                None => lane.headers = Headers::Passed,
                Some(hold) => {
                    lane.headers = Headers::Held(hold);
                    lane.shows_headers = direction == Direction::Response;
                    return;
                }
            }
        }
        self.flow_mut(direction).headers_out = true;
    }

    fn pass_body(&mut self, direction: Direction, from: usize, mut bytes: usize, end: bool) {
        for index in self.order(direction, from) {
            if !self.is_active(index) {
                continue;
            }
            let lane = self.lane_mut(direction, index);
            match lane.headers {
                Headers::Held(Hold::HeadersOnly) | Headers::Passed => {}
                Headers::Waiting | Headers::Held(_) => {
                    lane.held += bytes;
                    lane.end = if end { End::Body } else { lane.end };
                    return;
                }
            }
            let (held, shows_held) = (lane.held, lane.body == Body::Buffering);
            let behind = if shows_held { 0 } else { held };
            let window = Window {
                start: self.offset(direction, Some(index)) + behind,
                len: held - behind + bytes,
            };
            let event = Event::Body {
                direction,
                len: window.len,
                end,
            };
            let (step, after) = self.call_on_body(index, &event, direction, Some(window));
            let Step::Action(action) = step else { return };
            let window = after.unwrap_or(window);
            let here = behind + window.len;
            let lane = self.lane_mut(direction, index);
            match action {
                action::CONTINUE => {
                    lane.body = Body::Flowing;
                    lane.held = 0;
                    bytes = here;
                    if lane.headers != Headers::Passed {
                        lane.headers = Headers::Passed;
                        lane.shows_headers = true;
                        self.pass_headers(direction, self.position(direction, index) + 1);
                    }
                    if self.flow(direction).closed {
                        return;
                    }
                    continue;
                }
                action::STOP_ITERATION => {
                    lane.body = Body::Buffering;
                    lane.held = here;
                }
                action::TWO => {
                    lane.body = Body::Watermarked;
                    lane.held = here;
                }
                // Envoy has put it with what was held before the plugin saw both, and keeps it.
                _ if shows_held => {
                    lane.body = Body::Dropped;
                    lane.held = here;
                }
                _ => {
                    lane.body = Body::Dropped;
                    lane.held = behind;
                    if let Some(exchange) = self.exchange.as_mut().filter(|_| window.len > 0) {
                        exchange.splice_body(direction, window.start, window.len, &[]);
                    }
                }
            }
            if end {
                self.lane_mut(direction, index).end = End::Body;
            }
            return;
        }
        self.flow_mut(direction).out += bytes;
    }

    fn pass_trailers(&mut self, direction: Direction, from: usize) {
        for index in self.order(direction, from) {
            if !self.is_active(index) {
                continue;
            }
            let lane = self.lane_mut(direction, index);
            match lane.headers {
                Headers::Held(Hold::HeadersOnly) | Headers::Passed => {}
                Headers::Waiting | Headers::Held(_) => {
                    lane.end = End::Trailers;
                    return;
                }
            }
            let (held, shows_held) = (lane.held, lane.body == Body::Buffering);
            let window = shows_held.then(|| Window {
                start: self.offset(direction, Some(index)),
                len: held,
            });
            let count = self.entries(trailers_of(direction));
            let event = Event::Trailers { direction, count };
            let (step, window) = self.call_on_body(index, &event, direction, window);
            let Step::Action(action) = step else { return };
            let lane = self.lane_mut(direction, index);
            let held = window.map_or(held, |window| window.len);
            if action != action::CONTINUE {
                lane.held = held;
                lane.trailers_held = true;
                lane.end = End::Trailers;
                return;
            }
            lane.held = 0;
            lane.body = Body::Flowing;
            let next = self.position(direction, index) + 1;
            if self.lane_mut(direction, index).headers != Headers::Passed {
                self.lane_mut(direction, index).headers = Headers::Passed;
                self.pass_headers(direction, next);
            }
            if held > 0 && !self.flow(direction).closed {
                self.pass_body(direction, next, held, false);
            }
            if self.flow(direction).closed {
                return;
            }
        }
    }

    // === resuming ===

    /// Resumes what guests asked to, then says what that comes to. `current` is the direction of
    /// the hook that is running, whose status tells Envoy itself.
    pub(super) fn run_resumes(&mut self, current: Option<Direction>) {
        while !self.resumes.is_empty() {
            let (direction, index) = self.resumes.remove(0);
            self.resume_plugin(direction, index);
            if Some(direction) == current || self.flow(direction).closed {
                continue;
            }
            if direction == Direction::Response && self.has_reply() {
                self.send_reply_if_through();
            } else if self.flow(direction).stopped && self.is_through(direction) {
                let flow = self.flow_mut(direction);
                flow.stopped = false;
                flow.out = 0;
                self.effects.push(match direction {
                    Direction::Request => Effect::ContinueRequest,
                    Direction::Response => Effect::ContinueResponse,
                });
            }
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.refresh_route();
        }
        self.cancel_calls();
    }

    /// Lets everything pass that plugin `index` holds. Nothing happens where it holds nothing:
    /// Envoy would send the message twice, or crash.
    fn resume_plugin(&mut self, direction: Direction, index: usize) {
        if self.flow(direction).closed {
            return;
        }
        let Some(stage) = self.stages.get_mut(index) else {
            return;
        };
        let lane = stage.lanes.of_mut(direction);
        if !lane.is_stopped() {
            return;
        }
        let before = std::mem::replace(
            lane,
            Lane {
                headers: Headers::Passed,
                shows_headers: lane.shows_headers,
                ..Lane::default()
            },
        );
        let here = self.position(direction, index);
        let mut next = here + 1;
        if let Headers::Held(hold) = before.headers {
            self.pass_headers(direction, here + 1);
            if hold != Hold::HeadersOnly {
                // It has not seen the body that waits.
                next = here;
            }
        }
        if self.flow(direction).closed {
            return;
        }
        let ends = before.end == End::Body;
        if before.held > 0 || ends {
            self.pass_body(direction, next, before.held, ends);
        }
        if before.end == End::Trailers && !self.flow(direction).closed {
            self.pass_trailers(direction, next);
        }
    }

    /// What an event of `direction` comes to: whether Envoy goes on.
    fn settle(&mut self, direction: Direction) -> bool {
        self.run_resumes(Some(direction));
        if self.send_waiting() {
            self.run_resumes(Some(direction));
        }
        let through = self.is_through(direction);
        let flow = self.flow_mut(direction);
        flow.stopped = flow.closed || !through;
        if flow.stopped {
            return false;
        }
        flow.out = 0;
        true
    }

    /// Whether no plugin holds anything.
    fn is_through(&self, direction: Direction) -> bool {
        let mut lanes = self.stages.iter().map(|stage| stage.lanes.of(direction));
        self.flow(direction).headers_out && !lanes.any(Lane::is_stopped)
    }

    // === calling plugins ===

    /// Makes the context of plugin `index`. Whether the stream goes on.
    fn open(&mut self, index: usize) -> bool {
        let Some(stage) = self.stages.get_mut(index) else {
            return true;
        };
        if stage.reach != Reach::Unreached {
            return true;
        }
        show(&mut self.exchange, View::default());
        let opened = stage.filter.open(self.worker, &mut self.exchange);
        let actions = self
            .exchange
            .as_mut()
            .map(|e| std::mem::take(&mut e.actions));
        match opened {
            Ok(context) => {
                stage.context = Some(context);
                stage.reach = Reach::Active;
                let actions = actions.unwrap_or_default();
                self.obey(index, Direction::Request, actions, action::CONTINUE) != Step::Closed
            }
            Err(outage) => self.bypass(index, Direction::Request, outage),
        }
    }

    fn call_on_body(
        &mut self,
        index: usize,
        event: &Event,
        direction: Direction,
        window: Option<Window>,
    ) -> (Step, Option<Window>) {
        let mut view = self.view(index, Some(event));
        *view.body_mut(direction) = window;
        let step = self.call_with(index, event, view);
        let after = self.exchange.as_ref().and_then(|e| e.view.body(direction));
        (step, after)
    }

    fn call(&mut self, index: usize, event: &Event) -> Step {
        let view = self.view(index, Some(event));
        self.call_with(index, event, view)
    }

    fn call_with(&mut self, index: usize, event: &Event, view: View) -> Step {
        let direction = direction_of(event);
        self.prepare(index, view, calls::carrier(direction));
        let Some(stage) = self.stages.get(index) else {
            return Step::Action(action::CONTINUE);
        };
        let Some(context) = stage.context.filter(|_| stage.filter.wants(event)) else {
            return Step::Action(action::CONTINUE);
        };
        let result = stage.filter.on_event(&context, event, &mut self.exchange);
        let Some(exchange) = &mut self.exchange else {
            return Step::Closed;
        };
        let actions = std::mem::take(&mut exchange.actions);
        self.note_windows(index, Some(direction));
        match result {
            Ok(action) => self.obey(index, direction, actions, action),
            Err(outage) => match self.bypass(index, direction, outage) {
                true => Step::Action(action::CONTINUE),
                false => Step::Closed,
            },
        }
    }

    /// Does what plugin `index` asked for during an event of `direction`, which it answered with
    /// `action`.
    pub(super) fn obey(
        &mut self,
        index: usize,
        direction: Direction,
        actions: Actions,
        action: u32,
    ) -> Step {
        if let Some(reply) = actions.reply {
            self.reply(direction, reply);
            return Step::Closed;
        }
        if actions.close {
            self.close(Effect::Reset {
                details: CLOSED_BY_GUEST,
            });
            return Step::Closed;
        }
        let mut continues = false;
        for (asked, of) in [
            (actions.resume_request, Direction::Request),
            (actions.resume_response, Direction::Response),
        ] {
            if asked && of == direction {
                continues = true;
            } else if asked && self.lane_mut(of, index).is_stopped() {
                // A pause that only comes later is not meant.
                self.resumes.push((of, index));
            }
        }
        Step::Action(if continues { action::CONTINUE } else { action })
    }

    /// Goes on without plugin `index`, or refuses the stream. Whether it goes on.
    pub(super) fn bypass(&mut self, index: usize, direction: Direction, outage: Outage) -> bool {
        if let Some(stage) = self.stages.get_mut(index) {
            stage.reach = Reach::Bypassed;
            stage.context = None;
        }
        match outage {
            Outage::Skip => {
                self.resumes.push((opposite(direction), index));
                true
            }
            Outage::Refuse { status, details } => {
                let reply = Reply {
                    status: status.into(),
                    details: details.into_bytes(),
                    ..Reply::default()
                };
                self.reply(direction, reply);
                false
            }
        }
    }

    // === answering ===

    /// A plugin answers the stream while it handles an event of `direction`.
    ///
    /// On the request path the reply takes the way of a response: all plugins that the request
    /// came to see it. Once there is a response, it takes the response's place as it is.
    fn reply(&mut self, direction: Direction, reply: Reply) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        exchange.begin_reply(reply);
        let body = exchange.body_len(Direction::Response);
        if direction == Direction::Response || self.flow(Direction::Response).started {
            self.send_reply();
            return;
        }
        self.flow_mut(Direction::Request).closed = true;
        let flow = self.flow_mut(Direction::Response);
        flow.started = true;
        flow.end_with_headers = body == 0;
        self.pass_headers(Direction::Response, 0);
        if body > 0 && !self.flow(Direction::Response).closed {
            self.pass_body(Direction::Response, 0, body, true);
        }
        self.send_reply_if_through();
    }

    fn has_reply(&self) -> bool {
        self.exchange.as_ref().is_some_and(|e| e.reply.is_some())
    }

    fn send_reply_if_through(&mut self) {
        if !self.flow(Direction::Response).closed && self.is_through(Direction::Response) {
            self.send_reply();
        }
    }

    fn send_reply(&mut self) {
        let reply = self.exchange.as_mut().and_then(|e| e.reply.take());
        if let Some(mut reply) = reply {
            reply.seal();
            self.close(Effect::Reply(reply));
        }
    }

    /// Ends both directions with `effect`.
    fn close(&mut self, effect: Effect) {
        self.shut();
        self.effects.push(effect);
    }

    /// Passes nothing on any more.
    fn shut(&mut self) {
        self.flows.for_each(|flow| flow.closed = true);
        if let Some(exchange) = &mut self.exchange {
            exchange.reply = None;
        }
    }

    // === looking ===

    /// What plugin `index` may see during `event`, without the body of the event itself; without an
    /// event, what it may see of a stream that it has paused.
    pub(super) fn view(&self, index: usize, event: Option<&Event>) -> View {
        let mut view = View::default();
        let Some(stage) = self.stages.get(index) else {
            return view;
        };
        for direction in [Direction::Request, Direction::Response] {
            let lane = stage.lanes.of(direction);
            let is_current = event.is_some_and(|event| direction_of(event) == direction);
            let at_headers = is_current && matches!(event, Some(Event::Headers { .. }))
                || matches!(lane.headers, Headers::Held(_));
            let saw_headers = is_current && lane.shows_headers;
            if at_headers || saw_headers {
                view.readable = view.readable.with(headers_of(direction));
            }
            if saw_headers && !at_headers {
                view.inert = view.inert.with(headers_of(direction));
            }
            let at_trailers =
                is_current && matches!(event, Some(Event::Trailers { .. })) || lane.trailers_held;
            if at_trailers {
                view.readable = view.readable.with(trailers_of(direction));
            }
            // A body that goes nowhere any more is not counted any more.
            let is_held = lane.body == Body::Buffering && !self.flow(direction).closed;
            if !is_current && is_held {
                *view.body_mut(direction) = Some(Window {
                    start: self.offset(direction, Some(index)),
                    len: lane.held,
                });
            }
        }
        view.writable = view.readable;
        view
    }

    /// Bytes of the body in front of what plugin `index` holds; without a plugin, all bytes that
    /// are accounted for.
    fn offset(&self, direction: Direction, index: Option<usize>) -> usize {
        let from = index.map_or(0, |index| self.position(direction, index) + 1);
        let held = self
            .order(direction, from)
            .filter_map(|index| self.stages.get(index))
            .map(|stage| stage.lanes.of(direction).held);
        self.flow(direction).out + held.sum::<usize>()
    }

    /// The plugins that a message of `direction` meets, from position `from` on.
    fn order(&self, direction: Direction, from: usize) -> impl Iterator<Item = usize> + use<> {
        let count = self.stages.len();
        (from..count).map(move |position| match direction {
            Direction::Request => position,
            Direction::Response => count - 1 - position,
        })
    }

    /// The place of plugin `index` in `direction`.
    fn position(&self, direction: Direction, index: usize) -> usize {
        match direction {
            Direction::Request => index,
            Direction::Response => self.stages.len() - 1 - index,
        }
    }

    fn entries(&self, map: Map) -> usize {
        self.exchange.as_ref().map_or(0, |e| e.header_count(map))
    }

    fn is_active(&self, index: usize) -> bool {
        let stage = self.stages.get(index);
        stage.is_some_and(|stage| stage.reach == Reach::Active)
    }

    fn holds_headers_only(&self, index: usize) -> bool {
        let stage = self.stages.get(index);
        stage.is_some_and(|stage| stage.filter.holds_headers_only())
    }

    #[allow(clippy::indexing_slicing, reason = "plugins are counted by the stages")]
    fn lane_mut(&mut self, direction: Direction, index: usize) -> &mut Lane {
        self.stages[index].lanes.of_mut(direction)
    }

    pub(super) const fn flow(&self, direction: Direction) -> &Flow {
        self.flows.of(direction)
    }

    const fn flow_mut(&mut self, direction: Direction) -> &mut Flow {
        self.flows.of_mut(direction)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("worker", &self.worker)
            .field("flows", &self.flows)
            .finish_non_exhaustive()
    }
}

/// Sets what the next callback may see.
pub(super) fn show(exchange: &mut Lent, view: View) {
    if let Some(exchange) = exchange {
        exchange.view = view;
    }
}

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Request => Direction::Response,
        Direction::Response => Direction::Request,
    }
}

const fn direction_of(event: &Event) -> Direction {
    match event {
        Event::Headers { direction, .. }
        | Event::Body { direction, .. }
        | Event::Trailers { direction, .. } => *direction,
    }
}

const fn headers_of(direction: Direction) -> Map {
    match direction {
        Direction::Request => Map::RequestHeaders,
        Direction::Response => Map::ResponseHeaders,
    }
}

const fn trailers_of(direction: Direction) -> Map {
    match direction {
        Direction::Request => Map::RequestTrailers,
        Direction::Response => Map::ResponseTrailers,
    }
}
