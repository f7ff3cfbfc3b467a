//! Streams and plugins at random, against what must hold for all of them.
//!
//! Each plugin keeps a record of its own: which bytes it was shown, which it holds, which it let
//! go. What one let go is what the next one is shown, and nothing may be lost, doubled or
//! reordered on the way.

use std::sync::Arc;

use parking_lot::Mutex;

use super::envoy::Envoy;
use super::host::Trace;
use super::script::{bytes_of, maps_of, splice};
use crate::chain::flow::Both;
use crate::chain::{Context, Filter, Lent, Outage};
use crate::proxy_wasm::{Direction, Event, Exchange, Reply};

/// Streams for each test.
const ROUNDS: u64 = 4_000;

const DIRECTIONS: [Direction; 2] = [Direction::Request, Direction::Response];

#[test]
fn bytes_arrive_once_and_in_order() {
    for seed in 0..ROUNDS {
        let mut round = Round::new(seed, Temper::Calm);
        round.run();
        for direction in DIRECTIONS {
            let sent = round.sent.of(direction);
            let out = round.envoy.whole(direction);
            assert_eq!(out, Some(&sent[..]), "{seed}: {direction:?}");
            round.check_order(direction);
        }
        round.complete();
    }
}

#[test]
fn edits_and_drops_are_what_the_next_plugin_sees() {
    for seed in 0..ROUNDS {
        let mut round = Round::new(seed, Temper::Editing);
        round.run();
        for direction in DIRECTIONS {
            let left = round.check_order(direction);
            let out = round.envoy.whole(direction);
            assert_eq!(out, Some(&left[..]), "{seed}: {direction:?}");
        }
        round.complete();
    }
}

#[test]
fn skipped_plugins_lose_nothing() {
    for seed in 0..ROUNDS {
        let mut round = Round::new(seed, Temper::Failing);
        round.run();
        for direction in DIRECTIONS {
            let sent = round.sent.of(direction);
            let out = round.envoy.whole(direction);
            assert_eq!(out, Some(&sent[..]), "{seed}: {direction:?}");
            for plugin in &round.plugins {
                let seen = &plugin.lanes.lock().of(direction).seen.clone();
                assert!(sent.starts_with(seen), "{seed}: {direction:?}");
            }
        }
        round.complete();
    }
}

#[test]
fn replies_and_resets_end_a_stream_once() {
    let mut answered = 0;
    for seed in 0..ROUNDS {
        let mut round = Round::new(seed, Temper::Wild);
        round.run();
        assert!(round.envoy.answers <= 1, "{seed}");
        answered += round.envoy.answers;
        round.complete();
    }
    assert!(
        answered > 100,
        "{answered} streams are too few to mean anything"
    );
}

/// What plugins do besides pausing and resuming.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Temper {
    Calm,
    Editing,
    Failing,
    Wild,
}

/// A stream.
struct Round {
    seed: u64,
    dice: Dice,
    envoy: Envoy,
    plugins: Vec<Arc<Plugin>>,
    asked: Arc<Asked>,
    /// Parts that are still to come, the last one first.
    parts: Both<Vec<Part>>,
    sent: Both<Vec<u8>>,
}

#[derive(Clone, Copy)]
enum Part {
    Headers { end: bool },
    Body { len: usize, end: bool },
    Trailers,
}

/// A plugin, and what it has to say about the stream.
struct Plugin {
    index: usize,
    temper: Temper,
    holds_headers_only: bool,
    dice: Dice,
    asked: Arc<Asked>,
    lanes: Mutex<Both<Record>>,
    /// Whether it was skipped, and how often it saw the end.
    ends: Mutex<Ends>,
}

/// Who asked to continue the other direction in the running hook: one at most, so that the
/// records can follow.
type Asked = Mutex<Option<(Direction, usize)>>;

#[derive(Clone, Default)]
struct Record {
    headers: usize,
    ends: usize,
    seen: Vec<u8>,
    held: Vec<u8>,
    shows_held: bool,
    left: Vec<u8>,
}

