//! What a table of fields is made of: names, types with their bounds, defaults, and words.
//!
//! [`super::fields`] holds the tables. Decoding reads by them, and so do the JSON Schema, the page
//! of fields and `validate --portable`: what a field is called, takes and means stands once.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// An object with known fields.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    /// What it is, in one sentence.
    pub(super) doc: &'static str,
    pub(super) fields: &'static [FieldShape],
    pub(super) rules: &'static [Rule],
}

/// A field of an object.
#[derive(Debug)]
pub(super) struct FieldShape {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) need: Need,
    /// What it means, in a sentence or two, Markdown.
    pub(super) doc: &'static str,
    /// What is different in Istio wherever the field is written; empty if nothing is.
    pub(super) istio: &'static str,
}

/// Whether a field must be there, and what holds if it is not.
#[derive(Debug)]
pub(super) enum Need {
    Required,
    Optional,
    Default(Preset),
}

/// What holds where nothing is written. Shown as it would be written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preset {
    Text(&'static str),
    Duration(Duration),
    Size(u64),
    Number(u64),
    Boolean(bool),
    /// Nothing that could be written.
    Words(&'static str),
}

/// What several fields of an object have to do with each other.
#[derive(Debug)]
pub(super) enum Rule {
    AtMostOne(&'static [&'static str]),
    ExactlyOne(&'static [&'static str]),
}

/// What a value must be.
#[derive(Debug)]
pub(super) enum Kind {
    Text(Text),
    Choice(&'static dyn Spellings),
    Boolean,
    Whole(RangeInclusive<i128>),
    Duration(RangeInclusive<Duration>),
    Size(RangeInclusive<u64>),
    Object(&'static Shape),
    /// Values, and the most of them.
    List(&'static Kind, usize),
    /// An object with free names: what each of them holds, and what it must look like.
    Map(&'static Kind, Option<&'static Form>),
    /// An object that somebody else reads.
    Free,
    /// What nobody looks at.
    Ignored,
    /// A resource of either kind.
    Resource,
    /// A string that holds a value of another kind.
    Quoted(&'static Kind),
}

/// A string.
#[derive(Debug)]
pub(super) struct Text {
    /// The number of characters.
    pub(super) length: RangeInclusive<usize>,
    pub(super) form: Option<&'static Form>,
    /// Messages do not show it.
    pub(super) is_secret: bool,
}

/// What a string must look like.
#[derive(Debug)]
pub(super) struct Form {
    /// For editors: a regular expression that takes at least what `check` takes.
    pub(super) pattern: &'static str,
    pub(super) check: fn(&str) -> bool,
    /// How messages put it, after "must be".
    pub(super) wanted: &'static str,
}

/// The longest that a string without a bound of its own can be: any.
pub(super) const ANY_LENGTH: RangeInclusive<usize> = 0..=usize::MAX;

/// Any string.
pub(super) const TEXT: Kind = text(ANY_LENGTH);

/// A string of a length.
pub(super) const fn text(length: RangeInclusive<usize>) -> Kind {
    Kind::Text(Text {
        length,
        form: None,
        is_secret: false,
    })
}

/// A string of a form.
pub(super) const fn formed(form: &'static Form) -> Kind {
    Kind::Text(Text {
        length: ANY_LENGTH,
        form: Some(form),
        is_secret: false,
    })
}

/// A field that may be left out.
pub(super) const fn field(name: &'static str, kind: Kind, doc: &'static str) -> FieldShape {
    FieldShape {
        name,
        kind,
        need: Need::Optional,
        doc,
        istio: "",
    }
}

/// A field that Kubernetes' servers write and nobody reads here.
pub(super) const fn ignored(name: &'static str) -> FieldShape {
    field(name, Kind::Ignored, "Written by Kubernetes; not looked at.")
}

impl FieldShape {
    pub(super) const fn required(self) -> Self {
        Self {
            need: Need::Required,
            ..self
        }
    }

    pub(super) const fn or(self, preset: Preset) -> Self {
        Self {
            need: Need::Default(preset),
            ..self
        }
    }

    pub(super) const fn in_istio(self, istio: &'static str) -> Self {
        Self { istio, ..self }
    }
}

impl Shape {
    /// The field `name`.
    pub(super) fn field(&self, name: &str) -> Option<&'static FieldShape> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all fields.
    pub(super) fn names(&self) -> Vec<&'static str> {
        self.fields.iter().map(|field| field.name).collect()
    }
}

/// Spellings of a choice, without what they mean.
pub(super) trait Spellings: Sync + fmt::Debug {
    fn names(&self) -> Vec<&'static str>;
}

/// Spellings and what they mean.
#[derive(Debug)]
pub(super) struct Choices<T: 'static>(pub(super) &'static [(&'static str, T)]);

impl<T: Sync + fmt::Debug> Spellings for Choices<T> {
    fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) | Self::Words(text) => f.write_str(text),
            Self::Duration(duration) => super::units::Written(*duration).fmt(f),
            Self::Size(size) => super::units::write_size(*size, f),
            Self::Number(number) => write!(f, "{number}"),
            Self::Boolean(value) => write!(f, "{value}"),
        }
    }
}
