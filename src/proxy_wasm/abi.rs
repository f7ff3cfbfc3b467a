//! Names and numbers of the Proxy-Wasm ABI, versions 0.1.0, 0.2.0 and 0.2.1.

use thiserror::Error;
use wasmparser::{ExternalKind, Parser, Payload};

use super::status::Status;

/// The ABI version that a module follows: it decides what the module may import, and some
/// answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbiVersion {
    /// `proxy_abi_version_0_1_0`.
    V0_1_0,
    /// `proxy_abi_version_0_2_0`.
    V0_2_0,
    /// `proxy_abi_version_0_2_1`.
    V0_2_1,
}

/// A module that follows no ABI version we know.
#[derive(Debug, Error)]
pub enum AbiError {
    /// No marker.
    #[error(
        "not a Proxy-Wasm plugin: no ABI marker among its exports (proxy_abi_version_0_1_0, \
         _0_2_0 or _0_2_1)"
    )]
    Missing,
    /// Not even readable.
    #[error("not a WebAssembly module: {0}")]
    Malformed(#[from] wasmparser::BinaryReaderError),
}

impl AbiVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 3] = [Self::V0_1_0, Self::V0_2_0, Self::V0_2_1];

    /// As people write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
        }
    }

    /// Reads the version off a module's exports. Where a module names several, the first in the
    /// order of its export section counts, as in Envoy.
    pub fn detect(wasm: &[u8]) -> Result<Self, AbiError> {
        for payload in Parser::new(0).parse_all(wasm) {
            let Payload::ExportSection(exports) = payload? else {
                continue;
            };
            for export in exports {
                let export = export?;
                let marker = match export.name {
                    "proxy_abi_version_0_1_0" => Self::V0_1_0,
                    "proxy_abi_version_0_2_0" => Self::V0_2_0,
                    "proxy_abi_version_0_2_1" => Self::V0_2_1,
                    _ => continue,
                };
                if export.kind == ExternalKind::Func {
                    return Ok(marker);
                }
            }
        }
        Err(AbiError::Missing)
    }
}

/// The type of a host function's parameter, in tables of functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parameter {
    I32,
    I64,
}

/// A header map, as guests number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapType {
    Stream(Map),
    Answer(AnswerPart),
}

/// A header map of the answer to a callout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerPart {
    GrpcInitialMetadata,
    GrpcTrailingMetadata,
    Headers,
    Trailers,
}

/// A header map of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Map {
    /// Pseudo headers included.
    RequestHeaders,
    /// Absent unless the client sent some.
    RequestTrailers,
    /// `:status` included.
    ResponseHeaders,
    /// Absent unless the upstream sent some.
    ResponseTrailers,
}

impl MapType {
    pub(super) const fn from_number(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::Stream(Map::RequestHeaders),
            1 => Self::Stream(Map::RequestTrailers),
            2 => Self::Stream(Map::ResponseHeaders),
            3 => Self::Stream(Map::ResponseTrailers),
            4 => Self::Answer(AnswerPart::GrpcInitialMetadata),
            5 => Self::Answer(AnswerPart::GrpcTrailingMetadata),
            6 => Self::Answer(AnswerPart::Headers),
            7 => Self::Answer(AnswerPart::Trailers),
            _ => return Err(Status::BadArgument),
        })
    }
}

/// A buffer, as guests number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BufferType {
    RequestBody,
    ResponseBody,
    DownstreamData,
    UpstreamData,
    CallResponseBody,
    GrpcMessage,
    VmConfiguration,
    PluginConfiguration,
    CallData,
}

impl BufferType {
    pub(super) const fn from_number(number: u32) -> Result<Self, Status> {
        Ok(match number {
            0 => Self::RequestBody,
            1 => Self::ResponseBody,
            2 => Self::DownstreamData,
            3 => Self::UpstreamData,
            4 => Self::CallResponseBody,
            5 => Self::GrpcMessage,
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            8 => Self::CallData,
            _ => return Err(Status::BadArgument),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detect(exports: &str) -> Result<AbiVersion, AbiError> {
        AbiVersion::detect(&wat::parse_str(format!("(module {exports})")).unwrap())
    }

    #[test]
    fn the_first_marker_in_export_order_decides() {
        let marker = |name: &str| format!("(func (export \"proxy_abi_version_{name}\"))");
        for (name, version) in [
            ("0_1_0", AbiVersion::V0_1_0),
            ("0_2_0", AbiVersion::V0_2_0),
            ("0_2_1", AbiVersion::V0_2_1),
        ] {
            assert_eq!(detect(&marker(name)).unwrap(), version);
        }
        let both = format!("{}{}", marker("0_2_0"), marker("0_2_1"));
        assert_eq!(detect(&both).unwrap(), AbiVersion::V0_2_0);
    }

    #[test]
    fn only_a_function_is_a_marker() {
        let memory = "(memory (export \"proxy_abi_version_0_2_1\") 1)";
        assert!(matches!(detect(memory), Err(AbiError::Missing)));
        assert!(matches!(
            detect("(func (export \"proxy_abi_version_9_9_9\"))"),
            Err(AbiError::Missing)
        ));
        assert!(matches!(
            AbiVersion::detect(b"\0asm\x01\0\0\0\x07\x7f"),
            Err(AbiError::Malformed(_))
        ));
    }
}