#[derive(Default)]
struct Ends {
    skipped: bool,
    opened: usize,
    logged: usize,
    deleted: usize,
}

impl Round {
    fn new(seed: u64, temper: Temper) -> Self {
        let dice = Dice::new(seed * 4 + temper as u64);
        let asked = Arc::new(Asked::default());
        let plugin = |index| {
            Arc::new(Plugin {
                index,
                temper,
                holds_headers_only: dice.one_in(3),
                dice: dice.clone(),
                asked: Arc::clone(&asked),
                lanes: Mutex::default(),
                ends: Mutex::default(),
            })
        };
        let plugins: Vec<_> = (0..dice.below(5)).map(plugin).collect();
        let filters = plugins.iter().map(|p| Arc::clone(p) as Arc<dyn Filter>);
        let envoy = Envoy::with_filters(filters.collect(), Trace::default());
        let mut parts = Both::default();
        for direction in DIRECTIONS {
            *parts.of_mut(direction) = parts_of(&dice);
        }
        Self {
            seed,
            envoy,
            dice,
            plugins,
            asked,
            parts,
            sent: Both::default(),
        }
    }

    /// Feeds both messages, then resumes until nothing is held any more.
    fn run(&mut self) {
        // A request comes first, whatever follows.
        self.feed(Direction::Request);
        while self.envoy.answers == 0 {
            let left = DIRECTIONS.map(|direction| self.parts.of(direction).len());
            if left == [0, 0] {
                break;
            }
            let direction = DIRECTIONS[self.dice.below(2)];
            match self.dice.below(3) {
                0 => self.resume(direction, self.dice.below(5)),
                // An upstream answers what it knows of.
                _ if self.envoy.has_begun(Direction::Request) => self.feed(direction),
                _ if self.parts.of(Direction::Request).is_empty() => {}
                _ => self.feed(Direction::Request),
            }
        }
        // Each resume takes what is held one plugin further, or to its next event.
        for _ in 0..8 * self.plugins.len() {
            for direction in DIRECTIONS {
                for index in 0..self.plugins.len() {
                    self.resume(direction, index);
                }
            }
        }
    }

    fn feed(&mut self, direction: Direction) {
        match self.parts.of_mut(direction).pop() {
            None => return,
            Some(Part::Headers { end }) => self.envoy.headers(direction, end),
            Some(Part::Body { len, end }) => {
                let bytes = self.dice.letters(len);
                self.sent.of_mut(direction).extend_from_slice(&bytes);
                self.envoy.body(direction, &bytes, end);
            }
            Some(Part::Trailers) => self.envoy.trailers(direction),
        }
        self.settle();
    }

    fn resume(&mut self, direction: Direction, index: usize) {
        if let Some(plugin) = self.plugins.get(index) {
            plugin.lanes.lock().of_mut(direction).let_go();
        }
        self.envoy.resume(direction, index);
        self.settle();
    }

    /// A hook is through, and what was asked for has happened.
    fn settle(&mut self) {
        if let Some((direction, index)) = self.asked.lock().take() {
            self.plugins[index].lanes.lock().of_mut(direction).let_go();
        }
        self.envoy.trace.take();
    }

    /// Each plugin was shown what the one before it let go. What the last one let go.
    fn check_order(&self, direction: Direction) -> Vec<u8> {
        let mut plugins: Vec<_> = self.plugins.iter().collect();
        if direction == Direction::Response {
            plugins.reverse();
        }
        let mut left = self.sent.of(direction).clone();
        for plugin in plugins {
            let (seed, index) = (self.seed, plugin.index);
            let lanes = plugin.lanes.lock();
            let lane = lanes.of(direction);
            assert_eq!(lane.seen, left, "{seed}: {direction:?} at {index}");
            assert_eq!(lane.held, b"", "{seed}: {direction:?} at {index}");
            assert_eq!((lane.headers, lane.ends), (1, 1), "{seed}: {index}");
            left.clone_from(&lane.left);
        }
        left
    }

