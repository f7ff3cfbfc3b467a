//! Measures a text before it is read, so that a hostile one costs neither stack nor memory.
//!
//! The YAML parser recurses, copies the whole subtree of an anchor at each alias, and stops at a
//! NUL as if the text ended there. [`characters`] bounds what a glance at the characters can
//! bound; [`aliases`] loads the text once into a tree that shares instead of copying and counts
//! what the copies would take.

use saphyr::{AnnotatedMapping, LoadableYamlNode, Scalar, ScanError, Tag, Yaml};
use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

/// The largest text, in bytes. etcd refuses objects beyond 1.5 MiB, so this fits any resource
/// that a cluster would take, and some hundreds of ordinary ones.
pub(super) const MAX_BYTES: usize = 4 << 20;

/// The deepest nesting. Kubernetes' own types stay below 20; plugin configurations have to be
/// walked by recursion in guests, too.
pub(super) const MAX_DEPTH: usize = 64;

/// The widest indentation: 2 columns, as is usual, for each of [`MAX_DEPTH`] levels. The parser
/// recurses before it lets us count; blocks begin at most two levels a column, and it bounds
/// brackets by 255 itself, so it goes at most 511 levels deep: 0.6 MiB of stack in a release.
pub(super) const MAX_INDENT: usize = 2 * MAX_DEPTH;

/// The most commas, brackets, line breaks and the like. Each can begin a node, which costs the
/// parser and us some 600 bytes together, so reading stays below 200 MiB at the worst; large real
/// configurations have some ten thousand.
pub(super) const MAX_MARKS: usize = 1 << 18;

/// The most bytes that scalars may take once aliases are resolved: what fits without aliases.
pub(super) const MAX_EXPANDED_BYTES: usize = MAX_BYTES;

/// What a text must be for the parser to see it; line and column of what it must not be.
pub(super) fn characters(text: &str) -> Result<(), (Option<(u32, u32)>, String)> {
    if text.len() > MAX_BYTES {
        let message = format!("{} bytes long, at most {MAX_BYTES} are read", text.len());
        return Err((None, message));
    }
    let (mut line, mut column) = (1_u32, 0_u32);
    let (mut leading, mut indent, mut marks) = (true, 0, 0);
    let mut previous = '\n';
    for c in text.chars() {
        column += 1;
        let place = Some((line, column));
        if c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}') && c != '\u{7f}' {
            return Err((place, format!("control character U+{:04X}", u32::from(c))));
        }
        if matches!(c, '\n' | '\r') {
            (leading, indent) = (true, 0);
        } else if leading {
            leading = matches!(c, ' ' | '\t' | '-' | '?' | ':' | '\u{feff}');
            indent += 1;
            if leading && indent > MAX_INDENT {
                let message = format!("indented by more than {MAX_INDENT} columns");
                return Err((place, message));
            }
        }
        let begins = matches!(c, ',' | '[' | '{' | '\n' | '\r')
            || (c == ' ' && matches!(previous, '-' | '?' | ':'))
            || (c == ':' && matches!(previous, '"' | '\''));
        marks += usize::from(begins);
        if marks > MAX_MARKS {
            let message = format!("more than {MAX_MARKS} list items, fields and lines");
            return Err((place, message));
        }
        if c == '\n' {
            line += 1;
            column = 0;
        }
        previous = c;
    }
    Ok(())
}

/// JSON writes characters beyond U+FFFF as two escapes, which YAML does not know.
pub(super) fn join_surrogates(text: &str) -> Cow<'_, str> {
    let has_escape = text.contains("\\ud") || text.contains("\\uD");
    // Only where the whole text is JSON: elsewhere a backslash may be just that.
    if !has_escape || serde_json::from_str::<serde_json::Value>(text).is_err() {
        return Cow::Borrowed(text);
    }
    let mut joined = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, from)) = rest.find('\\').and_then(|at| rest.split_at_checked(at)) {
        joined.push_str(before);
        let pair = surrogates(from);
        let length = match pair {
            Some(c) => {
                joined.push_str(&format!("\\U{:08X}", u32::from(c)));
                12
            }
            None => {
                let length = from.chars().take(2).map(char::len_utf8).sum();
                joined.push_str(from.get(..length).unwrap_or_default());
                length
            }
        };
        rest = from.get(length..).unwrap_or_default();
    }
    joined.push_str(rest);
    Cow::Owned(joined)
}

