//! Properties as the evaluator sees them: read when an evaluation comes by them.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use cel::ExecutionError;
use cel::common::traits::{Container, Indexer, Iterable, Sizer};
use cel::common::types::{CelMap, CelString, MAP_TYPE, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use parking_lot::Mutex;
use smallvec::SmallVec;

use super::{budget, value};
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::property::{self, Value};
use crate::proxy_wasm::state::Plugin;
use crate::proxy_wasm::status::{HostError, Hostcall, Status};

/// The stream that an evaluation is about. The evaluator wants its values shared between threads,
/// which an exchange is not, hence the lock; there is one thread.
pub(super) struct Stream {
    plugin: Arc<Plugin>,
    exchange: Mutex<Option<Box<Exchange>>>,
}

impl Stream {
    pub(super) fn new(plugin: Arc<Plugin>, exchange: Option<Box<Exchange>>) -> Self {
        Self {
            plugin,
            exchange: Mutex::new(exchange),
        }
    }

    /// The exchange, to go back to where it came from.
    pub(super) fn take(&self) -> Option<Box<Exchange>> {
        self.exchange.lock().take()
    }

    /// Reads a property and shows it.
    fn read<T>(&self, path: &[&[u8]], show: impl FnOnce(Value<'_>) -> T) -> Hostcall<T> {
        if let Some(text) = property::of_plugin(&self.plugin, path) {
            return Ok(show(Value::text(text)));
        }
        if let Some(value) = property::of_envoy(path) {
            return value.map(show);
        }
        let mut exchange = self.exchange.lock();
        let exchange = exchange.as_deref_mut().ok_or(Status::NotFound)?;
        property::refresh(exchange, path);
        Ok(show(property::of_stream(exchange, path)?))
    }

    fn has_container(&self, path: &[&[u8]]) -> bool {
        if let Some(value) = property::of_envoy(path) {
            return value.is_ok();
        }
        let mut exchange = self.exchange.lock();
        // Every context has the node there.
        let is_everywhere = matches!(path, [b"xds"]);
        exchange.as_deref_mut().map_or(is_everywhere, |exchange| {
            property::refresh(exchange, path);
            property::has_container(exchange, path)
        })
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

/// The names at the top.
pub(super) struct Names(pub(super) Arc<Stream>);

impl VariableResolver for Names {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        // The evaluator asks for `a.b` before `a`.
        if name.contains('.') {
            return None;
        }
        let path = vec![name.as_bytes().to_vec()];
        Node::find(&self.0, path).ok().map(CowVal::Owned)
    }
}

/// A container, whose parts are read one by one. As a whole it is put together only where an
/// expression looks at all of it.
#[derive(Clone, Debug)]
pub(super) struct Node {
    stream: Arc<Stream>,
    path: Vec<Vec<u8>>,
    whole: OnceLock<Option<CelMap<'static>>>,
}

impl Node {
    /// What is at `path`.
    fn find(stream: &Arc<Stream>, path: Vec<Vec<u8>>) -> Result<Box<dyn Val>, ExecutionError> {
        budget::check()?;
        if property::is_container(&parts(&path)) {
            if !stream.has_container(&parts(&path)) {
                return Err(absent(&path));
            }
            return Ok(Box::new(Self {
                stream: Arc::clone(stream),
                path,
                whole: OnceLock::new(),
            }));
        }
        match stream.read(&parts(&path), value::to_cel) {
            Ok(value) => Ok(value),
            Err(HostError::Status(Status::SerializationFailure)) => Err(
                ExecutionError::InternalError("a value cannot be read".to_owned()),
            ),
            Err(_) => Err(absent(&path)),
        }
    }

    /// The container as a value; null where it has no wire form.
    pub(super) fn value(&self) -> Value<'static> {
        let whole = self.stream.read(&parts(&self.path), |value| match value {
            Value::Message(bytes) => Value::Message(bytes),
            // Through the evaluator's values, which are not tied to the stream.
            value => value::from_cel(value::to_cel(value).as_ref()).unwrap_or(Value::Null),
        });
        whole.unwrap_or(Value::Null)
    }

    /// The container as a map, if it is one.
    fn whole(&self) -> Option<&CelMap<'static>> {
        let read = || {
            let whole = self.stream.read(&parts(&self.path), |value| match value {
                Value::Map(entries) => Some(value::map(entries)),
                _ => None,
            });
            whole.ok().flatten()
        };
        self.whole.get_or_init(read).as_ref()
    }
}

fn parts(path: &[Vec<u8>]) -> SmallVec<[&[u8]; 4]> {
    path.iter().map(Vec::as_slice).collect()
}

fn absent(path: &[Vec<u8>]) -> ExecutionError {
    let name = path.last().map(|name| String::from_utf8_lossy(name));
    ExecutionError::no_such_key(&name.unwrap_or_default())
}

impl Val for Node {
    fn get_type(&self) -> &Type {
        &MAP_TYPE
    }

    fn cel_type() -> &'static Type {
        &MAP_TYPE
    }

    fn as_indexer<'b, 'v>(&'b self) -> Option<&'b (dyn Indexer + 'v)>
    where
        Self: 'v,
    {
        Some(self)
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn as_iterable<'b, 'v>(&'b self) -> Option<&'b (dyn Iterable + 'v)>
    where
        Self: 'v,
    {
        self.whole()?.as_iterable()
    }

    fn as_sizer(&self) -> Option<&dyn Sizer> {
        self.whole()?.as_sizer()
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let other = match other.downcast_ref::<Self>() {
            Some(node) => node.whole().map(|map| map as &dyn Val),
            None => Some(other),
        };
        let whole = self.whole();
        whole
            .zip(other)
            .is_some_and(|(whole, other)| whole.equals(other))
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for Node {}

impl Container for Node {
    fn contains(&self, key: &dyn Val) -> Result<bool, ExecutionError> {
        match self.get(key) {
            Ok(_) => Ok(true),
            Err(ExecutionError::NoSuchKey(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Indexer for Node {
    fn get<'b, 'v>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'v>, ExecutionError>
    where
        Self: 'v,
    {
        let Some(key) = key.downcast_ref::<CelString>() else {
            return Err(ExecutionError::UnexpectedType {
                got: key.get_type().name().to_owned(),
                want: "string".to_owned(),
            });
        };
        let mut path = self.path.clone();
        path.push(key.inner().as_bytes().to_vec());
        Self::find(&self.stream, path).map(CowVal::Owned)
    }

    fn steal<'v>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'v>, ExecutionError>
    where
        Self: 'v,
    {
        self.get(key).map(CowVal::into_owned)
    }
}
