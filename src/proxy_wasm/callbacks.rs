//! Every function that a plugin may export for the host, with the type that it then must have.
//!
//! Envoy's V8 host refuses a module whose export has a known name and another type, also where it
//! would never call it; so do we. The table is also what the compatibility page is made of.

use wasmtime::{ExternType, FuncType, Module, ValType};

use super::abi::AbiVersion;
use super::exports::WrongExport;

/// A function that the host knows by name.
#[derive(Clone, Copy, Debug)]
pub struct Callback {
    /// The name of the export.
    pub name: &'static str,
    /// How many parameters it has, all of them `i32`.
    pub parameters: usize,
    /// Whether it returns an `i32`.
    pub result: bool,
    /// The ABI versions that have it, or have it with this type.
    pub versions: Versions,
    /// When it is called.
    pub called: Called,
}

/// ABI versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// All of them.
    All,
    /// 0.1.0.
    Old,
    /// 0.2.0.
    Middle,
    /// 0.2.0 and 0.2.1.
    New,
    /// 0.2.1.
    Newest,
}

impl Versions {
    /// Whether `version` is among them.
    pub const fn contain(self, version: AbiVersion) -> bool {
        matches!(
            (self, version),
            (Self::All, _)
                | (Self::Old, AbiVersion::V0_1_0)
                | (Self::Middle, AbiVersion::V0_2_0)
                | (Self::New, AbiVersion::V0_2_0 | AbiVersion::V0_2_1)
                | (Self::Newest, AbiVersion::V0_2_1)
        )
    }
}