/// The character that two escapes at the start of `text` stand for.
fn surrogates(text: &str) -> Option<char> {
    let unit = |from: usize| {
        let escape = text.get(from..from + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(escape, 16).ok()
    };
    let units = [unit(0)?, unit(6)?];
    if !(0xd800..0xdc00).contains(&units[0]) {
        return None;
    }
    char::decode_utf16(units).next()?.ok()
}

/// Whether the tree of `text` stays within the bounds once its aliases are resolved.
///
/// Call [`characters`] first. A text that the parser refuses is an error of the parser.
pub(super) fn aliases(text: &str) -> Result<Result<(), String>, ScanError> {
    let mut bytes = 0_usize;
    for document in Shared::load_from_str(text)? {
        if let Err(message) = document.weigh(0, &mut bytes) {
            return Ok(Err(message));
        }
    }
    Ok(Ok(()))
}

type Fields = AnnotatedMapping<'static, Shared>;

/// A node that is cheap to clone, without its place. Keys never compare equal: what is compared
/// would be walked, and duplicates are found later.
#[derive(Clone)]
struct Shared(Rc<Content>);

#[derive(Clone)]
struct Content {
    kind: Kind,
    /// Bytes of a scalar's text.
    bytes: usize,
    // The parser asks for these by `&mut` whatever the kind is; both stay empty in scalars.
    list: Vec<Shared>,
    object: Fields,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Nothing,
    Scalar,
    List,
    Object,
}

impl Shared {
    fn new(kind: Kind, bytes: usize) -> Self {
        Self(Rc::new(Content {
            kind,
            bytes,
            list: Vec::new(),
            object: Fields::new(),
        }))
    }

    fn weigh(&self, depth: usize, bytes: &mut usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        *bytes = bytes.saturating_add(self.0.bytes);
        if *bytes > MAX_EXPANDED_BYTES {
            return Err(format!(
                "longer than {MAX_EXPANDED_BYTES} bytes with its aliases resolved"
            ));
        }
        let fields = self.0.object.iter().flat_map(|(key, value)| [key, value]);
        for child in self.0.list.iter().chain(fields) {
            child.weigh(depth + 1, bytes)?;
        }
        Ok(())
    }
}

impl PartialEq for Shared {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Shared {}

impl Hash for Shared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::hash(Rc::as_ptr(&self.0), state);
    }
}

impl<'input> LoadableYamlNode<'input> for Shared {
    type HashKey = Self;

    fn from_bare_yaml(yaml: Yaml<'input>) -> Self {
        match yaml {
            Yaml::Value(Scalar::String(text)) => Self::new(Kind::Scalar, text.len()),
            Yaml::Sequence(_) => Self::new(Kind::List, 0),
            Yaml::Mapping(_) => Self::new(Kind::Object, 0),
            Yaml::BadValue => Self::new(Kind::Nothing, 0),
            _ => Self::new(Kind::Scalar, 0),
        }
    }

    fn is_sequence(&self) -> bool {
        self.0.kind == Kind::List
    }

    fn is_mapping(&self) -> bool {
        self.0.kind == Kind::Object
    }

    fn is_badvalue(&self) -> bool {
        self.0.kind == Kind::Nothing
    }

    fn sequence_mut(&mut self) -> &mut Vec<Self> {
        &mut Rc::make_mut(&mut self.0).list
    }

    fn mapping_mut(&mut self) -> &mut Fields {
        &mut Rc::make_mut(&mut self.0).object
    }

    fn into_tagged(self, _: Cow<'input, Tag>) -> Self {
        self
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(Kind::Nothing, 0))
    }
}
