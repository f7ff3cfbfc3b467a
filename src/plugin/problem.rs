//! What is wrong with a text: one problem a field, all of them at once.

use std::fmt;

/// One thing that is wrong, told so that the reader can mend it without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// `WasmPlugin "ns/name"`, `settings`, or a file's name.
    pub resource: String,
    /// Path of the field, as in `vmConfig.env[0].name`; empty when the text itself is broken.
    pub field: String,
    /// The offending value, shortened; empty when there is none to show.
    pub value: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        if !self.value.is_empty() {
            write!(f, ": {}", self.value)?;
        }
        write!(f, ": {}", self.message)
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
