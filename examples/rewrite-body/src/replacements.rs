//! What is replaced by what, and where.

use serde::Deserialize;

/// The configuration: applied one after the other, each to what the one before left.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacements {
    replacements: Vec<Replacement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Replacement {
    find: String,
    replace: String,
}

impl Replacements {
    /// Reads the plugin configuration.
    pub fn parse(config: &[u8]) -> Result<Self, String> {
        let config: Self = serde_json::from_slice(config).map_err(|error| error.to_string())?;
        if config.replacements.iter().any(|item| item.find.is_empty()) {
            return Err("`find` is empty".to_owned());
        }
        Ok(config)
    }

    /// The text with everything replaced, and how many times that was.
    pub fn apply(&self, text: &str) -> (String, usize) {
        let mut text = text.to_owned();
        let mut count = 0;
        for Replacement { find, replace } in &self.replacements {
            let found = text.matches(find).count();
            if found > 0 {
                text = text.replace(find, replace);
                count += found;
            }
        }
        (text, count)
    }
}

/// Whether a `content-type` stands for something that people could read.
pub fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "application/javascript" | "application/json" | "application/xml"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(config: &str, text: &str) -> (String, usize) {
        Replacements::parse(config.as_bytes()).unwrap().apply(text)
    }

    #[test]
    fn replacements_apply_in_order() {
        let config = r#"{"replacements": [
            {"find": "cat", "replace": "dog"},
            {"find": "dog", "replace": "bird"}
        ]}"#;
        assert_eq!(apply(config, "cat, dog"), ("bird, bird".to_owned(), 3));
        assert_eq!(apply(config, "fish"), ("fish".to_owned(), 0));
        assert_eq!(apply(config, ""), (String::new(), 0));
    }

    #[test]
    fn a_replacement_is_not_searched_again() {
        let config = r#"{"replacements": [{"find": "a", "replace": "aa"}]}"#;
        assert_eq!(apply(config, "äaä"), ("äaaä".to_owned(), 1));
    }

    #[test]
    fn text_is_told_by_its_type() {
        for text in [
            "text/html",
            "Text/Plain; charset=utf-8",
            "application/json",
            "application/problem+json ; x=y",
            "image/svg+xml",
        ] {
            assert!(is_text(text), "{text}");
        }
        for other in [
            "",
            "image/png",
            "application/octet-stream",
            "application/grpc",
            "x; text/html",
        ] {
            assert!(!is_text(other), "{other}");
        }
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        let cases = [
            ("", "EOF"),
            ("{}", "missing field `replacements`"),
            (
                r#"{"replacements": [{"find": "a"}]}"#,
                "missing field `replace`",
            ),
            (
                r#"{"replacements": [{"find": "", "replace": "b"}]}"#,
                "`find` is empty",
            ),
        ];
        for (config, problem) in cases {
            let error = Replacements::parse(config.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{config}: {error}");
        }
    }
}
