//! Streams that have ended, kept for the next ones: opening a stream allocates nothing.

use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

use crate::host::EnvoyStream;
use crate::stream::Stream;

/// The most that a worker keeps: as many as may begin while others end. Each takes some two
/// kilobytes.
const MOST: usize = 128;

thread_local! {
    static IDLE: RefCell<Vec<Rc<Stream>>> = const { RefCell::new(Vec::new()) };
}

/// A stream that nobody else has, set up for `host`; the host back if there is none.
pub(crate) fn take(worker: u32, host: EnvoyStream) -> Result<Rc<Stream>, EnvoyStream> {
    let Some(mut stream) = IDLE.with_borrow_mut(Vec::pop) else {
        return Err(host);
    };
    let Some(fresh) = Rc::get_mut(&mut stream) else {
        return Err(host);
    };
    let machine = fresh.machine.get_mut();
    if !machine.renew(worker) {
        return Err(host);
    }
    let old = machine
        .exchange()
        .map(|exchange| -> &mut dyn Any { exchange.host_mut() });
    match old.and_then(|old| old.downcast_mut()) {
        Some(old) => *old = host,
        None => return Err(host),
    }
    Ok(stream)
}

/// Keeps a stream that has ended, if it is good for another.
pub(crate) fn put(mut stream: Rc<Stream>) {
    // Envoy up to 1.39 may end a stream in the middle of a hook, which still has it then.
    if !Rc::get_mut(&mut stream).is_some_and(Stream::empty) {
        return;
    }
    // Not while the thread ends.
    let _kept = IDLE.try_with(|idle| {
        let mut idle = idle.borrow_mut();
        if idle.len() < MOST {
            idle.push(stream);
        }
    });
}
