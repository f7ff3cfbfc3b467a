//! The functions that guests call: all that there are, in every version of the ABI.

use std::sync::OnceLock;

use wasmplugin_host::proxy_wasm::AbiVersion;
use wasmplugin_host::proxy_wasm::surface::{HostFunction, host_functions};

use super::plugin::engine;
use crate::assembler::{IMPORTS, types};

/// Shapes of functions that the assembler has not; all others take numbers only.
const SHAPES: &[(&str, &str)] = &[
    ("envoy_resolve_dns", "so"),
    ("fd_pread", "nonLo"),
    ("fd_pwrite", "nonLo"),
    ("path_filestat_get", "nnso"),
    ("proxy_get_configuration", "oo"),
];

/// A host function.
pub(crate) struct Function {
    pub(crate) module: String,
    pub(crate) name: String,
    /// Of its parameters, as [`IMPORTS`] has them.
    pub(super) shape: String,
    pub(super) has_status: bool,
    /// Of the ABI, that have it.
    versions: Vec<AbiVersion>,
}

impl Function {
    fn new(found: &HostFunction) -> Self {
        let words = |text: &str| -> Vec<String> {
            let end = text.find(')').unwrap_or(0);
            text[..end].split_whitespace().map(str::to_owned).collect()
        };
        let parameters = found.ty.split_once("(param ").map_or("", |(_, rest)| rest);
        let parameters = words(parameters);
        let known = IMPORTS.iter().chain(SHAPES);
        let mut known = known.filter(|(name, _)| *name == found.name);
        let shape = known.next().map_or_else(
            || {
                let letters = parameters.iter().map(|ty| match &**ty {
                    "i64" => 'L',
                    _ => 'n',
                });
                letters.collect()
            },
            |(_, shape)| (*shape).to_owned(),
        );
        assert_eq!(types(&shape), parameters, "the shape of {}", found.name);
        Self {
            module: found.module.clone(),
            name: found.name.clone(),
            shape,
            has_status: found.ty.contains("(result i32)"),
            versions: Vec::new(),
        }
    }

    pub(super) fn is_in(&self, version: AbiVersion) -> bool {
        self.versions.contains(&version)
    }

    /// Those that the assembler has come first, in its order: inputs call the same functions
    /// whatever others there are.
    fn order(&self) -> (usize, String, String) {
        let known = IMPORTS.iter().position(|(name, _)| *name == self.name);
        let known = known.filter(|_| self.module != "wasi_unstable");
        let place = known.unwrap_or(usize::MAX);
        (place, self.module.clone(), self.name.clone())
    }
}

/// All of them, by number.
pub(crate) fn functions() -> &'static [Function] {
    static FUNCTIONS: OnceLock<Vec<Function>> = OnceLock::new();
    FUNCTIONS.get_or_init(|| {
        let mut functions: Vec<Function> = Vec::new();
        for version in AbiVersion::ALL {
            for found in host_functions(engine(), version).expect("functions that link") {
                let mut known = functions.iter_mut();
                let is_it = |f: &&mut Function| f.module == found.module && f.name == found.name;
                match known.find(is_it) {
                    Some(function) => function.versions.push(version),
                    None => {
                        let mut function = Function::new(&found);
                        function.versions.push(version);
                        functions.push(function);
                    }
                }
            }
        }
        functions.sort_by_key(Function::order);
        functions
    })
}
