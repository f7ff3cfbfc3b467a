//! What was expected against what came of it.

use std::fmt;

use wasmplugin_host::plugin::Position;
use wasmplugin_host::plugin::case::{Expectations, Expected, Message, Parts};

use super::proxy::{End, Passed};

/// The most of a body or header that is shown, in characters.
const SHOWN: usize = 200;

/// An expectation that is not met.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) position: Position,
    pub(super) message: String,
}

/// All that is not as expected.
pub(super) fn failures(expect: &Expectations, passed: &Passed) -> Vec<Failure> {
    let mut failures = Vec::new();
    let mut fail = |position: &Position, message: String| {
        let position = position.clone();
        failures.push(Failure { position, message });
    };
    if let Some(answered) = &expect.answered
        && answered.value != (passed.end == End::Answered)
    {
        let message = format!("answered: expected {}, but {}", answered.value, passed.end);
        fail(&answered.position, message);
    }
    for (parts, message) in [
        (&expect.upstream, &passed.upstream),
        (&expect.client, &passed.client),
    ] {
        match (parts, message) {
            (Some(parts), Some(message)) => compare(parts, message, &mut fail),
            (Some(parts), None) => {
                let told = format!("{}: nothing gets there: {}", name(&parts.whole), passed.end);
                fail(&parts.whole.position, told);
            }
            (None, _) => {}
        }
    }
    for log in &expect.logs {
        if !passed.lines.iter().any(|line| line.contains(&log.value)) {
            let lines = passed.lines.iter().map(|line| format!("\n  {line}"));
            let told = format!(
                "{}: no line holds {:?}; logged:{}",
                name(log),
                log.value,
                lines.collect::<String>()
            );
            fail(&log.position, told);
        }
    }
    failures
}

fn compare(parts: &Parts, message: &Message, fail: &mut impl FnMut(&Position, String)) {
    for (header, expected) in &parts.headers {
        let of = message.headers.iter().filter(|(name, _)| name == header);
        let values: Vec<_> = of.map(|(_, value)| value.as_str()).collect();
        let got = (!values.is_empty()).then(|| values.join(", "));
        if got != expected.value {
            let (wanted, got) = (Shown(&expected.value), Shown(&got));
            let told = format!("{}: expected {wanted}, got {got}", name(expected));
            fail(&expected.position, told);
        }
    }
    if let Some(body) = &parts.body
        && body.value != message.body
    {
        let (wanted, got) = (Some(body.value.clone()), Some(message.body.clone()));
        let (wanted, got) = (Shown(&wanted), Shown(&got));
        let told = format!("{}: expected {wanted}, got {got}", name(body));
        fail(&body.position, told);
    }
}

/// The field within the expectations of its case.
fn name<T>(expected: &Expected<T>) -> &str {
    let field = &expected.field;
    field.split_once(".expect.").map_or(field, |(_, name)| name)
}

/// A value as messages show it.
struct Shown<'v>(&'v Option<String>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(value) if value.chars().nth(SHOWN).is_some() => {
                let head: String = value.chars().take(SHOWN).collect();
                write!(f, "{head:?}… ({} bytes)", value.len())
            }
            Some(value) => write!(f, "{value:?}"),
        }
    }
}
