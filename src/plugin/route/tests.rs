use super::*;

fn changed(enabled: Option<bool>, config: Option<&str>) -> Change {
    Change {
        enabled,
        config: config.map(|text| text.as_bytes().to_vec()),
    }
}

fn told<T: std::fmt::Debug>(result: Result<T, Problems>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn changes_by_filter_configuration() {
    let config = r#"{"plugins": {
        "shop/a": {"enabled": false},
        "shop/b": {"enabled": true, "pluginConfig": {"z": 1.0, "a": [true, null]}},
        "shop/c": {"pluginConfig": {}},
        "shop/d": {"pluginConfig": null},
        "shop/e": {}
    }}"#;
    let changes = per_filter_config(config.as_bytes()).unwrap();
    let wanted = [
        ("shop/a", changed(Some(false), None)),
        (
            "shop/b",
            changed(Some(true), Some(r#"{"a":[true,null],"z":1}"#)),
        ),
        // As everywhere, an empty configuration is no byte at all.
        ("shop/c", changed(None, Some(""))),
        ("shop/d", Change::default()),
        ("shop/e", Change::default()),
    ];
    let wanted = wanted.map(|(name, change)| (name.to_owned(), change));
    assert_eq!(changes, Changes::from(wanted));
    for nothing in ["", "{}", "{plugins: {}}", "plugins:\n"] {
        assert_eq!(per_filter_config(nothing.as_bytes()), Ok(Changes::new()));
    }
}

#[test]
fn equal_configurations_are_equal_however_written() {
    let yaml = "plugins:\n  shop/a:\n    pluginConfig:\n      b: x\n      a: 1\n";
    let json = br#"{"plugins":{"shop/a":{"pluginConfig":{"a":1.0,"b":"x"}}}}"#;
    assert_eq!(per_filter_config(yaml.as_bytes()), per_filter_config(json));
    let metadata = metadata_value("shop/a", "{pluginConfig: {a: 1, b: x}}").unwrap();
    let changes = per_filter_config(json).unwrap();
    assert_eq!(metadata, MetadataValue::Change(changes["shop/a"].clone()));
}

#[test]
fn wrong_filter_configurations() {
    let config = "plugin: {}\nplugins:\n  a: {}\n  shop/b: {enable: true, pluginConfig: text}\n  \
                  shop/c: {enabled: 'no'}\n  shop/d: true\n  \
                  shop/e: {pluginConfig: {verificationKey: x}}\n";
    let told = told(per_filter_config(config.as_bytes()));
    assert_eq!(
        told.lines().collect::<Vec<_>>(),
        [
            "route configuration: unknown field \"plugin\", did you mean \"plugins\"? (at 1:1)",
            "route configuration: plugins[\"a\"]: the name must be a resource, \
             <namespace>/<name> (at 3:3)",
            "route configuration: plugins[\"shop/b\"]: unknown field \"enable\", did you mean \
             \"enabled\"? (at 4:12)",
            "route configuration: plugins[\"shop/b\"].pluginConfig: \"text\": must be an object, \
             not a string; the annotation wasmplugin.io/raw-plugin-config takes any text (at 4:40)",
            "route configuration: plugins[\"shop/c\"].enabled: \"no\": must be true or false, not \
             a string (at 5:21)",
            "route configuration: plugins[\"shop/d\"]: true: must be an object, not a boolean \
             (at 6:11)",
            "route configuration: plugins[\"shop/e\"].pluginConfig.verificationKey: a route has no \
             say about how the module is verified (at 7:44)",
        ]
    );
}

#[test]
fn values_of_metadata() {
    for (text, change) in [
        ("true", changed(Some(true), None)),
        ("false", changed(Some(false), None)),
        ("{pluginConfig: {a: 1}}", changed(None, Some(r#"{"a":1}"#))),
        (r#"{"pluginConfig":{}}"#, changed(None, Some(""))),
        (
            "enabled: true\npluginConfig: {a: 1}",
            changed(Some(true), Some(r#"{"a":1}"#)),
        ),
    ] {
        let value = metadata_value("shop/a", text);
        assert_eq!(value, Ok(MetadataValue::Change(change)), "{text}");
    }
}

#[test]
fn metadata_brings_a_plugin() {
    let text = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
                metadata: {name: a}\nspec: {url: file:///a.wasm, pluginConfig: {b: 1}}\n";
    let Ok(MetadataValue::Add(resource)) = metadata_value("shop/a", text) else {
        panic!("a resource");
    };
    assert_eq!(resource.resource(), "shop/a");
    let plan = crate::plugin::plan(b"", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let spec = plan.spec(&resource);
    assert_eq!(
        (spec.resource().as_str(), spec.config.as_slice()),
        ("shop/a", &b"{\"b\":1}"[..])
    );
    assert_eq!(spec.ports, None);
}

#[test]
fn wrong_metadata() {
    let resource = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
                    metadata: {name: b}\nspec: {url: file:///a.wasm}\n";
    for (key, text, message) in [
        (
            "a",
            "true",
            "route metadata \"a\": the name must be a resource, <namespace>/<name>",
        ),
        ("shop/a/b", "true", "the name must be a resource"),
        (
            "shop/a",
            "maybe",
            "must be true, false, {pluginConfig: {…}}, or a WasmPlugin",
        ),
        (
            "shop/a",
            "",
            "must be true, false, {pluginConfig: {…}}, or a WasmPlugin",
        ),
        (
            "shop/a",
            "'true'",
            "must be true, false, {pluginConfig: {…}}, or a WasmPlugin",
        ),
        ("shop/a", "[", "not YAML"),
        (
            "shop/a",
            "{config: {}}",
            "unknown field \"config\"; known here: enabled, pluginConfig",
        ),
        ("shop/a", "true\n---\nfalse", "one document is wanted"),
        ("shop/a", "{kind: WasmPlugin}", "apiVersion: is required"),
        ("shop/a", "{spec: {}}", "kind: is required"),
        (
            "shop/a",
            resource,
            "the resource is shop/b, which its key must say",
        ),
    ] {
        let told = told(metadata_value(key, text));
        assert!(told.contains(message), "{told}");
    }
}

#[test]
fn metadata_wins_field_by_field() {
    for (below, above, both) in [
        (
            changed(None, None),
            changed(Some(true), None),
            changed(Some(true), None),
        ),
        (
            changed(Some(false), None),
            changed(None, None),
            changed(Some(false), None),
        ),
        (
            changed(Some(false), Some("a")),
            changed(Some(true), None),
            changed(Some(true), Some("a")),
        ),
        (
            changed(None, Some("a")),
            changed(None, Some("")),
            changed(None, Some("")),
        ),
    ] {
        let mut laid = below;
        laid.lay_over(above);
        assert_eq!(laid, both);
    }
}

#[test]
fn routes_as_envoy_has_them() {
    let text = r#"
match: {prefix: /}
route: {cluster: upstream}
metadata:
  filter_metadata:
    envoy.lb: {canary: true}
    wasmplugin:
      shop/a: "false"
      shop/b: "{pluginConfig: {x: 1}}"
      shop/c: |
        apiVersion: extensions.istio.io/v1alpha1
        kind: WasmPlugin
        metadata: {name: c}
        spec: {url: "file:///c.wasm"}
typed_per_filter_config:
  envoy.filters.http.cors: {"@type": x}
  wasmplugin:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value: {plugins: {shop/b: {enabled: true}}}
"#;
    let route = route(text.as_bytes()).unwrap();
    let wanted = [
        ("shop/a", changed(Some(false), None)),
        // Both say something about it.
        ("shop/b", changed(Some(true), Some(r#"{"x":1}"#))),
    ];
    let wanted = wanted.map(|(name, change)| (name.to_owned(), change));
    assert_eq!(route.changes, Changes::from(wanted));
    let added: Vec<_> = route.added.iter().map(Resource::resource).collect();
    assert_eq!(added, ["shop/c"]);
    for (text, changes) in [
        ("{plugins: {shop/a: {enabled: true}}}", 1),
        ("{shop/a: true, shop/b: false}", 2),
        ("", 0),
    ] {
        assert_eq!(
            super::route(text.as_bytes()).unwrap().changes.len(),
            changes
        );
    }
    assert_eq!(
        told(super::route(b"{a: true, shop/b: x}")),
        "route: \"a\": the name must be a resource, <namespace>/<name> (at 1:2)\n\
         route metadata \"shop/b\": must be true, false, {pluginConfig: {…}}, or a WasmPlugin or \
         TrafficExtension (at 1:19)"
    );
}
