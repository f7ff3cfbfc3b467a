//! The language of programs.
//!
//! A program has a section for each callback that is to do something, and a section has
//! statements, one a line or separated by `;`:
//!
//! ```text
//! # A comment.
//! request_headers: get 0 "x-name"; set name $out
//!   if $status == 0 { add 0 "x-seen" $name }
//!   ret 1
//! request_headers#2: reply 403 "" "no"
//! mute: request_body
//! ```
//!
//! `section#n` is for the n-th such callback of a context, in place of the plain section.
//! `mute` names callbacks that are not told.
//!
//! | statement | does |
//! |---|---|
//! | `FUNCTION ARGUMENT...` | calls a host function and tells it with its status and results |
//! | `quiet FUNCTION ...`, `shape FUNCTION ...` | tells nothing, or only of which form results are |
//! | `say ARGUMENT...` | tells values |
//! | `set NAME VALUE`, `inc NAME` | a variable of the plugin |
//! | `if VALUE [== != < > VALUE] { ... } [else { ... }]`, `loop N { ... }` | |
//! | `ret VALUE` | leaves the callback |
//! | `trap`, `forever`, `recurse`, `grow PAGES` | what guests should not do |
//! | `alloc good`, `zero`, `wild`, `trap`, `log`, `call` | what the allocator does from now on |
//!
//! Values: numbers (`7`, `-1`, `0xff`), `"text"` with `\n \r \t \0 \\ \" \xHH`, `p"a.b"` with dots as
//! NUL, `"x"*1000`, `{name=value, "name"="value"}` as pairs, `["a" $b 3]` as parts, `le32:7`,
//! `le64:7` as bytes, `int:$x` as the number that such bytes are, `@7,4` as a pointer and a length as they are, `$name` as a variable. Each
//! callback has `$0`, `$1`, ... (its parameters), `$nth` (which such callback of the context),
//! `$stream` (which stream of the plugin), `$status` and `$out` (of the last call; `$out2` is the
//! second result). `out=7` as an argument puts 7 where pointers to results go.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::imports::{self, Import};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(i64),
    Bytes(Vec<u8>),
    Raw(u32, u32),
    Parts(Vec<Value>),
}

pub enum Term {
    Value(Value),
    Variable(String),
    Parts(Vec<Term>),
    Little(usize, Box<Term>),
    Number(Box<Term>),
}

#[derive(Clone, Copy, PartialEq)]
pub enum Told {
    All,
    Shape,
    Nothing,
}

pub enum Statement {
    Call {
        import: &'static Import,
        text: String,
        told: Told,
        arguments: Vec<Term>,
        out: Option<Term>,
    },
    Say(Vec<Term>),
    Set(String, Term),
    Increment(String),
    If(Condition, Block, Block),
    Loop(Term, Block),
    Return(Term),
    Trap,
    Forever,
    Recurse,
    Grow(Term),
    Allocator(u32),
}

pub struct Condition {
    pub left: Term,
    pub right: Option<(u8, Term)>,
}

pub type Block = Rc<Vec<Statement>>;

#[derive(Default)]
pub struct Program {
    pub sections: BTreeMap<(String, u32), Block>,
    pub mute: BTreeSet<String>,
}

/// What [`Statement::Allocator`] can ask for.
pub const ALLOCATORS: [&str; 6] = ["good", "zero", "wild", "trap", "log", "call"];

/// Variables that each callback has.
const RESERVED: [&str; 5] = ["nth", "stream", "status", "out", "out2"];

