//! Header maps.
//!
//! Which maps exist for a plugin at a time is the chain's business: see
//! [`View`](crate::proxy_wasm::View). A map that does not exist is an empty one for
//! `proxy_get_header_map_pairs` and a bad argument for everything else.

use crate::proxy_wasm::abi::{AbiVersion, Map, MapType};
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::pairs::{self, Size, Writer};
use crate::proxy_wasm::status::{Hostcall, Status};

pub(in crate::proxy_wasm) fn get_value(
    guest: &mut Guest<'_>,
    abi: AbiVersion,
    map: u32,
    key_ptr: u32,
    key_len: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let map = MapType::from_number(map)?;
    let key = Range::check(guest, key_ptr, key_len)?;
    let give = |guest: &mut Guest<'_>, found: Option<&[u8]>| match found {
        Some(value) => memory::give(guest, value, out_ptr, out_len),
        None if abi == AbiVersion::V0_1_0 => memory::give(guest, &[], out_ptr, out_len),
        None => Err(Status::NotFound.into()),
    };
    match map {
        MapType::Stream(map) => memory::with_exchange(guest, |exchange, guest| {
            let exchange = exchange.as_deref();
            let found = match readable(exchange, map) {
                Some(exchange) => exchange.header(map, key.of(memory::bytes(guest))?),
                None if exchange.is_some_and(|exchange| exchange.view.log) => None,
                None => return Err(Status::BadArgument.into()),
            };
            give(guest, found)
        }),
        MapType::Answer(part) => memory::with_answer(guest, |answer, guest| {
            let Some(fields) = answer.and_then(|answer| part.of(answer)) else {
                let in_log = memory::with_exchange(guest, |exchange, _| {
                    exchange.is_some_and(|exchange| exchange.view.log)
                });
                return if in_log {
                    give(guest, None)
                } else {
                    Err(Status::BadArgument.into())
                };
            };
            let key = key.of(memory::bytes(guest))?;
            let found = fields
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(key));
            give(guest, found.map(|(_, value)| value.as_slice()))
        }),
    }
}

pub(in crate::proxy_wasm) fn get_pairs(
    guest: &mut Guest<'_>,
    map: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    match MapType::from_number(map)? {
        MapType::Stream(map) => memory::with_exchange(guest, |exchange, guest| {
            let exchange = readable(exchange.as_deref(), map);
            give_pairs(guest, out_ptr, out_len, |visit| {
                if let Some(exchange) = exchange {
                    exchange.visit_headers(map, visit);
                }
            })
        }),
        MapType::Answer(part) => memory::with_answer(guest, |answer, guest| {
            give_pairs(guest, out_ptr, out_len, |visit| {
                let fields = answer.and_then(|answer| part.of(answer));
                let fields = fields.into_iter().flatten();
                fields.for_each(|(name, value)| visit(name, value));
            })
        }),
    }
}

/// Hands over all entries that `visit_all` visits; none are no bytes at all.
fn give_pairs(
    guest: &mut Guest<'_>,
    out_ptr: u32,
    out_len: u32,
    visit_all: impl Fn(&mut dyn FnMut(&[u8], &[u8])),
) -> Hostcall {
    let mut size = Size::default();
    visit_all(&mut |name, value| size.add(name, value));
    if size.is_empty() {
        return memory::give(guest, &[], out_ptr, out_len);
    }
    memory::give_with(guest, size.encoded(), out_ptr, out_len, |block| {
        let mut writer = Writer::new(size, block);
        visit_all(&mut |name, value| writer.add(name, value));
        writer.complete()
    })
}

/// The size in bytes of all names and values: not a count, whatever the name suggests.
pub(in crate::proxy_wasm) fn get_size(guest: &mut Guest<'_>, map: u32, out: u32) -> Hostcall {
    let map = MapType::from_number(map)?;
    let mut size = Size::default();
    memory::with_exchange(guest, |exchange, _| match (exchange, map) {
        (Some(exchange), MapType::Stream(map)) if exchange.view.writable.contains(map) => {
            exchange.visit_headers(map, &mut |name, value| size.add(name, value));
            Ok(())
        }
        _ => Err(Status::BadArgument),
    })?;
    let bytes = u32::try_from(size.bytes()).unwrap_or(u32::MAX);
    memory::write_u32(guest, out, bytes)
}

