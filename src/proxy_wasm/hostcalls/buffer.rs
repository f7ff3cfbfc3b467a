//! Buffers: bodies and configurations.

use std::sync::Arc;

use crate::proxy_wasm::abi::BufferType;
use crate::proxy_wasm::call::Answer;
use crate::proxy_wasm::calls::MAX_ANSWER;
use crate::proxy_wasm::exchange::Window;
use crate::proxy_wasm::host::Direction;
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::status::{Hostcall, Status};

/// What a buffer is now.
enum Content {
    /// The body of an answer.
    Answer,
    /// A body. Without a window it is empty, but it is there.
    Body(Direction, Option<Window>),
    Plugin,
    Vm,
    /// The data of a call.
    Data,
    /// There, always empty here.
    Empty,
}

/// What `buffer` is. The data of a call is whatever the callback had before, where there is no such
/// data: Envoy's host keeps both in one place.
fn content(guest: &mut Guest<'_>, buffer: u32) -> Hostcall<Content> {
    let wanted = BufferType::from_number(buffer)?;
    let state = guest.data();
    if wanted != BufferType::CallData {
        let content = content_of(guest, wanted)?;
        guest.data_mut().last_buffer = Some(wanted);
        return Ok(content);
    }
    match (&state.call_data, state.last_buffer) {
        (Some(_), _) => Ok(Content::Data),
        (None, Some(last)) => content_of(guest, last),
        (None, None) => Ok(Content::Empty),
    }
}

fn content_of(guest: &mut Guest<'_>, buffer: BufferType) -> Hostcall<Content> {
    let state = guest.data();
    let body = match buffer {
        BufferType::RequestBody => Direction::Request,
        BufferType::ResponseBody => Direction::Response,
        BufferType::VmConfiguration => return Ok(Content::Vm),
        BufferType::PluginConfiguration if state.configuring => return Ok(Content::Plugin),
        BufferType::CallResponseBody if matches!(state.answer, Some(Answer::Http(_))) => {
            return Ok(Content::Answer);
        }
        BufferType::GrpcMessage if matches!(state.answer, Some(Answer::GrpcMessage(_))) => {
            return Ok(Content::Answer);
        }
        BufferType::PluginConfiguration | BufferType::CallResponseBody => {
            return Err(Status::NotFound.into());
        }
        BufferType::DownstreamData
        | BufferType::UpstreamData
        | BufferType::GrpcMessage
        | BufferType::CallData => return Ok(Content::Empty),
    };
    let window = memory::with_exchange(guest, |exchange, _| exchange?.view.seen_body(body));
    Ok(Content::Body(body, window))
}

/// The body of an HTTP answer, or a gRPC message.
fn body(answer: &Answer) -> &[u8] {
    match answer {
        Answer::Http(answer) => &answer.body,
        Answer::GrpcMessage(message) => message,
        Answer::GrpcInitial(_) | Answer::GrpcTrailing(_) => &[],
    }
}

pub(in crate::proxy_wasm) fn get_bytes(
    guest: &mut Guest<'_>,
    buffer: u32,
    start: u32,
    len: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let clip = |size: usize| {
        let start = (start as usize).min(size);
        (start, (len as usize).min(size - start))
    };
    let plugin = Arc::clone(&guest.data().plugin);
    let configuration = match content(guest, buffer)? {
        Content::Body(direction, window) => {
            let window = window.unwrap_or_default();
            let (start, len) = clip(window.len);
            return memory::with_exchange(guest, |exchange, guest| {
                memory::give_with(guest, len, out_ptr, out_len, |block| {
                    if let Some(exchange) = exchange {
                        exchange.read_body(direction, window.start + start, block);
                    }
                    true
                })
            });
        }
        Content::Answer => {
            return memory::with_answer(guest, |answer, guest| {
                let body = answer.map(body).unwrap_or_default();
                let (start, len) = clip(body.len());
                let part = body.get(start..start + len).unwrap_or_default();
                memory::give(guest, part, out_ptr, out_len)
            });
        }
        Content::Data => {
            let data = guest.data().call_data.clone().unwrap_or_default();
            let (start, len) = clip(data.len());
            let part = data.get(start..start + len).unwrap_or_default();
            return memory::give(guest, part, out_ptr, out_len);
        }
        Content::Plugin => &plugin.config[..],
        Content::Vm => &plugin.vm_config[..],
        Content::Empty => &[],
    };
    let (start, len) = clip(configuration.len());
    let part = configuration.get(start..start + len).unwrap_or_default();
    memory::give(guest, part, out_ptr, out_len)
}

