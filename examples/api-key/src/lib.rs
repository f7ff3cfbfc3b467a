//! Turns an API key into a user and roles.
//!
//! Runs in phase AUTHN, so that everything after it can rely on `x-auth-user` and `x-auth-roles`:
//! what a client sends under these names is dropped, and only a known key sets them. The key itself
//! ends here; nothing behind the plugin sees it.

mod keys;

use std::rc::Rc;

use log::{error, info};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::keys::Keys;

const KEY: &str = "x-api-key";
const USER: &str = "x-auth-user";
const ROLES: &str = "x-auth-roles";

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin as configured.
#[derive(Default)]
struct Root {
    keys: Rc<Keys>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        match Keys::parse(&config) {
            Ok(keys) => {
                self.keys = Rc::new(keys);
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
            keys: Rc::clone(&self.keys),
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Request {
    keys: Rc<Keys>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // As bytes: a header may hold some that are no text, and the SDK would panic.
        let key = self.get_http_request_header_bytes(KEY);
        for header in [KEY, USER, ROLES] {
            self.remove_http_request_header(header);
        }
        let Some(key) = key else {
            return self.refuse("missing API key");
        };
        let Some(identity) = self.keys.find(&key) else {
            return self.refuse("unknown API key");
        };
        let roles = identity.roles.join(",");
        info!("admitted {} as {roles}", identity.user);
        self.set_http_request_header(USER, Some(&identity.user));
        self.set_http_request_header(ROLES, Some(&roles));
        Action::Continue
    }
}

impl Request {
    fn refuse(&self, reason: &str) -> Action {
        info!("refused: {reason}");
        let body = serde_json::json!({ "error": "unauthorized", "reason": reason });
        self.send_http_response(
            401,
            vec![
                ("content-type", "application/json"),
                ("www-authenticate", "ApiKey realm=\"api\""),
            ],
            Some(format!("{body}\n").as_bytes()),
        );
        Action::Pause
    }
}
