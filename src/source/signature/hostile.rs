//! For fuzzing: everything here that reads what strangers wrote.

use super::{Evidence, Keys, Subject};

/// A key that signed nothing: what is checked with it is read first.
const KEY: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
    -----END PUBLIC KEY-----";

/// Reads `data` as PEM and as every kind of evidence. Must not panic, and never finds a signature.
pub fn read_anything(data: &[u8]) -> bool {
    if let Ok(text) = std::str::from_utf8(data) {
        // Good or not.
        drop(Keys::parse(text));
    }
    let Ok(keys) = Keys::parse(KEY) else {
        return true;
    };
    let subject = Subject {
        module: data,
        images: &[],
    };
    let simple = Evidence::Simple {
        payload: data.to_vec(),
        signature: String::from_utf8_lossy(data).into_owned(),
    };
    let (sidecar, bundle) = (
        Evidence::Sidecar(data.to_vec()),
        Evidence::Bundle(data.to_vec()),
    );
    let all = [Evidence::Embedded, sidecar, bundle, simple];
    all.iter()
        .any(|evidence| evidence.check(&subject, &keys).is_ok())
}
