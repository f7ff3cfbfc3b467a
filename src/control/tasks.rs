//! What waits for Envoy's main thread, shared fairly.
//!
//! A plugin may ask for a tick every millisecond, enqueue an item for each that it takes out, and use
//! its whole deadline every time. Envoy's thread would do nothing else, and nor would other plugins
//! ever be told of anything. So plugins take turns, one task each, and one that took long rests as
//! long: it has half of a thread at most, for all that belongs to no stream.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::Task;

/// How long tasks run before Envoy gets its turn, unless a single one takes longer.
pub const TURN: Duration = Duration::from_millis(10);

/// Tasks by the number of their plugin.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    lanes: BTreeMap<u64, Lane>,
    /// Whose turn it was last.
    last: u64,
    /// When somebody comes who looks for tasks of plugins that rest.
    alarm: Option<Instant>,
}

#[derive(Debug, Default)]
struct Lane {
    tasks: VecDeque<Task>,
    rests_until: Option<Instant>,
}

impl Lane {
    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }
}

/// What is to be done next.
#[derive(Debug)]
pub(super) enum Next {
    Task(Task),
    /// Nothing yet: look again after a while. Nobody else was told to.
    Wait(Duration),
    Nothing,
}

impl Tasks {
    pub(super) fn push(&mut self, task: Task) {
        let lane = self.lanes.entry(task.plugin()).or_default();
        lane.tasks.push_back(task);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.lanes.values().map(|lane| lane.tasks.len()).sum()
    }

    /// Whether tasks of `plugin` have to wait.
    pub(super) fn has_to_wait(&self, plugin: u64, now: Instant) -> bool {
        let lane = self.lanes.get(&plugin);
        lane.is_some_and(|lane| lane.rests(now))
    }

    /// A task of `plugin` has taken `took`, and ended now.
    pub(super) fn rest(&mut self, plugin: u64, now: Instant, took: Duration) {
        let lane = self.lanes.entry(plugin).or_default();
        let from = lane.rests_until.map_or(now, |until| until.max(now));
        lane.rests_until = from.checked_add(took);
    }

    /// The next task, of the plugin whose turn it is among those that do not rest.
    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.lanes
            .retain(|_, lane| !lane.tasks.is_empty() || lane.rests(now));
        let ready = |(_, lane): &(&u64, &mut Lane)| !lane.tasks.is_empty() && !lane.rests(now);
        let behind = self.last.saturating_add(1);
        let found = if let Some(found) = self.lanes.range_mut(behind..).find(ready) {
            Some(found)
        } else {
            self.lanes.iter_mut().find(ready)
        };
        if let Some((plugin, lane)) = found
            && let Some(task) = lane.tasks.pop_front()
        {
            self.last = *plugin;
            return Next::Task(task);
        }
        let waiting = self.lanes.values().filter(|lane| !lane.tasks.is_empty());
        let first = waiting.filter_map(|lane| lane.rests_until).min();
        match (first, self.alarm) {
            (None, _) => Next::Nothing,
            (Some(first), Some(alarm)) if alarm > now && alarm <= first => Next::Nothing,
            (Some(first), _) => {
                self.alarm = Some(first);
                Next::Wait(first.saturating_duration_since(now))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::threads::Work;
    use crate::proxy_wasm::Address;

    fn task(plugin: u64, token: u32) -> Task {
        let address = Address {
            plugin,
            ..Address::default()
        };
        Task::new(Work::Cancel { address, token })
    }

    fn next(tasks: &mut Tasks, now: Instant) -> Option<u64> {
        match tasks.next(now) {
            Next::Task(task) => Some(task.plugin()),
            Next::Wait(_) | Next::Nothing => None,
        }
    }

    #[test]
    fn plugins_take_turns() {
        let (mut tasks, now) = (Tasks::default(), Instant::now());
        for token in 0..3 {
            tasks.push(task(1, token));
        }
        tasks.push(task(2, 0));
        tasks.push(task(3, 0));
        assert_eq!(tasks.len(), 5);
        let order: Vec<_> = std::iter::from_fn(|| next(&mut tasks, now)).collect();
        assert_eq!(order, [1, 2, 3, 1, 1]);
        assert!(matches!(tasks.next(now), Next::Nothing));
    }

    #[test]
    fn who_took_long_rests_as_long() {
        let (mut tasks, now) = (Tasks::default(), Instant::now());
        let long = Duration::from_millis(50);
        tasks.rest(1, now, long);
        tasks.push(task(1, 0));
        tasks.push(task(2, 0));
        assert!(tasks.has_to_wait(1, now) && !tasks.has_to_wait(2, now));
        assert_eq!(next(&mut tasks, now), Some(2));
        assert!(matches!(tasks.next(now), Next::Wait(wait) if wait == long));
        assert!(matches!(tasks.next(now), Next::Nothing), "asked already");
        assert_eq!(next(&mut tasks, now + long), Some(1));
    }
}
