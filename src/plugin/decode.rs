//! Reads objects field by field, by the tables of [`super::fields`].
//!
//! A reader takes each field by name, as the type that the table gives it; the table has the
//! bounds. It ends with [`Fields::finish`], which reports what the table does not know. Every
//! mistake goes into the [`Report`] and reading continues, so that one run tells all of them.
//! `null` is the same as no field, as in Kubernetes.
//!
//! Pitfall: an object without `finish` would accept any field. In debug builds, `finish` checks
//! that the reader took all that the table promises.

use super::document::{Entry, Mark, Node, Value};
use super::report::Report;
use super::shape::{Choices, FieldShape, Kind, Need, Rule, Shape};
use super::units::{self, Written};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How much of a name takes part in looking for a similar one; longer ones are no typos.
const MAX_COMPARED: usize = 64;

/// A field that is there.
#[derive(Clone, Debug)]
pub(super) struct Field<'n> {
    pub(super) path: String,
    pub(super) node: &'n Node,
    kind: &'static Kind,
}

/// The fields of an object.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    path: String,
    pub(super) mark: Mark,
    entries: &'n [Entry],
    shape: &'static Shape,
    taken: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The field `name`, unless it is absent or null; reports one that must be there.
    pub(super) fn take(&mut self, name: &str, report: &mut Report) -> Option<Field<'n>> {
        let shape = self.shape.field(name);
        debug_assert!(shape.is_some(), "{name} is not in {}", self.shape.name);
        let FieldShape {
            name, kind, need, ..
        } = shape?;
        self.taken.push(name);
        let node = self.entry(name).map(|entry| &entry.node);
        if node.is_none() && matches!(need, Need::Required) {
            report.place(&self.path_of(name), self.mark, "is required");
        }
        Some(Field {
            path: self.path_of(name),
            node: node?,
            kind,
        })
    }

    /// Reports every field that the table does not know, and fields that exclude each other.
    pub(super) fn finish(self, report: &mut Report) {
        debug_assert_eq!(self.not_taken(), [""; 0], "of {}", self.shape.name);
        for entry in self.entries {
            if self.shape.field(&entry.name).is_some() {
                continue;
            }
            // Looking for the nearest name is the only costly part of a problem.
            let hint = if report.is_full() {
                String::new()
            } else {
                hint(&entry.name, &self.shape.names())
            };
            let name = shortened(&entry.name);
            let message = format!("unknown field {name:?}{hint}");
            report.place(&self.path, entry.mark, message);
        }
        for rule in self.shape.rules {
            self.check(rule, report);
        }
    }

    fn check(&self, rule: &Rule, report: &mut Report) {
        let (Rule::AtMostOne(names) | Rule::ExactlyOne(names)) = rule;
        let mut set = names.iter().filter_map(|name| self.entry(name));
        match (set.next(), rule) {
            (Some(first), _) => {
                for other in set {
                    let message = format!("excludes {}; keep one", self.path_of(&first.name));
                    report.place(&self.path_of(&other.name), other.mark, message);
                }
            }
            (None, Rule::ExactlyOne(_)) => {
                let message = format!("needs one of {}", names.join(", "));
                report.place(&self.path, self.mark, message);
            }
            (None, Rule::AtMostOne(_)) => {}
        }
    }

    /// The entry `name`, unless it is null.
    fn entry(&self, name: &str) -> Option<&'n Entry> {
        let mut entries = self.entries.iter();
        let entry = entries.find(|entry| entry.name == name)?;
        (!matches!(entry.node.value, Value::Null)).then_some(entry)
    }

    fn not_taken(&self) -> Vec<&'static str> {
        let fields = self.shape.fields.iter();
        fields
            .filter(|field| !matches!(field.kind, Kind::Ignored))
            .map(|field| field.name)
            .filter(|name| !self.taken.contains(name))
            .collect()
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }
}

impl<'n> Field<'n> {
    /// What stands at `path` and must be a `kind`; a document as a whole has no path.
    pub(super) fn new(path: &str, node: &'n Node, kind: &'static Kind) -> Self {
        Self {
            path: path.to_owned(),
            node,
            kind,
        }
    }

    /// The same, which must be a `kind`.
    pub(super) fn as_kind(&self, kind: &'static Kind) -> Self {
        Self {
            kind,
            ..self.clone()
        }
    }

    /// Reports this field's value.
    pub(super) fn refuse(&self, report: &mut Report, message: impl Into<String>) {
        report.field(&self.path, self.node, message);
    }

