//! The plugin of the side-by-side benchmark: one module, whose configuration says what it does.
//!
//! `benches/native` does the same work without WebAssembly; a change here belongs there, too.

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Warn);
    proxy_wasm::set_root_context(|_| Box::new(Root { work: Work::Nothing }));
}}

/// What is done with each stream; the word in the configuration.
#[derive(Clone, Copy)]
enum Work {
    /// `nothing`: the SDK's own callbacks, which do nothing.
    Nothing,
    /// `headers`: three gets and two sets on the request, two sets on the response.
    Headers,
    /// `read`: reads the response's body.
    Read,
    /// `rewrite`: replaces the response's body by one of the same length.
    Rewrite,
    /// `callout`: asks another service before the request goes on.
    Callout,
}

struct Root {
    work: Work,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        let says = |word: &str| config.windows(word.len()).any(|at| at == word.as_bytes());
        let known = [
            ("nothing", Work::Nothing),
            ("headers", Work::Headers),
            ("read", Work::Read),
            ("rewrite", Work::Rewrite),
            ("callout", Work::Callout),
        ];
        let found = known.into_iter().find(|(word, _)| says(word));
        if let Some((_, work)) = found {
            self.work = work;
        }
        found.is_some()
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(match self.work {
            Work::Nothing => Box::new(Nothing),
            Work::Headers => Box::new(Headers),
            Work::Read => Box::new(Body { rewrites: false }),
            Work::Rewrite => Box::new(Body { rewrites: true }),
            Work::Callout => Box::new(Callout),
        })
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Nothing;

impl Context for Nothing {}

impl HttpContext for Nothing {}

struct Headers;

impl Context for Headers {}

impl HttpContext for Headers {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        let agent = self.get_http_request_header("user-agent");
        let key = self.get_http_request_header("x-api-key");
        let user = if key.is_some() { "alice" } else { "nobody" };
        self.set_http_request_header("x-user", Some(user));
        let kind = if agent.is_some() { &path } else { "none" };
        self.set_http_request_header("x-original-path", Some(kind));
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        self.set_http_response_header("x-frame-options", Some("DENY"));
        self.set_http_response_header("x-content-type-options", Some("nosniff"));
        Action::Continue
    }
}

struct Body {
    rewrites: bool,
}

impl Context for Body {}

impl HttpContext for Body {
    fn on_http_response_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        if !end_of_stream {
            return Action::Pause;
        }
        if let Some(mut body) = self.get_http_response_body(0, size) {
            if self.rewrites {
                // A mark, no work on every byte: that would be the guest's own.
                if let Some(start) = body.first_chunk_mut() {
                    *start = *b"seen";
                }
                self.set_http_response_body(0, size, &body);
            } else if body.first() == Some(&0) {
                // Never; so that the bytes are used.
                return Action::Pause;
            }
        }
        Action::Continue
    }
}

struct Callout;

impl Context for Callout {
    fn on_http_call_response(&mut self, _: u32, _: usize, _: usize, _: usize) {
        self.resume_http_request();
    }
}

impl HttpContext for Callout {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let headers = vec![
            (":method", "GET"),
            (":path", "/check"),
            (":authority", "callout"),
        ];
        let timeout = core::time::Duration::from_secs(5);
        match self.dispatch_http_call("callout", headers, None, vec![], timeout) {
            Ok(_) => Action::Pause,
            Err(_) => Action::Continue,
        }
    }
}
