//! Reads metadata whose kinds nobody tells.
//!
//! Envoy has one getter for each kind of value and none that names the kind, and a getter that is
//! asked for the wrong kind writes an error into Envoy's log. A plugin that reads metadata for
//! every request would fill that log. So kinds are remembered, and guesses are rationed: what
//! cannot be read without a guess while there is none left counts as unreadable.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::time::{Duration, Instant};

use super::host::Source;

/// Wrong guesses that are allowed at once, each a line in Envoy's log: enough for the metadata of a
/// plugin's first request.
const BURST: u32 = 30;

/// How long it takes to earn another wrong guess.
const REFILL: Duration = Duration::from_secs(1);

/// How long a value that could not be read is not tried again. A value of the same name may be
/// another one, or be of another stream.
const GIVE_UP: Duration = Duration::from_secs(60);

/// Kinds that are remembered. Beyond it, all are forgotten: that costs guesses, which are rationed.
const MEMORY: usize = 4096;

/// The kinds that there are getters for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are what they are called")]
pub enum ValueKind {
    Text,
    Number,
    Flag,
}

impl ValueKind {
    /// Commonest first.
    const ALL: [Self; 3] = [Self::Text, Self::Number, Self::Flag];
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place<'a> {
    /// Whose it is.
    pub source: Source,
    /// Its namespace.
    pub namespace: &'a [u8],
    /// Its key.
    pub key: &'a [u8],
    /// It is an element of the list there.
    pub in_list: bool,
}

/// What came of reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// The value.
    Value(T),
    /// There is none.
    Absent,
    /// There is one, of a kind that has no getter, or nobody knows of which.
    Unreadable,
}

/// The kinds that were seen. One for each thread.
#[derive(Debug)]
pub struct Kinds {
    hasher: RandomState,
    /// By the hash of their places. Where two places share a hash, one of them is guessed wrong.
    seen: HashMap<u64, Seen>,
    credit: u32,
    /// When the last credit was earned.
    earned: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Seen {
    Kind(ValueKind),
    UnreadableUntil(Instant),
}

impl Kinds {
    /// Nothing was seen yet.
    pub fn new(now: Instant) -> Self {
        Self {
            hasher: RandomState::new(),
            seen: HashMap::new(),
            credit: BURST,
            earned: now,
        }
    }

    /// Reads the value at `place`: `get` asks the getter of a kind, and `exists` says whether there
    /// is a value at all. The first is silent if its guess is right or there is no value.
    pub fn read<T>(
        &mut self,
        place: Place<'_>,
        now: Instant,
        exists: impl Fn() -> bool,
        get: impl Fn(ValueKind) -> Option<T>,
    ) -> Reading<T> {
        self.earn(now);
        let at = self.hasher.hash_one(place);
        let known = match self.seen.get(&at).copied() {
            Some(Seen::UnreadableUntil(until)) if now < until => {
                return if exists() {
                    Reading::Unreadable
                } else {
                    Reading::Absent
                };
            }
            Some(Seen::Kind(kind)) => Some(kind),
            _ => None,
        };
        let mut wrong = None;
        if let Some(kind) = known {
            if let Some(value) = get(kind) {
                return Reading::Value(value);
            }
            if !exists() {
                return Reading::Absent;
            }
            self.seen.remove(&at);
            self.credit = self.credit.saturating_sub(1);
            wrong = Some(kind);
        }
        for kind in ValueKind::ALL {
            if wrong == Some(kind) {
                continue;
            }
            if self.credit == 0 {
                return if exists() {
                    Reading::Unreadable
                } else {
                    Reading::Absent
                };
            }
            if let Some(value) = get(kind) {
                self.remember(at, Seen::Kind(kind));
                return Reading::Value(value);
            }
            if !exists() {
                return Reading::Absent;
            }
            self.credit -= 1;
        }
        self.remember(at, Seen::UnreadableUntil(now + GIVE_UP));
        Reading::Unreadable
    }

    fn earn(&mut self, now: Instant) {
        while self.credit < BURST && now.duration_since(self.earned) >= REFILL {
            self.credit += 1;
            self.earned += REFILL;
        }
        if self.credit == BURST {
            self.earned = now;
        }
    }

