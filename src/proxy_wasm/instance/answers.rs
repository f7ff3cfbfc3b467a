//! What becomes of the answers to calls: which callbacks a guest gets, in which order.

use super::size;
use crate::proxy_wasm::call::{Answer, CallEvent, Fields, Response};
use crate::proxy_wasm::calls::{MAX_ANSWER, Pending};
use crate::proxy_wasm::grpc::{self, code};

/// `proxy_get_status` of an HTTP call that got no answer: `BROKEN_CONNECTION` of the ABI.
const BROKEN_CONNECTION: u32 = 11;

/// A callback, with what hostcalls see while it runs.
pub(super) struct Step {
    pub(super) callback: Callback,
    pub(super) answer: Option<Answer>,
    pub(super) status: Option<(u32, Vec<u8>)>,
    /// The call is over.
    pub(super) is_last: bool,
}

/// A callback about a call.
pub(super) enum Callback {
    /// The sizes of headers, body and trailers.
    HttpResponse([u32; 3]),
    /// What it is called with beside context and token.
    Grpc(GrpcCallback, u32),
}

pub(super) enum GrpcCallback {
    Initial,
    Message,
    Trailing,
    Close,
}

/// An HTTP call has one callback, at its end.
pub(super) fn http_steps(pending: &mut Pending, event: CallEvent) -> Vec<Step> {
    let answer = match event {
        CallEvent::Response(answer) => answer,
        CallEvent::Headers { headers, end } => {
            pending.answer.headers = headers;
            if !end {
                return Vec::new();
            }
            std::mem::take(&mut pending.answer)
        }
        CallEvent::Data { bytes, end } => {
            let body = &mut pending.answer.body;
            if body.len().saturating_add(bytes.len()) > MAX_ANSWER {
                return lost_http();
            }
            body.extend_from_slice(&bytes);
            if !end {
                return Vec::new();
            }
            std::mem::take(&mut pending.answer)
        }
        CallEvent::Trailers(trailers) => {
            pending.answer.trailers = trailers;
            std::mem::take(&mut pending.answer)
        }
        CallEvent::Complete => return Vec::new(),
        CallEvent::Lost => return lost_http(),
    };
    let Response {
        headers,
        body,
        trailers,
    } = &answer;
    vec![Step {
        callback: Callback::HttpResponse([headers.len(), body.len(), trailers.len()].map(size)),
        answer: Some(Answer::Http(answer)),
        status: None,
        is_last: true,
    }]
}

fn lost_http() -> Vec<Step> {
    vec![Step {
        callback: Callback::HttpResponse([0; 3]),
        answer: None,
        status: Some((BROKEN_CONNECTION, b"reset".to_vec())),
        is_last: true,
    }]
}

/// A unary gRPC call has one callback: its message, or the status with which it failed.
pub(super) fn unary_steps(pending: &mut Pending, event: CallEvent) -> Vec<Step> {
    let (status, message) = match end_of(pending, event) {
        None => return Vec::new(),
        Some(end) => end,
    };
    match (status, pending.message.take()) {
        (code::OK, Some(message)) => vec![received(message, true)],
        (code::OK, None) => vec![closed(code::INTERNAL, message)],
        (status, _) => vec![closed(status, message)],
    }
}

/// Takes in a part of a unary answer; its status, once that is known.
fn end_of(pending: &mut Pending, event: CallEvent) -> Option<(u32, Vec<u8>)> {
    match event {
        CallEvent::Headers { headers, end } => {
            let status = grpc::status(&headers);
            let http = grpc::number(&headers, b":status");
            if http != Some(200) && !(end && status.is_some()) {
                let status = grpc::of_http(http.unwrap_or_default());
                return Some((status, Vec::new()));
            }
            end.then(|| (status.unwrap_or(code::UNKNOWN), grpc::message(&headers)))
        }
        CallEvent::Data { bytes, end } => {
            pending.decoder.push(&bytes);
            loop {
                match pending.decoder.next() {
                    Ok(Some(message)) => pending.message = Some(message),
                    Ok(None) => break,
                    Err(status) => return Some((status, Vec::new())),
                }
            }
            end.then_some((code::UNKNOWN, Vec::new()))
        }
        CallEvent::Trailers(trailers) => {
            let status = grpc::status(&trailers);
            Some((status.unwrap_or(code::UNKNOWN), grpc::message(&trailers)))
        }
        CallEvent::Lost | CallEvent::Complete => Some((code::UNAVAILABLE, Vec::new())),
        CallEvent::Response(_) => Some((code::INTERNAL, Vec::new())),
    }
}

/// A gRPC stream has callbacks for all of its parts.
pub(super) fn stream_steps(pending: &mut Pending, event: CallEvent) -> Vec<Step> {
    match event {
        CallEvent::Headers { headers, end } => {
            let status = grpc::status(&headers);
            let http = grpc::number(&headers, b":status");
            if http != Some(200) && !(end && status.is_some()) {
                let status = grpc::of_http(http.unwrap_or_default());
                let [trailing, closed] = broken(status);
                return vec![initial(Fields::new()), trailing, closed];
            }
            if !end {
                return vec![initial(headers)];
            }
            // Nothing but trailers.
            let mut steps = vec![initial(Fields::new())];
            steps.extend(trailing(headers));
            steps
        }
        CallEvent::Data { bytes, end } => {
            pending.decoder.push(&bytes);
            let mut steps = Vec::new();
            loop {
                match pending.decoder.next() {
                    Ok(Some(message)) => steps.push(received(message, false)),
                    Ok(None) => break,
                    Err(status) => {
                        steps.extend(broken(status));
                        return steps;
                    }
                }
            }
            if end {
                steps.extend(broken(code::UNKNOWN));
            }
            steps
        }
        CallEvent::Trailers(trailers) => trailing(trailers).into(),
        CallEvent::Lost | CallEvent::Complete | CallEvent::Response(_) => {
            broken(code::INTERNAL).into()
        }
    }
}

fn initial(headers: Fields) -> Step {
    Step {
        callback: Callback::Grpc(GrpcCallback::Initial, size(headers.len())),
        answer: Some(Answer::GrpcInitial(headers)),
        status: None,
        is_last: false,
    }
}

fn received(message: Vec<u8>, is_last: bool) -> Step {
    Step {
        callback: Callback::Grpc(GrpcCallback::Message, size(message.len())),
        answer: Some(Answer::GrpcMessage(message)),
        status: None,
        is_last,
    }
}

fn trailing(trailers: Fields) -> [Step; 2] {
    let status = grpc::status(&trailers);
    let message = grpc::message(&trailers);
    let step = Step {
        callback: Callback::Grpc(GrpcCallback::Trailing, size(trailers.len())),
        answer: Some(Answer::GrpcTrailing(trailers)),
        status: None,
        is_last: false,
    };
    [step, closed(status.unwrap_or(code::UNKNOWN), message)]
}

/// The end of a stream that has no trailers.
fn broken(status: u32) -> [Step; 2] {
    let [trailing, _] = trailing(Fields::new());
    [trailing, closed(status, Vec::new())]
}

fn closed(status: u32, message: Vec<u8>) -> Step {
    Step {
        callback: Callback::Grpc(GrpcCallback::Close, status),
        answer: None,
        status: Some((status, message)),
        is_last: true,
    }
}
