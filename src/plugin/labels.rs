//! `workload.labelsFile`: labels as Kubernetes' downward API writes them.
//!
//! A line a label, `key="value"`; the value is quoted as Go quotes strings.

use super::problem::{Position, Problem, Problems};
use std::collections::BTreeMap;

/// The largest file. A pod's labels fit in 256 KiB, as Kubernetes bounds its metadata.
const MAX_BYTES: usize = 1 << 20;

/// Reads `text`, the content of `file`.
///
/// # Errors
///
/// Each line that is no label.
pub fn labels(text: &str, file: &str) -> Result<BTreeMap<String, String>, Problems> {
    let mut labels = BTreeMap::new();
    let mut problems = Vec::new();
    let mut tell = |line: Option<u32>, message: &str| {
        let position = line.map(|line| Position {
            file: Some(file.to_owned()),
            line,
            column: 1,
        });
        problems.push(Problem {
            position,
            ..Problem::of_file(&format!("labels file {file}"), message)
        });
    };
    if text.len() > MAX_BYTES {
        tell(None, "larger than 1 MiB");
        return Err(Problems(problems));
    }
    for (line, number) in text.lines().zip(1..) {
        if line.trim().is_empty() {
            continue;
        }
        let Some((key, value)) = label(line) else {
            tell(Some(number), "not a label: lines are key=\"value\"");
            continue;
        };
        if labels.insert(key.to_owned(), value).is_some() {
            tell(Some(number), "a second line of this label");
        }
    }
    if problems.is_empty() {
        Ok(labels)
    } else {
        Err(Problems(problems))
    }
}

fn label(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.split_once('=')?;
    let quoted = value.trim_end().strip_prefix('"')?.strip_suffix('"')?;
    let key = key.trim();
    (!key.is_empty()).then_some((key, unquote(quoted)?))
}

/// Undoes Go's `strconv.Quote`, without its quotes.
fn unquote(quoted: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(quoted.len());
    let mut rest = quoted.chars();
    while let Some(c) = rest.next() {
        let c = match c {
            '"' => return None,
            '\\' => match rest.next()? {
                'a' => '\u{7}',
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'v' => '\u{b}',
                '\\' => '\\',
                '"' => '"',
                'x' => {
                    // A byte that is no UTF-8 by itself.
                    bytes.push(u8::try_from(hex(&mut rest, 2)?).ok()?);
                    continue;
                }
                'u' => char::from_u32(hex(&mut rest, 4)?)?,
                'U' => char::from_u32(hex(&mut rest, 8)?)?,
                _ => return None,
            },
            c => c,
        };
        bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
    String::from_utf8(bytes).ok()
}

fn hex(rest: &mut impl Iterator<Item = char>, digits: usize) -> Option<u32> {
    (0..digits).try_fold(0_u32, |number, _| {
        let digit = rest.next()?.to_digit(16)?;
        number.checked_mul(16)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::labels;

    #[test]
    fn lines_of_the_downward_api() {
        let text = "app=\"web\"\napp.kubernetes.io/name=\"a=b\"\n\nempty=\"\"\n\
                    escapes=\"\\\"\\\\\\n\\x41\\u00e9\\U0001F600é\"\n";
        let found = labels(text, "labels").unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                ("app", "web"),
                ("app.kubernetes.io/name", "a=b"),
                ("empty", ""),
                ("escapes", "\"\\\nAé😀é"),
            ]
        );
        assert!(labels("", "labels").unwrap().is_empty());
    }

    #[test]
    fn all_wrong_lines_are_told() {
        let text = "app=web\na=\"1\"\na=\"2\"\n=\"x\"\nb=\"\\q\"\nc=\"\\xff\"\nd=\"\"\"\n";
        let told = labels(text, "labels").unwrap_err().to_string();
        let wrong = "not a label: lines are key=\"value\"";
        assert_eq!(
            told,
            format!(
                "labels file labels: {wrong} (at labels:1:1)\n\
                 labels file labels: a second line of this label (at labels:3:1)\n\
                 labels file labels: {wrong} (at labels:4:1)\n\
                 labels file labels: {wrong} (at labels:5:1)\n\
                 labels file labels: {wrong} (at labels:6:1)\n\
                 labels file labels: {wrong} (at labels:7:1)"
            )
        );
    }
}