    fn refuse_type<T>(&self, report: &mut Report, wanted: &str) -> Option<T> {
        let kind = match self.node.value {
            Value::Float(_) if wanted == "a whole number" => "a fraction",
            _ => self.node.value.kind(),
        };
        let quote = match self.node.value {
            Value::Bool(_) | Value::Int(_) | Value::Float(_) if wanted == "a string" => {
                "; quote it"
            }
            _ => "",
        };
        self.refuse(report, format!("must be {wanted}, not {kind}{quote}"));
        None
    }

    /// The kind of the value itself.
    fn bare(&self) -> &'static Kind {
        match self.kind {
            Kind::Quoted(kind) => kind,
            kind => kind,
        }
    }

    pub(super) fn object(&self, report: &mut Report) -> Option<Fields<'n>> {
        let Kind::Object(shape) = self.bare() else {
            return self.mistaken("an object");
        };
        match &self.node.value {
            Value::Object(entries) => Some(Fields {
                path: self.path.clone(),
                mark: self.node.mark,
                entries,
                shape,
                taken: Vec::new(),
            }),
            _ => self.refuse_type(report, "an object"),
        }
    }

    pub(super) fn list(&self, report: &mut Report) -> Option<Vec<Self>> {
        let Kind::List(kind, most) = self.bare() else {
            return self.mistaken("a list");
        };
        let Value::List(items) = &self.node.value else {
            return self.refuse_type(report, "a list");
        };
        if items.len() > *most {
            self.refuse(report, format!("must have at most {most} entries"));
            return None;
        }
        let items = items.iter().enumerate();
        let items = items.map(|(i, node)| Self::new(&format!("{}[{i}]", self.path), node, kind));
        Some(items.collect())
    }

    pub(super) fn text(&self, report: &mut Report) -> Option<&'n str> {
        let Value::Text(text) = &self.node.value else {
            return self.refuse_type(report, "a string");
        };
        // A quoted value of another kind is read by that kind.
        let Kind::Text(rule) = self.kind else {
            return Some(text);
        };
        let (least, most) = (rule.length.start(), rule.length.end());
        let message = if !rule.length.contains(&text.chars().count()) {
            match (least, most) {
                (_, &usize::MAX) => "must not be empty".to_owned(),
                (0, most) => format!("must have at most {most} characters"),
                _ => format!("must have {least} to {most} characters"),
            }
        } else if let Some(form) = rule.form
            && !(form.check)(text)
        {
            format!("must be {}", form.wanted)
        } else {
            return Some(text);
        };
        if rule.is_secret {
            report.place(&self.path, self.node.mark, message);
        } else {
            self.refuse(report, message);
        }
        None
    }

    pub(super) fn boolean(&self, report: &mut Report) -> Option<bool> {
        match (&self.node.value, self.kind) {
            (Value::Bool(value), Kind::Boolean) => Some(*value),
            (Value::Text(text), Kind::Quoted(_)) if text == "true" => Some(true),
            (Value::Text(text), Kind::Quoted(_)) if text == "false" => Some(false),
            (Value::Text(_), Kind::Quoted(_)) => {
                self.refuse(report, "must be true or false");
                None
            }
            _ => self.refuse_type(report, "true or false"),
        }
    }

    /// A whole number.
    pub(super) fn int<T: TryFrom<i128>>(&self, report: &mut Report) -> Option<T> {
        let Kind::Whole(range) = self.bare() else {
            return self.mistaken("a whole number");
        };
        let Some(value) = self.whole() else {
            if matches!(
                (&self.node.value, self.kind),
                (Value::Text(_), Kind::Quoted(_))
            ) {
                self.refuse(report, "must be a whole number");
                return None;
            }
            return self.refuse_type(report, "a whole number");
        };
        self.within(value, range, "", report)
            .and_then(|value| T::try_from(value).ok())
    }

    /// The value as a whole number. Envoy's `Struct` knows floats only and may write `1e+15`.
    fn whole(&self) -> Option<i128> {
        match &self.node.value {
            Value::Int(value) => Some(*value),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a whole number below 2^53 fits"
            )]
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Some(*value as i128)
            }
            Value::Text(text) if matches!(self.kind, Kind::Quoted(_)) => {
                let digits = text.strip_prefix('-').unwrap_or(text);
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                if plain { text.parse().ok() } else { None }
            }
            _ => None,
        }
    }

    /// One of the spellings of `table`.
    pub(super) fn choice<T: Copy>(
        &self,
        table: &'static Choices<T>,
        report: &mut Report,
    ) -> Option<T> {
        let text = self.text(report)?;
        let found = table.0.iter().find(|(name, _)| *name == text);
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let names: Vec<_> = table.0.iter().map(|(name, _)| *name).collect();
        debug_assert!(
            matches!(self.bare(), Kind::Choice(spellings) if spellings.names() == names),
            "{} is read by another table than its own",
            self.path
        );
        if let [only] = names.as_slice() {
            self.refuse(report, format!("must be {only}"));
            return None;
        }
        let near = match nearest(text, &names) {
            Some(name) => format!("; did you mean {name}?"),
            None => String::new(),
        };
        self.refuse(report, format!("must be one of {}{near}", names.join(", ")));
        None
    }

    /// Names and texts, as labels are.
    pub(super) fn labels(&self, report: &mut Report) -> Option<BTreeMap<String, String>> {
        let mut labels = BTreeMap::new();
        for (entry, field) in self.entries(report)? {
            if let Some(text) = field.text(report) {
                labels.insert(entry.name.clone(), text.to_owned());
            }
        }
        Some(labels)
    }

    /// Free names, each with its field.
    pub(super) fn entries(&self, report: &mut Report) -> Option<Vec<(&'n Entry, Self)>> {
        let Kind::Map(kind, form) = self.bare() else {
            return self.mistaken("a map");
        };
        let Value::Object(entries) = &self.node.value else {
            return self.refuse_type(report, "an object");
        };
        let entries = entries.iter().map(|entry| {
            let path = format!("{}[{:?}]", self.path, shortened(&entry.name));
            if let Some(form) = form
                && !(form.check)(&entry.name)
            {
                report.place(
                    &path,
                    entry.mark,
                    format!("the name must be {}", form.wanted),
                );
            }
            (entry, Self::new(&path, &entry.node, kind))
        });
        Some(entries.collect())
    }

    pub(super) fn duration(&self, report: &mut Report) -> Option<Duration> {
        let Kind::Duration(range) = self.bare() else {
            return self.mistaken("a duration");
        };
        let read = match &self.node.value {
            Value::Int(value) => units::duration(&value.to_string()),
            Value::Text(text) => units::duration(text),
            _ => return self.refuse_type(report, "a duration such as 100ms"),
        };
        match read {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                let (least, most) = (Written(*range.start()), Written(*range.end()));
                self.refuse(report, format!("must lie in {least} to {most}"));
                None
            }
            Err(message) => {
                self.refuse(report, message);
                None
            }
        }
    }

    /// A size in bytes.
    pub(super) fn size(&self, report: &mut Report) -> Option<u64> {
        let Kind::Size(range) = self.bare() else {
            return self.mistaken("a size");
        };
        let read = match (&self.node.value, self.whole()) {
            (Value::Text(text), _) => units::size(text),
            (_, Some(value)) => units::size(&value.to_string()),
            (_, None) => return self.refuse_type(report, "a size such as 128Mi"),
        };
        match read {
            Ok(size) => self.within(size, range, " bytes", report),
            Err(message) => {
                self.refuse(report, message);
                None
            }
        }
    }

    fn within<T: PartialOrd + fmt::Display>(
        &self,
        value: T,
        range: &RangeInclusive<T>,
        unit: &str,
        report: &mut Report,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (range.start(), range.end());
        self.refuse(report, format!("must lie in {least} to {most}{unit}"));
        None
    }

    /// The reader and the table disagree.
    fn mistaken<T>(&self, wanted: &str) -> Option<T> {
        debug_assert!(wanted.is_empty(), "{} is read as {wanted}", self.path);
        None
    }
}

/// How a message about the unknown `name` ends.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!(", did you mean {near:?}?"),
        None => {
            let mut known = known.to_vec();
            known.sort_unstable();
            format!("; known here: {}", known.join(", "))
        }
    }
}

/// The name most like `name`, if one is like it.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let name = shortened(name).to_lowercase();
    let near = known.iter().map(|candidate| {
        let distance = strsim::osa_distance(&name, &candidate.to_lowercase());
        (distance, *candidate)
    });
    let (distance, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    let allowed = 1.max(candidate.chars().count().min(name.chars().count()) / 3);
    (distance <= allowed).then_some(candidate)
}

fn shortened(name: &str) -> String {
    name.chars().take(MAX_COMPARED).collect()
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typos_find_their_field() {
        let known = ["pluginConfig", "pluginName", "phase", "url"];
        for (name, near) in [
            ("pluginConifg", Some("pluginConfig")),
            ("pluginconfig", Some("pluginConfig")),
            ("phases", Some("phase")),
            ("uri", Some("url")),
            ("something", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), near, "{name}");
        }
    }
}
