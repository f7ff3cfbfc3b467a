//! `spec.url`.

use std::str::FromStr;

use super::spec::ModuleUrl;

/// The schemes a module can come by, for messages.
const SCHEMES: &str = "oci://, file://, http:// or https://";

impl FromStr for ModuleUrl {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        parse(url)
    }
}

/// Reads a module's URL. A URL without `://` is an OCI reference, also when it names a port
/// (`registry:5000/plugin:1`), which Istio takes for a scheme and refuses.
pub(super) fn parse(url: &str) -> Result<ModuleUrl, String> {
    if url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("must not hold blanks or control characters".to_owned());
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return without_scheme(url);
    };
    match scheme.to_ascii_lowercase().as_str() {
        "file" if rest.is_empty() => Err("names no file: write file:///path/to.wasm".to_owned()),
        "file" => Ok(ModuleUrl::File(rest.to_owned())),
        scheme @ ("http" | "https") => {
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            let host = host.rsplit('@').next().unwrap_or_default();
            if host.is_empty() || host.starts_with(':') {
                return Err("names no host".to_owned());
            }
            Ok(ModuleUrl::Http(format!("{scheme}://{rest}")))
        }
        "oci" => reference(rest),
        other => Err(format!(
            "unknown scheme {other:?}: must be {SCHEMES}, or none for OCI"
        )),
    }
}

fn without_scheme(url: &str) -> Result<ModuleUrl, String> {
    if url.starts_with(['/', '.']) {
        return Err(format!(
            "a file's URL begins with file://, as in file://{url}"
        ));
    }
    if let Some((scheme, rest)) = url.split_once(':')
        && ["file", "http", "https", "oci"].contains(&scheme.to_ascii_lowercase().as_str())
        && !rest.starts_with(|c: char| c.is_ascii_digit())
    {
        return Err(format!("write {scheme}:// in front of what follows"));
    }
    reference(url)
}

/// An OCI reference, roughly: what a registry would take is for the one who asks it.
fn reference(text: &str) -> Result<ModuleUrl, String> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-+/:@[]".contains(c);
    let edge = text.starts_with(['/', ':', '@', '.']) || text.ends_with(['/', ':', '@']);
    if text.is_empty() || edge || !text.chars().all(legal) {
        let wanted = "registry.example/name:tag or registry.example/name@sha256:…";
        return Err(format!("not an OCI reference: write {wanted}"));
    }
    Ok(ModuleUrl::Oci(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let file = |path: &str| Ok(ModuleUrl::File(path.to_owned()));
        let http = |url: &str| Ok(ModuleUrl::Http(url.to_owned()));
        let oci = |reference: &str| Ok(ModuleUrl::Oci(reference.to_owned()));
        for (url, parsed) in [
            ("file:///opt/a.wasm", file("/opt/a.wasm")),
            ("file://a.wasm", file("a.wasm")),
            ("http://x/a.wasm", http("http://x/a.wasm")),
            ("HTTPS://x:8443/a?b", http("https://x:8443/a?b")),
            ("https://u:p@x/a", http("https://u:p@x/a")),
            ("oci://r.example/a:1", oci("r.example/a:1")),
            ("r.example/a", oci("r.example/a")),
            ("localhost:5000/a:1", oci("localhost:5000/a:1")),
            ("[::1]:5000/a", oci("[::1]:5000/a")),
            ("oci:5000/a", oci("oci:5000/a")),
            ("r.example/a@sha256:00", oci("r.example/a@sha256:00")),
        ] {
            assert_eq!(parse(url), parsed, "{url}");
        }
    }

    #[test]
    fn not_urls() {
        for url in [
            "",
            "file://",
            "http://",
            "http://:80/a",
            "https:///a",
            "ftp://x/a",
            "oci://",
            "/a.wasm",
            "./a.wasm",
            "file:/a.wasm",
            "http:x",
            "oci://x/a b",
            "x/a\n",
            "x/",
            "ä/b",
            "://x",
            "oci:///a",
        ] {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
