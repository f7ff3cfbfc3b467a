//! Counts requests over all workers, and times each.
//!
//! Every Envoy worker has an instance of its own, with its own memory; what they count together
//! lives in shared data. There is no lock: a store succeeds only if nobody stored since the value
//! was read, otherwise it is read again.

mod stats;

use std::rc::Rc;
use std::time::SystemTime;

use log::{error, info, warn};
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::stats::{Config, milliseconds, next};

/// Attempts to store a count. Each one that fails means that another worker's succeeded.
const ATTEMPTS: usize = 100;

/// The version of a key without a value. It is never that of a stored value, so that of two
/// workers that find nothing, only one stores the first value.
const NOTHING_STORED: u32 = u32::MAX;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The plugin as configured.
#[derive(Default)]
struct Root {
    config: Rc<Config>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let config = self.get_plugin_configuration().unwrap_or_default();
        match Config::parse(&config) {
            Ok(config) => {
                self.config = Rc::new(config);
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
            config: Rc::clone(&self.config),
            arrival: None,
        }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Request {
    config: Rc<Config>,
    arrival: Option<Arrival>,
}

/// What is known of a request from its arrival on.
struct Arrival {
    time: SystemTime,
    /// How many requests there were, this one included.
    count: u64,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let time = self.get_current_time();
        self.arrival = self.count().map(|count| Arrival { time, count });
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let Some(Arrival { time, count }) = self.arrival else {
            return Action::Continue;
        };
        // The clock may have been set back meanwhile.
        let took = self
            .get_current_time()
            .duration_since(time)
            .unwrap_or_default();
        let took = milliseconds(took);
        info!("request {count} took {took} ms");
        self.set_http_response_header(&self.config.header, Some(&count.to_string()));
        self.add_http_response_header("server-timing", &format!("upstream;dur={took}"));
        Action::Continue
    }
}

impl Request {
    /// Counts this request.
    fn count(&self) -> Option<u64> {
        let key = format!("request-stats/{}", self.config.header);
        for _ in 0..ATTEMPTS {
            let (value, version) = self.get_shared_data(&key);
            let count = next(value.as_deref());
            let version = version.unwrap_or(NOTHING_STORED);
            if self
                .set_shared_data(&key, Some(&count.to_le_bytes()), Some(version))
                .is_ok()
            {
                return Some(count);
            }
        }
        warn!("not counted: {ATTEMPTS} attempts met other workers");
        None
    }
}
