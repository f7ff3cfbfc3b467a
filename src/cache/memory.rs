//! Compiled code in memory, kept as long as a plugin uses it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::Module;

use super::directory::{CodeDirectory, EntryError};
use crate::vm::{CompileError, Engine};

/// The SHA-256 digest of a module. Compiled code depends on nothing else here: there is one engine
/// with one configuration.
pub type Key = [u8; 32];

/// The compiled modules of the process.
#[derive(Debug, Default)]
pub struct Modules {
    slots: Mutex<HashMap<Key, Arc<Slot>>>,
    /// Held while a module is compiled. The compiler uses all processors for one; several at a time
    /// would only need the memory of all of them, which allocators are slow to give back.
    compiling: Mutex<()>,
}

/// One module. Whoever comes while it is being compiled waits at the lock, and nobody else.
#[derive(Debug, Default)]
struct Slot(Mutex<Weak<Compiled>>);

/// A compiled module; goes when its last user does.
#[derive(Debug)]
pub struct Compiled {
    /// What wasmtime instantiates.
    pub module: Module,
}

/// Where compiled code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was compiled now, which took this long.
    Compiled(Duration),
    /// It was mapped from disk, which took this long.
    Disk(Duration),
    /// Somebody has it already.
    Memory,
}

impl Modules {
    /// The compiled form of `bytes`, whose digest is `key`. Blocks while it is compiled.
    pub fn get(
        &self,
        engine: &Engine,
        key: Key,
        bytes: &[u8],
    ) -> Result<(Arc<Compiled>, Origin), CompileError> {
        self.get_kept(engine, None, key, bytes, &|_| ())
    }

    /// The same, but code is looked for in `directory` before it is compiled, and kept there
    /// afterwards. `tell` hears what is wrong with that, which is no reason to fail.
    pub fn get_kept(
        &self,
        engine: &Engine,
        directory: Option<&CodeDirectory>,
        key: Key,
        bytes: &[u8],
        tell: &dyn Fn(EntryError),
    ) -> Result<(Arc<Compiled>, Origin), CompileError> {
        let slot = {
            let mut slots = self.slots.lock();
            // Nobody waits for, uses or compiles the others.
            slots.retain(|other, slot| {
                *other == key
                    || Arc::strong_count(slot) > 1
                    || slot
                        .0
                        .try_lock()
                        .is_none_or(|module| module.strong_count() > 0)
            });
            Arc::clone(slots.entry(key).or_default())
        };
        let mut module = slot.0.lock();
        if let Some(compiled) = module.upgrade() {
            return Ok((compiled, Origin::Memory));
        }
        let begin = Instant::now();
        let found = directory.map_or(Ok(None), |directory| directory.load(engine, key));
        let found = found.unwrap_or_else(|error| {
            tell(error);
            None
        });
        let is_found = found.is_some();
        let compiled = Arc::new(Compiled {
            module: match found {
                Some(module) => module,
                None => {
                    let _turn = self.compiling.lock();
                    compile(engine, directory, key, bytes, tell)?
                }
            },
        });
        *module = Arc::downgrade(&compiled);
        let took = begin.elapsed();
        let origin = if is_found {
            Origin::Disk(took)
        } else {
            Origin::Compiled(took)
        };
        Ok((compiled, origin))
    }
}

/// Compiles `bytes`, and keeps the result in `directory`. What is mapped from there takes the place
/// of what was made in memory: processes share it, and the kernel may drop what nobody runs.
fn compile(
    engine: &Engine,
    directory: Option<&CodeDirectory>,
    key: Key,
    bytes: &[u8],
    tell: &dyn Fn(EntryError),
) -> Result<Module, CompileError> {
    let module = engine.compile(bytes)?;
    let stored = directory.map(|directory| directory.store(engine, key, &module));
    Ok(match stored {
        Some(Ok(mapped)) => mapped,
        Some(Err(error)) => {
            tell(error);
            module
        }
        None => module,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_module_is_compiled_once_while_it_is_used() {
        let engine = Engine::new().unwrap();
        let modules = Modules::default();
        let get = |key: u8| modules.get(&engine, [key; 32], EMPTY).unwrap();
        let (first, origin) = get(1);
        assert!(matches!(origin, Origin::Compiled(_)));
        let (second, origin) = get(1);
        assert_eq!(origin, Origin::Memory);
        assert!(Arc::ptr_eq(&first, &second));
        drop((first, second));
        assert!(matches!(get(1).1, Origin::Compiled(_)));
        let _kept = get(2);
        assert_eq!(modules.slots.lock().len(), 1, "unused ones are forgotten");
    }

    #[test]
    fn all_who_want_a_module_at_once_share_one_compilation() {
        let engine = Engine::new().unwrap();
        let modules = Modules::default();
        let all: Vec<_> = std::thread::scope(|scope| {
            let get = || modules.get(&engine, [0; 32], EMPTY).unwrap();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(get)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let compiled = all.iter().filter(|(_, o)| *o != Origin::Memory).count();
        assert_eq!(compiled, 1);
    }
}
