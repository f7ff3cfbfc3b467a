//! Writes a tree as compact JSON: sorted keys, exact integers, the shortest floats.
//!
//! Equal trees give equal bytes whatever the order of their keys, so the text serves as an
//! identity, too.

use super::document::{Node, Value};

/// `node` as JSON.
pub(super) fn text(node: &Node) -> String {
    let mut out = String::new();
    write(node, &mut out);
    out
}

/// `text` as a JSON string.
pub(super) fn string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

// The reader of documents has bounded the depth.
fn write(node: &Node, out: &mut String) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) => out.push_str(&float(*value)),
        Value::Text(text) => out.push_str(&string(text)),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.name.cmp(&b.name));
            out.push('{');
            for (i, entry) in sorted.into_iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&string(&entry.name));
                out.push(':');
                write(&entry.node, out);
            }
            out.push('}');
        }
    }
}

/// The shortest decimal that reads back as `value`, as Go and JavaScript write it: `1` for `1.0`,
/// with an exponent only where digits would pile up.
fn float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        format!("{value:e}")
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::float;

    #[test]
    fn floats_are_shortest() {
        for (value, text) in [
            (1.0, "1"),
            (0.1, "0.1"),
            (-2.5, "-2.5"),
            (1e20, "100000000000000000000"),
            (1e21, "1e21"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (0.0, "0"),
            (f64::MAX, "1.7976931348623157e308"),
        ] {
            assert_eq!(float(value), text);
            assert_eq!(text.parse::<f64>().unwrap(), value);
        }
    }
}
