//! The functions that guests import, one file an interface.
//!
//! Each checks its arguments in the order that Envoy's host does (enum first, then input ranges,
//! then the operation, then where the result goes), makes one call, and writes back. What a guest
//! does wrong is a status for it; only the rules of its own start can trap it.

pub(super) mod buffer;
pub(super) mod context;
pub(super) mod dns;
pub(super) mod foreign;
pub(super) mod grpc;
pub(super) mod header_map;
pub(super) mod http_call;
pub(super) mod log;
pub(super) mod metric;
pub(super) mod property;
pub(super) mod queue;
pub(super) mod shared_data;
pub(super) mod stream;
pub(super) mod time;
pub(super) mod wasi;
