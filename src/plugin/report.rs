//! Collects problems, so that a reader sees all of them at once.

use super::document::{Mark, Node, Source, Value};
use super::json;
use super::problem::{Position, Problem, Problems};

/// The most problems that are told. A text of four million bytes could hold half a million.
const MAX_PROBLEMS: usize = 1000;

/// The longest value that is shown, in characters.
const MAX_SHOWN: usize = 60;

/// Whose problems they are.
#[derive(Clone, Debug)]
enum Owner {
    /// The settings; a problem belongs to the text or to the file, by its mark.
    Settings,
    /// A resource, or a file as a whole.
    Named(String),
}

/// The problems found so far.
#[derive(Debug)]
pub(super) struct Report {
    owner: Owner,
    /// Name of [`Source::File`].
    file: Option<String>,
    problems: Vec<(Option<Mark>, Problem)>,
    left_out: usize,
}

impl Report {
    /// For settings, which may have a file that is named later.
    pub(super) fn of_settings() -> Self {
        Self {
            owner: Owner::Settings,
            file: None,
            problems: Vec::new(),
            left_out: 0,
        }
    }

    /// For a text of its own that `name` names.
    pub(super) fn of_text(name: &str) -> Self {
        Self {
            owner: Owner::Named(name.to_owned()),
            ..Self::of_settings()
        }
    }

    /// For a file of resources.
    pub(super) fn of_file(file: &str) -> Self {
        Self {
            owner: Owner::Named(file.to_owned()),
            file: Some(file.to_owned()),
            ..Self::of_settings()
        }
    }

    /// Names the file that goes with the settings.
    pub(super) fn name_file(&mut self, file: &str) {
        self.file = Some(file.to_owned());
    }

    /// Runs `work`, whose problems belong to the resource `name`.
    pub(super) fn within<T>(&mut self, name: String, work: impl FnOnce(&mut Self) -> T) -> T {
        let owner = std::mem::replace(&mut self.owner, Owner::Named(name));
        let result = work(self);
        self.owner = owner;
        result
    }

    /// A problem of the field at `path`, whose value is shown.
    pub(super) fn field(&mut self, path: &str, node: &Node, message: impl Into<String>) {
        self.add(
            Some(node.mark),
            node.mark.source,
            path,
            shown(node),
            message.into(),
        );
    }

    /// A problem at a place, with no value to show.
    pub(super) fn place(&mut self, path: &str, mark: Mark, message: impl Into<String>) {
        self.add(Some(mark), mark.source, path, String::new(), message.into());
    }

    /// A place, as readers know it.
    pub(super) fn position(&self, mark: Mark) -> Position {
        Position {
            file: self.file.clone().filter(|_| mark.source == Source::File),
            line: mark.line,
            column: mark.column,
        }
    }

    /// A problem of a text as a whole.
    pub(super) fn text(&mut self, source: Source, mark: Option<Mark>, message: impl Into<String>) {
        self.add(mark, source, "", String::new(), message.into());
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.len() >= MAX_PROBLEMS
    }

    /// How many problems there are.
    pub(super) fn len(&self) -> usize {
        self.problems.len() + self.left_out
    }

    /// All problems: those of the text in its order, then those of the file.
    pub(super) fn finish(mut self) -> Problems {
        self.problems.sort_by_key(|(mark, _)| *mark);
        let mut problems: Vec<_> = self.problems.into_iter().map(|(_, p)| p).collect();
        if self.left_out > 0 {
            problems.push(Problem {
                resource: "settings".to_owned(),
                field: String::new(),
                value: String::new(),
                message: format!("{} more problems", self.left_out),
                position: None,
            });
        }
        Problems(problems)
    }

    fn add(
        &mut self,
        mark: Option<Mark>,
        source: Source,
        field: &str,
        value: String,
        message: String,
    ) {
        if self.is_full() {
            self.left_out += 1;
            return;
        }
        let file = self.file.clone().filter(|_| source == Source::File);
        let resource = match (&self.owner, &file) {
            (Owner::Named(name), _) => name.clone(),
            (Owner::Settings, Some(file)) => format!("settings file {file}"),
            (Owner::Settings, None) => "settings".to_owned(),
        };
        let position = mark.map(|mark| self.position(mark));
        let problem = Problem {
            resource,
            field: field.to_owned(),
            value,
            message,
            position,
        };
        self.problems.push((mark, problem));
    }
}

/// A value as messages show it: JSON, shortened.
fn shown(node: &Node) -> String {
    let text = match &node.value {
        Value::Text(text) => {
            // Not more of a long text than can be shown.
            let head: String = text.chars().take(MAX_SHOWN + 1).collect();
            json::string(&head)
        }
        Value::List(items) if !items.is_empty() => return "[…]".to_owned(),
        Value::Object(entries) if !entries.is_empty() => return "{…}".to_owned(),
        _ => json::text(node),
    };
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
