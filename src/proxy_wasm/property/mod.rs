//! Properties: Envoy's attributes, metadata, and what plugins leave for each other.
//!
//! A path leads from a name at the top to a value. What Envoy derives from a header map exists
//! exactly as long as that map does for the plugin. A container as a whole has no wire form, but
//! for maps and messages. Paths that Envoy serves and we cannot are in [`missing`].

mod attribute;
mod metadata;
pub mod missing;
mod node;
pub mod served;
mod state;
mod value;

pub use node::read_node;
pub use state::States;
pub(super) use state::{Declared, Form, Prototype, set};
pub(super) use value::{NoWireForm, Value};

use super::abi::Map;
use super::exchange::Exchange;
use super::host::{Source, Text};
use super::state::Plugin;
use super::status::{Hostcall, Status};

/// The prefix of properties in the filter state, as in Envoy: both see each other's.
const PREFIX: &[u8] = b"wasm.";

/// A property of the plugin itself, which every context has.
pub(super) fn of_plugin<'a>(plugin: &'a Plugin, path: &[&[u8]]) -> Option<&'a [u8]> {
    match path {
        [b"plugin_name"] => Some(plugin.name.as_bytes()),
        [b"plugin_root_id"] => Some(plugin.root_id.as_bytes()),
        [b"plugin_vm_id"] => Some(plugin.vm_id.as_bytes()),
        _ => None,
    }
}

/// A property of this Envoy, which every context has too.
pub(super) fn of_envoy(path: &[&[u8]]) -> Option<Hostcall<Value<'static>>> {
    match path {
        [b"xds", b"node", rest @ ..] => Some(node::find(rest)),
        _ => None,
    }
}

/// A property of a stream. Call [`refresh`] before.
pub(super) fn of_stream<'a>(exchange: &'a Exchange, path: &[&[u8]]) -> Hostcall<Value<'a>> {
    match path {
        [b"request", name, rest @ ..] => attribute::request(exchange, name, rest),
        [b"response", name, rest @ ..] => attribute::response(exchange, name, rest),
        [b"connection", name] => attribute::connection(exchange, name),
        [b"upstream", name] => attribute::upstream(exchange, name),
        [b"source", name] => attribute::peer(exchange, name, attribute::Peer::Source),
        [b"destination", name] => attribute::peer(exchange, name, attribute::Peer::Destination),
        [b"connection_id"] => attribute::connection(exchange, b"id"),
        [b"metadata", rest @ ..] => metadata::find(exchange, Source::Dynamic, rest),
        [b"filter_state", name] => state::object(exchange, name),
        [b"xds", name, rest @ ..] => match (metadata_source(name), rest) {
            (Some(source), rest) => metadata::find(exchange, source, rest),
            (None, []) => attribute::xds(exchange, name),
            _ => Err(Status::NotFound.into()),
        },
        path if is_bare_container(path) => Err(if has_container(exchange, path) {
            Status::SerializationFailure.into()
        } else {
            Status::NotFound.into()
        }),
        [name] => state::property(exchange, name),
        _ => Err(Status::NotFound.into()),
    }
}

/// Has the route picked anew, if the property `path` depends on it and request headers changed.
pub(super) fn refresh(exchange: &mut Exchange, path: &[&[u8]]) {
    if matches!(path, [b"xds", ..] | [b"upstream", b"num_endpoints"]) {
        exchange.refresh_route();
    }
}

/// Whether `path` leads to something with named parts, whatever its wire form.
pub(super) fn is_container(path: &[&[u8]]) -> bool {
    match path {
        [b"request" | b"response", b"headers"] | [b"response", b"trailers"] => true,
        [b"metadata", rest @ ..] => metadata::is_container(rest),
        [b"xds", b"node", rest @ ..] => node::is_container(rest),
        [b"xds", name, rest @ ..] => {
            metadata_source(name).is_some() && metadata::is_container(rest)
        }
        path => is_bare_container(path),
    }
}

/// Whether the container that `path` leads to is there. Header maps always are: one that does not
/// exist is an empty one.
pub(super) fn has_container(exchange: &Exchange, path: &[&[u8]]) -> bool {
    match path {
        [b"metadata", rest @ ..] => metadata::has_container(exchange, Source::Dynamic, rest),
        [b"xds", name, rest @ ..] => metadata_source(name)
            .is_some_and(|source| metadata::has_container(exchange, source, rest)),
        // Comes with the upstream's connection.
        [b"upstream_filter_state"] => exchange.host().text(Text::UpstreamLocalAddress).is_some(),
        _ => true,
    }
}

/// Whether `path` leads to a container without a wire form.
fn is_bare_container(path: &[&[u8]]) -> bool {
    matches!(
        path,
        [b"request"
            | b"response"
            | b"connection"
            | b"source"
            | b"destination"
            | b"upstream"
            | b"xds"
            | b"filter_state"
            | b"upstream_filter_state"]
    )
}

fn metadata_source(name: &[u8]) -> Option<Source> {
    Some(match name {
        b"cluster_metadata" => Source::Cluster,
        b"route_metadata" => Source::Route,
        b"upstream_host_metadata" => Source::UpstreamHost,
        b"upstream_host_locality_metadata" => Source::UpstreamLocality,
        _ => return None,
    })
}

/// All values of a header, joined by commas.
fn joined<'a>(exchange: &'a Exchange, map: Map, name: &[u8]) -> Hostcall<Value<'a>> {
    let first = exchange.header(map, name).ok_or(Status::NotFound)?;
    let mut values = 0_usize;
    exchange.visit_headers(map, &mut |key, _| {
        values += usize::from(key.eq_ignore_ascii_case(name));
    });
    if values <= 1 {
        return Ok(Value::text(first));
    }
    let mut all = Vec::new();
    exchange.visit_headers(map, &mut |key, value| {
        if key.eq_ignore_ascii_case(name) {
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(value);
        }
    });
    Ok(Value::text(all))
}

#[cfg(test)]
mod tests;