/// When a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Called {
    /// As in Envoy.
    AsInEnvoy,
    /// Only if another function is there or is not; as in Envoy.
    If(&'static str),
    /// Never, neither here nor in Envoy.
    Never,
    /// In Envoy, but not here; with the reason.
    NotHere(&'static str),
}

const NETWORK: Called = Called::NotHere("for network filters, which run no plugins here");

const METADATA: Called = Called::NotHere("Envoy does not tell modules of METADATA frames");

const fn callback(name: &'static str, parameters: usize, result: bool) -> Callback {
    Callback {
        name,
        parameters,
        result,
        versions: Versions::All,
        called: Called::AsInEnvoy,
    }
}

impl Callback {
    const fn of(self, versions: Versions) -> Self {
        Self { versions, ..self }
    }

    const fn called(self, called: Called) -> Self {
        Self { called, ..self }
    }
}

/// All of them, in the order in which a plugin meets them.
pub const CALLBACKS: &[Callback] = &[
    callback("_initialize", 0, false),
    callback("main", 2, true).called(Called::If("_initialize is there")),
    callback("__main_void", 0, true).called(Called::If("_initialize is there, and main is not")),
    callback("_start", 0, false).called(Called::If("_initialize is not there")),
    callback("malloc", 1, true),
    callback("proxy_on_memory_allocate", 1, true).called(Called::If("malloc is not there")),
    callback("proxy_on_context_create", 2, false),
    callback("proxy_on_vm_start", 2, true),
    callback("proxy_validate_configuration", 2, true).called(Called::Never),
    callback("proxy_on_configure", 2, true),
    callback("proxy_on_tick", 1, false),
    callback("proxy_on_queue_ready", 2, false),
    callback("proxy_on_request_headers", 2, true).of(Versions::Old),
    callback("proxy_on_request_headers", 3, true).of(Versions::New),
    callback("proxy_on_request_body", 3, true),
    callback("proxy_on_request_trailers", 2, true),
    callback("proxy_on_request_metadata", 2, true).called(METADATA),
    callback("proxy_on_response_headers", 2, true).of(Versions::Old),
    callback("proxy_on_response_headers", 3, true).of(Versions::New),
    callback("proxy_on_response_body", 3, true),
    callback("proxy_on_response_trailers", 2, true),
    callback("proxy_on_response_metadata", 2, true).called(METADATA),
    callback("proxy_on_http_call_response", 5, false),
    callback("proxy_on_grpc_receive_initial_metadata", 3, false),
    callback("proxy_on_grpc_receive", 3, false),
    callback("proxy_on_grpc_receive_trailing_metadata", 3, false),
    callback("proxy_on_grpc_close", 3, false),
    callback("proxy_on_foreign_function", 3, false)
        .of(Versions::New)
        .called(Called::Never),
    callback("proxy_on_new_connection", 1, true).called(NETWORK),
    callback("proxy_on_downstream_data", 3, true).called(NETWORK),
    callback("proxy_on_downstream_connection_close", 2, false).called(NETWORK),
    callback("proxy_on_upstream_data", 3, true).called(NETWORK),
    callback("proxy_on_upstream_connection_close", 2, false).called(NETWORK),
    callback("proxy_on_log", 1, false),
    callback("proxy_on_done", 1, true),
    callback("proxy_on_delete", 1, false),
    callback("envoy_on_resolve_dns", 3, false),
    callback("envoy_on_stats_update", 2, false).called(Called::NotHere(
        "for stats sinks, which run no plugins here",
    )),
];

/// Checks that what `module` exports under known names has the types of `abi`.
pub(super) fn check(module: &Module, abi: AbiVersion) -> Result<(), WrongExport> {
    // What Envoy does not look for, it does not check.
    let is_looked_for = |callback: &&Callback| match callback.name {
        "main" | "__main_void" => module.get_export("_initialize").is_some(),
        "_start" => module.get_export("_initialize").is_none(),
        "proxy_on_memory_allocate" => module.get_export("malloc").is_none(),
        _ => true,
    };
    let known = CALLBACKS
        .iter()
        .filter(|callback| callback.versions.contain(abi))
        .filter(is_looked_for);
    for callback in known {
        if let Some(ExternType::Func(found)) = module.get_export(callback.name)
            && !callback.is_type(&found)
        {
            return Err(WrongExport::new(callback.name, &found));
        }
    }
    Ok(())
}

impl Callback {
    fn is_type(&self, found: &FuncType) -> bool {
        let is_i32 = |ty: ValType| matches!(ty, ValType::I32);
        found.params().len() == self.parameters
            && found.params().all(is_i32)
            && found.results().len() == usize::from(self.result)
            && found.results().all(is_i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::Engine;

    fn refused(abi: AbiVersion, exports: &str) -> Option<String> {
        let engine = Engine::new().unwrap();
        let wasm = wat::parse_str(format!("(module {exports})")).unwrap();
        let module = engine.compile(&wasm).unwrap();
        check(&module, abi).err().map(|error| error.to_string())
    }

    #[test]
    fn known_names_must_have_their_types() {
        let log = "(func (export \"proxy_on_log\") (param i64))";
        let error = refused(AbiVersion::V0_2_1, log).unwrap();
        assert!(error.contains("proxy_on_log"), "{error}");
        let other = "(func (export \"anything\") (param i64))";
        assert_eq!(refused(AbiVersion::V0_2_1, other), None);
        let no_function = "(memory (export \"proxy_on_log\") 1)";
        assert_eq!(refused(AbiVersion::V0_2_1, no_function), None);
    }

    #[test]
    fn types_follow_the_version() {
        let headers = "(func (export \"proxy_on_request_headers\") (param i32 i32) (result i32)
            (i32.const 0))";
        assert_eq!(refused(AbiVersion::V0_1_0, headers), None);
        assert!(refused(AbiVersion::V0_2_0, headers).is_some());
        let foreign = "(func (export \"proxy_on_foreign_function\"))";
        assert_eq!(refused(AbiVersion::V0_1_0, foreign), None);
        assert!(refused(AbiVersion::V0_2_1, foreign).is_some());
    }

    #[test]
    fn what_is_not_looked_for_is_not_checked() {
        let main = "(func (export \"main\"))";
        assert_eq!(refused(AbiVersion::V0_2_1, main), None);
        let both = format!("{main}(func (export \"_initialize\"))");
        assert!(refused(AbiVersion::V0_2_1, &both).is_some());
    }
}
