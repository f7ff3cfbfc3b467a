//! Calls that plugins make to other services, and what comes back.
//!
//! A call is the plugin's, not the stream's: its answer goes to the root context, which finds the
//! stream by the call's token. Who carries it depends on when it was made:
//!
//! - While a request passes, the stream carries it: no other thread is involved, and the guest
//!   learns at once if it cannot be sent.
//! - While a response passes, the stream carries it if the plugin then pauses for it. If not, the
//!   stream may end before the answer; see below.
//! - Whatever else (at a stream's end, from root contexts) is carried by a filter configuration, on
//!   Envoy's main thread.
//!
//! Envoy cancels what a stream carries when the stream ends. The plugin is told so: it gets an
//! answer without anything in it, as for a connection that broke.

use super::abi::AnswerPart;
use super::pairs::Pair;

/// Headers or trailers of our own.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// An HTTP request, in the guest's memory.
#[derive(Clone, Copy, Debug)]
pub struct CallRef<'a> {
    /// A cluster of Envoy's.
    pub cluster: &'a [u8],
    /// Pseudo headers included.
    pub headers: &'a [Pair<'a>],
    /// Empty for none.
    pub body: &'a [u8],
    /// Empty for none.
    pub trailers: &'a [Pair<'a>],
    /// In milliseconds; 0 waits for ever.
    pub timeout: u32,
}

/// An HTTP request, kept for later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    cluster: Vec<u8>,
    headers: Fields,
    body: Vec<u8>,
    trailers: Fields,
    timeout: u32,
}

impl Call {
    /// Runs `work` with the request lent.
    pub fn lend<T>(&self, work: impl FnOnce(&CallRef<'_>) -> T) -> T {
        let (headers, trailers) = (lent(&self.headers), lent(&self.trailers));
        work(&CallRef {
            cluster: &self.cluster,
            headers: &headers,
            body: &self.body,
            trailers: &trailers,
            timeout: self.timeout,
        })
    }
}

fn lent(fields: &Fields) -> Vec<Pair<'_>> {
    fields
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect()
}

impl CallRef<'_> {
    /// A copy, for later.
    pub fn to_owned(&self) -> Call {
        let own = |(name, value): &Pair<'_>| (name.to_vec(), value.to_vec());
        Call {
            cluster: self.cluster.to_vec(),
            headers: self.headers.iter().map(own).collect(),
            body: self.body.to_vec(),
            trailers: self.trailers.iter().map(own).collect(),
            timeout: self.timeout,
        }
    }

    /// Whether Envoy would take it for a request.
    pub fn is_complete(&self) -> bool {
        let has = |wanted: &[u8]| self.headers.iter().any(|(name, _)| *name == wanted);
        has(b":method") && has(b":path") && (has(b":authority") || has(b"host"))
    }
}

/// Why a call was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallError {
    /// No such cluster.
    ClusterNotFound,
    /// `:method`, `:path` or `:authority` is missing.
    MissingHeaders,
    /// It cannot be sent now: no host, or a limit is reached.
    Unavailable,
}

/// The answer to a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// `:status` included.
    pub headers: Fields,
    /// Empty for none.
    pub body: Vec<u8>,
    /// Empty for none.
    pub trailers: Fields,
}

impl AnswerPart {
    /// This part of `answer`.
    pub(super) fn of(self, answer: &Response) -> &[(Vec<u8>, Vec<u8>)] {
        match self {
            Self::Headers => &answer.headers,
            Self::Trailers => &answer.trailers,
            // An HTTP call has none.
            Self::GrpcInitialMetadata | Self::GrpcTrailingMetadata => &[],
        }
    }
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// Its answer is there, be it Envoy's own.
    Response(Response),
    /// There will be no answer: the connection broke in the middle of it, or the stream that
    /// carried the call has ended.
    Lost,
}

/// Carries calls, on the thread that it belongs to.
pub trait Callouts {
    /// Sends a request. What becomes of it is told by the number that is returned.
    fn http_call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let _ = call;
        Err(CallError::Unavailable)
    }

    /// Whether there is a cluster of this name, as far as one can tell without sending anything.
    fn has_cluster(&mut self, name: &[u8]) -> bool {
        let _ = name;
        true
    }
}
