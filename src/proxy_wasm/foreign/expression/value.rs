//! Values on their way into the evaluator and out of it.

use std::borrow::Cow;
use std::collections::HashMap;

use cel::ExecutionError;
use cel::common::types::{
    CelBool, CelBytes, CelDouble, CelDuration, CelInt, CelList, CelMap, CelMapKey, CelNull,
    CelString, CelTimestamp, CelUInt,
};
use cel::common::value::Val;
use chrono::{DateTime, Duration};

use super::node::Node;
use crate::proxy_wasm::property::Value;

/// A value for the evaluator, with all that it holds.
pub(super) fn to_cel(value: Value<'_>) -> Box<dyn Val> {
    match value {
        Value::Null => Box::new(CelNull),
        Value::Bool(flag) => Box::new(CelBool::from(flag)),
        Value::Int(number) => Box::new(CelInt::from(number)),
        Value::Uint(number) => Box::new(CelUInt::from(number)),
        Value::Double(number) => Box::new(CelDouble::from(number)),
        Value::Text(text) => self::text(text),
        Value::Bytes(bytes) => Box::new(CelBytes::from(bytes.into_owned())),
        Value::Message(bytes) => Box::new(CelBytes::from(bytes)),
        Value::Timestamp(nanoseconds) => Box::new(CelTimestamp::from(
            DateTime::from_timestamp_nanos(nanoseconds).fixed_offset(),
        )),
        Value::Duration(nanoseconds) => {
            Box::new(CelDuration::from(Duration::nanoseconds(nanoseconds)))
        }
        Value::List(items) => {
            let items: Vec<_> = items.into_iter().map(to_cel).collect();
            Box::new(CelList::from(items))
        }
        Value::Map(entries) => Box::new(map(entries)),
    }
}

/// A map for the evaluator. Keys that are no text are left out: it has no other keys for them.
pub(super) fn map(entries: Vec<(Cow<'_, [u8]>, Value<'_>)>) -> CelMap<'static> {
    let entry = |(name, value): (Cow<'_, [u8]>, Value<'_>)| {
        let name = String::from_utf8(name.into_owned()).ok()?;
        Some((CelMapKey::from(name), to_cel(value)))
    };
    CelMap::from(
        entries
            .into_iter()
            .filter_map(entry)
            .collect::<HashMap<_, _>>(),
    )
}

/// Text is UTF-8 for the evaluator; what is not is bytes.
fn text(text: Cow<'_, [u8]>) -> Box<dyn Val> {
    match String::from_utf8(text.into_owned()) {
        Ok(text) => Box::new(CelString::from(text)),
        Err(error) => Box::new(CelBytes::from(error.into_bytes())),
    }
}

/// The result of an evaluation. What has no wire form (types, for one) is null, which has none
/// either.
pub(super) fn from_cel(value: &(dyn Val + '_)) -> Result<Value<'static>, ExecutionError> {
    Ok(if let Some(flag) = value.downcast_ref::<CelBool>() {
        Value::Bool(*flag.inner())
    } else if let Some(number) = value.downcast_ref::<CelInt>() {
        Value::Int(*number.inner())
    } else if let Some(number) = value.downcast_ref::<CelUInt>() {
        Value::Uint(*number.inner())
    } else if let Some(number) = value.downcast_ref::<CelDouble>() {
        Value::Double(*number.inner())
    } else if let Some(text) = value.downcast_ref::<CelString>() {
        Value::text(text.inner().as_bytes().to_vec())
    } else if let Some(bytes) = value.downcast_ref::<CelBytes>() {
        Value::bytes(bytes.inner().to_vec())
    } else if let Some(time) = value.downcast_ref::<CelTimestamp>() {
        let limit = if time.inner().timestamp() < 0 {
            i64::MIN
        } else {
            i64::MAX
        };
        Value::Timestamp(time.inner().timestamp_nanos_opt().unwrap_or(limit))
    } else if let Some(duration) = value.downcast_ref::<CelDuration>() {
        let duration = duration.inner();
        let limit = if *duration < Duration::zero() {
            i64::MIN
        } else {
            i64::MAX
        };
        Value::Duration(duration.num_nanoseconds().unwrap_or(limit))
    } else if let Some(list) = value.downcast_ref::<CelList>() {
        let items = list.inner().iter().map(|item| from_cel(item.as_ref()));
        Value::List(items.collect::<Result<_, _>>()?)
    } else if let Some(map) = value.downcast_ref::<CelMap>() {
        let mut entries = Vec::new();
        for (key, value) in map.inner() {
            let key = from_cel(key.inner())?.wire_form();
            let key = key.map_err(|_| ExecutionError::InternalError("a key".to_owned()))?;
            entries.push((Cow::Owned(key), from_cel(value.as_ref())?));
        }
        Value::Map(entries)
    } else if let Some(node) = value.downcast_ref::<Node>() {
        node.value()
    } else {
        Value::Null
    })
}
