//! A stream's way through the plugins of a filter entry.
//!
//! Envoy sees one filter; inside it, requests meet the plugins in order and responses in reverse
//! order, as if each were a filter of its own. [`Stream`] is the state machine that does so:
//! Envoy's events go in, statuses and [`Effect`]s come out. It knows nothing of WebAssembly (a
//! plugin is a [`Filter`]) nor of Envoy (the stream is an [`Exchange`]
//! over a host), so that tables of events can drive it.
//!
//! # Pausing
//!
//! A plugin that pauses holds what comes after it in its direction, and nothing else: plugins
//! before it go on seeing the body as it arrives. What is held stays in Envoy's own buffer, with
//! Envoy's limits and back-pressure; the stream only counts whose the bytes are. Bytes move
//! strictly forward, so those that came furthest are in front, and one buffer with a length per
//! plugin says everything:
//!
//! ```text
//!   front                                                             back
//!   | passed all plugins | held by the last | … | held by the first | new |
//! ```
//!
//! Envoy lets go of its buffer as a whole or not at all. So bytes that passed every plugin wait as
//! long as an earlier plugin holds later ones; this is the one difference to separate filters.
//!
//! # Effects
//!
//! Resuming, replying and resetting make Envoy call other hooks of the same stream before the call
//! returns. They are therefore never done inside the machine: it collects them, and its owner
//! carries them out when it holds no borrow ([`Stream::next_effect`]).
//!
//! The status for paused headers is always `StopIteration`, not one of the `StopAll` kinds, though
//! guests mean the latter: after `StopAll`, Envoy forgets a second stop that is made inside the
//! resume, and the stream hangs. Instead the machine keeps body events from the paused plugin
//! itself.

mod calls;
mod flow;
mod passing;
mod replies;
mod stream;
#[cfg(test)]
pub(crate) mod tests;
mod views;

pub use stream::{BodyStatus, Effect, Stream};

use crate::proxy_wasm::{Call, CallEvent, Event, Exchange};

/// A plugin, as the chain drives it.
///
/// Called on the stream's worker, one call at a time for a stream. The exchange is lent by value,
/// and is back when the call returns.
pub trait Filter: Send + Sync {
    /// Makes the plugin's context for a stream on `worker`.
    fn open(&self, worker: u32, exchange: &mut Lent) -> Result<Context, Outage>;

    /// Tells of an event; the answer is the guest's action, as a number.
    fn on_event(
        &self,
        context: &Context,
        event: &Event,
        exchange: &mut Lent,
    ) -> Result<u32, Outage>;

    /// Whether [`Self::on_event`] would do anything; if not, the plugin continues.
    fn wants(&self, event: &Event) -> bool;

    /// What streams get while the plugin cannot run.
    fn outage(&self) -> Outage;

    /// Whether a plugin that pauses at headers still gets the body (`wasmplugin.io/hold-headers`).
    fn holds_headers_only(&self) -> bool {
        false
    }

    /// The most of a body that the stream may buffer (`limits.maxBody`); none for what Envoy allows.
    fn max_body(&self) -> Option<u64> {
        None
    }

    /// Tells of a call that the stream carried for the plugin.
    fn on_call(
        &self,
        context: &Context,
        token: u32,
        event: CallEvent,
        exchange: &mut Lent,
    ) -> Result<(), Outage> {
        let _ = (context, token, event, exchange);
        Ok(())
    }

    /// Has a call carried that the stream does not carry.
    fn call_elsewhere(&self, context: &Context, token: u32, call: Call) {
        let _ = (context, token, call);
    }

    /// The stream has ended: the plugin may log it.
    fn log(&self, context: &Context, exchange: &mut Lent);

    /// The plugin may forget the stream.
    fn delete(&self, context: &Context, exchange: &mut Lent);
}

/// The exchange on its way into an instance and back.
pub type Lent = Option<Box<Exchange>>;

/// A plugin's context for one stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Whose instance it is in.
    pub worker: u32,
    /// The number of its instance, which no other one has.
    pub instance: u64,
    /// The guest's own number for it.
    pub id: u32,
}

/// What happens to a stream whose plugin cannot run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outage {
    /// It goes on without the plugin.
    Skip,
    /// It is refused.
    Refuse {
        /// HTTP status of the reply.
        status: u16,
        /// `%RESPONSE_CODE_DETAILS%` of the reply.
        details: String,
    },
}
