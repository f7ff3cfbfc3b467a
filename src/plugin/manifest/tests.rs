use super::*;

const A: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: a}
spec: {url: file:///a.wasm}
";

fn read(text: &str) -> (Vec<String>, String) {
    let (resources, problems) = ResourceReader::default().read(text, "f.yaml", "shop");
    let names = resources.iter().map(Resource::resource).collect();
    (names, problems.to_string())
}

fn indented(text: &str, by: usize) -> String {
    let indent = " ".repeat(by);
    text.lines()
        .map(|line| format!("{indent}{line}\n"))
        .collect()
}

#[test]
fn documents() {
    let b = A.replace("name: a", "name: b");
    let text = format!("---\n{A}---\n# none\n---\n{b}...\n");
    assert_eq!(
        read(&text),
        (
            vec!["shop/a".to_owned(), "shop/b".to_owned()],
            String::new()
        )
    );
    assert_eq!(
        read("# none\n"),
        (vec![], "f.yaml: holds no resource".to_owned())
    );
}

#[test]
fn lists() {
    for kind in ["List", "WasmPluginList", "TrafficExtensionList"] {
        let item = indented(A, 2).replacen(' ', "-", 1);
        let text = format!("apiVersion: v1\nkind: {kind}\nmetadata: {{}}\nitems:\n{item}");
        assert_eq!(
            read(&text),
            (vec!["shop/a".to_owned()], String::new()),
            "{kind}"
        );
    }
    let (names, told) = read("{apiVersion: v1, kind: List, items: [{kind: WasmPlugin}]}");
    assert!(names.is_empty());
    assert!(told.starts_with("document 1, items[0]: apiVersion: is required (at f.yaml:1:"));
}

#[test]
fn config_maps() {
    let text = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: plugins}}\ndata:\n  \
         README.md: no resource\n  a.yaml: |\n{}",
        indented(A, 4)
    );
    assert_eq!(read(&text), (vec!["shop/a".to_owned()], String::new()));
    let wrong = text.replace("url: file", "uri: file");
    let (names, told) = read(&wrong);
    assert!(names.is_empty());
    assert_eq!(
        told,
        "WasmPlugin \"shop/a\": spec.url: is required (at f.yaml[a.yaml]:4:7)\n\
         WasmPlugin \"shop/a\": spec: unknown field \"uri\", did you mean \"url\"? \
         (at f.yaml[a.yaml]:4:8)"
    );
    let nothing = text.replace("a.yaml", "a.txt");
    assert_eq!(
        read(&nothing).1,
        "ConfigMap \"plugins\": data: holds no key that ends in .yaml, .yml or .json (at f.yaml:1:1)"
    );
}

#[test]
fn secrets() {
    let encoded = Base64::encode_string(A.as_bytes());
    let text = format!("{{apiVersion: v1, kind: Secret, data: {{a.yaml: {encoded}}}}}");
    assert_eq!(read(&text), (vec!["shop/a".to_owned()], String::new()));
    let text = "{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {a.yaml: '*'}}";
    assert_eq!(
        read(text).1,
        "Secret \"s\": data[\"a.yaml\"]: not base64 (at f.yaml:1:68)"
    );
}

#[test]
fn names_of_files() {
    for (name, is) in [
        ("a.yaml", true),
        ("a.yml", true),
        ("a.json", true),
        ("a.yaml.bak", false),
        ("..data", false),
        (".a.yaml", false),
    ] {
        assert_eq!(is_manifest(name), is, "{name}");
    }
}
