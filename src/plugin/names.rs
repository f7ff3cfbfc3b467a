//! Names of Kubernetes objects.

/// Namespace and name, from `<namespace>/<name>`, as routes name resources.
pub(super) fn pair(text: &str) -> Option<(&str, &str)> {
    let (namespace, name) = text.split_once('/')?;
    (is_namespace(namespace) && is_object(name)).then_some((namespace, name))
}

/// The name of an object: a DNS-1123 subdomain.
pub(super) fn is_object(name: &str) -> bool {
    name.len() <= 253 && name.split('.').all(is_label)
}

/// The name of a namespace: a DNS-1123 label.
pub(super) fn is_namespace(name: &str) -> bool {
    name.len() <= 63 && is_label(name)
}

fn is_label(name: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty() && name.bytes().all(legal) && !name.starts_with('-') && !name.ends_with('-')
}
