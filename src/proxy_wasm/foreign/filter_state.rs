//! `set_envoy_filter_state`: sets one of the objects that Envoy itself knows.
//!
//! The ABI makes them with the life span of the filter chain, whatever the plugin asks for, and
//! does not say why it could not: that there is no such object, or that it does not take the value.

use super::Outcome;
use crate::proxy_wasm::limits::MAX_PROPERTY;
use crate::proxy_wasm::memory::{self, Guest};
use crate::proxy_wasm::message::{self, Field, Malformed};
use crate::proxy_wasm::status::Status;

/// Objects that stock Envoy makes from bytes, as its documentation lists them: where one of these
/// cannot be set, it is because of the value.
const KNOWN: &[&str] = &[
    "envoy.filters.listener.original_dst.local_ip",
    "envoy.filters.listener.original_dst.remote_ip",
    "envoy.hashable_string",
    "envoy.network.application_protocols",
    "envoy.network.ip",
    "envoy.network.transport_socket.original_dst_address",
    "envoy.network.upstream_server_name",
    "envoy.network.upstream_subject_alt_names",
    "envoy.ratelimit.hits_addend",
    "envoy.string",
    "envoy.tcp_proxy.cluster",
    "envoy.tcp_proxy.disable_tunneling",
    "envoy.tcp_proxy.per_connection_idle_timeout_ms",
    "envoy.upstream.dynamic_host",
    "envoy.upstream.dynamic_port",
];

/// `{path 1, value 2, span 3}`.
pub(super) fn set(guest: &mut Guest<'_>, argument: &[u8]) -> Outcome {
    let Ok((path, value)) = read(argument) else {
        return Status::BadArgument.into();
    };
    if value.len() > MAX_PROPERTY {
        return Status::InternalFailure.into();
    }
    let status = memory::with_exchange(guest, |exchange, _| match exchange {
        None => Status::NotFound,
        Some(exchange) => {
            let host = exchange.host_mut();
            if host.set_filter_state_object(path.as_bytes(), value.as_bytes()) {
                Status::Ok
            } else if KNOWN.contains(&path) {
                Status::BadArgument
            } else {
                Status::NotFound
            }
        }
    });
    status.into()
}

fn read(argument: &[u8]) -> Result<(&str, &str), Malformed> {
    let (mut path, mut value) = ("", "");
    message::read(argument, |number, field| {
        match (number, field) {
            (1, Field::Bytes(text)) => path = message::text(text)?,
            (2, Field::Bytes(text)) => value = message::text(text)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok((path, value))
}