    fn complete(&mut self) {
        self.envoy.complete();
        self.envoy.complete();
        for plugin in &self.plugins {
            let ends = plugin.ends.lock();
            let once = usize::from(!ends.skipped);
            assert_eq!(ends.opened, 1, "{}", self.seed);
            assert_eq!((ends.logged, ends.deleted), (once, once), "{}", self.seed);
        }
    }
}

impl Plugin {
    fn act(&self, event: &Event, exchange: &mut Exchange) -> u32 {
        let (Event::Headers { direction, .. }
        | Event::Body { direction, .. }
        | Event::Trailers { direction, .. }) = *event;
        let mut lanes = self.lanes.lock();
        let mut asked = self.asked.lock();
        if *asked == Some((direction, self.index)) {
            // It has come to that: this is what follows.
            *asked = None;
            lanes.of_mut(direction).let_go();
        }
        let mut action = match self.dice.one_in(2) {
            true => 0,
            false => u32::try_from(self.dice.below(5)).unwrap(),
        };
        if action >= 3 && matches!(event, Event::Body { .. }) && self.temper == Temper::Calm {
            action = 1;
        }
        if self.temper == Temper::Failing && matches!(event, Event::Body { .. }) {
            action %= 3;
        }
        let other = match direction {
            Direction::Request => Direction::Response,
            Direction::Response => Direction::Request,
        };
        let mut answer = action;
        if self.dice.one_in(8) {
            exchange.actions.resume_request |= direction == Direction::Request;
            exchange.actions.resume_response |= direction == Direction::Response;
            action = 0;
        } else if self.dice.one_in(4) && asked.is_none() {
            exchange.actions.resume_request |= other == Direction::Request;
            exchange.actions.resume_response |= other == Direction::Response;
            *asked = Some((other, self.index));
        }
        if self.temper == Temper::Wild && self.dice.one_in(12) {
            exchange.actions.close = self.dice.one_in(2);
            exchange.actions.reply = self.dice.one_in(2).then(|| {
                Box::new(Reply {
                    status: 403,
                    body: self.dice.letters(self.dice.below(3)),
                    ..Reply::default()
                })
            });
            answer = 1;
        }
        let lane = lanes.of_mut(direction);
        match *event {
            Event::Headers { count, end, .. } => {
                assert_eq!(count, exchange.header_count(maps_of(direction).0));
                lane.headers += 1;
                lane.ends += usize::from(end);
            }
            Event::Body { len, end, .. } => {
                lane.ends += usize::from(end);
                let window = exchange.view.body(direction).unwrap();
                assert_eq!(len, window.len);
                let shown = bytes_of(exchange, direction, window);
                let known = match lane.shows_held && self.is_predictable() {
                    true => lane.held.len(),
                    false => 0,
                };
                assert_eq!(shown[..known], lane.held[..known]);
                lane.seen.extend_from_slice(&shown[known..]);
                let shown = self.edited(direction, exchange);
                lane.take(action, &shown);
            }
            Event::Trailers { .. } => {
                lane.ends += 1;
                let window = exchange.view.body(direction);
                if self.is_predictable() {
                    let shown = window.map(|window| bytes_of(exchange, direction, window));
                    let held = lane.shows_held.then_some(&lane.held);
                    assert_eq!(shown.as_ref(), held);
                }
                if window.is_some() {
                    lane.held = self.edited(direction, exchange);
                }
                if action == 0 {
                    lane.let_go();
                }
            }
        }
        let lane = lanes.of_mut(other);
        if let Some(window) = exchange.view.body(other) {
            if self.is_predictable() {
                assert!(lane.shows_held);
                assert_eq!(bytes_of(exchange, other, window), lane.held);
            }
            lane.held = self.edited(other, exchange);
        }
        answer
    }

