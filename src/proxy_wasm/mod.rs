//! The Proxy-Wasm ABI: what guests export and import, and what stands behind it.
//!
//! [`Guest`] is a module that can run, [`Instance`] one that does, [`Exchange`] the stream that a
//! call is about, and [`Host`] the proxy behind that stream. The reference is what Envoy's own
//! Wasm filter does, which is not always what the specification says.
//!
//! Three lifetimes: [`Runtime`] and [`SharedData`] live as long as the process, [`Plugin`] as long
//! as a configuration, contexts as long as their stream.

mod abi;
mod call;
mod callbacks;
mod calls;
mod capabilities;
mod exchange;
mod exports;
mod foreign;
mod grpc;
mod guest;
mod host;
mod hostcalls;
mod ids;
mod instance;
mod kinds;
mod limits;
mod linker;
mod memory;
mod message;
mod metrics;
mod missing;
mod pairs;
pub mod peers;
pub mod property;
mod queue;
mod shared_data;
pub mod specification;
mod state;
mod status;
pub mod surface;
#[cfg(test)]
mod testing;

pub use abi::{AbiError, AbiVersion, Map};
pub use call::{Call, CallError, CallEvent, CallKind, CallRef, Callouts, Fields, Response};
pub use callbacks::{CALLBACKS, Callback, Called, Versions};
pub use capabilities::Capabilities;
pub use exchange::{Actions, Carrier, Exchange, Form, Maps, OpenCall, Reply, View, Window};
pub use exports::WrongExport;
pub use guest::{Guest, LinkError, Runtime};
pub use host::{
    Attributes, Bodies, Datum, Direction, FilterState, Headers, Host, Metadata, Number, Source,
    Span, Text,
};
pub use hostcalls::dns::look_up;
pub use instance::{Caps, Cause, Event, Failure, Holdings, Instance, RootHost, StartError};
pub use kinds::{Kinds, Place, Reading, ValueKind};
pub use limits::Limits;
pub use metrics::{MetricSink, Metrics, PluginMetrics};
pub use pairs::Pair;
pub use queue::{Notice, SharedQueues};
pub use shared_data::{SharedData, Space};
pub use state::{Address, Outbox, Plugin};
