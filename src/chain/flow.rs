//! Where the parts of a message are, in one direction.

use crate::proxy_wasm::Direction;

/// Where a plugin is with the headers of a direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Headers {
    /// They have not reached it.
    #[default]
    Waiting,
    /// It has paused at them.
    Held(Hold),
    /// It let them pass.
    Passed,
}

/// What a plugin that has paused at headers holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Everything: it does not see the body before it resumes. Beyond Envoy's buffer limit the
    /// stream fails.
    AllBuffered,
    /// The same, but beyond the limit the peer is made to wait.
    AllWatermarked,
    /// The headers: it sees the body meanwhile, and lets both pass at once.
    HeadersOnly,
}

/// What a plugin did with the last part of a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// Let it pass.
    #[default]
    Flowing,
    /// Held it back, and will see it again with what comes next.
    Buffering,
    /// Held it back, and will see only what comes next.
    Watermarked,
    /// Took it: nothing is left of it.
    Dropped,
}

/// How a message ends that has arrived whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// It has not.
    #[default]
    Open,
    /// With the body.
    Body,
    /// With trailers.
    Trailers,
}

/// One plugin in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lane {
    pub(super) headers: Headers,
    /// It goes on seeing the headers after they have passed: Envoy's host forgets to hide a
    /// response that was paused, and a request whose body let the headers pass.
    pub(super) shows_headers: bool,
    /// It has asked to continue: what it saw of the message between events is hidden from then on.
    pub(super) forgotten: bool,
    pub(super) body: Body,
    /// Bytes of the body that wait here.
    pub(super) held: usize,
    /// It held the body until it was resumed, and has seen none since. Envoy's host still has the
    /// empty buffer for it then.
    pub(super) spent: bool,
    /// It has paused at trailers.
    pub(super) trailers_held: bool,
    /// The end that waits here.
    pub(super) end: End,
}

impl Lane {
    /// Whether the plugin keeps anything from passing.
    pub(super) fn is_stopped(&self) -> bool {
        matches!(self.headers, Headers::Held(_)) || self.body != Body::Flowing || self.trailers_held
    }

    /// Whether the plugin sees of the message what arrives, and nothing else.
    pub(super) fn shows_nothing(&self) -> bool {
        let is_holding = matches!(self.headers, Headers::Held(_)) || self.body == Body::Buffering;
        !is_holding && !self.shows_headers && !self.trailers_held && !self.spent
    }

    /// Whether the peer should be made to wait instead of failing the stream.
    pub(super) fn is_watermarked(&self) -> bool {
        self.headers == Headers::Held(Hold::AllWatermarked) || self.body == Body::Watermarked
    }
}

/// One direction as a whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    /// Headers have arrived.
    pub(super) started: bool,
    /// The headers are the whole message.
    pub(super) end_with_headers: bool,
    /// All plugins have let the headers pass.
    pub(super) headers_out: bool,
    /// Bytes of the body that passed all plugins and are still in Envoy's buffer.
    pub(super) out: usize,
    /// Nothing is passed on any more: the stream was answered or reset.
    pub(super) closed: bool,
    /// Envoy was told to stop.
    pub(super) stopped: bool,
}

/// One of each direction.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Both<T> {
    request: T,
    response: T,
}

impl<T> Both<T> {
    pub(super) const fn of(&self, direction: Direction) -> &T {
        match direction {
            Direction::Request => &self.request,
            Direction::Response => &self.response,
        }
    }

    pub(super) const fn of_mut(&mut self, direction: Direction) -> &mut T {
        match direction {
            Direction::Request => &mut self.request,
            Direction::Response => &mut self.response,
        }
    }

    pub(super) fn for_each(&mut self, work: impl Fn(&mut T)) {
        work(&mut self.request);
        work(&mut self.response);
    }
}
