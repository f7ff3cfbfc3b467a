//! What one evaluation may take. Nothing interrupts it, so it asks: before each loop, each regular
//! expression and each property.

use std::cell::Cell;
use std::time::{Duration, Instant};

use cel::ExecutionError;

/// Rounds of all loops together: as many as Envoy allows.
const MAX_ROUNDS: u64 = 10_000;

/// Nodes of the expression that loops may go through. Most take less than a microsecond, but those
/// that handle long text.
const MAX_STEPS: u64 = 200_000;

/// The longest that an evaluation may take, as far as it asks.
const MAX_TIME: Duration = Duration::from_millis(50);

#[derive(Clone, Copy)]
struct Budget {
    rounds: u64,
    steps: u64,
    until: Instant,
}

thread_local! {
    /// That of the evaluation on this thread. The evaluator's functions have no other way to it.
    static BUDGET: Cell<Option<Budget>> = const { Cell::new(None) };
}

/// An evaluation that runs.
pub(super) struct Running(());

impl Drop for Running {
    fn drop(&mut self) {
        BUDGET.set(None);
    }
}

/// Begins an evaluation.
pub(super) fn begin() -> Running {
    BUDGET.set(Some(Budget {
        rounds: MAX_ROUNDS,
        steps: MAX_STEPS,
        until: Instant::now() + MAX_TIME,
    }));
    Running(())
}

/// Asks for a loop of so many rounds with so many nodes each.
pub(super) fn take(rounds: u64, nodes: u64) -> Result<(), ExecutionError> {
    let Some(mut budget) = BUDGET.get() else {
        return Ok(());
    };
    let rounds_left = budget.rounds.checked_sub(rounds);
    let steps_left = budget.steps.checked_sub(rounds.saturating_mul(nodes));
    let (Some(rounds), Some(steps)) = (rounds_left, steps_left) else {
        return Err(exceeded("too many rounds of loops"));
    };
    (budget.rounds, budget.steps) = (rounds, steps);
    BUDGET.set(Some(budget));
    if Instant::now() > budget.until {
        return Err(exceeded("it takes too long"));
    }
    Ok(())
}

/// Asks for something that takes a little while.
pub(super) fn check() -> Result<(), ExecutionError> {
    take(0, 0)
}

fn exceeded(why: &str) -> ExecutionError {
    ExecutionError::InternalError(why.to_owned())
}
