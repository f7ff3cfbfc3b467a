//! Pull secrets, as Kubernetes mounts them: `<secretsDir>/<namespace>/<name>/.dockerconfigjson`.
//!
//! Read for every fetch, so that a secret that was changed (registries of clouds give passwords
//! for a few hours) works without anybody telling us. What is in it goes into requests and nowhere
//! else: errors tell where a file is broken, never what stands there, and [`Credentials`] cannot
//! be printed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use base64ct::{Base64, Base64Unpadded, Encoding};
use serde::Deserialize;

use super::FetchError;

/// The file's name, and the key of the secret.
const FILE: &str = ".dockerconfigjson";

/// More than Kubernetes lets a secret have.
const MAX_BYTES: u64 = 2 << 20;

/// Which secret.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SecretName {
    /// The resource's own; secrets of other namespaces are out of reach.
    pub namespace: String,
    /// `imagePullSecret`.
    pub name: String,
}

/// Who we are to a registry.
#[derive(Clone, Default)]
pub(crate) struct Credentials {
    pub(super) username: String,
    pub(super) password: String,
    /// To be exchanged for a token.
    pub(super) identity_token: String,
    /// Is a token.
    pub(super) registry_token: String,
}

/// The part of Docker's configuration that matters.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default, rename = "identitytoken")]
    identity_token: String,
    #[serde(default, rename = "registrytoken")]
    registry_token: String,
}

impl SecretName {
    /// The file that it is in, unless it leads elsewhere.
    pub(super) fn path(&self, secrets_dir: &str) -> Option<PathBuf> {
        let is_name = |name: &str| {
            let mut parts = Path::new(name).components();
            matches!(
                (parts.next(), parts.next()),
                (Some(Component::Normal(_)), None)
            )
        };
        let Self { namespace, name } = self;
        let path = || Path::new(secrets_dir).join(namespace).join(name).join(FILE);
        (is_name(namespace) && is_name(name)).then(path)
    }

    /// Reads the credentials for `repository` of `registry`.
    pub(super) fn read(
        &self,
        secrets_dir: Option<&str>,
        registry: &str,
        repository: &str,
    ) -> Result<Credentials, FetchError> {
        let fail = |reason: String| FetchError::Secret {
            name: format!("{}/{}", self.namespace, self.name),
            reason,
        };
        let Some(directory) = secrets_dir else {
            return Err(fail("there is no secretsDir to find it in".to_owned()));
        };
        let path = self.path(directory);
        let path = path.ok_or_else(|| fail("not a name of a secret".to_owned()))?;
        let at = path.display();
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if size > MAX_BYTES {
            return Err(fail(format!(
                "{at} has {size} bytes, more than {MAX_BYTES}"
            )));
        }
        let text = fs::read(&path).map_err(|error| fail(format!("cannot read {at}: {error}")))?;
        let config: DockerConfig = serde_json::from_slice(&text).map_err(|error| {
            // The error's own text may quote what stands there.
            let (line, column) = (error.line(), error.column());
            fail(format!(
                "{at}:{line}:{column}: not a Docker configuration in JSON"
            ))
        })?;
        let best = config
            .auths
            .into_iter()
            .filter_map(|(key, entry)| Some((fit(&key, registry, repository)?, entry)))
            .max_by_key(|(fit, _)| *fit);
        let Some((_, entry)) = best else {
            return Err(fail(format!(
                "{at} has no entry for {registry}/{repository}"
            )));
        };
        entry
            .credentials()
            .map_err(|reason| fail(format!("{at}: {reason}")))
    }
}

impl Entry {
    fn credentials(self) -> Result<Credentials, String> {
        let mut credentials = Credentials {
            username: self.username,
            password: self.password,
            identity_token: self.identity_token,
            registry_token: self.registry_token,
        };
        if credentials.username.is_empty() && !self.auth.is_empty() {
            let auth = self.auth.trim();
            let decoded = Base64::decode_vec(auth).or_else(|_| Base64Unpadded::decode_vec(auth));
            let decoded = decoded.ok().and_then(|bytes| String::from_utf8(bytes).ok());
            let parts = decoded.as_deref().and_then(|text| text.split_once(':'));
            let Some((username, password)) = parts else {
                return Err("auth is not USERNAME:PASSWORD in base64".to_owned());
            };
            username.clone_into(&mut credentials.username);
            // Some writers pad what they encode.
            credentials.password = password.trim_end_matches('\0').to_owned();
        }
        Ok(credentials)
    }
}

impl Credentials {
    /// Whether there is anything to tell.
    pub(super) fn is_empty(&self) -> bool {
        self.username.is_empty() && self.identity_token.is_empty() && self.registry_token.is_empty()
    }
}

