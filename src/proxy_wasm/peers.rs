//! Other streams of the same worker.
//!
//! A plugin may hold several streams and act on one while an event of another runs (one callout
//! answers them all): `proxy_set_effective_context`, then hostcalls. The exchange of such a stream
//! is in its own machine; whoever holds a stream that is paused puts it down here, and a hostcall
//! borrows the exchange for as long as it runs. Only on the stream's own thread: on others there
//! is nothing to find, and what a guest asks of the stream is sent to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::exchange::Exchange;
use super::ids::ByKey;

/// A stream that can be acted on between its events.
pub trait Peer {
    /// The exchange, with the view of the plugin whose context has the number `context` in
    /// instance `instance`. None while the stream is busy with an event of its own.
    fn lend(&self, instance: u64, context: u32) -> Option<Box<Exchange>>;

    /// The exchange comes back.
    fn give_back(&self, instance: u64, context: u32, exchange: Box<Exchange>);

    /// Does what guests asked for meanwhile. Called when nothing else runs on this thread.
    fn settle(self: Rc<Self>);
}

#[derive(Default)]
struct Peers {
    paused: ByKey<Rc<dyn Peer>>,
    touched: Vec<Rc<dyn Peer>>,
    later: Vec<Box<dyn FnOnce()>>,
}

thread_local! {
    static PEERS: RefCell<Peers> = RefCell::default();
    /// There is something to settle. Apart, since every event asks.
    static IS_UNSETTLED: Cell<bool> = const { Cell::new(false) };
}

/// Puts down a paused stream under the key of its exchange.
pub fn put(key: u64, peer: Rc<dyn Peer>) {
    PEERS.with_borrow_mut(|peers| peers.paused.insert(key, peer));
}

/// Takes a stream away.
pub fn remove(key: u64) {
    let removed = PEERS.with_borrow_mut(|peers| peers.paused.remove(&key));
    // Outside of the borrow: it may be the last reference.
    drop(removed);
}

/// Has something done when the running event is through, and its stream paused if that is what
/// comes of it.
pub fn later(work: Box<dyn FnOnce()>) {
    PEERS.with_borrow_mut(|peers| peers.later.push(work));
    IS_UNSETTLED.set(true);
}

/// Lets the streams that guests acted on go on, until there are none; then does what was put off.
#[inline]
pub fn settle() {
    if IS_UNSETTLED.get() {
        settle_all();
    }
}

#[cold]
fn settle_all() {
    IS_UNSETTLED.set(false);
    while let Some(peer) = PEERS.with_borrow_mut(|peers| peers.touched.pop()) {
        peer.settle();
    }
    for work in PEERS.with_borrow_mut(|peers| std::mem::take(&mut peers.later)) {
        work();
    }
}

/// A borrowed exchange of another stream.
pub(super) struct Borrowed {
    peer: Rc<dyn Peer>,
    instance: u64,
    context: u32,
    pub(super) exchange: Box<Exchange>,
}

/// Borrows the exchange of the stream `key`.
pub(super) fn borrow(key: u64, instance: u64, context: u32) -> Option<Borrowed> {
    let peer = PEERS.with_borrow(|peers| peers.paused.get(&key).map(Rc::clone))?;
    let exchange = peer.lend(instance, context)?;
    Some(Borrowed {
        peer,
        instance,
        context,
        exchange,
    })
}

impl Borrowed {
    /// Gives the exchange back, and notes the stream for [`settle`].
    pub(super) fn give_back(self) {
        self.peer
            .give_back(self.instance, self.context, self.exchange);
        PEERS.with_borrow_mut(|peers| {
            let is_noted = peers
                .touched
                .iter()
                .any(|peer| Rc::ptr_eq(peer, &self.peer));
            if !is_noted {
                peers.touched.push(self.peer);
            }
        });
        IS_UNSETTLED.set(true);
    }
}