pub(in crate::proxy_wasm) fn add_value(
    guest: &mut Guest<'_>,
    map: u32,
    key_ptr: u32,
    key_len: u32,
    value_ptr: u32,
    value_len: u32,
) -> Hostcall {
    let map = MapType::from_number(map)?;
    let key = Range::check(guest, key_ptr, key_len)?;
    let value = Range::check(guest, value_ptr, value_len)?;
    change(guest, map, |exchange, map, memory| {
        let (key, value) = (key.of(memory)?, value.of(memory)?);
        make_room(exchange, map, key, value)?;
        exchange.add_header(map, key, value);
        Ok(())
    })
}

pub(in crate::proxy_wasm) fn replace_value(
    guest: &mut Guest<'_>,
    map: u32,
    key_ptr: u32,
    key_len: u32,
    value_ptr: u32,
    value_len: u32,
) -> Hostcall {
    let map = MapType::from_number(map)?;
    let key = Range::check(guest, key_ptr, key_len)?;
    let value = Range::check(guest, value_ptr, value_len)?;
    change(guest, map, |exchange, map, memory| {
        let (key, value) = (key.of(memory)?, value.of(memory)?);
        make_room(exchange, map, key, value)?;
        exchange.set_header(map, key, value);
        Ok(())
    })
}

pub(in crate::proxy_wasm) fn remove_value(
    guest: &mut Guest<'_>,
    map: u32,
    key_ptr: u32,
    key_len: u32,
) -> Hostcall {
    let map = MapType::from_number(map)?;
    let key = Range::check(guest, key_ptr, key_len)?;
    change(guest, map, |exchange, map, memory| {
        exchange.remove_header(map, key.of(memory)?);
        Ok(())
    })
}

/// Replaces all of a map. Malformed pairs are no pairs, as in Envoy.
pub(in crate::proxy_wasm) fn set_pairs(
    guest: &mut Guest<'_>,
    map: u32,
    ptr: u32,
    len: u32,
) -> Hostcall {
    let map = MapType::from_number(map)?;
    let encoded = Range::check(guest, ptr, len)?;
    change(guest, map, |exchange, map, memory| {
        let pairs = pairs::decode(encoded.of(memory)?).unwrap_or_default();
        let mut names = Vec::new();
        exchange.visit_headers(map, &mut |name, _| names.push(name.to_vec()));
        for name in names {
            exchange.remove_header(map, &name);
        }
        for (name, value) in pairs {
            exchange.add_header(map, name, value);
        }
        Ok(())
    })
}

/// Checks that a map may have one more entry.
fn make_room(exchange: &mut Exchange, map: Map, name: &[u8], value: &[u8]) -> Hostcall {
    let size = name.len().saturating_add(value.len());
    if exchange.has_room_for_header(map, size) {
        Ok(())
    } else {
        Err(Status::InternalFailure.into())
    }
}

/// The exchange, if `map` exists for the running callback.
fn readable(exchange: Option<&Exchange>, map: Map) -> Option<&Exchange> {
    exchange.filter(|exchange| exchange.view.readable.contains(map))
}

fn change(
    guest: &mut Guest<'_>,
    map: MapType,
    work: impl FnOnce(&mut Exchange, Map, &[u8]) -> Hostcall,
) -> Hostcall {
    memory::with_exchange(guest, |exchange, guest| match (exchange, map) {
        (Some(exchange), MapType::Stream(map)) if exchange.view.inert.contains(map) => Ok(()),
        (Some(exchange), MapType::Stream(map)) if exchange.view.writable.contains(map) => {
            work(exchange, map, memory::bytes(guest))
        }
        _ => Err(Status::BadArgument.into()),
    })
}
