//! The state machine of a stream. See [`super`] for the ideas.

use std::sync::Arc;

use smallvec::SmallVec;

use super::flow::{Both, Flow, Headers, Hold, Lane};
use super::views::{direction_of, opposite, show};
use super::{Context, Filter, Lent, Outage};
use crate::proxy_wasm::{
    Actions, Carrier, Direction, Event, Exchange, Map, Maps, Reply, View, Window,
};

/// Plugins of a stream that need no allocation.
const USUAL: usize = 6;

/// A stream in its filter entry.
pub struct Stream {
    pub(super) worker: u32,
    pub(super) filters: Filters,
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

/// The plugins of a stream, by number. As a whole, so that a stream counts one reference to them,
/// not one to each: workers share the counters.
#[derive(Default)]
pub(super) struct Filters(Option<Arc<[Arc<dyn Filter>]>>);

impl Filters {
    pub(super) fn get(&self, index: usize) -> Option<&dyn Filter> {
        Some(&**self.0.as_deref()?.get(index)?)
    }
}

/// A plugin on this stream.
#[derive(Default)]
pub(super) struct Stage {
    pub(super) context: Option<Context>,
    pub(super) reach: Reach,
    pub(super) lanes: Both<Lane>,
}

/// Whether a plugin takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Reach {
    /// The request has not come to it.
    #[default]
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
pub(super) mod action {
    pub(in crate::chain) const CONTINUE: u32 = 0;
    /// The SDKs' "pause".
    pub(in crate::chain) const STOP_ITERATION: u32 = 1;
    /// At headers "end the stream", which Envoy does not do; at bodies "watermark".
    pub(in crate::chain) const TWO: u32 = 2;
    /// At headers "stop all, and buffer".
    pub(in crate::chain) const STOP_ALL_AND_BUFFER: u32 = 3;
}

/// Details of a stream that a guest closed, as in Envoy.
const CLOSED_BY_GUEST: &str = "wasm_close_stream";

impl Stream {
    /// A stream on `worker`, before its request headers and without plugins.
    pub fn new(worker: u32, exchange: Box<Exchange>) -> Self {
        Self {
            worker,
            filters: Filters::default(),
            stages: SmallVec::new(),
            flows: Both::default(),
            exchange: Some(exchange),
            effects: SmallVec::new(),
            resumes: SmallVec::new(),
            asked: Vec::new(),
            completed: false,
        }
    }

    /// Another stream in the place of one that is completed and emptied: what that had allocated
    /// stays. The proxy's side of the exchange is renewed by whoever knows it. False, and as before,
    /// if the exchange is gone.
    #[must_use]
    pub fn renew(&mut self, worker: u32) -> bool {
        let Some(exchange) = &mut self.exchange else {
            return false;
        };
        exchange.renew();
        self.worker = worker;
        self.flows = Both::default();
        self.effects.clear();
        self.resumes.clear();
        self.asked.clear();
        self.completed = false;
        true
    }

    /// Lets go of the plugins of a stream that is completed: one that waits to be renewed must not
    /// keep them.
    pub fn empty(&mut self) {
        self.filters = Filters::default();
        self.stages.clear();
    }

