//! Reads objects field by field, with the type each field must have.
//!
//! A reader takes the fields it knows by name and ends with [`Fields::finish`], which reports what
//! nobody took. Every mistake goes into the [`Report`] and reading continues, so that one run
//! tells all of them. `null` is the same as no field, as in Kubernetes.
//!
//! Pitfall: an object without `finish` would accept any field.

use super::document::{Entry, Mark, Node, Value};
use super::report::Report;
use super::units;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How much of a name takes part in looking for a similar one; longer ones are no typos.
const MAX_COMPARED: usize = 64;

/// A field that is there.
#[derive(Clone, Debug)]
pub(super) struct Field<'n> {
    pub(super) path: String,
    pub(super) node: &'n Node,
}

/// The fields of an object.
#[derive(Debug)]
pub(super) struct Fields<'n> {
    path: String,
    pub(super) mark: Mark,
    entries: &'n [Entry],
    known: Vec<&'static str>,
}

impl<'n> Fields<'n> {
    /// The field `name`, unless it is absent or null.
    pub(super) fn take(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.known.push(name);
        let entry = self.entries.iter().find(|entry| entry.name == name)?;
        let field = Field {
            path: self.path_of(name),
            node: &entry.node,
        };
        (!matches!(entry.node.value, Value::Null)).then_some(field)
    }

    /// As [`Self::take`]; reports an absent field.
    pub(super) fn require(&mut self, name: &'static str, report: &mut Report) -> Option<Field<'n>> {
        let field = self.take(name);
        if field.is_none() {
            report.place(&self.path_of(name), self.mark, "is required");
        }
        field
    }

    /// Fields that mean nothing here, whatever they hold.
    pub(super) fn ignore(&mut self, names: &[&'static str]) {
        self.known.extend(names);
    }

    /// Reports every field that was not asked for.
    pub(super) fn finish(self, report: &mut Report) {
        for entry in self.entries {
            if !self.known.contains(&entry.name.as_str()) {
                // Looking for the nearest name is the only costly part of a problem.
                let hint = if report.is_full() {
                    String::new()
                } else {
                    hint(&entry.name, &self.known)
                };
                let name = shortened(&entry.name);
                report.place(
                    &self.path,
                    entry.mark,
                    format!("unknown field {name:?}{hint}"),
                );
            }
        }
    }

    /// Every entry as a field, for objects whose names are free.
    fn each(self) -> impl Iterator<Item = (&'n Entry, Field<'n>)> {
        self.entries.iter().map(move |entry| {
            let field = Field {
                path: format!("{}[{:?}]", self.path, shortened(&entry.name)),
                node: &entry.node,
            };
            (entry, field)
        })
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
    /// A document as a whole.
    pub(super) fn root(node: &'n Node) -> Self {
        Self {
            path: String::new(),
            node,
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

    pub(super) fn object(&self, report: &mut Report) -> Option<Fields<'n>> {
        match &self.node.value {
            Value::Object(entries) => Some(Fields {
                path: self.path.clone(),
                mark: self.node.mark,
                entries,
                known: Vec::new(),
            }),
            _ => self.refuse_type(report, "an object"),
        }
    }

    pub(super) fn list(&self, report: &mut Report) -> Option<Vec<Field<'n>>> {
        match &self.node.value {
            Value::List(items) => {
                let items = items.iter().enumerate().map(|(i, node)| Field {
                    path: format!("{}[{i}]", self.path),
                    node,
                });
                Some(items.collect())
            }
            _ => self.refuse_type(report, "a list"),
        }
    }

    pub(super) fn text(&self, report: &mut Report) -> Option<&'n str> {
        match &self.node.value {
            Value::Text(text) => Some(text),
            _ => self.refuse_type(report, "a string"),
        }
    }

    pub(super) fn boolean(&self, report: &mut Report) -> Option<bool> {
        match self.node.value {
            Value::Bool(value) => Some(value),
            _ => self.refuse_type(report, "true or false"),
        }
    }

    /// A text whose number of characters lies in `range`.
    pub(super) fn bounded_text(
        &self,
        range: RangeInclusive<usize>,
        report: &mut Report,
    ) -> Option<&'n str> {
        let text = self.text(report)?;
        if range.contains(&text.chars().count()) {
            return Some(text);
        }
        let (least, most) = (range.start(), range.end());
        self.refuse(report, format!("must have {least} to {most} characters"));
        None
    }

    /// A whole number in `range`.
    pub(super) fn int(&self, range: RangeInclusive<i128>, report: &mut Report) -> Option<i128> {
        let Some(value) = self.whole() else {
            return self.refuse_type(report, "a whole number");
        };
        if range.contains(&value) {
            return Some(value);
        }
        let (least, most) = (range.start(), range.end());
        self.refuse(report, format!("must lie in {least} to {most}"));
        None
    }

    /// The value as a whole number. Envoy's `Struct` knows floats only and may write `1e+15`.
    fn whole(&self) -> Option<i128> {
        match self.node.value {
            Value::Int(value) => Some(value),
            #[allow(
                clippy::cast_possible_truncation,
                reason = "a whole number below 2^53 fits"
            )]
            Value::Float(value) if value.fract() == 0.0 && value.abs() < 9e15 => {
                Some(value as i128)
            }
            _ => None,
        }
    }

    /// One of the spellings of `table`.
    pub(super) fn choice<T: Copy>(
        &self,
        table: &[(&'static str, T)],
        report: &mut Report,
    ) -> Option<T> {
        let text = self.text(report)?;
        let found = table.iter().find(|(name, _)| *name == text);
        if let Some((_, value)) = found {
            return Some(*value);
        }
        let names: Vec<_> = table.iter().map(|(name, _)| *name).collect();
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
        for (entry, field) in self.object(report)?.each() {
            if let Some(text) = field.text(report) {
                labels.insert(entry.name.clone(), text.to_owned());
            }
        }
        Some(labels)
    }

    /// Free names, each with its field.
    pub(super) fn entries(&self, report: &mut Report) -> Vec<(&'n Entry, Field<'n>)> {
        match self.object(report) {
            Some(fields) => fields.each().collect(),
            None => Vec::new(),
        }
    }

    /// A duration in `range`.
    pub(super) fn duration(
        &self,
        range: &RangeInclusive<Duration>,
        report: &mut Report,
    ) -> Option<Duration> {
        let read = match &self.node.value {
            Value::Int(value) => units::duration(&value.to_string()),
            _ => units::duration(self.text(report)?),
        };
        match read {
            Ok(duration) if range.contains(&duration) => Some(duration),
            Ok(_) => {
                let (least, most) = (range.start(), range.end());
                self.refuse(report, format!("must lie in {least:?} to {most:?}"));
                None
            }
            Err(message) => {
                self.refuse(report, message);
                None
            }
        }
    }

    /// A size in bytes, in `range`.
    pub(super) fn size(&self, range: &RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let read = match self.whole() {
            Some(value) => units::size(&value.to_string()),
            None => units::size(self.text(report)?),
        };
        match read {
            Ok(size) if range.contains(&size) => Some(size),
            Ok(_) => {
                let (least, most) = (range.start(), range.end());
                self.refuse(report, format!("must lie in {least} to {most} bytes"));
                None
            }
            Err(message) => {
                self.refuse(report, message);
                None
            }
        }
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
