//! Metrics.

use std::sync::Arc;

use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::metrics::{Kind, Metric};
use crate::proxy_wasm::status::{Hostcall, Status};

/// The most ids of an instance: each definition makes one, also of a name that is known.
const MAX_IDS: usize = 65_536;

/// Bits of an id that tell the kind.
const KIND_BITS: u32 = 2;

/// Ids that an instance was given, per kind; the first is number 1.
#[derive(Debug, Default)]
pub(in crate::proxy_wasm) struct Ids {
    counters: Vec<Arc<Metric>>,
    gauges: Vec<Arc<Metric>>,
    histograms: Vec<Arc<Metric>>,
}

impl Ids {
    fn of(&mut self, kind: Kind) -> &mut Vec<Arc<Metric>> {
        match kind {
            Kind::Counter => &mut self.counters,
            Kind::Gauge => &mut self.gauges,
            Kind::Histogram => &mut self.histograms,
        }
    }

    fn find(&mut self, id: u32) -> Hostcall<&Arc<Metric>> {
        let kind = kind(id)?;
        let number = usize::try_from(id >> KIND_BITS).unwrap_or(usize::MAX);
        let metric = number
            .checked_sub(1)
            .and_then(|index| self.of(kind).get(index));
        metric.ok_or_else(|| Status::NotFound.into())
    }
}

fn kind(id: u32) -> Hostcall<Kind> {
    let kind = Kind::from_number(id & ((1 << KIND_BITS) - 1));
    kind.ok_or_else(|| Status::BadArgument.into())
}

pub(in crate::proxy_wasm) fn define(
    guest: &mut Guest<'_>,
    number: u32,
    name_ptr: u32,
    name_len: u32,
    out: u32,
) -> Hostcall {
    let name = Range::check(guest, name_ptr, name_len)?;
    let kind = Kind::from_number(number).ok_or(Status::BadArgument)?;
    let name = name.of(memory::bytes(guest))?;
    let metric = guest.data().plugin.metrics.define(kind, name);
    let metric = metric.ok_or(Status::InternalFailure)?;
    let state = guest.data_mut();
    state.outbox.metrics = true;
    let ids = state.metrics.of(kind);
    if ids.len() >= MAX_IDS {
        return Err(Status::InternalFailure.into());
    }
    ids.push(metric);
    let count = u32::try_from(ids.len()).unwrap_or(u32::MAX);
    memory::write_u32(guest, out, (count << KIND_BITS) | number)
}

/// Counters only grow; a gauge goes down by a negative offset.
pub(in crate::proxy_wasm) fn increment(guest: &mut Guest<'_>, id: u32, offset: i64) -> Hostcall {
    let state = guest.data_mut();
    match kind(id)? {
        Kind::Counter if offset <= 0 => {
            state.metrics.find(id)?;
            return Err(Status::BadArgument.into());
        }
        Kind::Histogram => return Err(Status::BadArgument.into()),
        Kind::Counter | Kind::Gauge => {}
    }
    state.metrics.find(id)?.add(offset);
    state.outbox.metrics = true;
    Ok(())
}

/// Sets a gauge, adds to a counter, records in a histogram.
pub(in crate::proxy_wasm) fn record(guest: &mut Guest<'_>, id: u32, value: u64) -> Hostcall {
    // Of an id that cannot be, only this call says that it is not there.
    kind(id).map_err(|_| Status::NotFound)?;
    let state = guest.data_mut();
    state.metrics.find(id)?.record(value);
    state.outbox.metrics = true;
    Ok(())
}

pub(in crate::proxy_wasm) fn get(guest: &mut Guest<'_>, id: u32, out: u32) -> Hostcall {
    if kind(id)? == Kind::Histogram {
        return Err(Status::BadArgument.into());
    }
    let value = guest.data_mut().metrics.find(id)?.value();
    memory::write_u64(guest, out, value)
}
