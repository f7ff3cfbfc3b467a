//! Queues that plugins share over all workers (`proxy_register_shared_queue` and so on).
//!
//! One set per process. A queue belongs to a `vm_id` and has a name; who registers it last is told
//! of new items, on Envoy's main thread, once per item.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::limits::MAX_NAME;
use super::state::Address;

/// What an item costs beside its bytes.
const ITEM: usize = 64;

/// The most queues of a `vm_id`: names are made up by guests, and never forgotten.
const MAX_QUEUES: usize = 4096;

/// The most items of a `vm_id` of which a listener is still to be told. Each is a task for Envoy's
/// main thread, also where somebody else has taken the item out again.
const MAX_NOTICES: usize = 16_384;

/// The queues of the process.
#[derive(Debug, Default)]
pub struct SharedQueues(Mutex<Queues>);

#[derive(Debug, Default)]
struct Queues {
    spaces: HashMap<String, Space>,
    queues: HashMap<u32, Queue>,
    last_token: u32,
}

/// The queues of a `vm_id`.
#[derive(Debug, Default)]
struct Space {
    tokens: HashMap<Box<[u8]>, u32>,
    usage: Arc<Usage>,
}

/// What the queues of a `vm_id` hold.
#[derive(Debug, Default)]
struct Usage {
    /// Bytes of items, [`ITEM`] for each included. Nobody need ever take an item out.
    bytes: AtomicUsize,
    /// Items of which a listener is still to be told.
    notices: AtomicUsize,
}

#[derive(Debug)]
struct Queue {
    items: VecDeque<Arc<[u8]>>,
    listener: Address,
    usage: Arc<Usage>,
}

/// Says that a queue has a new item; counts until it is dropped.
#[derive(Debug)]
pub struct Notice(Arc<Usage>);

impl Notice {
    fn new(usage: &Arc<Usage>) -> Self {
        usage.notices.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(usage))
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.0.notices.fetch_sub(1, Ordering::Relaxed);
    }
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
        if name.len() > MAX_NAME {
            return Err(Refused::Full);
        }
        let queues = &mut *self.0.lock();
        if !queues.spaces.contains_key(vm_id) {
            queues.spaces.insert(vm_id.to_owned(), Space::default());
        }
        let space = queues.spaces.get_mut(vm_id).ok_or(Refused::NoQueue)?;
        if let Some(token) = space.tokens.get(name) {
            if let Some(queue) = queues.queues.get_mut(token) {
                queue.listener = listener;
            }
            return Ok(*token);
        }
        if space.tokens.len() >= MAX_QUEUES {
            return Err(Refused::Full);
        }
        queues.last_token += 1;
        let token = queues.last_token;
        space.tokens.insert(name.into(), token);
        let queue = Queue {
            items: VecDeque::new(),
            listener,
            usage: Arc::clone(&space.usage),
        };
        queues.queues.insert(token, queue);
        Ok(token)
    }

    pub(super) fn resolve(&self, vm_id: &str, name: &[u8]) -> Option<u32> {
        self.0.lock().spaces.get(vm_id)?.tokens.get(name).copied()
    }

    /// Adds an item, if all of the queues of its `vm_id` then hold no more than `limit` bytes; who is
    /// to be told of it.
    pub(super) fn enqueue(
        &self,
        token: u32,
        item: &[u8],
        limit: usize,
    ) -> Result<(Address, Notice), Refused> {
        let size = item.len().saturating_add(ITEM);
        if size > limit {
            return Err(Refused::Full);
        }
        // Copied before anybody has to wait.
        let item = Arc::from(item);
        let queues = &mut *self.0.lock();
        let queue = queues.queues.get_mut(&token).ok_or(Refused::NoQueue)?;
        let bytes = queue
            .usage
            .bytes
            .load(Ordering::Relaxed)
            .saturating_add(size);
        if bytes > limit || queue.usage.notices.load(Ordering::Relaxed) >= MAX_NOTICES {
            return Err(Refused::Full);
        }
        queue.usage.bytes.store(bytes, Ordering::Relaxed);
        queue.items.push_back(item);
        Ok((queue.listener, Notice::new(&queue.usage)))
    }

    pub(super) fn dequeue(&self, token: u32) -> Result<Arc<[u8]>, Refused> {
        let queues = &mut *self.0.lock();
        let queue = queues.queues.get_mut(&token).ok_or(Refused::NoQueue)?;
        let item = queue.items.pop_front().ok_or(Refused::Empty)?;
        let size = item.len() + ITEM;
        queue.usage.bytes.fetch_sub(size, Ordering::Relaxed);
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

    const LIMIT: usize = 1 << 20;

    fn enqueue(queues: &SharedQueues, token: u32, item: &[u8]) -> Result<u64, Refused> {
        let (listener, _notice) = queues.enqueue(token, item, LIMIT)?;
        Ok(listener.plugin)
    }

    #[test]
    fn items_come_out_in_order_and_the_last_to_register_is_told() {
        let queues = SharedQueues::default();
        let token = queues.register("vm", b"q", listener(1)).unwrap();
        assert_eq!(token, 1);
        assert_eq!(enqueue(&queues, token, b"a"), Ok(1));
        assert_eq!(queues.register("vm", b"q", listener(2)), Ok(token));
        assert_eq!(enqueue(&queues, token, b""), Ok(2));
        assert_eq!(&*queues.dequeue(token).unwrap(), b"a");
        assert_eq!(&*queues.dequeue(token).unwrap(), b"");
        assert_eq!(queues.dequeue(token), Err(Refused::Empty));
    }

    #[test]
    fn queues_are_known_by_vm_id_and_name() {
        let queues = SharedQueues::default();
        let token = queues.register("a", b"q", listener(1)).unwrap();
        assert_eq!(queues.resolve("a", b"q"), Some(token));
        assert_eq!(queues.resolve("b", b"q"), None);
        assert_eq!(queues.register("b", b"q", listener(1)), Ok(token + 1));
        assert_eq!(enqueue(&queues, 99, b""), Err(Refused::NoQueue));
        assert_eq!(queues.dequeue(0), Err(Refused::NoQueue));
    }

    #[test]
    fn what_queues_hold_is_bounded_for_each_vm_id() {
        let queues = SharedQueues::default();
        let token = queues.register("a", b"", listener(1)).unwrap();
        let other = queues.register("b", b"", listener(1)).unwrap();
        let half = vec![0; LIMIT / 2];
        enqueue(&queues, token, &half).unwrap();
        assert_eq!(enqueue(&queues, token, &half), Err(Refused::Full));
        enqueue(&queues, other, &half).unwrap();
        queues.dequeue(token).unwrap();
        enqueue(&queues, token, &half).unwrap();
        let long = vec![0; MAX_NAME + 1];
        assert_eq!(queues.register("a", &long, listener(1)), Err(Refused::Full));
    }

    #[test]
    fn items_of_which_nobody_was_told_yet_are_bounded() {
        let queues = SharedQueues::default();
        let token = queues.register("", b"", listener(1)).unwrap();
        let mut notices = Vec::new();
        for _ in 0..MAX_NOTICES {
            notices.push(queues.enqueue(token, b"", LIMIT).unwrap());
            queues.dequeue(token).unwrap();
        }
        assert_eq!(enqueue(&queues, token, b""), Err(Refused::Full));
        notices.pop();
        assert_eq!(enqueue(&queues, token, b""), Ok(1));
    }
}
