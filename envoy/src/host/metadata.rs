//! Metadata of a stream, its route, cluster and upstream host.
//!
//! A getter that is asked for the wrong kind makes Envoy log an error, so the kinds are remembered,
//! for each worker, and guesses are rationed: see [`Kinds`].

use std::cell::RefCell;
use std::time::Instant;

use wasmplugin_host::proxy_wasm::{Datum, Kinds, Metadata, Place, Reading, Source, ValueKind};

use super::{EnvoyStream, bytes, with_array};
use crate::abi::*;
use crate::lookup::Callbacks;

thread_local! {
    static KINDS: RefCell<Kinds> = RefCell::new(Kinds::new(Instant::now()));
}

impl EnvoyStream {
    /// Reads a value of a kind that has to be found out.
    fn guess<'a>(
        &'a self,
        place: Place<'_>,
        get: impl Fn(ValueKind) -> Option<Datum<'a>>,
    ) -> Option<Datum<'a>> {
        let exists = || {
            let mut found = false;
            self.visit_keys(place.source, place.namespace, &mut |key| {
                found |= key == place.key;
            });
            found
        };
        let reading = KINDS.with_borrow_mut(|kinds| kinds.read(place, Instant::now(), exists, get));
        match reading {
            Reading::Value(value) => Some(value),
            Reading::Unreadable => Some(Datum::Unreadable),
            Reading::Absent => None,
        }
    }

    fn scalar(&self, place: &Place<'_>, kind: ValueKind) -> Option<Datum<'_>> {
        let (source, filter) = (source_number(place.source), self.filter);
        let (namespace, key) = (
            ModuleBuffer::new(place.namespace),
            ModuleBuffer::new(place.key),
        );
        // SAFETY: see `EnvoyStream::new`; the names are read during the call, and text lives until
        // metadata is changed, which takes `&mut self`.
        unsafe {
            match kind {
                ValueKind::Text => {
                    let mut value = EnvoyBuffer::EMPTY;
                    envoy_dynamic_module_callback_http_get_metadata_string(
                        filter,
                        source,
                        namespace,
                        key,
                        &raw mut value,
                    )
                    .then(|| Datum::Text(bytes(value.ptr, value.length)))
                }
                ValueKind::Number => {
                    let mut value = 0.0;
                    envoy_dynamic_module_callback_http_get_metadata_number(
                        filter,
                        source,
                        namespace,
                        key,
                        &raw mut value,
                    )
                    .then_some(Datum::Number(value))
                }
                ValueKind::Flag => {
                    let mut value = false;
                    envoy_dynamic_module_callback_http_get_metadata_bool(
                        filter,
                        source,
                        namespace,
                        key,
                        &raw mut value,
                    )
                    .then_some(Datum::Flag(value))
                }
            }
        }
    }

    /// Elements of the list at `place`, if there is one.
    fn list_len(&self, place: &Place<'_>) -> Option<usize> {
        let mut len = 0;
        // SAFETY: see `EnvoyStream::new`; the names are read during the call.
        let is_list = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_list_size(
                self.filter,
                source_number(place.source),
                ModuleBuffer::new(place.namespace),
                ModuleBuffer::new(place.key),
                &raw mut len,
            )
        };
        is_list.then_some(len)
    }

    fn element(&self, place: &Place<'_>, index: usize, kind: ValueKind) -> Option<Datum<'_>> {
        let (source, filter) = (source_number(place.source), self.filter);
        let (namespace, key) = (
            ModuleBuffer::new(place.namespace),
            ModuleBuffer::new(place.key),
        );
        // SAFETY: as in `scalar`.
        unsafe {
            match kind {
                ValueKind::Text => {
                    let mut value = EnvoyBuffer::EMPTY;
                    envoy_dynamic_module_callback_http_get_metadata_list_string(
                        filter,
                        source,
                        namespace,
                        key,
                        index,
                        &raw mut value,
                    )
                    .then(|| Datum::Text(bytes(value.ptr, value.length)))
                }
                ValueKind::Number => {
                    let mut value = 0.0;
                    envoy_dynamic_module_callback_http_get_metadata_list_number(
                        filter,
                        source,
                        namespace,
                        key,
                        index,
                        &raw mut value,
                    )
                    .then_some(Datum::Number(value))
                }
                ValueKind::Flag => {
                    let mut value = false;
                    envoy_dynamic_module_callback_http_get_metadata_list_bool(
                        filter,
                        source,
                        namespace,
                        key,
                        index,
                        &raw mut value,
                    )
                    .then_some(Datum::Flag(value))
                }
            }
        }
    }
}

