//! Calls that plugins make to other services, and what comes back.
//!
//! A call is the plugin's, not the stream's: its answer goes to the root context, which finds the
//! stream by the call's token. Who carries it depends on when it was made:
//!
//! - In an event of a stream, the stream carries it if the plugin then pauses for it: no other
//!   thread is involved, and the answer can go straight to what waits for it.
//! - Whatever else (nothing waits, the stream ends, root contexts) is carried by a filter
//!   configuration, on Envoy's main thread: it must not end with the stream.
//!
//! Which it will be is known once the event is through; the guest learns at once all the same if the
//! call cannot be sent ([`Callouts::check`]).
//!
//! Envoy cancels what a stream carries when the stream ends. The plugin is told so: it gets an
//! answer without anything in it, as for a connection that broke.

use super::abi::AnswerPart;
use super::pairs::Pair;

/// Headers or trailers of our own.
pub type Fields = Vec<(Vec<u8>, Vec<u8>)>;

/// What is wanted of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// It is sent whole, and its answer comes whole.
    Whole,
    /// It is the beginning of a stream: the answer comes in parts.
    Stream {
        /// Nothing follows what is sent now.
        end: bool,
    },
}

/// An HTTP request, in the guest's memory.
#[derive(Clone, Copy, Debug)]
pub struct CallRef<'a> {
    /// What is wanted of it.
    pub kind: CallKind,
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
    kind: CallKind,
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
            kind: self.kind,
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
            kind: self.kind,
            cluster: self.cluster.to_vec(),
            headers: self.headers.iter().map(own).collect(),
            body: self.body.to_vec(),
            trailers: self.trailers.iter().map(own).collect(),
            timeout: self.timeout,
        }
    }

    /// Bytes of all of it.
    pub(super) fn size(&self) -> usize {
        let fields = self.headers.iter().chain(self.trailers);
        let fields = fields.map(|(name, value)| name.len() + value.len());
        self.cluster.len() + self.body.len() + fields.sum::<usize>()
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

/// The answer to a call, as far as it is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// `:status` included.
    pub headers: Fields,
    /// Empty for none.
    pub body: Vec<u8>,
    /// Empty for none.
    pub trailers: Fields,
}

/// What a callback about a call is about.
#[derive(Debug)]
pub(super) enum Answer {
    Http(Response),
    GrpcInitial(Fields),
    GrpcMessage(Vec<u8>),
    GrpcTrailing(Fields),
}

impl AnswerPart {
    /// This part of `answer`, if that has it: trailers are a map only where there are any.
    pub(super) fn of(self, answer: &Answer) -> Option<&Fields> {
        match (self, answer) {
            (Self::Headers, Answer::Http(answer)) => Some(&answer.headers),
            (Self::Trailers, Answer::Http(answer)) if !answer.trailers.is_empty() => {
                Some(&answer.trailers)
            }
            (Self::GrpcInitialMetadata, Answer::GrpcInitial(fields))
            | (Self::GrpcTrailingMetadata, Answer::GrpcTrailing(fields)) => Some(fields),
            _ => None,
        }
    }
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEvent {
    /// Its answer is there, be it Envoy's own.
    Response(Response),
    /// The headers of an answer in parts.
    Headers {
        /// `:status` included.
        headers: Fields,
        /// They are all of it.
        end: bool,
    },
    /// A part of the body.
    Data {
        /// Its bytes.
        bytes: Vec<u8>,
        /// It is the last.
        end: bool,
    },
    /// Trailers, which are the end.
    Trailers(Fields),
    /// An answer in parts is over.
    Complete,
    /// There will be no answer: the connection broke in the middle of it, or the stream that
    /// carried the call has ended.
    Lost,
}

impl CallEvent {
    /// Whether nothing follows.
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Response(_) | Self::Complete | Self::Lost)
    }
}

/// Carries calls, on the thread that it belongs to.
pub trait Callouts {
    /// Sends a request. What becomes of it is told by the number that is returned.
    fn call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let _ = call;
        Err(CallError::Unavailable)
    }

    /// Sends another part of a stream. Whether it could.
    fn send(&mut self, id: u64, data: &[u8], end: bool) -> bool {
        let _ = (id, data, end);
        false
    }

    /// Gives a stream up. Its last event may come before this returns.
    fn reset(&mut self, id: u64) {
        let _ = id;
    }

    /// Whether a call to this cluster could be sent, as far as one can tell without sending it.
    fn check(&mut self, cluster: &[u8]) -> Result<(), CallError> {
        let _ = cluster;
        Ok(())
    }
}
