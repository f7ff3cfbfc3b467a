//! The functions of expressions.
//!
//! Envoy refuses to compile a call of a function that it does not have, so there is a table of
//! those that it has. Some are our own: `matches`, whose regular expressions have to be bounded, the
//! global forms of what is a method elsewhere, and the one that loops ask.

use cel::common::functions::Function;
use cel::common::types::{CelBool, CelInt, CelString, DYN_TYPE, INT_TYPE, STRING_TYPE};
use cel::common::value::CowVal;
use cel::{DeclarationError, Env, ExecutionError};
use regex::RegexBuilder;

use super::budget;

/// Wraps the range of a loop; gives it back if the budget allows the loop. No source can spell it.
pub(super) const RANGE: &str = "@range";

/// The largest compiled regular expression, in bytes: some milliseconds to compile.
const MAX_REGEX: usize = 512 << 10;

/// How a function is called.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Global,
    Method,
}

/// Envoy's functions: name, style, and how many arguments, the target not counted as one.
const FUNCTIONS: &[(&str, Style, &[usize])] = &[
    ("bool", Style::Global, &[1]),
    ("bytes", Style::Global, &[1]),
    ("contains", Style::Method, &[1]),
    ("contains", Style::Global, &[2]),
    ("double", Style::Global, &[1]),
    ("duration", Style::Global, &[1]),
    ("dyn", Style::Global, &[1]),
    ("endsWith", Style::Method, &[1]),
    ("endsWith", Style::Global, &[2]),
    ("getDate", Style::Method, &[0, 1]),
    ("getDayOfMonth", Style::Method, &[0, 1]),
    ("getDayOfWeek", Style::Method, &[0, 1]),
    ("getDayOfYear", Style::Method, &[0, 1]),
    ("getFullYear", Style::Method, &[0, 1]),
    ("getHours", Style::Method, &[0, 1]),
    ("getMilliseconds", Style::Method, &[0, 1]),
    ("getMinutes", Style::Method, &[0, 1]),
    ("getMonth", Style::Method, &[0, 1]),
    ("getSeconds", Style::Method, &[0, 1]),
    ("int", Style::Global, &[1]),
    ("matches", Style::Method, &[1]),
    ("matches", Style::Global, &[2]),
    ("size", Style::Method, &[0]),
    ("size", Style::Global, &[1]),
    ("startsWith", Style::Method, &[1]),
    ("startsWith", Style::Global, &[2]),
    ("string", Style::Global, &[1]),
    ("timestamp", Style::Global, &[1]),
    ("type", Style::Global, &[1]),
    ("uint", Style::Global, &[1]),
];

/// Whether there is such a function. Operators are functions whose names nobody can write.
pub(super) fn exists(name: &str, has_target: bool, arguments: usize) -> bool {
    let is_operator = !name.starts_with(|c: char| c.is_ascii_alphabetic());
    let style = if has_target {
        Style::Method
    } else {
        Style::Global
    };
    is_operator
        || FUNCTIONS.iter().any(|(known, known_style, counts)| {
            *known == name && *known_style == style && counts.contains(&arguments)
        })
}

/// Adds our own.
pub(super) fn add(environment: &mut Env) -> Result<(), DeclarationError> {
    let range = vec![DYN_TYPE, INT_TYPE];
    environment.add_overload(RANGE, RANGE, range, loop_over)?;
    for (name, function) in [
        ("contains", contains as Function),
        ("endsWith", ends_with),
        ("matches", matches),
        ("startsWith", starts_with),
    ] {
        let id = format!("global_{name}");
        environment.add_overload(name, &id, vec![STRING_TYPE, STRING_TYPE], function)?;
    }
    let pattern = vec![STRING_TYPE];
    environment.add_member_overload("matches", "matches_string", STRING_TYPE, pattern, matches)
}

fn loop_over<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    let mut arguments = arguments.into_iter();
    let (Some(range), Some(nodes)) = (arguments.next(), arguments.next()) else {
        return Err(ExecutionError::missing_argument_or_target());
    };
    let rounds = range.as_sizer().map_or(0, |sizer| *sizer.size().inner());
    let nodes = nodes
        .downcast_ref::<CelInt>()
        .map_or(0, |nodes| *nodes.inner());
    budget::take(rounds.unsigned_abs(), nodes.unsigned_abs())?;
    Ok(range)
}

fn contains<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_texts(&arguments, |text, part| Ok(text.contains(part)))
}

fn ends_with<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_texts(&arguments, |text, part| Ok(text.ends_with(part)))
}

fn starts_with<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_texts(&arguments, |text, part| Ok(text.starts_with(part)))
}

fn matches<'b, 'v>(arguments: Vec<CowVal<'b, 'v>>) -> Result<CowVal<'b, 'v>, ExecutionError> {
    of_texts(&arguments, |text, pattern| {
        budget::check()?;
        let regex = RegexBuilder::new(pattern)
            .size_limit(MAX_REGEX)
            .dfa_size_limit(MAX_REGEX)
            .build()
            .map_err(|error| ExecutionError::function_error("matches", error))?;
        Ok(regex.is_match(text))
    })
}

/// Whether something is true of two texts.
fn of_texts<'b, 'v>(
    arguments: &[CowVal<'_, '_>],
    is_true: impl FnOnce(&str, &str) -> Result<bool, ExecutionError>,
) -> Result<CowVal<'b, 'v>, ExecutionError> {
    if let [first, second] = arguments
        && let Some(first) = first.downcast_ref::<CelString>()
        && let Some(second) = second.downcast_ref::<CelString>()
    {
        let result = is_true(first.inner(), second.inner())?;
        return Ok(CowVal::owned(CelBool::from(result)));
    }
    Err(ExecutionError::missing_argument_or_target())
}