impl Program {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut program = Self::default();
        let mut rest = Reader { text, at: 0 };
        loop {
            rest.skip_blank();
            if rest.is_at_end() {
                return Ok(program);
            }
            let name = rest.word();
            let mut nth = 0;
            if rest.take("#") {
                nth = rest.word().parse().map_err(|_| rest.error("a number"))?;
            }
            if name.is_empty() || !rest.take(":") {
                return Err(rest.error("a section"));
            }
            if name == "mute" {
                loop {
                    rest.skip_space();
                    let word = rest.word();
                    if word.is_empty() {
                        break;
                    }
                    program.mute.insert(word);
                }
            } else {
                let block = rest.block()?;
                program.sections.insert((name, nth), block);
            }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn is_at_end(&self) -> bool {
        self.rest().is_empty()
    }

    fn peek(&self) -> u8 {
        self.rest().bytes().next().unwrap_or(0)
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        if found {
            self.at += word.len();
        }
        found
    }

    fn take_while(&mut self, good: impl Fn(char) -> bool) -> String {
        let end = self.rest().find(|c| !good(c)).unwrap_or(self.rest().len());
        let found = self.rest()[..end].to_owned();
        self.at += end;
        found
    }

    fn word(&mut self) -> String {
        self.take_while(|c| c.is_ascii_alphanumeric() || "_.-/".contains(c))
    }

    fn skip_space(&mut self) {
        self.take_while(|c| c == ' ' || c == '\t');
    }

    /// Also over ends of lines, of statements, and comments.
    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| c.is_whitespace() || c == ';');
            if self.peek() != b'#' {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn error(&self, wanted: &str) -> String {
        let line = self.text[..self.at].matches('\n').count() + 1;
        let rest: String = self.rest().chars().take(30).collect();
        format!("line {line}: expected {wanted} at {rest:?}")
    }

    /// Whether `name:` or `name#2:` begins a line here.
    fn is_at_section(&self) -> bool {
        let starts = self.at == 0 || self.text.as_bytes()[self.at - 1] == b'\n';
        let name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '#';
        starts
            && self
                .rest()
                .find(|c| !name(c))
                .is_some_and(|end| end > 0 && self.rest()[end..].starts_with(':'))
    }

    /// Statements up to `}`, the next section or the end.
    fn block(&mut self) -> Result<Block, String> {
        let mut statements = Vec::new();
        loop {
            self.skip_blank();
            if self.is_at_end() || self.peek() == b'}' || self.is_at_section() {
                return Ok(Rc::new(statements));
            }
            statements.push(self.statement()?);
        }
    }

    fn braces(&mut self) -> Result<Block, String> {
        self.skip_space();
        if !self.take("{") {
            return Err(self.error("{"));
        }
        let block = self.block()?;
        if !self.take("}") {
            return Err(self.error("}"));
        }
        Ok(block)
    }

    fn statement(&mut self) -> Result<Statement, String> {
        let start = self.at;
        let mut word = self.word();
        let statement = match word.as_str() {
            "say" => Statement::Say(self.terms()?),
            "set" => {
                self.skip_space();
                let name = self.word();
                if RESERVED.contains(&name.as_str()) {
                    return Err(self.error(&format!("a name other than {name}")));
                }
                Statement::Set(name, self.term()?)
            }
            "inc" => {
                self.skip_space();
                Statement::Increment(self.word())
            }
            "if" => {
                let left = self.term()?;
                self.skip_space();
                let mut right = None;
                for operator in ["==", "!=", "<", ">"] {
                    if self.take(operator) {
                        right = Some((operator.as_bytes()[0], self.term()?));
                        break;
                    }
                }
                let then = self.braces()?;
                let before = self.at;
                self.skip_space();
                let otherwise = if self.take("else") {
                    self.braces()?
                } else {
                    self.at = before;
                    Block::default()
                };
                Statement::If(Condition { left, right }, then, otherwise)
            }
            "loop" => {
                let count = self.term()?;
                Statement::Loop(count, self.braces()?)
            }
            "ret" => Statement::Return(self.term()?),
            "trap" => Statement::Trap,
            "forever" => Statement::Forever,
            "recurse" => Statement::Recurse,
            "grow" => Statement::Grow(self.term()?),
            "alloc" => {
                self.skip_space();
                let name = self.word();
                let number = ALLOCATORS.iter().position(|known| *known == name);
                Statement::Allocator(number.ok_or_else(|| self.error("an allocator"))? as u32)
            }
            _ => {
                let told = match word.as_str() {
                    "quiet" => Told::Nothing,
                    "shape" => Told::Shape,
                    _ => Told::All,
                };
                if told != Told::All {
                    self.skip_space();
                    word = self.word();
                }
                let Some(import) = imports::find(&word) else {
                    return Err(self.error(&format!("a statement, not {word}")));
                };
                let mut arguments = Vec::new();
                let mut out = None;
                loop {
                    self.skip_space();
                    if self.take("out=") {
                        out = Some(self.term()?);
                    } else if self.is_at_end_of_statement() {
                        break;
                    } else {
                        arguments.push(self.term()?);
                    }
                }
                Statement::Call {
                    import,
                    text: self.text[start..self.at].trim_end().to_owned(),
                    told,
                    arguments,
                    out,
                }
            }
        };
        self.skip_space();
        if self.is_at_end_of_statement() {
            Ok(statement)
        } else {
            Err(self.error("the end of the statement"))
        }
    }

    fn is_at_end_of_statement(&self) -> bool {
        self.is_at_end() || b";\n}#".contains(&self.peek())
    }

    fn terms(&mut self) -> Result<Vec<Term>, String> {
        let mut terms = Vec::new();
        loop {
            self.skip_space();
            if self.is_at_end_of_statement() {
                return Ok(terms);
            }
            terms.push(self.term()?);
        }
    }

    fn term(&mut self) -> Result<Term, String> {
        self.skip_space();
        let value = match self.peek() {
            b'$' => {
                self.at += 1;
                return Ok(Term::Variable(self.word()));
            }
            b'[' => {
                self.at += 1;
                let mut parts = Vec::new();
                loop {
                    self.take_while(char::is_whitespace);
                    if self.take("]") {
                        return Ok(Term::Parts(parts));
                    }
                    parts.push(self.term()?);
                }
            }
            b'{' => {
                self.at += 1;
                Value::Bytes(self.pairs()?)
            }
            b'@' => {
                self.at += 1;
                let start = self.number()?;
                let len = if self.take(",") { self.number()? } else { 0 };
                Value::Raw(start as u32, len as u32)
            }
            b'"' => self.repeated()?,
            b'p' if self.rest().starts_with("p\"") => {
                self.at += 1;
                let mut bytes = self.quoted()?;
                bytes
                    .iter_mut()
                    .filter(|byte| **byte == b'.')
                    .for_each(|byte| *byte = 0);
                Value::Bytes(bytes)
            }
            b'l' if self.take("le32:") => return Ok(Term::Little(4, Box::new(self.term()?))),
            b'i' if self.take("int:") => return Ok(Term::Number(Box::new(self.term()?))),
            b'l' if self.take("le64:") => return Ok(Term::Little(8, Box::new(self.term()?))),
            _ => Value::Number(self.number()?),
        };
        Ok(Term::Value(value))
    }

    fn number(&mut self) -> Result<i64, String> {
        let minus = self.take("-");
        let number = if self.take("0x") {
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            u64::from_str_radix(&digits, 16).ok()
        } else {
            self.take_while(|c| c.is_ascii_digit()).parse::<u64>().ok()
        };
        let number = number.ok_or_else(|| self.error("a value"))? as i64;
        Ok(if minus { number.wrapping_neg() } else { number })
    }

    fn repeated(&mut self) -> Result<Value, String> {
        let bytes = self.quoted()?;
        if self.take("*") {
            let count = self.number()?;
            Ok(Value::Bytes(bytes.repeat(count as usize)))
        } else {
            Ok(Value::Bytes(bytes))
        }
    }

    fn quoted(&mut self) -> Result<Vec<u8>, String> {
        if !self.take("\"") {
            return Err(self.error("a text"));
        }
        let mut found = Vec::new();
        loop {
            let byte = self.peek();
            if self.is_at_end() || byte == b'\n' {
                return Err(self.error("\""));
            }
            self.at += 1;
            match byte {
                b'"' => return Ok(found),
                b'\\' => {
                    let escape = self.peek();
                    self.at += 1;
                    match escape {
                        b'n' => found.push(b'\n'),
                        b'r' => found.push(b'\r'),
                        b't' => found.push(b'\t'),
                        b'0' => found.push(0),
                        b'x' => {
                            let digits = self.rest().get(..2);
                            let byte = digits.and_then(|d| u8::from_str_radix(d, 16).ok());
                            found.push(byte.ok_or_else(|| self.error("two digits"))?);
                            self.at += 2;
                        }
                        other => found.push(other),
                    }
                }
                _ => found.push(byte),
            }
        }
    }

    fn bare_or_quoted(&mut self) -> Result<Vec<u8>, String> {
        if self.peek() == b'"' {
            match self.repeated()? {
                Value::Bytes(bytes) => Ok(bytes),
                _ => Ok(Vec::new()),
            }
        } else {
            Ok(self
                .take_while(|c| !c.is_whitespace() && !"=,}\"".contains(c))
                .into_bytes())
        }
    }

    /// `name=value, ...}` in the encoding of the ABI.
    fn pairs(&mut self) -> Result<Vec<u8>, String> {
        let mut pairs = Vec::new();
        loop {
            self.take_while(|c| c.is_whitespace() || c == ',');
            if self.take("}") {
                return Ok(encode(&pairs));
            }
            let name = self.bare_or_quoted()?;
            if !self.take("=") {
                return Err(self.error("="));
            }
            pairs.push((name, self.bare_or_quoted()?));
        }
    }
}

/// Pairs as they pass between guest and host.
fn encode(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
    for (name, value) in pairs {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(text);
        bytes.push(0);
    }
    bytes
}

/// The same, backwards; `None` where it is not that.
pub fn decode(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let number = |at: usize| -> Option<usize> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
    };
    let count = number(0)?;
    let mut at = 4 + count.checked_mul(8)?;
    let mut pairs = Vec::new();
    for index in 0..count {
        let mut text = |len: usize| -> Option<&[u8]> {
            let text = bytes.get(at..at.checked_add(len)?)?;
            (bytes.get(at + len) == Some(&0)).then_some(())?;
            at += len + 1;
            Some(text)
        };
        let name = text(number(4 + index * 8)?)?;
        let value = text(number(8 + index * 8)?)?;
        pairs.push((name, value));
    }
    (at == bytes.len()).then_some(pairs)
}
