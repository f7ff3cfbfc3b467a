//! `imagePullPolicy`, with the defaults that Istio computes.

use super::spec::{ModuleUrl, PullPolicy};

/// What holds for `url` where the resource says `written`.
///
/// Istio's default is `IfNotPresent`, but `Always` for an OCI image with the tag `latest`. Unlike
/// in Kubernetes, a reference without any tag is not taken for `latest`, and HTTP never is.
pub(super) fn resolve(written: Option<PullPolicy>, url: &ModuleUrl) -> PullPolicy {
    match (written, url) {
        (Some(policy), _) => policy,
        (None, ModuleUrl::Oci(reference)) if reference.ends_with(":latest") => PullPolicy::Always,
        (None, _) => PullPolicy::IfNotPresent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::url;
    use PullPolicy::{Always, IfNotPresent};

    #[test]
    fn defaults_are_those_of_istio() {
        for (written, url, policy) in [
            (None, "oci://r.example/a:latest", Always),
            (None, "r.example/a:latest", Always),
            (None, "oci://r.example/a", IfNotPresent),
            (None, "oci://r.example/a:1", IfNotPresent),
            (None, "oci://r.example/latest", IfNotPresent),
            (None, "https://x/a:latest", IfNotPresent),
            (None, "file:///a:latest", IfNotPresent),
            (Some(IfNotPresent), "r.example/a:latest", IfNotPresent),
            (Some(Always), "https://x/a", Always),
        ] {
            let url = url::parse(url).unwrap();
            assert_eq!(resolve(written, &url), policy, "{url}");
        }
    }
}
