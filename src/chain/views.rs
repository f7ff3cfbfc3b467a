//! What plugins may see, and where bytes and plugins are.

use super::flow::{Body, Flow, Headers, Lane};
use super::stream::{Reach, Stream};
use super::{Context, Filter, Lent};
use crate::proxy_wasm::{Direction, Event, Map, Maps, View, Window};

impl Stream {
    /// What plugin `index` may see during `event`, without the body of the event itself; without an
    /// event, what it may see of a stream that it has paused.
    pub(super) fn view(&self, index: usize, event: Option<&Event>) -> View {
        let Some(stage) = self.stages.get(index) else {
            return View::default();
        };
        // As mostly: what it sees is what arrives.
        if [Direction::Request, Direction::Response]
            .into_iter()
            .all(|direction| stage.lanes.of(direction).shows_nothing())
        {
            let maps = event.map_or(Maps::NONE, maps_of);
            return View {
                readable: maps,
                writable: maps,
                ..View::default()
            };
        }
        let mut view = View::default();
        for direction in [Direction::Request, Direction::Response] {
            let lane = stage.lanes.of(direction);
            let is_current = event.is_some_and(|event| direction_of(event) == direction);
            let at_headers = is_current && matches!(event, Some(Event::Headers { .. }))
                || !lane.forgotten && matches!(lane.headers, Headers::Held(_));
            let saw_headers =
                !lane.forgotten && lane.shows_headers && (is_current || event.is_none());
            if at_headers || saw_headers {
                view.readable = view.readable.with(headers_of(direction));
            }
            // As long as another plugin keeps the headers back, they can still be changed.
            if saw_headers && !at_headers && self.flow(direction).headers_out {
                view.inert = view.inert.with(headers_of(direction));
            }
            let at_trailers = is_current && matches!(event, Some(Event::Trailers { .. }))
                || !lane.forgotten && lane.trailers_held;
            if at_trailers {
                view.readable = view.readable.with(trailers_of(direction));
            }
            if direction == Direction::Request {
                view.holds_request = lane.body == Body::Buffering;
            }
            match direction {
                Direction::Request => view.spent_request = lane.spent,
                Direction::Response => view.spent_response = lane.spent,
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

    /// What plugin `index` may see when the stream is over: the maps that it never let go. What it
    /// does to them comes too late.
    pub(super) fn view_of_the_end(&self, index: usize) -> View {
        let maps = self.view(index, None).readable;
        View {
            readable: maps,
            writable: maps,
            inert: maps,
            ..View::default()
        }
    }

    /// Bytes of the body in front of what plugin `index` holds; without a plugin, all bytes that
    /// are accounted for.
    pub(super) fn offset(&self, direction: Direction, index: Option<usize>) -> usize {
        let from = index.map_or(0, |index| self.position(direction, index) + 1);
        let held = self
            .order(direction, from)
            .filter_map(|index| self.stages.get(index))
            .map(|stage| stage.lanes.of(direction).held);
        self.flow(direction).out + held.sum::<usize>()
    }

    /// The plugins that a message of `direction` meets, from position `from` on.
    pub(super) fn order(
        &self,
        direction: Direction,
        from: usize,
    ) -> impl Iterator<Item = usize> + use<> {
        let count = self.stages.len();
        (from..count).map(move |position| match direction {
            Direction::Request => position,
            Direction::Response => count - 1 - position,
        })
    }

    /// The place of plugin `index` in `direction`.
    pub(super) fn position(&self, direction: Direction, index: usize) -> usize {
        match direction {
            Direction::Request => index,
            Direction::Response => self.stages.len() - 1 - index,
        }
    }

    pub(super) fn entries(&self, map: Map) -> usize {
        self.exchange.as_ref().map_or(0, |e| e.header_count(map))
    }

    pub(super) fn is_active(&self, index: usize) -> bool {
        let stage = self.stages.get(index);
        stage.is_some_and(|stage| stage.reach == Reach::Active)
    }

    /// The context of plugin `index`, if it has one.
    pub(super) fn context(&self, index: usize) -> Option<Context> {
        self.stages.get(index)?.context
    }

    pub(super) fn holds_headers_only(&self, index: usize) -> bool {
        let filter = self.filters.get(index);
        filter.is_some_and(Filter::holds_headers_only)
    }

    #[allow(clippy::indexing_slicing, reason = "plugins are counted by the stages")]
    pub(super) fn lane_mut(&mut self, direction: Direction, index: usize) -> &mut Lane {
        self.stages[index].lanes.of_mut(direction)
    }

    pub(super) const fn flow(&self, direction: Direction) -> &Flow {
        self.flows.of(direction)
    }

    pub(super) const fn flow_mut(&mut self, direction: Direction) -> &mut Flow {
        self.flows.of_mut(direction)
    }
}

/// Sets what the next callback may see.
pub(super) fn show(exchange: &mut Lent, view: View) {
    if let Some(exchange) = exchange {
        exchange.view = view;
    }
}

pub(super) const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Request => Direction::Response,
        Direction::Response => Direction::Request,
    }
}

pub(super) const fn direction_of(event: &Event) -> Direction {
    match event {
        Event::Headers { direction, .. }
        | Event::Body { direction, .. }
        | Event::Trailers { direction, .. } => *direction,
    }
}

/// The map that arrives with an event.
const fn maps_of(event: &Event) -> Maps {
    match event {
        Event::Headers { direction, .. } => Maps::NONE.with(headers_of(*direction)),
        Event::Body { .. } => Maps::NONE,
        Event::Trailers { direction, .. } => Maps::NONE.with(trailers_of(*direction)),
    }
}

pub(super) const fn headers_of(direction: Direction) -> Map {
    match direction {
        Direction::Request => Map::RequestHeaders,
        Direction::Response => Map::ResponseHeaders,
    }
}

pub(super) const fn trailers_of(direction: Direction) -> Map {
    match direction {
        Direction::Request => Map::RequestTrailers,
        Direction::Response => Map::ResponseTrailers,
    }
}
