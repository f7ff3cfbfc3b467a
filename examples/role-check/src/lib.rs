//! Asks for a role, by path.
//!
//! Runs in phase AUTHZ and believes `x-auth-roles`, which must come from a plugin of phase AUTHN
//! that drops what clients send under this name, as `api-key` does. Compares paths as Envoy hands
//! them over: let Envoy normalise them (`normalize_path`, `merge_slashes`), or `//admin` is not
//! below `/admin`.

mod rules;

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::rules::Rules;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin as configured.
#[derive(Default)]
struct Root {
    rules: Rc<Rules>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        match Rules::parse(&config) {
            Ok(rules) => {
                self.rules = Rc::new(rules);
                true
            }
            Err(problem) => {
                error!("configuration refused: {problem}");
                false
            }
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request {
            rules: Rc::clone(&self.rules),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Request {
    rules: Rc<Rules>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let path = self.header(":path");
        match self.rules.check(&path, &self.header("x-auth-roles")) {
            Ok(role) => {
                info!("allowed {path} to role {role}");
                Action::Continue
            }
            Err(denial) => {
                info!("refused {path}: {denial}");
                let body =
                    serde_json::json!({ "error": "forbidden", "reason": denial.to_string() });
                self.send_http_response(
                    403,
                    vec![("content-type", "application/json")],
                    Some(format!("{body}\n").as_bytes()),
                );
                Action::Pause
            }
        }
    }
}

impl Request {
    /// A header's value; nothing where it is absent.
    ///
    /// Read as bytes: it may hold some that are no text, and the SDK would panic.
    fn header(&self, name: &str) -> String {
        let value = self.get_http_request_header_bytes(name).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    }
}
