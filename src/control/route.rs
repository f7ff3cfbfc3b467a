//! What routes say about plugins, on its way to a [`Lineup`](super::Lineup).
//!
//! A route speaks through `typed_per_filter_config`, which is read when the route table is, and
//! through its metadata, which only a stream can read. Either way, what it says is known by a key of
//! bytes, and equal keys share a lineup.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::plugin::Resource;
use crate::plugin::route::{self, Changes, MetadataValue};
use crate::proxy_wasm::{Datum, Metadata, Source, ValueKind};

/// The namespace in which routes speak to us.
const NAMESPACE: &[u8] = b"wasmplugin";

/// The most bytes that a route's metadata may say: what is longer was not written by hand.
const MAX_BYTES: usize = 1 << 20;

/// What names what a route says; without allocation for a route of usual length.
pub type RouteKey = SmallVec<[u8; 256]>;

/// What a route says.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pub(super) changes: Changes,
    pub(super) added: Vec<Resource>,
    /// Plugins of which it says something that nobody understands.
    pub(super) broken: Vec<String>,
}

/// The key of a stream's route; empty where that says nothing. `configured` is the number of its
/// `typed_per_filter_config`, 0 for none.
pub fn route_key(configured: u64, host: &dyn Metadata) -> RouteKey {
    // Asked for keys of a namespace that is not there, Envoy logs a line.
    let mut has_any = false;
    host.visit_namespaces(Source::Route, &mut |name| has_any |= name == NAMESPACE);
    if configured == 0 && !has_any {
        return RouteKey::new();
    }
    key_of_metadata(configured, has_any, host)
}

fn key_of_metadata(configured: u64, has_any: bool, host: &dyn Metadata) -> RouteKey {
    let mut key = RouteKey::new();
    let mut said: SmallVec<[(SmallVec<[u8; 64]>, usize); 4]> = SmallVec::new();
    if has_any {
        host.visit_keys(Source::Route, NAMESPACE, &mut |name| {
            said.push((name.into(), name.as_ptr().addr()));
        });
    }
    if configured == 0 && said.is_empty() {
        return key;
    }
    key.extend_from_slice(&configured.to_le_bytes());
    // Envoy has them in no particular order.
    said.sort_unstable();
    for (name, address) in said {
        put(&mut key, &name);
        put(&mut key, read(host, &name, address));
    }
    key
}

thread_local! {
    /// The kinds of values by the addresses of their keys, which stay as long as the route does.
    /// Another route's may come to the same address: then the guess is wrong once.
    static KINDS: RefCell<HashMap<usize, ValueKind>> = RefCell::default();
}

/// Kinds that are remembered; beyond, all are forgotten.
const MAX_KINDS: usize = 4096;

/// What the route says under `name`. The proxy does not tell of which kind it is, and writes a line
/// for a wrong guess: so kinds are remembered.
fn read<'h>(host: &'h dyn Metadata, name: &[u8], address: usize) -> &'h [u8] {
    KINDS.with_borrow_mut(|kinds| {
        let known = kinds.get(&address).copied();
        let guesses = match known {
            Some(ValueKind::Flag) => [ValueKind::Flag, ValueKind::Text],
            _ => [ValueKind::Text, ValueKind::Flag],
        };
        for kind in guesses {
            let value = host.metadata_of_kind(Source::Route, NAMESPACE, name, kind);
            let text = match value {
                Some(Datum::Text(text)) => text,
                Some(Datum::Flag(true)) => b"true",
                Some(Datum::Flag(false)) => b"false",
                _ => continue,
            };
            if known != Some(kind) {
                if kinds.len() >= MAX_KINDS {
                    kinds.clear();
                }
                kinds.insert(address, kind);
            }
            return text;
        }
        // Anything else is nothing that we understand.
        b""
    })
}

fn put(key: &mut RouteKey, text: &[u8]) {
    let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
    key.extend_from_slice(&len.to_le_bytes());
    key.extend_from_slice(text);
}

/// The key of a route that says nothing beside its `typed_per_filter_config`.
pub(super) fn configured_key(configured: u64) -> RouteKey {
    RouteKey::from_slice(&configured.to_le_bytes())
}