    fn remember(&mut self, at: u64, seen: Seen) {
        if self.seen.len() >= MEMORY {
            self.seen.clear();
        }
        self.seen.insert(at, seen);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// A value, and how many lines reading it has cost.
    struct Envoy {
        kind: Cell<Option<ValueKind>>,
        exists: bool,
        lines: Cell<u32>,
    }

    impl Envoy {
        fn holding(kind: Option<ValueKind>) -> Self {
            Self {
                kind: Cell::new(kind),
                exists: true,
                lines: Cell::new(0),
            }
        }

        fn get(&self, kind: ValueKind) -> Option<&'static str> {
            if self.kind.get() == Some(kind) {
                return Some("value");
            }
            self.lines.set(self.lines.get() + u32::from(self.exists));
            None
        }

        fn read(&self, kinds: &mut Kinds, key: &str, now: Instant) -> Reading<&'static str> {
            let place = Place {
                source: Source::Dynamic,
                namespace: b"ns",
                key: key.as_bytes(),
                in_list: false,
            };
            kinds.read(place, now, || self.exists, |kind| self.get(kind))
        }
    }

    #[test]
    fn a_kind_is_guessed_once() {
        let now = Instant::now();
        let mut kinds = Kinds::new(now);
        for (at, kind) in ValueKind::ALL.into_iter().enumerate() {
            let envoy = Envoy::holding(Some(kind));
            for _ in 0..100 {
                let read = envoy.read(&mut kinds, &format!("key {at}"), now);
                assert_eq!(read, Reading::Value("value"));
            }
            assert_eq!(envoy.lines.get(), u32::try_from(at).unwrap());
        }
    }

    #[test]
    fn what_is_absent_costs_nothing() {
        let now = Instant::now();
        let mut kinds = Kinds::new(now);
        let mut envoy = Envoy::holding(Some(ValueKind::Flag));
        envoy.exists = false;
        envoy.kind.set(None);
        for i in 0..1000 {
            assert_eq!(envoy.read(&mut kinds, &i.to_string(), now), Reading::Absent);
        }
        assert_eq!(envoy.lines.get(), 0);
    }

    #[test]
    fn a_kind_that_changes_is_guessed_again() {
        let now = Instant::now();
        let mut kinds = Kinds::new(now);
        let envoy = Envoy::holding(Some(ValueKind::Text));
        assert_eq!(envoy.read(&mut kinds, "key", now), Reading::Value("value"));
        envoy.kind.set(Some(ValueKind::Flag));
        assert_eq!(envoy.read(&mut kinds, "key", now), Reading::Value("value"));
        assert_eq!(envoy.lines.get(), 2);
    }

    #[test]
    fn what_has_no_getter_is_tried_once_in_a_while() {
        let now = Instant::now();
        let mut kinds = Kinds::new(now);
        let envoy = Envoy::holding(None);
        for _ in 0..100 {
            assert_eq!(envoy.read(&mut kinds, "key", now), Reading::Unreadable);
        }
        assert_eq!(envoy.lines.get(), 3);
        envoy.kind.set(Some(ValueKind::Number));
        assert_eq!(envoy.read(&mut kinds, "key", now), Reading::Unreadable);
        let later = now + GIVE_UP;
        assert_eq!(
            envoy.read(&mut kinds, "key", later),
            Reading::Value("value")
        );
    }

    #[test]
    fn guesses_are_rationed() {
        let mut now = Instant::now();
        let mut kinds = Kinds::new(now);
        let envoy = Envoy::holding(Some(ValueKind::Flag));
        for i in 0..10_000 {
            envoy.read(&mut kinds, &i.to_string(), now);
        }
        assert_eq!(envoy.lines.get(), BURST);
        for i in 0..100_000 {
            now += Duration::from_millis(1);
            envoy.read(&mut kinds, &format!("late {i}"), now);
        }
        let earned = envoy.lines.get() - BURST;
        assert!((90..=100).contains(&earned), "{earned}");
        // A kind that changes all the time is no way round.
        let text = Envoy::holding(Some(ValueKind::Text));
        for i in 0..1000 {
            let kind = if i % 2 == 0 {
                ValueKind::Number
            } else {
                ValueKind::Text
            };
            text.kind.set(Some(kind));
            text.read(&mut kinds, "changes", now);
        }
        assert!(text.lines.get() <= 2, "{}", text.lines.get());
    }
}
