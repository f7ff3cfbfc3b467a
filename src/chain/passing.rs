//! Moving messages on: headers, body and trailers, each from a position as far as it gets, and what
//! plugins held once they are resumed.

use super::flow::{Body, End, Headers, Hold, Lane};
use super::stream::{Effect, Step, Stream, action};
use super::views::{headers_of, trailers_of};
use crate::proxy_wasm::{Direction, Event, Window};

impl Stream {
    pub(super) fn pass_headers(&mut self, direction: Direction, from: usize) {
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

    pub(super) fn pass_body(
        &mut self,
        direction: Direction,
        from: usize,
        mut bytes: usize,
        end: bool,
    ) {
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
            lane.spent = false;
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

    pub(super) fn pass_trailers(&mut self, direction: Direction, from: usize) {
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
            lane.spent |= lane.body == Body::Buffering;
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
    pub(super) fn resume_plugin(&mut self, direction: Direction, index: usize) {
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
                forgotten: lane.forgotten,
                spent: lane.spent || lane.body == Body::Buffering,
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
    pub(super) fn settle(&mut self, direction: Direction) -> bool {
        // Mostly no plugin asked for anything.
        let is_asked = self.exchange.as_ref().is_none_or(|e| e.is_asked());
        if is_asked || !self.resumes.is_empty() {
            self.run_resumes(Some(direction));
            if self.send_waiting() {
                self.run_resumes(Some(direction));
            }
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
    pub(super) fn is_through(&self, direction: Direction) -> bool {
        let mut lanes = self.stages.iter().map(|stage| stage.lanes.of(direction));
        self.flow(direction).headers_out && !lanes.any(Lane::is_stopped)
    }
}
