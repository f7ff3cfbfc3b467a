//! What is wrong with a text: one problem a field, all of them at once.

use std::fmt;

/// One thing that is wrong, told so that the reader can mend it without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `WasmPlugin "ns/name"`, `settings`, `settings file PATH`, or a file's name.
    pub resource: String,
    /// Path of the field, as in `spec.vmConfig.env[0].name`; empty when the text itself is broken.
    pub field: String,
    /// The offending value, shortened; empty when there is none to show.
    pub value: String,
    /// What is wrong, and what would be right.
    pub message: String,
    /// Where it stands, when that is known.
    pub position: Option<Position>,
}

impl Problem {
    /// A problem of a file as a whole.
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            resource: file.to_owned(),
            field: String::new(),
            value: String::new(),
            message: message.into(),
            position: None,
        }
    }

    /// The problem in words, without its position.
    pub fn text(&self) -> String {
        let parts = [&self.resource, &self.field, &self.value, &self.message];
        let told: Vec<&str> = parts
            .into_iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        told.join(": ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())?;
        match &self.position {
            Some(position) => write!(f, " (at {position})"),
            None => Ok(()),
        }
    }
}

/// A place in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The file; none for the text that Envoy handed over.
    pub file: Option<String>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Everything that is wrong with one configuration; never empty when returned as an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