/// How well the key of an entry fits, if it does: the longer path wins, and then the one with fewer
/// wildcards. A key is `host`, `host:port` or `host/path`, with or without scheme, and parts of the
/// host may be `*`, as in Kubernetes.
fn fit(key: &str, registry: &str, repository: &str) -> Option<(usize, usize)> {
    let key = key
        .trim_start_matches("https://")
        .trim_start_matches("http://")
        .trim_end_matches('/');
    let (host, path) = key.split_once('/').unwrap_or((key, ""));
    // The path of an API is none of a repository; Docker Hub's own key ends in one.
    let path = match path {
        "v1" | "v2" => "",
        path => path,
    };
    let hub = |host: &str| {
        matches!(
            host,
            "docker.io" | "index.docker.io" | "registry-1.docker.io"
        )
    };
    let is_hub = hub(host) && hub(registry);
    if !is_hub && !host_fits(host, registry) {
        return None;
    }
    let path_fits = path.is_empty()
        || repository
            .strip_prefix(path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let literal = host.bytes().filter(|byte| *byte != b'*').count();
    path_fits.then_some((path.len(), literal))
}

fn host_fits(pattern: &str, registry: &str) -> bool {
    let port = |host: &str| -> (String, Option<String>) {
        match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                (name.to_owned(), Some(port.to_owned()))
            }
            _ => (host.to_owned(), None),
        }
    };
    let ((pattern, wanted), (name, given)) = (port(pattern), port(registry));
    if wanted != given {
        return false;
    }
    let (mut pattern, mut name) = (pattern.split('.'), name.split('.'));
    loop {
        match (pattern.next(), name.next()) {
            (None, None) => return true,
            (Some(part), Some(label)) if part_fits(part, label) => {}
            _ => return false,
        }
    }
}

/// `*` stands for any part of a label.
fn part_fits(pattern: &str, label: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern.eq_ignore_ascii_case(label),
        Some((start, end)) => {
            label.len() >= start.len() + end.len()
                && label.starts_with(start)
                && label.ends_with(end)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str, registry: &str, repository: &str) -> Result<Credentials, FetchError> {
        let directory = tempfile::tempdir().unwrap();
        let secret = directory.path().join("team/pull");
        fs::create_dir_all(&secret).unwrap();
        fs::write(secret.join(FILE), config).unwrap();
        let name = SecretName {
            namespace: "team".to_owned(),
            name: "pull".to_owned(),
        };
        name.read(directory.path().to_str(), registry, repository)
    }

    #[test]
    fn every_form_of_credentials_is_read() {
        let config = r#"{"auths": {
            "a.example": {"auth": "dTpwOnE="},
            "b.example": {"username": "u", "password": "p"},
            "c.example": {"auth": "dTpwOnE", "identitytoken": "i"},
            "d.example": {"registrytoken": "r"},
            "https://index.docker.io/v1/": {"username": "hub"},
            "*.e.example:5000": {"username": "wild"}
        }}"#;
        let of = |registry: &str| read(config, registry, "x/y").unwrap();
        assert_eq!(of("a.example").username, "u");
        assert_eq!(of("a.example").password, "p:q");
        assert_eq!(of("b.example").password, "p");
        assert_eq!(of("c.example").identity_token, "i");
        assert_eq!(of("c.example").password, "p:q");
        assert_eq!(of("d.example").registry_token, "r");
        assert_eq!(of("docker.io").username, "hub");
        assert_eq!(of("x.e.example:5000").username, "wild");
        for other in [
            "e.example:5000",
            "x.e.example",
            "x.y.e.example:5000",
            "z.example",
        ] {
            assert!(read(config, other, "x/y").is_err(), "{other}");
        }
    }

    #[test]
    fn the_most_specific_entry_wins() {
        let config = r#"{"auths": {
            "*.example": {"username": "wild"},
            "r.example": {"username": "host"},
            "r.example/team": {"username": "team"},
            "r.example/team/app": {"username": "app"}
        }}"#;
        for (repository, username) in [
            ("team/app", "app"),
            ("team/app/x", "app"),
            ("team/apple", "team"),
            ("teams", "host"),
        ] {
            let found = read(config, "r.example", repository).unwrap();
            assert_eq!(found.username, username, "{repository}");
        }
    }

    #[test]
    fn errors_tell_nothing_of_the_content() {
        for config in [
            r#"{"auths": {"r.example": {"auth": 12345}}}"#,
            r#"{"auths": {"r.example": {"username": {"s3cret": 1}}}}"#,
            r#"{"auths": {"r.example": {"auth": "s3cret"}}}"#,
            r#"{"auths": "s3cret"}"#,
            "s3cret",
        ] {
            let error = read(config, "r.example", "x").err().unwrap().to_string();
            assert!(
                !error.contains("s3cret") && !error.contains("12345"),
                "{error}"
            );
            assert!(error.contains("team/pull"), "{error}");
        }
    }

    #[test]
    fn names_do_not_lead_elsewhere() {
        for (namespace, name) in [
            ("..", "x"),
            ("x", ".."),
            ("/etc", "x"),
            ("a/b", "x"),
            ("", "x"),
        ] {
            let name = SecretName {
                namespace: namespace.to_owned(),
                name: name.to_owned(),
            };
            let error = name.read(Some("/tmp"), "r.example", "x").err().unwrap();
            assert!(error.to_string().contains("not a name"), "{error}");
        }
    }
}