impl Metadata for EnvoyStream {
    fn metadata(&self, source: Source, namespace: &[u8], key: &[u8]) -> Option<Datum<'_>> {
        let mut place = Place {
            source,
            namespace,
            key,
            in_list: false,
        };
        let Some(len) = self.list_len(&place) else {
            return self.guess(place, |kind| self.scalar(&place, kind));
        };
        place.in_list = true;
        let element = |index| {
            let element = self.guess(place, |kind| self.element(&place, index, kind));
            element.unwrap_or(Datum::Unreadable)
        };
        Some(Datum::List((0..len).map(element).collect()))
    }

    fn metadata_of_kind(
        &self,
        source: Source,
        namespace: &[u8],
        key: &[u8],
        kind: ValueKind,
    ) -> Option<Datum<'_>> {
        let place = Place {
            source,
            namespace,
            key,
            in_list: false,
        };
        self.scalar(&place, kind)
    }

    fn visit_namespaces(&self, source: Source, visit: &mut dyn FnMut(&[u8])) {
        let source = source_number(source);
        // SAFETY: see `EnvoyStream::new`.
        let count = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_namespaces_count(self.filter, source)
        };
        let fill = |names: &mut [EnvoyBuffer]| {
            // SAFETY: see `EnvoyStream::new`; Envoy fills as many entries as it just counted.
            unsafe {
                envoy_dynamic_module_callback_http_get_metadata_namespaces(
                    self.filter,
                    source,
                    names.as_mut_ptr(),
                )
            }
        };
        with_array(count, EnvoyBuffer::EMPTY, fill, |names| {
            for name in names {
                // SAFETY: names live until metadata is changed, which takes `&mut self`.
                visit(unsafe { bytes(name.ptr, name.length) });
            }
        });
    }

    fn visit_keys(&self, source: Source, namespace: &[u8], visit: &mut dyn FnMut(&[u8])) {
        let source = source_number(source);
        let namespace = ModuleBuffer::new(namespace);
        // SAFETY: see `EnvoyStream::new`.
        let count = unsafe {
            envoy_dynamic_module_callback_http_get_metadata_keys_count(
                self.filter,
                source,
                namespace,
            )
        };
        let fill = |keys: &mut [EnvoyBuffer]| {
            // SAFETY: see `EnvoyStream::new`; Envoy fills as many entries as it just counted.
            unsafe {
                envoy_dynamic_module_callback_http_get_metadata_keys(
                    self.filter,
                    source,
                    namespace,
                    keys.as_mut_ptr(),
                )
            }
        };
        with_array(count, EnvoyBuffer::EMPTY, fill, |keys| {
            for key in keys {
                // SAFETY: keys live until metadata is changed, which takes `&mut self`.
                visit(unsafe { bytes(key.ptr, key.length) });
            }
        });
    }

    fn typed_metadata(&self, source: Source, namespace: &[u8]) -> Option<&[u8]> {
        let get = Callbacks::get().http_get_typed_metadata?;
        let (mut type_url, mut value) = (EnvoyBuffer::EMPTY, EnvoyBuffer::EMPTY);
        // SAFETY: see `EnvoyStream::new`; the name is read during the call.
        let found = unsafe {
            get(
                self.filter,
                source_number(source),
                ModuleBuffer::new(namespace),
                &raw mut type_url,
                &raw mut value,
            )
        };
        // SAFETY: the value lives until metadata is changed, which takes `&mut self`.
        found.then(|| unsafe { bytes(value.ptr, value.length) })
    }
}

const fn source_number(source: Source) -> u32 {
    match source {
        Source::Dynamic => metadata_source::DYNAMIC,
        Source::Route => metadata_source::ROUTE,
        Source::Cluster => metadata_source::CLUSTER,
        Source::UpstreamHost => metadata_source::HOST,
        Source::UpstreamLocality => metadata_source::HOST_LOCALITY,
    }
}
