//! A compiled expression.

use std::sync::{Arc, OnceLock};
use std::thread;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue};
use cel::common::types::CelInt;
use cel::{Context, Env, ExecutionError};
use thiserror::Error;

use super::node::{Names, Stream};
use super::{budget, function, value};
use crate::proxy_wasm::property::Value;

/// The longest source, in bytes. Rules that people write have a few hundred.
const MAX_SOURCE: usize = 8 << 10;

/// How deep an expression may be. Evaluation takes up to 6 KiB of the worker's stack for each
/// level, besides what the guest has taken.
const MAX_DEPTH: usize = 100;

/// The parser recurses for each operator of a chain: a source of the longest kind takes less than
/// 4 MiB of its thread's stack.
const PARSER_STACK: usize = 16 << 20;

/// Why a source cannot be compiled.
#[derive(Debug, Error)]
pub(super) enum CompileError {
    #[error("an expression of {0} bytes; {MAX_SOURCE} are allowed")]
    TooLong(usize),
    #[error("an expression of more than {MAX_DEPTH} levels")]
    TooDeep,
    #[error("syntax error: {0}")]
    Syntax(String),
    #[error("no function {0} of this kind and with so many arguments")]
    NoFunction(String),
    #[error("a message is made, of {0}; there are none")]
    Message(String),
    #[error("the parser failed")]
    Failed,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Program {
    expression: IdedExpr,
    pub(super) source_len: usize,
}

impl Program {
    pub(super) fn compile(source: &str) -> Result<Self, CompileError> {
        let source_len = source.len();
        if source_len > MAX_SOURCE {
            return Err(CompileError::TooLong(source_len));
        }
        let source = source.to_owned();
        // On a stack of its own: neither the parser's needs nor a fault of it are the worker's.
        let parser = thread::Builder::new()
            .name("wasmplugin-cel".to_owned())
            .stack_size(PARSER_STACK)
            .spawn(move || compile(&source))
            .map_err(|_| CompileError::Failed)?;
        let expression = parser.join().map_err(|_| CompileError::Failed)??;
        Ok(Self {
            expression,
            source_len,
        })
    }

    pub(super) fn evaluate(&self, stream: &Arc<Stream>) -> Result<Value<'static>, ExecutionError> {
        let _running = budget::begin();
        let names = Names(Arc::clone(stream));
        let mut context = Context::with_env(Arc::clone(environment()));
        context.set_variable_resolver(&names);
        let result = cel::Value::resolve_val(&self.expression, &context)?;
        value::from_cel(&*result)
    }
}

/// The functions that expressions have.
fn environment() -> &'static Arc<Env> {
    static ENVIRONMENT: OnceLock<Arc<Env>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = Env::stdlib().with_optional_support(false);
        // These names are not in the standard library.
        let added = function::add(&mut environment);
        debug_assert!(added.is_ok(), "{added:?}");
        Arc::new(environment)
    })
}

fn compile(source: &str) -> Result<IdedExpr, CompileError> {
    let parsed = environment().parser().parse(source);
    let mut expression = parsed.map_err(|errors| CompileError::Syntax(errors.to_string()))?;
    check(&mut expression, MAX_DEPTH)?;
    Ok(expression)
}

/// Checks the functions and the depth of an expression, and has its loops ask for what they take.
/// Says how many nodes there are.
fn check(expression: &mut IdedExpr, depth: usize) -> Result<i64, CompileError> {
    let depth = depth.checked_sub(1).ok_or(CompileError::TooDeep)?;
    let mut nodes = 1;
    match &mut expression.expr {
        Expr::Call(call) => {
            if !function::exists(&call.func_name, call.target.is_some(), call.args.len()) {
                return Err(CompileError::NoFunction(call.func_name.clone()));
            }
            for part in call.target.as_deref_mut().into_iter().chain(&mut call.args) {
                nodes += check(part, depth)?;
            }
        }
        Expr::Comprehension(each) => {
            let mut body = 0;
            for part in [&mut each.loop_cond, &mut each.loop_step] {
                body += check(part, depth)?;
            }
            for part in [&mut each.accu_init, &mut each.iter_range, &mut each.result] {
                nodes += check(part, depth)?;
            }
            nodes += body;
            let range = std::mem::take(&mut each.iter_range);
            each.iter_range = call(function::RANGE, vec![range, integer(body)]);
        }
        Expr::Select(select) => nodes += check(&mut select.operand, depth)?,
        Expr::List(list) => {
            for element in &mut list.elements {
                nodes += check(element, depth)?;
            }
        }
        Expr::Map(map) => {
            for entry in &mut map.entries {
                if let EntryExpr::MapEntry(entry) = &mut entry.expr {
                    nodes += check(&mut entry.key, depth)? + check(&mut entry.value, depth)?;
                }
            }
        }
        Expr::Struct(message) => return Err(CompileError::Message(message.type_name.clone())),
        Expr::Ident(_) | Expr::Literal(_) => {}
        Expr::Unspecified => return Err(CompileError::Failed),
    }
    Ok(nodes)
}

fn call(name: &str, args: Vec<IdedExpr>) -> IdedExpr {
    IdedExpr {
        expr: Expr::Call(CallExpr {
            func_name: name.to_owned(),
            target: None,
            args,
        }),
        ..IdedExpr::default()
    }
}

fn integer(number: i64) -> IdedExpr {
    IdedExpr {
        expr: Expr::Literal(LiteralValue::Int(CelInt::from(number))),
        ..IdedExpr::default()
    }
}