/// The number of the `typed_per_filter_config` in a key.
pub(super) fn configured_of(key: &[u8]) -> u64 {
    key.first_chunk()
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Orders {
    /// What the route of `key` says, whose `typed_per_filter_config` says `configured`. The problems
    /// are what nobody understands.
    pub(super) fn read(key: &[u8], configured: Option<&Arc<Changes>>) -> (Self, Vec<String>) {
        let mut orders = Self {
            changes: configured.map_or_else(Changes::new, |changes| Changes::clone(changes)),
            ..Self::default()
        };
        let mut problems = Vec::new();
        let mut rest = key.get(8..).unwrap_or_default();
        while let (Some(name), Some(text)) = (take(&mut rest), take(&mut rest)) {
            let name = String::from_utf8_lossy(name);
            let value = match std::str::from_utf8(text) {
                Ok(_) if key.len() > MAX_BYTES => Err(format!(
                    "route metadata {name:.320?}: too long: {MAX_BYTES} bytes at most"
                )),
                Ok(text) => route::metadata_value(&name, text).map_err(|found| {
                    let problems = found.0.iter().map(ToString::to_string);
                    problems.collect::<Vec<_>>().join("; ")
                }),
                Err(_) => Err(format!("route metadata {name:.320?}: not UTF-8")),
            };
            match value {
                Ok(MetadataValue::Change(change)) => {
                    let of = orders.changes.entry(name.into_owned()).or_default();
                    of.lay_over(change);
                }
                Ok(MetadataValue::Add(resource)) => orders.added.push(*resource),
                Err(problem) => {
                    problems.push(problem);
                    orders.broken.push(name.into_owned());
                }
            }
        }
        (orders, problems)
    }
}

/// Takes a text off the front of a key.
fn take<'k>(rest: &mut &'k [u8]) -> Option<&'k [u8]> {
    let (len, behind) = rest.split_first_chunk()?;
    let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
    let (text, behind) = behind.split_at_checked(len)?;
    *rest = behind;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Route(&'static [(&'static [u8], &'static [u8])]);

    impl Metadata for Route {
        fn metadata_of_kind(
            &self,
            _: Source,
            namespace: &[u8],
            key: &[u8],
            kind: ValueKind,
        ) -> Option<Datum<'_>> {
            assert_eq!(namespace, NAMESPACE);
            let mut pairs = self.0.iter();
            let (_, value) = pairs.find(|(name, _)| *name == key)?;
            match (*value, kind) {
                (b"flag", ValueKind::Flag) => Some(Datum::Flag(false)),
                (b"flag", _) | (_, ValueKind::Flag | ValueKind::Number) => None,
                (text, ValueKind::Text) => Some(Datum::Text(text)),
            }
        }

        fn visit_namespaces(&self, _: Source, visit: &mut dyn FnMut(&[u8])) {
            visit(NAMESPACE);
        }

        fn visit_keys(&self, source: Source, _: &[u8], visit: &mut dyn FnMut(&[u8])) {
            assert_eq!(source, Source::Route);
            self.0.iter().for_each(|(name, _)| visit(name));
        }
    }

    #[test]
    fn a_route_that_says_nothing_has_an_empty_key() {
        assert!(route_key(0, &Route(&[])).is_empty());
        assert_eq!(route_key(7, &Route(&[])), configured_key(7));
        assert_eq!(configured_of(&route_key(7, &Route(&[]))), 7);
    }

    #[test]
    fn keys_do_not_depend_on_the_order() {
        let one = Route(&[(b"a/b", b"flag"), (b"c/d", b"true")]);
        let other = Route(&[(b"c/d", b"true"), (b"a/b", b"flag")]);
        assert_eq!(route_key(0, &one), route_key(0, &other));
    }

    #[test]
    fn metadata_goes_over_what_is_configured() {
        let configured = route::per_filter_config(
            br#"{"plugins": {"a/b": {"enabled": true, "pluginConfig": {"x": 1}}}}"#,
        );
        let key = route_key(3, &Route(&[(b"a/b", b"flag"), (b"c/d", b"what?")]));
        let (orders, problems) = Orders::read(&key, Some(&Arc::new(configured.unwrap())));
        let change = orders.changes.get("a/b").unwrap();
        assert_eq!(change.enabled, Some(false));
        assert_eq!(change.config.as_deref(), Some(&br#"{"x":1}"#[..]));
        assert_eq!(orders.broken, ["c/d"]);
        assert!(
            problems.len() == 1 && problems[0].contains("c/d"),
            "{problems:?}"
        );
    }
}
