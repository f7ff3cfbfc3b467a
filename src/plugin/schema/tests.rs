use super::*;
use crate::plugin::units;
use regex::Regex;

/// Texts of all sorts, good and bad ones.
const SAMPLES: &[&str] = &[
    "",
    "a",
    "A",
    "a-b",
    "a.b",
    "-a",
    "a-",
    "a..b",
    "a/b",
    "shop/a.b",
    "shop.a/b",
    "Shop/a",
    "/a",
    "./a",
    "*",
    "a*",
    "a b",
    "ä",
    "7",
    "registry.example",
    "registry.example:5000",
    "[::1]:5000",
    "https://x",
    "10.0.0.0/8",
    "fd00::/8",
    "10.0.0.0",
    "::ffff:1.2.3.4/96",
    "proxy_log",
    "proxy_log, fd_write",
    "a;b",
    "Gateway",
    "gateway.networking.k8s.io",
    "Gateway-2",
    "2Gateway",
    "true",
    "false",
    "0",
    "-1",
    "503",
    "1.5",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];

/// Kinds within kinds, down to the last.
fn kinds(kind: &'static Kind, found: &mut Vec<&'static Kind>) {
    found.push(kind);
    match kind {
        Kind::Object(shape) => shape.fields.iter().for_each(|f| kinds(&f.kind, found)),
        Kind::List(inner, _) | Kind::Map(inner, _) | Kind::Quoted(inner) => kinds(inner, found),
        _ => {}
    }
}

fn all_kinds() -> Vec<&'static Kind> {
    let mut found = Vec::new();
    for shape in [
        &SETTINGS,
        &WASM_PLUGIN,
        &TRAFFIC_EXTENSION,
        &ROUTE,
        &ANNOTATIONS,
    ] {
        shape.fields.iter().for_each(|f| kinds(&f.kind, &mut found));
    }
    found
}

#[test]
fn patterns_take_what_decoding_takes() {
    let mut forms = 0;
    for kind in all_kinds() {
        let (Kind::Text(Text {
            form: Some(form), ..
        })
        | Kind::Map(_, Some(form))) = kind
        else {
            continue;
        };
        forms += 1;
        let pattern = Regex::new(form.pattern).unwrap();
        for sample in SAMPLES {
            let taken = (form.check)(sample);
            assert!(
                !taken || pattern.is_match(sample),
                "{sample:?} {}",
                form.pattern
            );
        }
    }
    assert!(forms > 20, "{forms}");
}

#[test]
fn patterns_of_units_are_those_of_the_readers() {
    let (duration, size) = (Regex::new(DURATION).unwrap(), Regex::new(SIZE).unwrap());
    for text in [
        "0", "1s", "1.5s", ".5s", "1.s", "1h30m", "100ms", "5us", "5µs", "5μs", "7ns", "", "1",
        "s", "1 s", "-1s", "+1s", "1d", "1h30", "1S", "0s", "1e3s", ".s",
    ] {
        assert_eq!(
            duration.is_match(text),
            units::duration(text).is_ok(),
            "{text:?}"
        );
    }
    for text in [
        "0", "1", "128Mi", "64M", "1.5Gi", ".5k", "1.", "1e6", "1E+6", "1E", "1Ei", "5P", "2T",
        "3Ki", "", "Mi", "1 Mi", "-1", "1K", "1mi", "1MB", "1e-6", "1e", "0x10",
    ] {
        assert_eq!(size.is_match(text), units::size(text).is_ok(), "{text:?}");
    }
}

#[test]
fn schemas_are_whole() {
    let schemas = schemas();
    let names: Vec<_> = schemas.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "Settings.json",
            "WasmPlugin.json",
            "TrafficExtension.json",
            "Route.json",
            "Cases.json",
        ]
    );
    let schema = |name: &str| -> Value {
        let (_, text) = schemas.iter().find(|(n, _)| n == name).unwrap();
        serde_json::from_str(text).unwrap()
    };
    let settings = schema("Settings.json");
    let fields = &settings["properties"];
    assert_eq!(settings["additionalProperties"], false);
    assert_eq!(
        fields["plugins"]["items"]["oneOf"][0]["$ref"],
        "WasmPlugin.json"
    );
    assert_eq!(fields["fetch"]["properties"]["timeout"]["default"], "30s");
    assert_eq!(fields["limits"]["properties"]["memory"]["default"], "128Mi");
    assert_eq!(
        fields["limits"]["properties"]["openCallouts"]["default"],
        1024
    );
    let plugin = schema("WasmPlugin.json");
    assert_eq!(
        plugin["required"],
        json!(["apiVersion", "kind", "metadata", "spec"])
    );
    let spec = &plugin["properties"]["spec"];
    assert_eq!(spec["required"], json!(["url"]));
    assert_eq!(spec["properties"]["phase"]["default"], "UNSPECIFIED_PHASE");
    assert_eq!(spec["properties"]["targetRefs"]["maxItems"], 16);
    assert_eq!(spec["allOf"].as_array().unwrap().len(), 3);
    let annotations = &plugin["properties"]["metadata"]["properties"]["annotations"];
    // Those of others are text; under our prefix, there are ours.
    assert_eq!(
        annotations["additionalProperties"],
        json!({ "type": "string" })
    );
    let ours = annotations["propertyNames"]["anyOf"][0]["enum"].as_array();
    assert!(ours.unwrap().contains(&json!("wasmplugin.io/vm-id")));
    assert!(annotations["properties"]["wasmplugin.io/call-deadline"].is_object());
}
