//! What comes to a stream from outside of its own messages: answers to calls that it carries, and
//! other streams' events in which a guest acts on it.

use super::flow::{Body, Lane};
use super::stream::{Effect, Reach, Stage, Stream};
use super::views::show;
use super::{Context, Filter};
use crate::proxy_wasm::{Actions, CallEvent, Carrier, Direction, Exchange, OpenCall, View};

impl Stream {
    /// The call that the proxy knows by the number `id` has come to its end.
    pub fn on_call(&mut self, id: u64, event: CallEvent) {
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let Some(at) = exchange.calls.iter().position(|call| call.id == id) else {
            return;
        };
        let Some(call) = exchange.calls.get(at).copied() else {
            return;
        };
        if event.is_last() {
            exchange.calls.remove(at);
        }
        self.tell_of_call(call.plugin, call.token, event);
        self.go_on();
    }

    /// Does what another thread's event asked of the stream, in the context `context` of instance
    /// `instance`.
    pub fn on_actions(&mut self, instance: u64, context: u32, actions: Actions) {
        if let Some(index) = self.index_of(instance, context) {
            self.obey_between(index, actions);
            self.go_on();
        }
    }

    /// An instance has failed in an event that was not this stream's. What its plugin holds, nobody
    /// would let go; what it does not hold learns of it at its next event.
    pub fn on_gone(&mut self, instance: u64) {
        for index in 0..self.stages.len() {
            let Some(stage) = self.stages.get(index) else {
                break;
            };
            let is_of = |context: &Context| context.instance == instance;
            let directions = [Direction::Request, Direction::Response];
            let is_held =
                |of: Direction| !self.flows.of(of).closed && stage.lanes.of(of).is_stopped();
            if !stage.context.as_ref().is_some_and(is_of) || !directions.into_iter().any(is_held) {
                continue;
            }
            let Some(outage) = self.filters.get(index).map(Filter::outage) else {
                break;
            };
            let direction = self.direction_of_reply();
            if self.bypass(index, direction, outage) {
                self.resumes.push((direction, index));
            }
        }
        self.go_on();
    }

    /// Lends the exchange between events, as the plugin with this context sees it.
    pub fn lend(&mut self, instance: u64, context: u32) -> Option<Box<Exchange>> {
        let index = self.index_of(instance, context)?;
        let view = self.view(index, None);
        self.prepare(index, view, Carrier::Stream);
        let mut exchange = self.exchange.take()?;
        let resumes = |actions: &Actions| actions.resume_request || actions.resume_response;
        if self
            .asked
            .iter()
            .any(|(of, actions)| *of == index && resumes(actions))
        {
            exchange.view.forget_request();
        }
        Some(exchange)
    }

    /// The exchange that was lent comes back. What was asked of the stream waits for
    /// [`Self::settle_lent`].
    pub fn give_back(&mut self, instance: u64, context: u32, mut exchange: Box<Exchange>) {
        let actions = std::mem::take(&mut exchange.actions);
        self.exchange = Some(exchange);
        if let Some(index) = self.index_of(instance, context) {
            self.note_windows(index, None);
            self.asked.push((index, actions));
        }
    }

    /// Does what was asked while the exchange was lent.
    pub fn settle_lent(&mut self) {
        for (index, actions) in std::mem::take(&mut self.asked) {
            self.obey_between(index, actions);
        }
        self.go_on();
    }

    /// Resumes what is to be resumed between events, and sends the calls that plugins then make.
    pub(super) fn go_on(&mut self) {
        self.run_resumes(None);
        while self.send_waiting() {
            self.run_resumes(None);
        }
    }

    /// Whether a plugin has paused the stream, so that something else has to resume it.
    pub fn is_paused(&self) -> bool {
        !self.completed
            && [Direction::Request, Direction::Response]
                .into_iter()
                .any(|direction| {
                    let mut lanes = self.stages.iter().map(|stage| stage.lanes.of(direction));
                    !self.flow(direction).closed && lanes.any(Lane::is_stopped)
                })
    }

    /// Whether the last event left nothing to be done: no effect, and no plugin that has paused.
    pub fn is_quiet(&self) -> bool {
        self.effects.is_empty() && !self.is_paused()
    }

    /// Sets the exchange up for a call into plugin `index`.
    pub(super) fn prepare(&mut self, index: usize, view: View, carrier: Carrier) {
        show(&mut self.exchange, view);
        if let Some(exchange) = &mut self.exchange {
            exchange.plugin = index;
            exchange.carrier = carrier;
        }
    }

