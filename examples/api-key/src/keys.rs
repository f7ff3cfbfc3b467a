//! The configured keys.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The configuration: who has which key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    keys: BTreeMap<String, Identity>,
}

/// What a key stands for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    pub user: String,
    #[serde(default)]
    pub roles: Vec<String>,
}

impl Keys {
    /// Reads the plugin configuration.
    pub fn parse(config: &[u8]) -> Result<Self, String> {
        let keys: Self = serde_json::from_slice(config).map_err(|error| error.to_string())?;
        if keys.keys.contains_key("") {
            return Err("a key is empty".to_owned());
        }
        for Identity { user, roles } in keys.keys.values() {
            if let Some(name) = [user].into_iter().chain(roles).find(|name| !is_name(name)) {
                return Err(format!(
                    "{name:?} is no name: expected ASCII letters, digits and punctuation but commas"
                ));
            }
        }
        Ok(keys)
    }

    /// The owner of `key`.
    ///
    /// Looks at every key to the end, so that the time taken says nothing about a near miss.
    pub fn find(&self, key: &[u8]) -> Option<&Identity> {
        let mut found = None;
        for (candidate, identity) in &self.keys {
            if same(candidate.as_bytes(), key) {
                found = Some(identity);
            }
        }
        found
    }
}

/// Whether `a` and `b` are equal, in a time that depends on their lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let difference = a.iter().zip(b).fold(0, |sum, (x, y)| sum | (x ^ y));
    a.len() == b.len() && difference == 0
}

/// Whether `name` can stand in a header, in a list separated by commas.
fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b',')
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: &str = r#"{"keys": {
        "alice-key": {"user": "alice", "roles": ["admin", "reader"]},
        "bob-key": {"user": "bob"}
    }}"#;

    #[test]
    fn a_key_finds_its_owner() {
        let keys = Keys::parse(CONFIG.as_bytes()).unwrap();
        let alice = keys.find(b"alice-key").unwrap();
        assert_eq!(alice.user, "alice");
        assert_eq!(alice.roles, ["admin", "reader"]);
        assert!(keys.find(b"bob-key").unwrap().roles.is_empty());
    }

    #[test]
    fn anything_else_finds_nobody() {
        let keys = Keys::parse(CONFIG.as_bytes()).unwrap();
        for key in ["", "alice", "alice-keys", "ALICE-KEY", "alice-key,bob-key"] {
            assert!(keys.find(key.as_bytes()).is_none(), "{key:?}");
        }
        assert!(keys.find(b"\xff\x00").is_none());
        assert!(Keys::default().find(b"").is_none());
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        let cases = [
            ("", "EOF"),
            ("{}", "missing field `keys`"),
            (r#"{"keys": {"k": {"user": "u", "role": "r"}}}"#, "`role`"),
            (r#"{"keys": {"": {"user": "u"}}}"#, "a key is empty"),
            (r#"{"keys": {"k": {"user": ""}}}"#, r#""" is no name"#),
            (r#"{"keys": {"k": {"user": "u\n"}}}"#, "is no name"),
            (r#"{"keys": {"k": {"user": "u", "roles": ["a,b"]}}}"#, "a,b"),
        ];
        for (config, problem) in cases {
            let error = Keys::parse(config.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{config}: {error}");
        }
    }
}
