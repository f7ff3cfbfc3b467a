//! A compiled module that is known to be a plugin, ready to be instantiated any number of times.

use thiserror::Error;
use wasmtime::{
    Extern, ExternType, Instance, InstancePre, Linker, Memory, Module, Ref, Store, Table,
};

use super::abi::{AbiError, AbiVersion};
use super::callbacks;
use super::capabilities::Capabilities;
use super::exports::WrongExport;
use super::host::Direction;
use super::instance::Event;
use super::linker::link;
use super::missing::missing;
use super::state::State;
use crate::vm::Engine;

/// The host functions, linked once per process and ABI version.
pub struct Runtime {
    engine: wasmtime::Engine,
    linkers: [(AbiVersion, Linker<State>); AbiVersion::ALL.len()],
}

impl Runtime {
    /// Links all versions.
    pub fn new(engine: &Engine) -> Result<Self, LinkError> {
        let linker = |abi| match link(engine.wasmtime(), abi, &Capabilities::ALL) {
            Ok(linker) => Ok((abi, linker)),
            Err(error) => Err(LinkError::Import(format!("{error:#}"))),
        };
        let [a, b, c] = AbiVersion::ALL.map(linker);
        Ok(Self {
            engine: engine.wasmtime().clone(),
            linkers: [a?, b?, c?],
        })
    }

    /// What `wasm` imports and a plugin of version `abi` cannot have, with the reason: all of it,
    /// where [`Self::plugin`] stops at the first.
    pub fn missing(
        &self,
        engine: &Engine,
        abi: AbiVersion,
        wasm: &[u8],
    ) -> Result<Vec<String>, LinkError> {
        let linker = self.linker(abi).ok_or(AbiError::Missing)?;
        missing(linker, engine, wasm)
    }

    pub(super) fn linker(&self, abi: AbiVersion) -> Option<&Linker<State>> {
        let mut linkers = self.linkers.iter();
        linkers.find_map(|(version, linker)| (*version == abi).then_some(linker))
    }

    /// Checks that `module`, compiled from `wasm`, is a plugin and that we have all that it
    /// imports. It gets no more than `capabilities`.
    pub fn plugin(
        &self,
        wasm: &[u8],
        module: &Module,
        capabilities: &Capabilities,
    ) -> Result<Guest, LinkError> {
        let abi = AbiVersion::detect(wasm)?;
        callbacks::check(module, abi)?;
        let own;
        let linker = if capabilities.are_all() {
            self.linker(abi).ok_or(AbiError::Missing)?
        } else {
            own = link(&self.engine, abi, capabilities)
                .map_err(|error| LinkError::Import(format!("{error:#}")))?;
            &own
        };
        let linked = match imports_space(module) {
            false => linker.instantiate_pre(module).map(Linked::Whole),
            true => Ok(Linked::WithoutSpace {
                linker: linker.clone(),
                module: module.clone(),
            }),
        };
        let guest = Guest {
            abi,
            events: Events::of(module, capabilities),
            capabilities: capabilities.clone(),
            functions: module.functions().len(),
            linked: linked.map_err(|error| LinkError::Import(format!("{error:#}")))?,
        };
        Ok(guest)
    }
}

/// Whether `module` expects memory or a table of its host.
fn imports_space(module: &Module) -> bool {
    let mut imports = module.imports();
    imports.any(|import| matches!(import.ty(), ExternType::Memory(_) | ExternType::Table(_)))
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// A module that can be instantiated.
#[derive(Clone)]
pub struct Guest {
    pub(super) abi: AbiVersion,
    linked: Linked,
    pub(super) capabilities: Capabilities,
    events: Events,
    functions: usize,
}

/// A module with all that it imports.
#[derive(Clone)]
enum Linked {
    Whole(InstancePre<State>),
    /// It imports memory or a table, of which each instance gets its own.
    WithoutSpace {
        linker: Linker<State>,
        module: Module,
    },
}

/// The events that a module has callbacks for.
#[derive(Clone, Copy, Debug)]
struct Events {
    headers: [bool; 2],
    body: [bool; 2],
    trailers: [bool; 2],
}

impl Events {
    fn of(module: &Module, capabilities: &Capabilities) -> Self {
        let both = |part: &str| {
            ["request", "response"].map(|way| {
                let name = format!("proxy_on_{way}_{part}");
                capabilities.allow(&name) && module.get_export(&name).is_some()
            })
        };
        Self {
            headers: both("headers"),
            body: both("body"),
            trailers: both("trailers"),
        }
    }
}

impl Guest {
    /// A new instance, and its memory. As in Envoy, imported memory is made to measure, and where
    /// several memories are exported, the last one is the plugin's.
    pub(super) fn instantiate(
        &self,
        store: &mut Store<State>,
    ) -> wasmtime::Result<(Instance, Option<Memory>)> {
        let (instance, imported) = match &self.linked {
            Linked::Whole(instance) => (instance.instantiate(&mut *store)?, None),
            Linked::WithoutSpace { linker, module } => {
                let mut linker = linker.clone();
                let memory = define_space(&mut linker, store, module)?;
                (linker.instantiate(&mut *store, module)?, memory)
            }
        };
        let exports = instance.exports(&mut *store);
        let exported = exports.filter_map(wasmtime::Export::into_memory).last();
        Ok((instance, exported.or(imported)))
    }

    /// Elements that the module's own tables may have, whatever the limit. Toolchains put each
    /// function into a table once; Go's table has a few thousand empty elements besides.
    pub(super) fn own_table_elements(&self) -> u32 {
        u32::try_from(self.functions.saturating_mul(2)).unwrap_or(u32::MAX)
    }

    /// Whether the module has a callback for `event`; without one it continues.
    pub const fn wants(&self, event: &Event) -> bool {
        let (direction, [request, response]) = match event {
            Event::Headers { direction, .. } => (direction, self.events.headers),
            Event::Body { direction, .. } => (direction, self.events.body),
            Event::Trailers { direction, .. } => (direction, self.events.trailers),
        };
        match direction {
            Direction::Request => request,
            Direction::Response => response,
        }
    }
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest")
            .field("abi", &self.abi)
            .finish_non_exhaustive()
    }
}

/// Makes the memory and tables that `module` imports; the memory.
fn define_space(
    linker: &mut Linker<State>,
    store: &mut Store<State>,
    module: &Module,
) -> wasmtime::Result<Option<Memory>> {
    let mut imported = None;
    for import in module.imports() {
        let space: Extern = match import.ty() {
            ExternType::Memory(ty) => {
                let memory = Memory::new(&mut *store, ty)?;
                imported = Some(memory);
                memory.into()
            }
            ExternType::Table(ty) => {
                let empty = match ty.element().heap_type().top() {
                    top if top.is_extern() => Ref::Extern(None),
                    _ => Ref::Func(None),
                };
                Table::new(&mut *store, ty, empty)?.into()
            }
            _ => continue,
        };
        linker.define(&*store, import.module(), import.name(), space)?;
    }
    Ok(imported)
}

/// Why a module is no plugin that we can run.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No ABI version that we know.
    #[error(transparent)]
    Abi(#[from] AbiError),
    /// An export has another type than its name says.
    #[error(transparent)]
    Export(#[from] WrongExport),
    /// It imports what its ABI version does not have.
    #[error("cannot be linked: {0}")]
    Import(String),
}
