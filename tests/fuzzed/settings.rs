//! What users write: settings, resources, routes, labels.

use std::io;

use wasmplugin_host::plugin::{self, Directory, ResourceReader, is_manifest, is_settings, route};

/// Reads `bytes` as everything that they could be. Panics where something does not hold.
pub(crate) fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).into_owned();
    // A file of settings that says the same.
    let plan = plugin::plan(bytes, &|_| Ok(text.clone()));
    let _route = route::route(bytes);
    let _route = route::per_filter_config(bytes);
    let _route = route::metadata_value("shop/a", &text);
    let labels = plugin::labels(&text, "labels").unwrap_or_default();
    let _kinds = (is_settings(&text), is_manifest(&text));
    let mut portable = ResourceReader::of_portable();
    let (_resources, _problems) = portable.read(&text, "portable.yaml", "shop");

    let (resources, problems) = ResourceReader::default().read(&text, "a.yaml", "shop");
    for problem in &problems.0 {
        assert!(!problem.to_string().is_empty());
    }
    let mut directory = Directory::default();
    directory.update([("a.yaml".to_owned(), Ok(text.clone()))], "shop");
    let plan = plan.or_else(|_| plugin::plan(b"", &|_| Err(io::ErrorKind::NotFound.into())));
    let plan = plan.expect("no settings are good settings");
    for resource in &resources {
        let _spec = plan.spec(resource);
    }
    let with = plan.plugins_with(&directory, &labels);
    assert_eq!(with, plan.plugins_with(&directory, &labels));
}
