//! `xds.node`: what this Envoy is, from what it was started with.
//!
//! No callback tells it, but Envoy has it from its bootstrap and its arguments, and so have we: we
//! are in its process. The file is read once, as it is then. What Envoy adds by itself (versions,
//! extensions) is left out, and so is a bootstrap in binary or text protobuf.

use std::fs;
use std::io;
use std::sync::OnceLock;

use saphyr::{LoadableYamlNode as _, Yaml, YamlLoader};
use saphyr_parser::{BufferedInput, Parser, ScalarStyle};

use super::Value;
use crate::proxy_wasm::message::Message;
use crate::proxy_wasm::status::{Hostcall, Status};

/// The largest bootstrap that is read, in bytes. They have some kilobytes.
const MAX_BOOTSTRAP: u64 = 16 << 20;
