//! Queues that plugins share over all workers (`proxy_register_shared_queue` and so on).
//!
//! One set per process. A queue belongs to a `vm_id` and has a name; who registers it last is told
//! of new items, on Envoy's main thread, once per item.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::state::Address;

/// What all queues of the process may hold, in bytes, [`ITEM`] for each item included. Nobody need
/// ever take an item out, so without a bound a plugin could fill the proxy's memory.
const MAX_BYTES: usize = 64 << 20;

/// What an item costs beside its bytes.
const ITEM: usize = 64;

/// The most queues of the process: names are made up by guests, and never forgotten.
const MAX_QUEUES: usize = 4096;

/// The queues of the process.
#[derive(Debug, Default)]
pub struct SharedQueues(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    tokens: HashMap<(String, Vec<u8>), u32>,
    queues: HashMap<u32, Queue>,
    last_token: u32,
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Arc<[u8]>>,
    listener: Address,
}

/// Why a queue gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    NoQueue,
    Empty,
    Full,
}

impl SharedQueues {
    /// The token of a queue, new or not; `listener` is told of its items from now on.
    pub(super) fn register(
        &self,
        vm_id: &str,
        name: &[u8],
        listener: Address,
    ) -> Result<u32, Refused> {
        let queues = &mut *self.0.lock();
        let key = (vm_id.to_owned(), name.to_vec());
        if let Some(token) = queues.tokens.get(&key) {
            if let Some(queue) = queues.queues.get_mut(token) {
                queue.listener = listener;
            }
            return Ok(*token);
        }
        if queues.tokens.len() >= MAX_QUEUES {
            return Err(Refused::Full);
        }
        queues.last_token += 1;
        let token = queues.last_token;
        queues.tokens.insert(key, token);
        let items = VecDeque::new();
        queues.queues.insert(token, Queue { items, listener });
        Ok(token)
    }

    pub(super) fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        let key = (vm_id.to_owned(), name.to_vec());
        self.0.lock().tokens.get(&key).copied()
    }

    /// Adds an item; who is to be told of it.
    pub(super) fn enqueue(&self, token: u32, item: &[u8]) -> Result<Address, Refused> {
        let queues = &mut *self.0.lock();
        let queue = queues.queues.get_mut(&token).ok_or(Refused::NoQueue)?;
        let bytes = queues.bytes.saturating_add(item.len() + ITEM);
        if bytes > MAX_BYTES {
            return Err(Refused::Full);
        }
        queues.bytes = bytes;
        queue.items.push_back(item.into());
        Ok(queue.listener)
    }

    pub(super) fn dequeue(&self, token: u32) -> Result<Arc<[u8]>, Refused> {
        let queues = &mut *self.0.lock();
        let queue = queues.queues.get_mut(&token).ok_or(Refused::NoQueue)?;
        let item = queue.items.pop_front().ok_or(Refused::Empty)?;
        queues.bytes -= item.len() + ITEM;
        Ok(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(plugin: u64) -> Address {
        Address {
            plugin,
            ..Address::default()
        }
    }

    #[test]
    fn items_come_out_in_order_and_the_last_to_register_is_told() {
        let queues = SharedQueues::default();
        let token = queues.register("vm", b"q", listener(1)).unwrap();
        assert_eq!(token, 1);
        assert_eq!(queues.enqueue(token, b"a"), Ok(listener(1)));
        assert_eq!(queues.register("vm", b"q", listener(2)), Ok(token));
        assert_eq!(queues.enqueue(token, b""), Ok(listener(2)));
        assert_eq!(&*queues.dequeue(token).unwrap(), b"a");
        assert_eq!(&*queues.dequeue(token).unwrap(), b"");
        assert_eq!(queues.dequeue(token), Err(Refused::Empty));
        assert_eq!(queues.0.lock().bytes, 0);
    }

    #[test]
    fn queues_are_known_by_vm_id_and_name() {
        let queues = SharedQueues::default();
        let token = queues.register("a", b"q", listener(1)).unwrap();
        assert_eq!(queues.resolve("a", b"q"), Some(token));
        assert_eq!(queues.resolve("b", b"q"), None);
        assert_eq!(queues.register("b", b"q", listener(1)), Ok(token + 1));
        assert_eq!(queues.enqueue(99, b""), Err(Refused::NoQueue));
        assert_eq!(queues.dequeue(0), Err(Refused::NoQueue));
    }

    #[test]
    fn what_queues_hold_is_bounded() {
        let queues = SharedQueues::default();
        let token = queues.register("", b"", listener(1)).unwrap();
        let half = vec![0; MAX_BYTES / 2];
        queues.enqueue(token, &half).unwrap();
        assert_eq!(queues.enqueue(token, &half), Err(Refused::Full));
        queues.dequeue(token).unwrap();
        queues.enqueue(token, &half).unwrap();
    }
}
