//! The filter state of a stream.

use std::borrow::Cow;

use wasmplugin_host::proxy_wasm::{FilterState, Span};

use super::{EnvoyStream, bytes};
use crate::abi::*;
use crate::lookup::Callbacks;

impl FilterState for EnvoyStream {
    fn filter_state(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let name = ModuleBuffer::new(name);
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: see `EnvoyStream::new`; the name is read during the call. The bytes of a string
        // object live until it is replaced, which takes `&mut self`; those of a serialized one
        // until the next such call, so they are copied.
        unsafe {
            if envoy_dynamic_module_callback_http_get_filter_state_bytes(
                self.filter,
                name,
                &raw mut value,
            ) {
                return Some(Cow::Borrowed(bytes(value.ptr, value.length)));
            }
            envoy_dynamic_module_callback_http_get_filter_state_typed(
                self.filter,
                name,
                &raw mut value,
            )
            .then(|| Cow::Owned(bytes(value.ptr, value.length).to_vec()))
        }
    }

    fn set_filter_state(&mut self, name: &[u8], value: &[u8], span: Span) -> bool {
        let (name, value) = (ModuleBuffer::new(name), ModuleBuffer::new(value));
        let span = match span {
            Span::FilterChain => None,
            Span::Request => Some(filter_state_life_span::REQUEST),
            Span::Connection => Some(filter_state_life_span::CONNECTION),
        };
        match (span, Callbacks::get().http_set_filter_state_value) {
            // SAFETY: see `EnvoyStream::new`; Envoy copies both.
            (Some(span), Some(set)) => unsafe {
                set(self.filter, name, value, span, stream_sharing::NONE)
            },
            // SAFETY: as above.
            _ => unsafe {
                envoy_dynamic_module_callback_http_set_filter_state_bytes(self.filter, name, value)
            },
        }
    }

    fn set_filter_state_object(&mut self, name: &[u8], value: &[u8]) -> bool {
        // SAFETY: see `EnvoyStream::new`; Envoy copies both.
        unsafe {
            envoy_dynamic_module_callback_http_set_filter_state_typed(
                self.filter,
                ModuleBuffer::new(name),
                ModuleBuffer::new(value),
            )
        }
    }
}
