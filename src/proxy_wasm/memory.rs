//! Guest memory: ranges that hostcalls read, and results that they write.
//!
//! A range is good if it ends within the memory; where it starts does not matter, not even 0. A
//! result is written into a block that the guest's own allocator hands out and the guest owns; a
//! result of no bytes is pointer 0 and size 0, without a block. The allocator may grow the memory,
//! so no slice of it lives across [`allocate`].

use wasmtime::{AsContext as _, Caller, Trap};

use super::call::Answer;
use super::exchange::{Actions, Exchange};
use super::peers;
use super::state::{Mode, State};
use super::status::{HostError, Hostcall, Status};

/// A guest in the middle of a hostcall.
pub(super) type Guest<'a> = Caller<'a, State>;

/// A range of guest memory that was checked against the memory as it was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    start: usize,
    end: usize,
}

impl Range {
    pub(super) fn check(guest: &Guest<'_>, ptr: u32, len: u32) -> Hostcall<Self> {
        let size = match guest.data().memory {
            Some(memory) => memory.data_size(guest),
            None => 0,
        };
        let start = ptr as usize;
        let end = start
            .checked_add(len as usize)
            .filter(|end| *end <= size)
            .ok_or(Status::InvalidMemoryAccess)?;
        Ok(Self { start, end })
    }

    /// The bytes of this range.
    pub(super) fn of<'m>(&self, memory: &'m [u8]) -> Hostcall<&'m [u8]> {
        let bytes = memory.get(self.start..self.end);
        bytes.ok_or(HostError::Status(Status::InvalidMemoryAccess))
    }
}

/// The memory, and the host's state beside it.
pub(super) fn split<'m>(guest: &'m mut Guest<'_>) -> (&'m mut [u8], &'m mut State) {
    match guest.data().memory {
        Some(memory) => memory.data_and_store_mut(guest),
        None => (&mut [], guest.data_mut()),
    }
}

/// The memory, to be read.
pub(super) fn bytes<'m>(guest: &'m Guest<'_>) -> &'m [u8] {
    match guest.data().memory {
        Some(memory) => memory.data(guest.as_context()),
        None => &[],
    }
}

/// Writes `value` at `ptr`.
pub(super) fn write_u32(guest: &mut Guest<'_>, ptr: u32, value: u32) -> Hostcall {
    write(guest, ptr, &value.to_le_bytes())
}

/// Writes `value` at `ptr`.
pub(super) fn write_u64(guest: &mut Guest<'_>, ptr: u32, value: u64) -> Hostcall {
    write(guest, ptr, &value.to_le_bytes())
}

/// Writes `bytes` at `ptr`.
pub(super) fn write(guest: &mut Guest<'_>, ptr: u32, bytes: &[u8]) -> Hostcall {
    block(guest, ptr, bytes.len())?.copy_from_slice(bytes);
    Ok(())
}

/// The `len` bytes at `ptr`, to be written.
pub(super) fn block<'m>(guest: &'m mut Guest<'_>, ptr: u32, len: usize) -> Hostcall<&'m mut [u8]> {
    let (memory, _) = split(guest);
    let start = ptr as usize;
    let block = start
        .checked_add(len)
        .and_then(|end| memory.get_mut(start..end));
    block.ok_or(HostError::Status(Status::InvalidMemoryAccess))
}

/// Hands `result` to the guest: its address at `out_ptr`, its size at `out_len`.
pub(super) fn give(guest: &mut Guest<'_>, result: &[u8], out_ptr: u32, out_len: u32) -> Hostcall {
    give_with(guest, result.len(), out_ptr, out_len, |block| {
        block.copy_from_slice(result);
        true
    })
}

