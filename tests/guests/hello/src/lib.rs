//! Says hello in every callback that a plugin begins with: the smallest plugin that the Rust SDK
//! makes, to see that guests of each WebAssembly target start and run.

use log::info;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root));
}}

struct Root;

impl Context for Root {}

impl RootContext for Root {
    fn on_vm_start(&mut self, _size: usize) -> bool {
        info!("hello, VM");
        true
    }

    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        info!("hello, configuration of {} bytes", config.len());
        true
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

struct Stream {
    id: u32,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, count: usize, _end_of_stream: bool) -> Action {
        info!("hello, request {} of {count} headers", self.id);
        self.add_http_request_header("x-hello", "request");
        Action::Continue
    }

    fn on_http_response_headers(&mut self, count: usize, _end_of_stream: bool) -> Action {
        info!("hello, response {} of {count} headers", self.id);
        self.add_http_response_header("x-hello", "response");
        Action::Continue
    }
}
