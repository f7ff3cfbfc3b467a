//! Replaces text in response bodies.
//!
//! The whole body is needed, so each chunk is held back until the last one is there; Envoy buffers
//! them. The length changes, so `content-length` goes as soon as the headers pass: they are sent on
//! before the body is known. What is no text, or too long, passes untouched, chunk by chunk.

mod replacements;

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::replacements::{Replacements, is_text};

/// Bytes of a body that are held back at most; a longer one passes as it is. Envoy cuts off what
/// exceeds its own buffer limit (1 MiB by default), which this must stay below.
const LIMIT: usize = 512 * 1024;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin as configured.
#[derive(Default)]
struct Root {
    replacements: Rc<Replacements>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        match Replacements::parse(&config) {
            Ok(replacements) => {
                self.replacements = Rc::new(replacements);
                true
            }
            Err(problem) => {
                error!("configuration refused: {problem}");
                false
            }
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Response {
            replacements: Rc::clone(&self.replacements),
            held: false,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One response.
struct Response {
    replacements: Rc<Replacements>,
    /// Whether the body is held back, to be rewritten at its end.
    held: bool,
}

impl Context for Response {}

impl HttpContext for Response {
    fn on_http_response_headers(&mut self, _count: usize, end_of_stream: bool) -> Action {
        if let Some(obstacle) = self.obstacle(end_of_stream) {
            info!("left alone: {obstacle}");
        } else {
            self.held = true;
            self.remove_http_response_header("content-length");
        }
        Action::Continue
    }

    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        // The size is that of everything held and the new chunk.
        if self.held && size > LIMIT {
            self.held = false;
            info!("left alone: more than {LIMIT} bytes");
        }
        if self.held && !end_of_stream {
            return Action::Pause;
        }
        self.rewrite();
        Action::Continue
    }

    fn on_http_response_trailers(&mut self, _count: usize) -> Action {
        // With trailers, no part of the body is marked as the last.
        self.rewrite();
        Action::Continue
    }
}

impl Response {
    /// What keeps the body from being rewritten, as far as the headers tell.
    fn obstacle(&self, end_of_stream: bool) -> Option<String> {
        if end_of_stream {
            return Some("no body".to_owned());
        }
        for header in ["content-encoding", "content-range"] {
            if let Some(value) = self.header(header) {
                return Some(format!("{header} {value}"));
            }
        }
        match self.header("content-type") {
            None => Some("no content-type".to_owned()),
            Some(kind) if is_text(&kind) => None,
            Some(kind) => Some(format!("content-type {kind}")),
        }
    }

    /// A header's value.
    ///
    /// Read as bytes: it may hold some that are no text, and the SDK would panic.
    fn header(&self, name: &str) -> Option<String> {
        let value = self.get_http_response_header_bytes(name)?;
        Some(String::from_utf8_lossy(&value).into_owned())
    }

    /// Rewrites the body if it is held: all of it is in Envoy's buffer now.
    fn rewrite(&mut self) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        let body = self
            .get_http_response_body(0, usize::MAX)
            .unwrap_or_default();
        let Ok(text) = std::str::from_utf8(&body) else {
            info!("left alone: not UTF-8");
            return;
        };
        let (rewritten, count) = self.replacements.apply(text);
        info!("replaced {count} in {} bytes", body.len());
        if count > 0 {
            self.set_http_response_body(0, body.len(), rewritten.as_bytes());
        }
    }
}
