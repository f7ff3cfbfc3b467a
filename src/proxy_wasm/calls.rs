//! The calls of an instance that have no end yet.

use super::call::{Call, CallError, CallRef, Response};
use super::exchange::{Carrier, OpenCall};
use super::grpc::Decoder;
use super::ids::ById;
use super::limits::MAX_CALL_BYTES;
use super::memory::Guest;
use super::state::State;
use super::status::{HostError, Hostcall, Status};

/// The longest answer, or message of one by gRPC, that is put together from parts: as Envoy bounds
/// answers that come whole. It bounds no message of gRPC.
pub(super) const MAX_ANSWER: usize = 32 << 20;

/// What a call is; the low bits of its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Http = 0,
    GrpcCall = 1,
    GrpcStream = 2,
}

impl TokenKind {
    /// The kind of `token`, if there is such a kind.
    pub(super) const fn of(token: u32) -> Option<Self> {
        match token & 3 {
            0 => Some(Self::Http),
            1 => Some(Self::GrpcCall),
            2 => Some(Self::GrpcStream),
            _ => None,
        }
    }
}

/// Calls by token. Tokens are counted per kind, from 1.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: ById<Pending>,
    last: [u32; 3],
    /// Bytes that the open calls hold, all together.
    held: usize,
}

/// A call whose end is to come.
#[derive(Debug)]
pub(super) struct Pending {
    /// The main thread's number for it, where that carries it and has sent it.
    id: Option<u64>,
    /// Bytes that it holds, as far as anybody knows: what was sent since the other side last showed
    /// life, and what came of an answer in parts.
    held: usize,
    /// The answer so far, where it comes in parts.
    pub(super) answer: Response,
    /// Messages of a gRPC answer.
    pub(super) decoder: Decoder,
    /// The message of a unary gRPC answer.
    pub(super) message: Option<Vec<u8>>,
    /// Nothing more is sent.
    pub(super) is_half_closed: bool,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    pub(super) fn get(&mut self, token: u32) -> Option<&mut Pending> {
        self.open.get_mut(&token)
    }

    pub(super) fn remove(&mut self, token: u32) -> Option<Pending> {
        let removed = self.open.remove(&token)?;
        self.held = self.held.saturating_sub(removed.held);
        Some(removed)
    }

    /// Whether the open calls may hold `bytes` more.
    pub(super) const fn has_room_for(&self, bytes: usize) -> bool {
        self.held.saturating_add(bytes) <= MAX_CALL_BYTES
    }

    /// Counts `bytes` that a call holds from now on, if they may be.
    fn hold(&mut self, token: u32, bytes: usize) -> bool {
        if !self.has_room_for(bytes) {
            return false;
        }
        if let Some(pending) = self.open.get_mut(&token) {
            pending.held += bytes;
            self.held += bytes;
        }
        true
    }

    /// Something came of a call's answer: `bytes` in parts, which must be kept. False where they are
    /// too much.
    pub(super) fn receive(&mut self, token: u32, bytes: usize) -> bool {
        // What was sent has arrived, or nobody waits for it any more.
        if TokenKind::of(token) == Some(TokenKind::GrpcStream)
            && let Some(pending) = self.open.get_mut(&token)
        {
            self.held = self.held.saturating_sub(std::mem::take(&mut pending.held));
        }
        self.hold(token, bytes)
    }

    const fn last(&mut self, kind: TokenKind) -> &mut u32 {
        let [http, call, stream] = &mut self.last;
        match kind {
            TokenKind::Http => http,
            TokenKind::GrpcCall => call,
            TokenKind::GrpcStream => stream,
        }
    }
}

/// Who has a call now.
enum Sent {
    /// The stream.
    Stream,
    /// The main thread, with its number for the call.
    MainThread(u64),
    /// Nobody yet.
    Later(Call),
}

impl From<CallError> for HostError {
    fn from(error: CallError) -> Self {
        Self::Status(match error {
            CallError::ClusterNotFound | CallError::MissingHeaders => Status::BadArgument,
            CallError::Unavailable => Status::InternalFailure,
        })
    }
}

