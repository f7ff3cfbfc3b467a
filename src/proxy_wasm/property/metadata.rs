//! Metadata, by namespace and key.
//!
//! As in Envoy it is a message of two maps, whose fields are part of a path. The proxy hands out
//! single values alone, and neither nulls nor what has values inside; a container with one of
//! those in it cannot be put together.

use std::borrow::Cow;

use super::Value;
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::host::{Datum, Host, Source, Text};
use crate::proxy_wasm::message::Message;
use crate::proxy_wasm::status::{Hostcall, Status};

/// The message's field for values.
const VALUES: &[u8] = b"filter_metadata";

/// The message's field for messages.
const MESSAGES: &[u8] = b"typed_filter_metadata";

pub(super) fn find<'a>(
    exchange: &'a Exchange,
    source: Source,
    path: &[&[u8]],
) -> Hostcall<Value<'a>> {
    let host = exchange.host();
    if !exists(host, source) {
        return Err(Status::NotFound.into());
    }
    match path {
        [] => whole(host, source),
        [field] if *field == VALUES => {
            let namespaces = namespaces(host, source).into_iter();
            let entry = |name: Vec<u8>| {
                let values = namespace(host, source, &name);
                (Cow::Owned(name), values)
            };
            Ok(Value::Map(namespaces.map(entry).collect()))
        }
        [field, name] if *field == VALUES => match namespace(host, source, name) {
            Value::Map(values) if values.is_empty() && !has_namespace(host, source, name) => {
                Err(Status::NotFound.into())
            }
            values => Ok(values),
        },
        [field, name, key, rest @ ..] if *field == VALUES => {
            let datum = host.metadata(source, name, key);
            within(datum.map_or(Value::Null, value), rest)
        }
        [field, name] if *field == MESSAGES => {
            let message = host.typed_metadata(source, name);
            let message = message.ok_or(Status::NotFound)?;
            Ok(Value::Message(message.to_vec()))
        }
        _ => Err(Status::NotFound.into()),
    }
}

pub(super) fn is_container(path: &[&[u8]]) -> bool {
    match path {
        [] => true,
        [field] => *field == VALUES || *field == MESSAGES,
        [field, _] => *field == VALUES,
        _ => false,
    }
}

pub(super) fn has_container(exchange: &Exchange, source: Source, path: &[&[u8]]) -> bool {
    let host = exchange.host();
    exists(host, source)
        && match path {
            [field, name] if *field == VALUES => has_namespace(host, source, name),
            _ => true,
        }
}

/// Follows `path` into a value: lists are all that can be entered.
fn within<'a>(value: Value<'a>, path: &[&[u8]]) -> Hostcall<Value<'a>> {
    match (value, path) {
        // Absent, or the proxy does not show it.
        (Value::Null, _) => Err(Status::NotFound.into()),
        (value, []) => Ok(value),
        (Value::List(items), [index, rest @ ..]) => {
            let index = std::str::from_utf8(index)
                .ok()
                .and_then(|index| index.parse().ok());
            let item = index.and_then(|index: usize| items.into_iter().nth(index));
            within(item.ok_or(Status::NotFound)?, rest)
        }
        _ => Err(Status::NotFound.into()),
    }
}

/// Whether there is something that has metadata.
fn exists<H: Host + ?Sized>(host: &H, source: Source) -> bool {
    let has = |attribute| host.text(attribute).is_some_and(|text| !text.is_empty());
    match source {
        Source::Dynamic => true,
        Source::Route => {
            has(Text::RouteName) || has(Text::VirtualHostName) || has(Text::ClusterName)
        }
        Source::Cluster => has(Text::ClusterName),
        Source::UpstreamHost | Source::UpstreamLocality => has(Text::UpstreamAddress),
    }
}

/// The message.
fn whole<H: Host + ?Sized>(host: &H, source: Source) -> Hostcall<Value<'static>> {
    let namespaces = namespaces(host, source);
    // A host without metadata has no message, everything else an empty one.
    let is_null = matches!(source, Source::UpstreamHost | Source::UpstreamLocality);
    if is_null && namespaces.is_empty() {
        return Ok(Value::Null);
    }
    let mut message = Message::default();
    for name in namespaces {
        let values = structure(&namespace(host, source, &name));
        let values = values.ok_or(Status::SerializationFailure)?;
        message = message.with(1, &entry(&name, &values));
    }
    Ok(Value::Message(message.into_bytes()))
}

fn namespaces<H: Host + ?Sized>(host: &H, source: Source) -> Vec<Vec<u8>> {
    let mut names = Vec::new();
    host.visit_namespaces(source, &mut |name| names.push(name.to_vec()));
    names
}

fn has_namespace<H: Host + ?Sized>(host: &H, source: Source, namespace: &[u8]) -> bool {
    let mut found = false;
    host.visit_namespaces(source, &mut |name| found |= name == namespace);
    found
}

/// All values of a namespace; null for those that cannot be read.
fn namespace<'a, H: Host + ?Sized>(host: &'a H, source: Source, name: &[u8]) -> Value<'a> {
    let mut keys = Vec::new();
    host.visit_keys(source, name, &mut |key| keys.push(key.to_vec()));
    let entry = |key: Vec<u8>| {
        let datum = host.metadata(source, name, &key);
        (Cow::Owned(key), datum.map_or(Value::Null, value))
    };
    Value::Map(keys.into_iter().map(entry).collect())
}

fn value(datum: Datum<'_>) -> Value<'_> {
    match datum {
        Datum::Text(text) => Value::text(text),
        Datum::Number(number) => Value::Double(number),
        Datum::Flag(flag) => Value::Bool(flag),
        Datum::List(items) => Value::List(items.into_iter().map(value).collect()),
        Datum::Unreadable => Value::Null,
    }
}

/// An entry of a map field.
fn entry(name: &[u8], value: &[u8]) -> Vec<u8> {
    Message::default().with(1, name).with(2, value).into_bytes()
}

/// `google.protobuf.Struct`.
pub(super) fn structure(map: &Value<'_>) -> Option<Vec<u8>> {
    let Value::Map(entries) = map else {
        return None;
    };
    let mut message = Message::default();
    for (name, value) in entries {
        message = message.with(1, &entry(name, &any_value(value)?));
    }
    Some(message.into_bytes())
}

/// `google.protobuf.Value`.
fn any_value(value: &Value<'_>) -> Option<Vec<u8>> {
    let message = Message::default();
    let message = match value {
        Value::Double(number) => message.with_double(2, *number),
        Value::Text(text) => message.with(3, text),
        Value::Bool(flag) => message.with_bool(4, *flag),
        Value::Map(_) => message.with(5, &structure(value)?),
        Value::List(items) => {
            let mut list = Message::default();
            for item in items {
                list = list.with(1, &any_value(item)?);
            }
            message.with(6, &list.into_bytes())
        }
        _ => return None,
    };
    Some(message.into_bytes())
}
