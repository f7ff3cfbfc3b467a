//! Generations: what streams run, fixed when made.
//!
//! A [`Generation`] is what a deployment runs: a [`Lineup`] of plugins, and one for each route that
//! has its own say. It never changes: a change makes another one, and one pointer swap has new
//! streams use that. A stream keeps the generation that it began with, and with it the plugins: the
//! last stream to end lets them go.
//!
//! A stream meets several filter entries of one deployment. [`open`] gives all of them the same
//! generation, also when the swap comes between two entries of one stream.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use smallvec::SmallVec;

use super::Deployment;
use super::lineup::Lineup;

/// What streams run.
#[derive(Clone, Debug)]
pub struct Generation {
    number: u64,
    base: Arc<Lineup>,
    routes: Routes,
}

/// Lineups of routes, by their keys.
pub(super) type Routes = HashMap<Box<[u8]>, Arc<Lineup>>;

impl Generation {
    pub(super) const fn new(number: u64, base: Arc<Lineup>, routes: Routes) -> Self {
        Self {
            number,
            base,
            routes,
        }
    }

    /// This one, with the lineup of another route.
    pub(super) fn with_route(&self, key: &[u8], lineup: Arc<Lineup>) -> Self {
        let mut with = self.clone();
        with.routes.insert(key.into(), lineup);
        with
    }

    /// Counts the generations of a deployment, from 1.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The plugins of routes that say nothing else.
    pub const fn base(&self) -> &Arc<Lineup> {
        &self.base
    }

    pub(super) const fn routes(&self) -> &Routes {
        &self.routes
    }
}

/// What the entries of the stream that is being opened on this thread use.
struct Opening {
    deployment: *const Deployment,
    generation: Weak<Generation>,
    /// The entries that have it: one that comes a second time belongs to another stream.
    entries: SmallVec<[u64; 8]>,
}

thread_local! {
    static OPENINGS: RefCell<SmallVec<[Opening; 2]>> = const { RefCell::new(SmallVec::new_const()) };
    static IS_OPENING: Cell<bool> = const { Cell::new(false) };
}

/// The generation for a stream that filter entry `entry` of `deployment` opens.
pub fn open(deployment: &Arc<Deployment>, entry: u64) -> Arc<Generation> {
    deployment.serve();
    let current = deployment.current();
    // Every entry has a reference: where there is only this one, the stream meets no other.
    if Arc::strong_count(deployment) == 1 {
        return current;
    }
    OPENINGS.with_borrow_mut(|openings| {
        let address = Arc::as_ptr(deployment);
        let of = openings.iter_mut().find(|of| of.deployment == address);
        if let Some(opening) = of {
            let generation = opening.generation.upgrade();
            if let Some(generation) = generation.filter(|_| !opening.entries.contains(&entry)) {
                opening.entries.push(entry);
                return generation;
            }
            opening.generation = Arc::downgrade(&current);
            opening.entries.clear();
            opening.entries.push(entry);
        } else {
            openings.push(Opening {
                deployment: address,
                generation: Arc::downgrade(&current),
                entries: SmallVec::from_slice(&[entry]),
            });
        }
        IS_OPENING.set(true);
        current
    })
}

/// Something else happens on this thread: whatever stream was being opened is open.
#[inline]
pub fn opened() {
    if IS_OPENING.replace(false) {
        OPENINGS.with_borrow_mut(SmallVec::clear);
    }
}
