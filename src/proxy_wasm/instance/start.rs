//! How instances begin.

use std::sync::Arc;

use thiserror::Error;
use wasmtime::Store;

use super::failure::Failure;
use super::{Caps, Instance, VM_CONTEXT, Vm, call, set_deadline, size};
use crate::proxy_wasm::exports::{Exports, WrongExport, export};
use crate::proxy_wasm::guest::Guest;
use crate::proxy_wasm::state::{Address, Mode, Plugin, State};
use crate::vm::{Deadline, Engine, Limiter};

/// Why an instance could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Not even instantiated: memory or tables larger than allowed, most likely.
    #[error("cannot be instantiated: {0}")]
    Instantiate(String),
    /// An export has another type than its name says.
    #[error(transparent)]
    Export(#[from] WrongExport),
    /// No allocator.
    #[error("exports neither malloc nor proxy_on_memory_allocate")]
    Allocator,
    /// Trapped or took too long.
    #[error("failed to start: {0}")]
    Failed(Failure),
    /// `proxy_on_vm_start` said no.
    #[error("refused to start (proxy_on_vm_start returned false)")]
    VmStart,
    /// `proxy_on_configure` said no.
    #[error("refused its configuration (proxy_on_configure returned false)")]
    Configure,
}

impl Instance {
    /// Instantiates, starts and configures. Blocks up to the start deadlines: never on a worker.
    pub fn start(
        engine: &Arc<Engine>,
        guest: &Guest,
        plugin: Arc<Plugin>,
        address: Address,
        caps: &Caps,
    ) -> Result<Self, StartError> {
        let start_deadline = Deadline::after(caps.start_deadline);
        let _start = engine.begin_start();
        let mut limits = caps.limits;
        limits.table_elements = limits.table_elements.max(guest.own_table_elements());
        let limiter = Limiter::new(limits);
        let state = State::new(plugin, address, limiter, engine.clock());
        let mut store = Store::new(engine.wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_trap();
        set_deadline(&mut store, start_deadline);

        store.data_mut().mode = Mode::Starting;
        let (instance, memory) = guest
            .instantiate(&mut store)
            .map_err(|e| StartError::Instantiate(format!("{e:#}")))?;
        store.data_mut().memory = memory;
        // Emscripten's standalone modules have malloc, which counts when both are there.
        let allocator = match export(&mut store, &instance, "malloc")? {
            Some(allocator) => allocator,
            None => export(&mut store, &instance, "proxy_on_memory_allocate")?
                .ok_or(StartError::Allocator)?,
        };
        store.data_mut().allocator = Some(allocator);
        let exports = Exports::find(&mut store, &instance, guest.abi, &guest.capabilities)?;

        if let Some(initialize) = export::<(), ()>(&mut store, &instance, "_initialize")? {
            call(&mut store, &initialize, (), "_initialize").map_err(StartError::Failed)?;
            if let Some(main) = export::<(u32, u32), u32>(&mut store, &instance, "main")? {
                call(&mut store, &main, (0, 0), "main").map_err(StartError::Failed)?;
            } else if let Some(main) = export::<(), u32>(&mut store, &instance, "__main_void")? {
                call(&mut store, &main, (), "__main_void").map_err(StartError::Failed)?;
            }
        } else if let Some(start) = export::<(), ()>(&mut store, &instance, "_start")? {
            call(&mut store, &start, (), "_start").map_err(StartError::Failed)?;
        }
        store.data_mut().mode = Mode::Running;

        let mut started = Self {
            vm: Vm {
                engine: Arc::clone(engine),
                store,
                call_deadline: engine.deadline(caps.call_deadline),
            },
            exports,
            root: VM_CONTEXT,
            next_context: 1,
        };
        started.configure(start_deadline)?;
        Ok(started)
    }

    fn configure(&mut self, deadline: Deadline) -> Result<(), StartError> {
        let root = self.new_context();
        self.root = root;
        let store = &mut self.vm.store;
        let plugin = Arc::clone(&store.data().plugin);
        let state = store.data_mut();
        state.root = root;
        state.current = root;
        state.effective = root;
        state.configuring = true;
        set_deadline(store, deadline);
        if let Some(create) = &self.exports.context_create {
            let ids = (root, VM_CONTEXT);
            call(store, create, ids, "proxy_on_context_create").map_err(StartError::Failed)?;
        }
        store.data_mut().configuring = false;
        if let Some(vm_start) = &self.exports.vm_start {
            store.data_mut().effective = root;
            let parameters = (root, size(plugin.vm_config.len()));
            let started = call(store, vm_start, parameters, "proxy_on_vm_start");
            if started.map_err(StartError::Failed)? == 0 {
                return Err(StartError::VmStart);
            }
        }
        set_deadline(store, deadline);
        if let Some(configure) = &self.exports.configure {
            let state = store.data_mut();
            state.effective = root;
            state.configuring = true;
            let parameters = (root, size(plugin.config.len()));
            let configured = call(store, configure, parameters, "proxy_on_configure");
            store.data_mut().configuring = false;
            if configured.map_err(StartError::Failed)? == 0 {
                return Err(StartError::Configure);
            }
        }
        Ok(())
    }
}
