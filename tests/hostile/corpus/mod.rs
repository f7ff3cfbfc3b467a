//! The guests that do what no plugin should, and what becomes of the streams that they are given.

mod callbacks;
mod endless;
mod host_memory;
mod memory;
mod messages;
mod parts;

use crate::assembler::{Guest, forever};

/// A guest, its name, and what becomes of its stream.
pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) guest: Guest,
    pub(crate) fate: Fate,
}

/// What a client sees of a stream whose plugin fails closed. One that fails open is always served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The plugin does not even start: 503.
    Never,
    /// It fails while the request or the headers of the response pass: 503.
    Fails,
    /// As before, but what it did to the message stays where it fails open: anything may come of it.
    FailsChanged,
    /// It fails when the headers of the response have gone out: the response breaks off.
    Cut,
    /// As before, and what it did to the body stays.
    CutChanged,
    /// It fails when the stream is over: the next one gets the 503.
    FailsAfter,
    /// It fails by itself, sooner or later: from then on 503.
    FailsLater,
    /// It is told no, and goes on: 200.
    Lives,
    /// It answers the stream itself, with this status.
    Answers(u16),
    /// Whatever: nobody hangs.
    Any,
}

/// All of them.
pub(crate) fn all() -> Vec<Hostile> {
    let mut corpus = Vec::new();
    callbacks::in_each_callback(&mut corpus, "loops", &forever(""));
    callbacks::in_each_callback(&mut corpus, "traps", "(unreachable)");
    callbacks::in_each_callback(&mut corpus, "recurses", "(call $recurse)");
    callbacks::starts(&mut corpus);
    memory::limits(&mut corpus);
    host_memory::bombs(&mut corpus);
    messages::headers_and_bodies(&mut corpus);
    messages::replies(&mut corpus);
    messages::resumes(&mut corpus);
    endless::storms(&mut corpus);
    endless::floods(&mut corpus);
    memory::allocators(&mut corpus);
    endless::long_calls(&mut corpus);
    callbacks::wild(&mut corpus);
    corpus
}

fn add(corpus: &mut Vec<Hostile>, name: &str, fate: Fate, guest: Guest) {
    let name = name.to_owned();
    corpus.push(Hostile { name, guest, fate });
}