    /// Sends the calls that waited to see whether their plugin pauses. Whether any could not be
    /// sent, of which the plugin was told.
    pub(super) fn send_waiting(&mut self) -> bool {
        let waiting = match &mut self.exchange {
            Some(exchange) if !exchange.waiting_calls.is_empty() => {
                std::mem::take(&mut exchange.waiting_calls)
            }
            _ => return false,
        };
        let mut has_lost = false;
        for (plugin, token, call) in waiting {
            let (Some(stage), Some(exchange)) = (self.stages.get(plugin), &mut self.exchange)
            else {
                continue;
            };
            let directions = [Direction::Request, Direction::Response];
            let pauses = stage.reach == Reach::Active
                && directions.into_iter().any(|direction| {
                    !self.flows.of(direction).closed && stage.lanes.of(direction).is_stopped()
                });
            if !pauses {
                if let (Some(filter), Some(context)) = (self.filters.get(plugin), &stage.context) {
                    filter.call_elsewhere(context, token, call);
                }
                continue;
            }
            match call.lend(|call| exchange.host_mut().call(call)) {
                Ok(id) => exchange.calls.push(OpenCall { id, plugin, token }),
                Err(_) => {
                    has_lost = true;
                    self.tell_of_call(plugin, token, CallEvent::Lost);
                }
            }
        }
        has_lost
    }

    /// Has the calls reset that plugins gave up: not here, since it may call hooks of the stream.
    pub(super) fn cancel_calls(&mut self) {
        if let Some(exchange) = &mut self.exchange {
            let cancelled = exchange.cancelled.drain(..);
            self.effects.extend(cancelled.map(Effect::ResetCall));
        }
    }

    /// Tells the plugins of the calls that end with the stream.
    pub(super) fn lose_calls(&mut self) {
        let calls = match &mut self.exchange {
            Some(exchange) => std::mem::take(&mut exchange.calls),
            None => return,
        };
        for call in calls {
            let plugin = (self.filters.get(call.plugin), self.context(call.plugin));
            if let (Some(filter), Some(context)) = plugin {
                let event = CallEvent::Lost;
                // The stream is gone, whatever comes of it.
                let _ended = filter.on_call(&context, call.token, event, &mut self.exchange);
            }
        }
    }

    fn tell_of_call(&mut self, index: usize, token: u32, event: CallEvent) {
        let view = self.view(index, None);
        self.prepare(index, view, Carrier::Stream);
        let (Some(filter), Some(context)) = (self.filters.get(index), self.context(index)) else {
            return;
        };
        let result = filter.on_call(&context, token, event, &mut self.exchange);
        let Some(exchange) = &mut self.exchange else {
            return;
        };
        let actions = std::mem::take(&mut exchange.actions);
        self.note_windows(index, None);
        match result {
            Ok(()) => self.obey_between(index, actions),
            Err(outage) => {
                let direction = self.direction_of_reply();
                if self.bypass(index, direction, outage) {
                    self.resumes.push((direction, index));
                }
            }
        }
    }

    /// As for an event, but between events: nothing waits for an answer.
    fn obey_between(&mut self, index: usize, actions: Actions) {
        self.forget(index, &actions);
        if self.completed || self.flow(Direction::Response).closed {
            return;
        }
        if actions.reply.is_some() || actions.close {
            let direction = self.direction_of_reply();
            self.obey(index, direction, actions, 0);
            return;
        }
        for (asked, direction) in [
            (actions.resume_request, Direction::Request),
            (actions.resume_response, Direction::Response),
        ] {
            // A pause that only comes later is not meant.
            let is_stopped = |stage: &Stage| stage.lanes.of(direction).is_stopped();
            if asked && self.stages.get(index).is_some_and(is_stopped) {
                self.resumes.push((direction, index));
            }
        }
    }

    /// The direction in which an answer between events is made.
    fn direction_of_reply(&self) -> Direction {
        if self.flow(Direction::Response).started {
            Direction::Response
        } else {
            Direction::Request
        }
    }

    /// Which plugin has the context `context` of instance `instance`.
    fn index_of(&self, instance: u64, context: u32) -> Option<usize> {
        self.stages.iter().position(|stage| {
            let of = stage.context.as_ref();
            of.is_some_and(|of| (of.instance, of.id) == (instance, context))
        })
    }

    /// Notes how long the bodies are that plugin `index` holds, after a guest could change them;
    /// `current` is the direction of the event, whose own body is counted elsewhere.
    pub(super) fn note_windows(&mut self, index: usize, current: Option<Direction>) {
        for direction in [Direction::Request, Direction::Response] {
            let window = self.exchange.as_ref().and_then(|e| e.view.body(direction));
            if let Some(window) = window
                && Some(direction) != current
                && let Some(stage) = self.stages.get_mut(index)
            {
                let lane = stage.lanes.of_mut(direction);
                if lane.body == Body::Buffering {
                    lane.held = window.len;
                }
            }
        }
    }
}
