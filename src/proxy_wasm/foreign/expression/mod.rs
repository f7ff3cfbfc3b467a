//! `expr_create`, `expr_evaluate`, `expr_delete`: CEL over the properties of the stream.
//!
//! The language is the crate `cel`'s, cut to what Envoy's has: the functions of its standard
//! library, no optional values, no messages. Names are properties, read when an evaluation comes by
//! them. Deadlines do not interrupt the host, so sources, depths, loops and times are bounded here.

mod budget;
mod function;
mod node;
mod program;
mod value;

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::Outcome;
use crate::proxy_wasm::memory::Guest;
use crate::proxy_wasm::status::Status;
use crate::telemetry::Level;
use node::Stream;
use program::{CompileError, Program};

/// Expressions that an instance may have at a time. They are created while a plugin is configured,
/// a few for each rule it has; a plugin with more leaks them.
const MAX_EXPRESSIONS: usize = 1024;

/// Bytes of their sources, all together: a compiled expression takes up to a hundred times as many.
const MAX_SOURCES: usize = 256 << 10;

/// The expressions of an instance, by their tokens. They belong to the root context, whichever
/// context creates them.
#[derive(Debug, Default)]
pub(super) struct Expressions {
    programs: HashMap<u32, Arc<Program>>,
    next: u32,
    /// Bytes of all sources.
    sources: usize,
}

impl Expressions {
    fn next_token(&mut self) -> u32 {
        while self.programs.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let token = self.next;
        self.next = self.next.wrapping_add(1);
        token
    }

    fn add(&mut self, program: Program) -> u32 {
        let token = self.next_token();
        self.sources += program.source_len;
        self.programs.insert(token, Arc::new(program));
        token
    }

    fn remove(&mut self, token: u32) {
        if let Some(program) = self.programs.remove(&token) {
            self.sources -= program.source_len;
        }
    }
}

/// Takes a source, gives a token.
pub(super) fn create(guest: &mut Guest<'_>, source: &[u8]) -> Outcome {
    let Ok(source) = std::str::from_utf8(source) else {
        return Status::BadArgument.into();
    };
    let state = guest.data_mut();
    let expressions = &mut state.foreign.expressions;
    let is_full = expressions.programs.len() >= MAX_EXPRESSIONS
        || expressions.sources.saturating_add(source.len()) > MAX_SOURCES;
    if is_full {
        return Status::InternalFailure.into();
    }
    match Program::compile(source) {
        Ok(program) => Outcome::ok(expressions.add(program).to_le_bytes().to_vec()),
        Err(error) => {
            // Envoy takes a token once the syntax is good.
            if !matches!(error, CompileError::Syntax(_)) {
                expressions.next_token();
            }
            let plugin = &state.plugin;
            if plugin.log.enabled(Level::Info) {
                let line = format!("plugin {}: expr_create: {error}", plugin.name);
                plugin
                    .log
                    .write(Level::Info, line.replace('\n', " ").as_bytes());
            }
            Status::BadArgument.into()
        }
    }
}

/// Takes a token, gives a value.
pub(super) fn evaluate(guest: &mut Guest<'_>, token: &[u8]) -> Outcome {
    let Ok(token) = token.try_into() else {
        return Status::BadArgument.into();
    };
    let state = guest.data_mut();
    let found = state
        .foreign
        .expressions
        .programs
        .get(&u32::from_le_bytes(token));
    let Some(program) = found.map(Arc::clone) else {
        return Status::NotFound.into();
    };
    // Of the running callback, whatever context is the effective one.
    let is_here = state.lent == state.current;
    let exchange = if is_here { state.exchange.take() } else { None };
    let stream = Arc::new(Stream::new(Arc::clone(&state.plugin), exchange));
    // A fault of the evaluator's would otherwise cost the stream.
    let evaluated = catch_unwind(AssertUnwindSafe(|| program.evaluate(&stream)));
    if is_here {
        state.exchange = stream.take();
    }
    let value = match evaluated {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            let plugin = &state.plugin;
            if plugin.log.enabled(Level::Debug) {
                let line = format!("plugin {}: expr_evaluate: {error}", plugin.name);
                plugin
                    .log
                    .write(Level::Debug, line.replace('\n', " ").as_bytes());
            }
            return Status::InternalFailure.into();
        }
        Err(_) => return Status::InternalFailure.into(),
    };
    match value.wire_form() {
        Ok(bytes) => Outcome::ok(bytes),
        Err(_) => Status::SerializationFailure.into(),
    }
}

/// Takes a token, which need not exist.
pub(super) fn delete(guest: &mut Guest<'_>, token: &[u8]) -> Outcome {
    let Ok(token) = token.try_into() else {
        return Status::BadArgument.into();
    };
    let expressions = &mut guest.data_mut().foreign.expressions;
    expressions.remove(u32::from_le_bytes(token));
    Status::Ok.into()
}

#[cfg(test)]
mod tests;
