//! What a plugin may make the host keep, as far as it can be set.
//!
//! A guest's own memory is bounded by the engine (`vm::InstanceLimits`). What it has the host keep is
//! bounded where it is kept, by a constant with its reason: shared data and queues, metrics, declared
//! properties, expressions, pairs, open calls. Beyond a bound a host function answers with a status;
//! nothing is cut short, since half of a header or body is worse than none.

/// The most bytes of headers or trailers in a map that a plugin may bring about. As the pairs that
/// can be set at once, and far beyond what HTTP servers take: Envoy itself ends when one of its
/// strings gets too long.
pub(super) const MAX_HEADERS: usize = super::pairs::MAX_BYTES;

/// What an entry of a map costs beside its bytes.
pub(super) const HEADER: usize = 64;

/// The longest name of something that the host keeps by name (metrics, queues, properties), in
/// bytes: names are made up by guests, and Envoy repeats some of them wherever they show.
pub(super) const MAX_NAME: usize = 1024;

/// The longest details of a reply, in bytes: they go into every line of an access log.
pub(super) const MAX_DETAILS: usize = 4096;

/// Bytes of the replies that one callback may make, all together: it may answer every stream that
/// waits for it.
pub(super) const MAX_REPLIES: usize = 64 << 20;

/// The longest line of a guest in bytes. It is copied twice on its way to the log, and Envoy writes
/// one line at a time.
pub(super) const MAX_LINE: usize = 1 << 20;

/// What plugins may set on one stream, in bytes of names and values: Envoy keeps it as long as the
/// stream, or the connection, lives.
pub(super) const MAX_PROPERTIES: usize = 1 << 20;

/// The longest value of one property. With [`MAX_NAME`] and the number of properties that can be
/// declared it bounds those that live as long as a connection.
pub(super) const MAX_PROPERTY: usize = 256 << 10;

/// Bytes that the open calls of an instance hold: what they send, and their answers as far as these
/// come in parts.
pub(super) const MAX_CALL_BYTES: usize = 64 << 20;

/// Settings: `limits` of a filter entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `openCallouts`: calls of an instance whose end is to come.
    pub open_callouts: usize,
    /// `sharedData`: bytes of the shared data of a `vm_id`, and as many of its queues.
    pub shared_data: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_callouts: 1024,
            shared_data: 64 << 20,
        }
    }
}