pub(in crate::proxy_wasm) fn get_status(
    guest: &mut Guest<'_>,
    buffer: u32,
    out_len: u32,
    out_flags: u32,
) -> Hostcall {
    let len = match content(guest, buffer)? {
        Content::Body(_, window) => window.unwrap_or_default().len,
        Content::Answer => guest.data().answer.as_ref().map_or(0, |a| body(a).len()),
        Content::Data => guest.data().call_data.as_ref().map_or(0, Vec::len),
        Content::Plugin => guest.data().plugin.config.len(),
        Content::Vm => guest.data().plugin.vm_config.len(),
        Content::Empty => 0,
    };
    let len = u32::try_from(len).unwrap_or(u32::MAX);
    memory::write_u32(guest, out_len, len)?;
    // The end of the stream is never told here, as in Envoy.
    memory::write_u32(guest, out_flags, 0)
}

/// Replaces the front, prepends (`start` and `len` 0) or appends (`start` at or past the end).
/// Nothing else can be changed, and `content-length` never follows.
pub(in crate::proxy_wasm) fn set_bytes(
    guest: &mut Guest<'_>,
    buffer: u32,
    start: u32,
    len: u32,
    ptr: u32,
    size: u32,
) -> Hostcall {
    // A buffer that is missing is told before a range that is wrong.
    let content = content(guest, buffer)?;
    let data = Range::check(guest, ptr, size)?;
    let (start, len) = (start as usize, len as usize);
    let place = |size: usize| match start {
        0 => Ok((0, len.min(size))),
        start if start >= size => Ok((size, 0)),
        _ => Err(Status::BadArgument),
    };
    let (direction, window) = match content {
        Content::Body(direction, Some(window)) => (direction, window),
        Content::Body(direction, None) => {
            let is_spent = memory::with_exchange(guest, |exchange, _| {
                exchange.is_some_and(|exchange| exchange.view.is_spent(direction))
            });
            return if is_spent {
                Ok(())
            } else {
                Err(Status::BadArgument.into())
            };
        }
        Content::Answer => return set_message(guest, &data, place),
        _ => return Err(Status::BadArgument.into()),
    };
    let (at, remove) = place(window.len)?;
    memory::with_exchange(guest, |exchange, guest| {
        let exchange = exchange.ok_or(Status::BadArgument)?;
        let data = data.of(memory::bytes(guest))?;
        let whole = exchange.body_len(direction).saturating_sub(remove);
        if data.len() > remove && whole.saturating_add(data.len()) > exchange.buffer_limit() {
            return Err(Status::InternalFailure.into());
        }
        exchange.splice_body(direction, window.start + at, remove, data);
        *exchange.view.body_mut(direction) = Some(Window {
            start: window.start,
            len: window.len - remove + data.len(),
        });
        Ok(())
    })
}

/// A message of gRPC can be changed while its callback runs.
fn set_message(
    guest: &mut Guest<'_>,
    data: &Range,
    place: impl Fn(usize) -> Result<(usize, usize), Status>,
) -> Hostcall {
    let data = data.of(memory::bytes(guest))?.to_vec();
    let Some(Answer::GrpcMessage(message)) = &mut guest.data_mut().answer else {
        return Err(Status::BadArgument.into());
    };
    let (at, remove) = place(message.len())?;
    if message.len() - remove + data.len() > MAX_ANSWER {
        return Err(Status::InternalFailure.into());
    }
    message.splice(at..at + remove, data);
    Ok(())
}
