//! Which imports of a module there is nothing for.
//!
//! The engine stops at the first one. So that people see them all, each import is asked for alone,
//! by a module that has nothing else.

use wasmparser::{FuncType, Parser, Payload, TypeRef, ValType};
use wasmtime::Linker;

use super::guest::LinkError;
use super::state::State;
use crate::vm::Engine;

/// What `wasm` imports and `linker` does not have.
pub(super) fn missing(
    linker: &Linker<State>,
    engine: &Engine,
    wasm: &[u8],
) -> Result<Vec<String>, LinkError> {
    let malformed = |error: wasmparser::BinaryReaderError| LinkError::Abi(error.into());
    let mut types: Vec<Option<FuncType>> = Vec::new();
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(malformed)? {
            Payload::TypeSection(section) => {
                for group in section {
                    for subtype in group.map_err(malformed)?.into_types() {
                        types.push(match subtype.composite_type.inner {
                            wasmparser::CompositeInnerType::Func(function) => Some(function),
                            _ => None,
                        });
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import.map_err(malformed)?;
                    // Made for each instance.
                    if matches!(import.ty, TypeRef::Memory(_) | TypeRef::Table(_)) {
                        continue;
                    }
                    let function = match import.ty {
                        TypeRef::Func(index) => usize::try_from(index)
                            .ok()
                            .and_then(|index| types.get(index)?.as_ref()),
                        _ => None,
                    };
                    let name = format!("{}.{}", import.module, import.name);
                    let probe =
                        function.and_then(|function| probe(import.module, import.name, function));
                    let Some(probe) = probe else {
                        found.push(format!("imports {name}, which is no function that we have"));
                        continue;
                    };
                    let linked = engine
                        .compile(&probe)
                        .is_ok_and(|module| linker.instantiate_pre(&module).is_ok());
                    if !linked {
                        found.push(format!(
                            "imports {name}, which we do not have with these parameters"
                        ));
                    }
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// A module whose only content is an import of `module.name`. None where a type is not one of the
/// four numbers.
fn probe(module: &str, name: &str, function: &FuncType) -> Option<Vec<u8>> {
    let mut types = vec![1, 0x60];
    for values in [function.params(), function.results()] {
        number(values.len(), &mut types);
        for value in values {
            types.push(match value {
                ValType::I32 => 0x7f,
                ValType::I64 => 0x7e,
                ValType::F32 => 0x7d,
                ValType::F64 => 0x7c,
                _ => return None,
            });
        }
    }
    let mut imports = vec![1];
    for text in [module, name] {
        number(text.len(), &mut imports);
        imports.extend_from_slice(text.as_bytes());
    }
    // A function, of type 0.
    imports.extend([0, 0]);
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    for (id, section) in [(1, types), (2, imports)] {
        wasm.push(id);
        number(section.len(), &mut wasm);
        wasm.extend(section);
    }
    Some(wasm)
}

/// LEB128.
fn number(mut value: usize, bytes: &mut Vec<u8>) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or_default();
        value >>= 7;
        if value == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::super::abi::AbiVersion;
    use super::super::guest::Runtime;
    use super::*;

    #[test]
    fn all_missing_imports_are_told() {
        let engine = Engine::new().unwrap();
        let runtime = Runtime::new(&engine).unwrap();
        let wasm = wat::parse_str(
            r#"(module
                (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
                (import "env" "proxy_done" (func (param i32) (result i32)))
                (import "env" "unknown" (func))
                (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
                (import "other" "memory" (memory 1))
                (import "other" "global" (global i32)))"#,
        )
        .unwrap();
        let missing = runtime.missing(&engine, AbiVersion::V0_2_1, &wasm).unwrap();
        let names: Vec<_> = missing
            .iter()
            .map(|text| text.split([' ', ',']).nth(1).unwrap())
            .collect();
        assert_eq!(
            names,
            ["env.proxy_done", "env.unknown", "other.global"],
            "{missing:?}"
        );
    }
}
