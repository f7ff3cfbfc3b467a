//! What is known to differ, and how differences are shown.

use std::fs;

use crate::support::module;

/// A known difference: the lines that only one side has.
#[derive(Clone, Debug)]
pub(crate) struct Difference {
    pub(crate) case: String,
    lines: Vec<String>,
}

/// Reads `differences.txt`.
pub(crate) fn read() -> Vec<Difference> {
    let path = module::root().join("tests/conformance/differences.txt");
    let text = fs::read_to_string(&path).expect("differences.txt");
    let mut found: Vec<Difference> = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim_end();
        if trimmed.is_empty() || trimmed.starts_with('#') || trimmed.starts_with("  why: ") {
            continue;
        }
        match trimmed.strip_prefix("  ") {
            None => found.push(Difference {
                case: trimmed.to_owned(),
                lines: Vec::new(),
            }),
            // The rest of a reason.
            Some(rest) if rest.starts_with(' ') => {}
            Some(rest) => {
                let last = found.last_mut().expect("a case before its lines");
                last.lines.push(rest.to_owned());
            }
        }
    }
    found
}

impl Difference {
    /// Whether the entry is for every case of `topic`.
    pub(crate) fn is_rule_of(&self, topic: &str) -> bool {
        self.case == format!("{topic}/*") || self.case == "*/*"
    }
}

/// What is left of `changes` when everything that `rules` and the entry of the case allow is taken
/// away; or the lines that should be there, and are not.
pub(crate) fn unexplained(
    changes: &[String],
    rules: &[&Difference],
    own: Option<&Difference>,
) -> Vec<String> {
    let allowed = |line: &&String| !rules.iter().any(|rule| rule.lines.contains(line));
    let left: Vec<_> = changes.iter().filter(allowed).cloned().collect();
    match own {
        Some(own) if own.lines == left => Vec::new(),
        Some(_) if left.is_empty() => {
            vec!["listed in differences.txt, but there is no difference".to_owned()]
        }
        Some(_) => {
            let mut lines = vec!["not the difference of differences.txt:".to_owned()];
            lines.extend(left);
            lines
        }
        None => left,
    }
}

/// The lines that differ, as the list has them: `- ` in Envoy's filter only, `+ ` in ours only.
pub(crate) fn changes(theirs: &[String], ours: &[String]) -> Vec<String> {
    compare(theirs, ours)
        .into_iter()
        .filter(|(mark, _)| *mark != ' ')
        .map(|(mark, line)| format!("{mark} {}", line.trim()))
        .collect()
}

/// Both, line by line.
pub(crate) fn shown(theirs: &[String], ours: &[String]) -> String {
    compare(theirs, ours)
        .into_iter()
        .map(|(mark, line)| format!("  {mark} {line}\n"))
        .collect()
}

/// The shortest edit, by the longest common subsequence.
fn compare<'a>(theirs: &'a [String], ours: &'a [String]) -> Vec<(char, &'a str)> {
    let (rows, columns) = (theirs.len(), ours.len());
    let mut common = vec![vec![0_u32; columns + 1]; rows + 1];
    for row in (0..rows).rev() {
        for column in (0..columns).rev() {
            common[row][column] = if theirs[row] == ours[column] {
                common[row + 1][column + 1] + 1
            } else {
                common[row + 1][column].max(common[row][column + 1])
            };
        }
    }
    let (mut row, mut column) = (0, 0);
    let mut lines = Vec::new();
    while row < rows || column < columns {
        if row < rows && column < columns && theirs[row] == ours[column] {
            lines.push((' ', theirs[row].as_str()));
            row += 1;
            column += 1;
        } else if column == columns
            || row < rows && common[row + 1][column] >= common[row][column + 1]
        {
            lines.push(('-', theirs[row].as_str()));
            row += 1;
        } else {
            lines.push(('+', ours[column].as_str()));
            column += 1;
        }
    }
    lines
}