    /// The plugins that the stream meets; before its first event.
    pub fn meet(&mut self, filters: Arc<[Arc<dyn Filter>]>) {
        self.stages.clear();
        self.stages.extend(filters.iter().map(|_| Stage::default()));
        self.filters = Filters(Some(filters));
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
        self.go_on();
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
        for (index, stage) in self.stages.iter_mut().enumerate() {
            let Some(filter) = self.filters.get(index) else {
                break;
            };
            // Plugins that the request never came to see its end, too.
            if stage.reach == Reach::Unreached {
                show(&mut self.exchange, View::default());
                stage.context = filter.open(self.worker, &mut self.exchange).ok();
            }
            if let Some(context) = stage.context.filter(|_| stage.reach != Reach::Bypassed) {
                show(&mut self.exchange, log);
                filter.log(&context, &mut self.exchange);
            }
        }
        for index in 0..self.stages.len() {
            let view = self.view_of_the_end(index);
            show(&mut self.exchange, view);
            if let (Some(filter), Some(context)) = (self.filters.get(index), self.context(index)) {
                filter.delete(&context, &mut self.exchange);
            }
        }
        show(&mut self.exchange, View::default());
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

    /// Makes the context of plugin `index`. Whether the stream goes on.
    pub(super) fn open(&mut self, index: usize) -> bool {
        let Some(stage) = self.stages.get_mut(index) else {
            return true;
        };
        if stage.reach != Reach::Unreached {
            return true;
        }
        show(&mut self.exchange, View::default());
        if let Some(exchange) = &mut self.exchange {
            exchange.plugin = index;
            exchange.carrier = Carrier::StreamIfPaused;
        }
        let Some(filter) = self.filters.get(index) else {
            return true;
        };
        let opened = filter.open(self.worker, &mut self.exchange);
        let actions = self.exchange.as_mut().and_then(|e| e.take_actions());
        match opened {
            Ok(context) => {
                stage.context = Some(context);
                stage.reach = Reach::Active;
                let Some(actions) = actions else { return true };
                self.obey(index, Direction::Request, actions, action::CONTINUE) != Step::Closed
            }
            Err(outage) => self.bypass(index, Direction::Request, outage),
        }
    }

    pub(super) fn call_on_body(
        &mut self,
        index: usize,
        event: &Event,
        direction: Direction,
        window: Option<Window>,
    ) -> (Step, Option<Window>) {
        if !self.wants(index, event) {
            return (Step::Action(action::CONTINUE), window);
        }
        let mut view = self.view(index, Some(event));
        *view.body_mut(direction) = window;
        let step = self.call_with(index, event, view);
        let after = self.exchange.as_ref().and_then(|e| e.view.body(direction));
        (step, after)
    }

    pub(super) fn call(&mut self, index: usize, event: &Event) -> Step {
        if !self.wants(index, event) {
            return Step::Action(action::CONTINUE);
        }
        let view = self.view(index, Some(event));
        self.call_with(index, event, view)
    }

    /// Whether plugin `index` has a callback for `event`.
    fn wants(&self, index: usize, event: &Event) -> bool {
        let filter = self.filters.get(index);
        filter.is_some_and(|filter| filter.wants(event))
    }

    pub(super) fn call_with(&mut self, index: usize, event: &Event, view: View) -> Step {
        let direction = direction_of(event);
        self.prepare(index, view, Carrier::StreamIfPaused);
        let (Some(filter), Some(context)) = (self.filters.get(index), self.context(index)) else {
            return Step::Action(action::CONTINUE);
        };
        let result = filter.on_event(&context, event, &mut self.exchange);
        let Some(exchange) = &mut self.exchange else {
            return Step::Closed;
        };
        let actions = exchange.take_actions();
        self.note_windows(index, Some(direction));
        match result {
            Ok(action) => match actions {
                Some(actions) => self.obey(index, direction, actions, action),
                None => Step::Action(action),
            },
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
        self.forget(index, &actions);
        if let Some(reply) = actions.reply {
            // Whoever answers a request at its headers has stopped there, and goes on seeing them.
            let lane = self.lane_mut(Direction::Request, index);
            if lane.headers == Headers::Waiting {
                lane.headers = Headers::Held(Hold::AllWatermarked);
            }
            self.reply(direction, *reply);
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

    /// Who asks to continue anything does not see the request any more, as in Envoy.
    pub(super) fn forget(&mut self, index: usize, actions: &Actions) {
        if actions.resume_request || actions.resume_response {
            self.lane_mut(Direction::Request, index).forgotten = true;
        }
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
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("worker", &self.worker)
            .field("flows", &self.flows)
            .finish_non_exhaustive()
    }
}