/// Sends a call, or has it sent; its token. `make` makes the request out of the guest's memory.
pub(super) fn start<T>(
    guest: &mut Guest<'_>,
    kind: TokenKind,
    make: impl FnOnce(&Guest<'_>, &mut dyn FnMut(&CallRef<'_>) -> Hostcall) -> Hostcall<T>,
) -> Hostcall<u32> {
    let state = guest.data_mut();
    // Those that were given up count until they are reset, after this callback.
    let carried = state.exchange.as_ref().map_or(0, |e| e.cancelled.len());
    let open = state.calls.open.len() + state.outbox.cancelled.len() + carried;
    if open >= state.plugin.limits.open_callouts {
        return Err(Status::InternalFailure.into());
    }
    let room = MAX_CALL_BYTES.saturating_sub(state.calls.held);
    let count = state.calls.last(kind).wrapping_add(1);
    let token = (count << 2) | kind as u32;
    // Out of the store, so that the call can stay in the guest's memory.
    let mut exchange = state.exchange.take();
    let mut callouts = state.callouts.take();
    let mut sent = None;
    let mut size = 0;
    let result = make(guest, &mut |call| {
        if !call.is_complete() {
            return Err(CallError::MissingHeaders.into());
        }
        size = call.size();
        if size > room {
            return Err(CallError::Unavailable.into());
        }
        sent = Some(match (exchange.as_deref_mut(), callouts.as_deref_mut()) {
            (None, Some(callouts)) => Sent::MainThread(callouts.call(call)?),
            // A stream of messages cannot wait for somebody to carry it.
            (None, None) if kind == TokenKind::GrpcStream => {
                return Err(CallError::Unavailable.into());
            }
            (None, None) => Sent::Later(call.to_owned()),
            (Some(exchange), _) => {
                let carrier = match exchange.carrier {
                    Carrier::StreamIfPaused if kind == TokenKind::GrpcStream => Carrier::Stream,
                    carrier => carrier,
                };
                let plugin = exchange.plugin;
                match carrier {
                    Carrier::Stream => {
                        let id = exchange.host_mut().call(call)?;
                        exchange.calls.push(OpenCall { id, plugin, token });
                        Sent::Stream
                    }
                    Carrier::StreamIfPaused => {
                        exchange.host_mut().check(call.cluster)?;
                        let waiting = (plugin, token, call.to_owned());
                        exchange.waiting_calls.push(waiting);
                        Sent::Stream
                    }
                    Carrier::MainThread if kind == TokenKind::GrpcStream => {
                        return Err(CallError::Unavailable.into());
                    }
                    Carrier::MainThread => {
                        exchange.host_mut().check(call.cluster)?;
                        Sent::Later(call.to_owned())
                    }
                }
            }
        });
        Ok(())
    });
    let state = guest.data_mut();
    state.exchange = exchange;
    state.callouts = callouts;
    // Only what went wrong before it was tried leaves the number free.
    if !matches!(result, Err(HostError::Status(Status::BadArgument))) {
        *state.calls.last(kind) = count;
    }
    result?;
    let id = match sent {
        Some(Sent::MainThread(id)) => {
            state.outbox.sent.push((id, token));
            Some(id)
        }
        Some(Sent::Later(call)) => {
            state.outbox.calls.push((token, call));
            None
        }
        Some(Sent::Stream) | None => None,
    };
    state.calls.held += size;
    let pending = Pending {
        id,
        held: size,
        answer: Response::default(),
        decoder: Decoder::default(),
        message: None,
        is_half_closed: false,
    };
    state.calls.open.insert(token, pending);
    Ok(token)
}

/// Sends another part of a call. Whether it could.
pub(super) fn send(state: &mut State, token: u32, data: &[u8], end: bool) -> bool {
    if !state.calls.hold(token, data.len()) {
        return false;
    }
    if let Some(exchange) = state.exchange.as_deref_mut()
        && let Some(call) = exchange
            .calls
            .iter()
            .find(|call| (call.plugin, call.token) == (exchange.plugin, token))
    {
        let id = call.id;
        return exchange.host_mut().send(id, data, end);
    }
    let id = state.calls.get(token).and_then(|pending| pending.id);
    match (id, state.callouts.as_deref_mut()) {
        (Some(id), Some(callouts)) => callouts.send(id, data, end),
        _ => false,
    }
}

/// Gives a call up: nothing more is heard of it.
pub(super) fn cancel(state: &mut State, token: u32) {
    state.calls.remove(token);
    if let Some(exchange) = state.exchange.as_deref_mut() {
        let plugin = exchange.plugin;
        let is_it = |call: &OpenCall| (call.plugin, call.token) == (plugin, token);
        if let Some(at) = exchange.calls.iter().position(is_it) {
            let call = exchange.calls.remove(at);
            // Later: it may call hooks of this stream.
            exchange.cancelled.push(call.id);
            return;
        }
        // One that was not sent yet never is.
        let waiting = exchange.waiting_calls.len();
        exchange
            .waiting_calls
            .retain(|(of, waiting, _)| (*of, *waiting) != (plugin, token));
        if exchange.waiting_calls.len() < waiting {
            return;
        }
    }
    let unsent = state.outbox.calls.len();
    state.outbox.calls.retain(|(unsent, _)| *unsent != token);
    if state.outbox.calls.len() == unsent {
        state.outbox.cancelled.push(token);
    }
}
