//! A compiled module that is known to be a plugin, ready to be instantiated any number of times.

use thiserror::Error;
use wasmtime::{InstancePre, Linker, Module};

use super::abi::{AbiError, AbiVersion};
use super::capabilities::Capabilities;
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
        let linker = self.linkers.iter().find(|(version, _)| *version == abi);
        let Some((_, linker)) = linker else {
            return Err(AbiError::Missing.into());
        };
        missing(linker, engine, wasm)
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
        let instance = if capabilities.are_all() {
            let linker = self.linkers.iter().find(|(version, _)| *version == abi);
            let Some((_, linker)) = linker else {
                return Err(AbiError::Missing.into());
            };
            linker.instantiate_pre(module)
        } else {
            link(&self.engine, abi, capabilities).and_then(|linker| linker.instantiate_pre(module))
        };
        match instance {
            Ok(instance) => Ok(Guest {
                abi,
                events: Events::of(module, capabilities),
                capabilities: capabilities.clone(),
                instance,
            }),
            Err(error) => Err(LinkError::Import(format!("{error:#}"))),
        }
    }
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
    pub(super) instance: InstancePre<State>,
    pub(super) capabilities: Capabilities,
    events: Events,
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

/// Why a module is no plugin that we can run.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No ABI version that we know.
    #[error(transparent)]
    Abi(#[from] AbiError),
    /// It imports what its ABI version does not have.
    #[error("cannot be linked: {0}")]
    Import(String),
}
