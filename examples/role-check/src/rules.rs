//! Which path asks for which role.

use std::fmt;

use serde::Deserialize;

/// The configuration: the first rule whose prefix fits decides.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    prefix: String,
    role: String,
}

/// Why a request may not pass.
#[derive(Debug, PartialEq)]
pub enum Denial<'a> {
    /// What no rule speaks of is not allowed.
    NoRule,
    /// The rule asks for a role that the caller lacks.
    Needs(&'a str),
}

impl Rules {
    /// Reads the plugin configuration.
    pub fn parse(config: &[u8]) -> Result<Self, String> {
        let rules: Self = serde_json::from_slice(config).map_err(|error| error.to_string())?;
        match rules
            .rules
            .iter()
            .find(|rule| !rule.prefix.starts_with('/'))
        {
            Some(rule) => Err(format!("prefix {:?} does not start with /", rule.prefix)),
            None => Ok(rules),
        }
    }

    /// The role that lets a caller with `roles` (separated by commas) reach `path`.
    pub fn check(&self, path: &str, roles: &str) -> Result<&str, Denial<'_>> {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let Some(Rule { role, .. }) = self.rules.iter().find(|rule| rule.covers(path)) else {
            return Err(Denial::NoRule);
        };
        if roles.split(',').any(|held| held.trim() == role) {
            Ok(role)
        } else {
            Err(Denial::Needs(role))
        }
    }
}

impl Rule {
    /// Whether `path` is the prefix or lies below it: `/a` covers `/a/b`, not `/ab`.
    fn covers(&self, path: &str) -> bool {
        let below = path.strip_prefix(self.prefix.trim_end_matches('/'));
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl fmt::Display for Denial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRule => f.write_str("no rule for this path"),
            Self::Needs(role) => write!(f, "needs role {role}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(config: &str) -> Rules {
        Rules::parse(config.as_bytes()).unwrap()
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rules = rules(
            r#"{"rules": [
                {"prefix": "/admin", "role": "admin"},
                {"prefix": "/", "role": "reader"}
            ]}"#,
        );
        for path in [
            "/admin",
            "/admin/",
            "/admin/users",
            "/admin?x=/",
            "/admin#x",
        ] {
            assert_eq!(
                rules.check(path, "reader"),
                Err(Denial::Needs("admin")),
                "{path}"
            );
            assert_eq!(rules.check(path, "reader, admin"), Ok("admin"), "{path}");
        }
        for path in ["/", "/administrator", "/?/admin", "/x/admin", ""] {
            assert_eq!(rules.check(path, "reader"), Ok("reader"), "{path}");
            assert_eq!(
                rules.check(path, "admin"),
                Err(Denial::Needs("reader")),
                "{path}"
            );
        }
    }

    #[test]
    fn what_no_rule_covers_is_refused() {
        let rules = rules(r#"{"rules": [{"prefix": "/a/", "role": "r"}]}"#);
        assert_eq!(rules.check("/a/b", "r"), Ok("r"));
        assert_eq!(rules.check("/b", "r"), Err(Denial::NoRule));
        assert_eq!(Rules::default().check("/", "r"), Err(Denial::NoRule));
    }

    #[test]
    fn roles_are_compared_whole() {
        let rules = rules(r#"{"rules": [{"prefix": "/", "role": "admin"}]}"#);
        for roles in ["", "adm", "admins", "not admin", "Admin"] {
            assert_eq!(
                rules.check("/", roles),
                Err(Denial::Needs("admin")),
                "{roles:?}"
            );
        }
    }

    #[test]
    fn a_wrong_configuration_is_refused() {
        let cases = [
            ("", "EOF"),
            ("{}", "missing field `rules`"),
            (r#"{"rules": [{"prefix": "/"}]}"#, "missing field `role`"),
            (
                r#"{"rules": [{"prefix": "a", "role": "r"}]}"#,
                "does not start with /",
            ),
        ];
        for (config, problem) in cases {
            let error = Rules::parse(config.as_bytes()).unwrap_err();
            assert!(error.contains(problem), "{config}: {error}");
        }
    }
}