/// As [`give`]; `fill` writes the `len` bytes in place and says whether it could.
pub(super) fn give_with(
    guest: &mut Guest<'_>,
    len: usize,
    out_ptr: u32,
    out_len: u32,
    fill: impl FnOnce(&mut [u8]) -> bool,
) -> Hostcall {
    let ptr = if len == 0 { 0 } else { allocate(guest, len)? };
    if !fill(block(guest, ptr, len)?) {
        return Err(Status::InternalFailure.into());
    }
    write_u32(guest, out_ptr, ptr)?;
    let len = u32::try_from(len).map_err(|_| Status::InternalFailure)?;
    write_u32(guest, out_len, len)
}

/// Puts `bytes` into a block of the guest's and says where; nowhere if there are none.
pub(super) fn place(guest: &mut Guest<'_>, bytes: &[u8]) -> Hostcall<u32> {
    if bytes.is_empty() {
        return Ok(0);
    }
    let ptr = allocate(guest, bytes.len())?;
    write(guest, ptr, bytes)?;
    Ok(ptr)
}

/// A block of the guest's own allocator.
fn allocate(guest: &mut Guest<'_>, len: usize) -> Hostcall<u32> {
    let len = u32::try_from(len).map_err(|_| Status::InternalFailure)?;
    let state = guest.data_mut();
    // Taken out rather than copied: a copy counts references that all workers share.
    let Some(allocator) = state.allocator.take() else {
        return Err(Status::InternalFailure.into());
    };
    let before = (state.mode, state.current, state.effective);
    (state.mode, state.current, state.effective) = (Mode::Allocating, 0, 0);
    let result = allocator.call(&mut *guest, len);
    let state = guest.data_mut();
    (state.mode, state.current, state.effective) = before;
    state.allocator = Some(allocator);
    match result {
        Ok(0) => Err(Status::InvalidMemoryAccess.into()),
        Ok(ptr) => Ok(ptr),
        // Past its deadline the guest gets no further.
        Err(error) if error.downcast_ref() == Some(&Trap::Interrupt) => Err(HostError::Trap(error)),
        // The callback runs to its end, as in Envoy; then the instance ends.
        Err(error) => {
            guest.data_mut().doom.get_or_insert(error);
            Err(Status::InvalidMemoryAccess.into())
        }
    }
}

/// Runs `work` with the exchange of the effective context out of the store, so that what it lends
/// can be given to the guest. `None` on contexts without a stream, and where the stream is not
/// here (see [`peers`]).
pub(super) fn with_exchange<T>(
    guest: &mut Guest<'_>,
    work: impl FnOnce(Option<&mut Exchange>, &mut Guest<'_>) -> T,
) -> T {
    let state = guest.data_mut();
    if state.effective == state.lent {
        let mut exchange = state.exchange.take();
        let result = work(exchange.as_deref_mut(), guest);
        guest.data_mut().exchange = exchange;
        return result;
    }
    let context = state.effective;
    let borrowed = match state.streams.get(&context) {
        Some(key) => peers::borrow(*key, state.address.instance, context),
        None => None,
    };
    let Some(mut borrowed) = borrowed else {
        return work(None, guest);
    };
    let result = work(Some(&mut borrowed.exchange), guest);
    borrowed.give_back();
    result
}

/// Runs `work` with the answer that the running callback is about, if it is about one.
pub(super) fn with_answer<T>(
    guest: &mut Guest<'_>,
    work: impl FnOnce(Option<&Answer>, &mut Guest<'_>) -> T,
) -> T {
    let answer = guest.data_mut().answer.take();
    let result = work(answer.as_ref(), guest);
    guest.data_mut().answer = answer;
    result
}

/// Notes what the effective context asks of its stream, wherever that is.
pub(super) fn ask(guest: &mut Guest<'_>, work: impl FnOnce(&mut Actions)) {
    with_exchange(guest, |exchange, guest| match exchange {
        Some(exchange) => work(&mut exchange.actions),
        None => {
            if let Some(actions) = guest.data_mut().asked_elsewhere() {
                work(actions);
            }
        }
    });
}