    /// Whether its records are right. They do not follow answers, after which nothing is resumed.
    fn is_predictable(&self) -> bool {
        self.temper != Temper::Wild
    }

    /// Edits a body or not. What it is then.
    fn edited(&self, direction: Direction, exchange: &mut Exchange) -> Vec<u8> {
        if self.temper == Temper::Editing && self.dice.one_in(3) {
            let insert = self.dice.letters(self.dice.below(4));
            let (at_end, remove_all) = (self.dice.one_in(2), self.dice.one_in(3));
            assert!(splice(exchange, direction, at_end, remove_all, &insert));
        }
        let window = exchange.view.body(direction).unwrap();
        bytes_of(exchange, direction, window)
    }

    /// Whether it cannot run this time, and what is to follow from it.
    fn accident(&self) -> Option<Outage> {
        let fails = match self.temper {
            Temper::Calm | Temper::Editing => false,
            Temper::Failing | Temper::Wild => self.dice.one_in(20),
        };
        if !fails {
            return None;
        }
        self.ends.lock().skipped = true;
        if self.temper == Temper::Failing || self.dice.one_in(2) {
            return Some(Outage::Skip);
        }
        Some(Outage::Refuse {
            status: 503,
            details: String::new(),
        })
    }
}

impl Filter for Plugin {
    fn open(&self, worker: u32, _: &mut Lent) -> Result<Context, Outage> {
        self.ends.lock().opened += 1;
        match self.accident() {
            Some(outage) => Err(outage),
            None => Ok(Context {
                worker,
                instance: 0,
                id: 0,
            }),
        }
    }

    fn on_event(&self, _: &Context, event: &Event, exchange: &mut Lent) -> Result<u32, Outage> {
        assert!(!self.ends.lock().skipped, "called though it was skipped");
        assert_eq!(self.ends.lock().deleted, 0, "called after its end");
        let action = self.act(event, exchange.as_mut().unwrap());
        match self.accident() {
            Some(outage) => Err(outage),
            None => Ok(action),
        }
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    fn outage(&self) -> Outage {
        Outage::Skip
    }

    fn holds_headers_only(&self) -> bool {
        self.holds_headers_only
    }

    fn log(&self, _: &Context, _: &mut Lent) {
        self.ends.lock().logged += 1;
    }

    fn delete(&self, _: &Context, _: &mut Lent) {
        self.ends.lock().deleted += 1;
    }
}

impl Record {
    /// Answers with `action` to a body event that showed `shown`, as it is after edits.
    fn take(&mut self, action: u32, shown: &[u8]) {
        let showed_held = self.shows_held;
        if showed_held {
            self.held.clear();
        }
        // What was held already is dropped no more.
        if action < 3 || showed_held {
            self.held.extend_from_slice(shown);
        }
        self.shows_held = action == 1;
        if action == 0 {
            self.let_go();
        }
    }

    fn let_go(&mut self) {
        self.left.append(&mut self.held);
        self.shows_held = false;
    }
}

fn parts_of(dice: &Dice) -> Vec<Part> {
    if dice.one_in(5) {
        return vec![Part::Headers { end: true }];
    }
    let mut parts = vec![Part::Headers { end: false }];
    for _ in 0..dice.below(5) {
        let (len, end) = (1 + dice.below(4), false);
        parts.push(Part::Body { len, end });
    }
    parts.push(match dice.one_in(3) {
        true => Part::Trailers,
        false => Part::Body {
            len: dice.below(3),
            end: true,
        },
    });
    parts.reverse();
    parts
}

/// Numbers that look random, the same for the same seed.
#[derive(Clone)]
struct Dice(Arc<Mutex<u64>>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// `SplitMix64`.
    fn next(&self) -> u64 {
        let mut state = self.0.lock();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap()
    }

    fn one_in(&self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn letters(&self, len: usize) -> Vec<u8> {
        let letter = |_| b"abcdefghijklmnop"[self.below(16)];
        (0..len).map(letter).collect()
    }
}
