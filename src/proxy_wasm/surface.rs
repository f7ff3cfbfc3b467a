//! What guests can import, as a list for people: the compatibility page is made of it.

use std::sync::Arc;

use wasmtime::{ExternType, Store};

use super::abi::AbiVersion;
use super::guest::{LinkError, Runtime};
use super::limits::Limits;
use super::metrics::Metrics;
use super::queue::SharedQueues;
use super::shared_data::SharedData;
use super::state::{Address, Plugin, State};
use crate::telemetry::{Level, Log};
use crate::vm::{Engine, InstanceLimits, Limiter};

pub use super::foreign::names as foreign_functions;

/// A function that guests can import.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostFunction {
    /// The module that it is imported from.
    pub module: String,
    /// Its name.
    pub name: String,
    /// Its type, as WebAssembly writes it.
    pub ty: String,
}

/// The functions that guests of `abi` can import, in order.
pub fn host_functions(engine: &Engine, abi: AbiVersion) -> Result<Vec<HostFunction>, LinkError> {
    let runtime = Runtime::new(engine)?;
    let mut store = Store::new(engine.wasmtime(), nobody(engine));
    let mut functions = Vec::new();
    if let Some(linker) = runtime.linker(abi) {
        let all: Vec<_> = linker.iter(&mut store).collect();
        let all = all.into_iter().map(|(module, name, item)| {
            let ty = match item.ty(&store) {
                ExternType::Func(ty) => ty.to_string(),
                other => format!("{other:?}"),
            };
            HostFunction {
                module: module.to_owned(),
                name: name.to_owned(),
                ty,
            }
        });
        functions.extend(all);
    }
    functions.sort();
    Ok(functions)
}

/// The state of a store in which nothing runs.
fn nobody(engine: &Engine) -> State {
    let plugin = Plugin {
        name: String::new(),
        root_id: String::new(),
        vm_id: String::new(),
        config: Vec::new(),
        vm_config: Vec::new(),
        env: Vec::new(),
        log: Arc::new(Nowhere),
        shared_data: SharedData::default().space(""),
        shared_queues: Arc::new(SharedQueues::default()),
        metrics: Metrics::default().of(""),
        limits: Limits::default(),
    };
    let limits = InstanceLimits {
        memory: 0,
        table_elements: 0,
    };
    let limiter = Limiter::new(limits);
    State::new(
        Arc::new(plugin),
        Address::default(),
        limiter,
        engine.clock(),
    )
}

struct Nowhere;

impl Log for Nowhere {
    fn enabled(&self, _: Level) -> bool {
        false
    }

    fn threshold(&self) -> Option<Level> {
        None
    }

    fn write(&self, _: Level, _: &[u8]) {}
}
