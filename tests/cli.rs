//! The command as its users call it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use wasmplugin_host::plugin::{Phase, PhaseSet, plan};

const GOOD: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: good, namespace: shop}
spec: {url: file:///opt/a.wasm}
";

const WRONG: &str = "apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: wrong
spec:
  url: ftp://example/a.wasm
  pluginConifg: {}
";

/// A directory to run in.
struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary directory"))
    }

    fn with(self, name: &str, text: &str) -> Self {
        let path: PathBuf = self.0.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text).expect("a file");
        self
    }

    fn run(&self, args: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_wasmplugin"))
            .current_dir(self.0.path())
            .args(args)
            .output()
            .expect("the command runs");
        Run(output)
    }
}

struct Run(Output);

impl Run {
    fn stdout(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).expect("UTF-8")
    }

    fn stderr(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).expect("UTF-8")
    }

    #[track_caller]
    fn exits(&self, status: i32) -> &Self {
        assert_eq!(
            self.0.status.code(),
            Some(status),
            "{}{}",
            self.stdout(),
            self.stderr()
        );
        self
    }
}

#[test]
fn validate_passes_good_files() {
    let run = Dir::new().with("a.yaml", GOOD).run(&["validate", "a.yaml"]);
    run.exits(0);
    assert_eq!(run.stdout(), "1 file, 1 good resource, no problem\n");
}

#[test]
fn validate_tells_every_problem_with_its_place() {
    let dir = Dir::new()
        .with("d/a.yaml", GOOD)
        .with("d/b.yml", &format!("{GOOD}---\n{WRONG}"))
        .with("d/c.json", "{\"kind\": ")
        .with("d/notes.txt", "not looked at");
    let run = dir.run(&["validate", "d"]);
    run.exits(1);
    assert_eq!(
        run.stdout(),
        "d/b.yml:3:18: WasmPlugin \"shop/good\": metadata.name: a second resource of this name; \
         the first is at d/a.yaml:1:1\n\
         d/b.yml:11:8: WasmPlugin \"default/wrong\": spec.url: \"ftp://example/a.wasm\": unknown \
         scheme \"ftp\": must be oci://, file://, http:// or https://, or none for OCI\n\
         d/b.yml:12:3: WasmPlugin \"default/wrong\": spec: unknown field \"pluginConifg\", did you \
         mean \"pluginConfig\"?\n\
         d/c.json:2:1: not YAML: while parsing a node, did not find expected node content\n\
         3 files, 1 good resource, 4 problems\n"
    );
}

#[test]
fn validate_prints_json() {
    let dir = Dir::new().with("a.yaml", WRONG);
    let run = dir.run(&["validate", "--output", "json", "a.yaml"]);
    run.exits(1);
    let result: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
    assert_eq!(result["files"], 1);
    assert_eq!(result["resources"], 0);
    let problems = result["problems"].as_array().expect("a list");
    assert_eq!(problems.len(), 2);
    assert_eq!(problems[0]["file"], "a.yaml");
    assert_eq!(problems[0]["line"], 6);
    assert_eq!(problems[0]["column"], 8);
    assert_eq!(problems[0]["resource"], "WasmPlugin \"default/wrong\"");
    assert_eq!(problems[0]["field"], "spec.url");
    assert_eq!(problems[0]["value"], "\"ftp://example/a.wasm\"");
}

#[test]
fn validate_reads_lists_and_config_maps() {
    let item = GOOD.replace('\n', "\n  ");
    let list = format!("apiVersion: v1\nkind: List\nitems:\n- {item}");
    let inner = WRONG.replace('\n', "\n    ");
    let map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: plugins}}\ndata:\n  p.yaml: |\n    {inner}"
    );
    let dir = Dir::new().with("list.yaml", &list).with("map.yaml", &map);
    let run = dir.run(&["validate", "list.yaml", "map.yaml"]);
    run.exits(1);
    assert_eq!(
        run.stdout(),
        "map.yaml[p.yaml]:6:8: WasmPlugin \"default/wrong\": spec.url: \"ftp://example/a.wasm\": \
         unknown scheme \"ftp\": must be oci://, file://, http:// or https://, or none for OCI\n\
         map.yaml[p.yaml]:7:3: WasmPlugin \"default/wrong\": spec: unknown field \"pluginConifg\", \
         did you mean \"pluginConfig\"?\n\
         2 files, 1 good resource, 2 problems\n"
    );
}

/// A public key of the fixtures.
fn key_file(name: &str) -> PathBuf {
    let keys = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/signatures/keys"
    );
    PathBuf::from(keys).join(format!("{name}.pub"))
}

#[test]
fn validate_decodes_verification_keys() {
    let resource = |name: &str, pem: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
             metadata: {{name: {name}}}\nspec:\n  url: oci://example.com/a:1\n  \
             verificationKey: |\n    {}\n",
            pem.trim_end().replace('\n', "\n    ")
        )
    };
    let key = |name: &str| fs::read_to_string(key_file(name)).expect("a key");
    let cut = key("p256").replace("MFkw", "MFk");
    let both = key("p256") + &key("rsa1024");
    let dir = Dir::new()
        .with(
            "good.yaml",
            &resource("good", &(key("p256") + &key("rsa2048"))),
        )
        .with("cut.yaml", &resource("cut", &cut))
        .with("short.yaml", &resource("short", &both))
        .with("kind.yaml", &resource("kind", &key("secp256k1")));
    dir.run(&["validate", "good.yaml"]).exits(0);
    let run = dir.run(&["validate", "cut.yaml", "short.yaml", "kind.yaml"]);
    run.exits(1);
    let supported = "ECDSA P-256 and P-384, Ed25519, and RSA of 2048 to 8192 bits are";
    assert_eq!(
        run.stdout(),
        format!(
            "cut.yaml:7:5: WasmPlugin \"default/cut\": spec.verificationKey: the PEM block \
             \"PUBLIC KEY\" is not base64\n\
             short.yaml:7:5: WasmPlugin \"default/short\": spec.verificationKey: RSA keys of 1024 \
             bits are not supported: {supported}\n\
             kind.yaml:7:5: WasmPlugin \"default/kind\": spec.verificationKey: ECDSA secp256k1 \
             keys are not supported: {supported}\n\
             3 files, 0 good resources, 3 problems\n"
        )
    );
    let settings = format!(
        "plugins:\n- {}",
        resource("inside", &key("p521")).replace('\n', "\n  ")
    );
    let dir = Dir::new().with("settings.yaml", &settings);
    let run = dir.run(&["validate", "--output", "json", "settings.yaml"]);
    run.exits(1);
    let result: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
    assert_eq!(result["resources"], 0);
    assert_eq!(result["problems"][0]["field"], "spec.verificationKey");
    assert_eq!(result["problems"][0]["line"], 8);
}

#[test]
fn validate_knows_settings() {
    let good = GOOD.replace('\n', "\n  ");
    let dir = Dir::new()
        .with("good.yaml", &format!("plugins:\n- {good}"))
        .with("wrong.yaml", "phases: [AUTHN]\nlimit: {memory: 1Mi}\n");
    let run = dir.run(&["validate", "good.yaml", "wrong.yaml"]);
    run.exits(1);
    assert_eq!(
        run.stdout(),
        "wrong.yaml:2:1: settings: unknown field \"limit\", did you mean \"limits\"?\n\
         2 files, 1 good resource, 1 problem\n"
    );
}

#[test]
fn explain_tells_the_phases_of_an_entry() {
    let good = GOOD.replace('\n', "\n  ");
    let settings = format!("phases: [AUTHN]\nworkload: {{namespace: shop}}\nplugins:\n- {good}");
    let dir = Dir::new().with("settings.yaml", &settings);
    let run = dir.run(&["explain", "--config", "settings.yaml"]);
    let stdout = run.exits(0).stdout();
    assert!(stdout.contains("\nthis entry runs: AUTHN\n"), "{stdout}");
    assert!(
        stdout.contains("\nUNSPECIFIED_PHASE (not of this entry)\n"),
        "{stdout}"
    );
}

#[test]
fn validate_tells_what_is_not_portable() {
    let text = r#"apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: a
  creationTimestamp: "2024-01-31T12:00:00Z"
  annotations: {wasmplugin.io/call-deadline: 5ms}
spec:
  url: registry:5000/a@sha256:0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
  sha256: 1f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
  failStrategy: FAIL_RELOAD
  targetRefs: [{kind: Service, name: web}]
  pluginConfig:
    limit: 9007199254740993
    verificationKey: KEY
  vmConfig: {env: [{name: ISTIO_META_X, value: x}]}
---
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: b}
spec:
  wasm:
    url: file:///b.wasm
    sha256: 1f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0
    imagePullSecret: pull
    verificationKey: KEY
"#;
    let key = fs::read_to_string(key_file("p256")).expect("a key");
    let text = text.replace("KEY", &format!("{:?}", key.replace('\n', " ")));
    let dir = Dir::new().with("a.yaml", &text).with("good.yaml", GOOD);
    dir.run(&["validate", "a.yaml"]).exits(0);
    dir.run(&["validate", "--portable", "good.yaml"]).exits(0);
    let run = dir.run(&["validate", "--portable", "a.yaml"]);
    run.exits(1);
    let told: Vec<_> = run
        .stdout()
        .lines()
        .map(|line| {
            line.replace("WasmPlugin \"default/a\": ", "")
                .replace("a.yaml:", "")
        })
        .collect();
    assert_eq!(
        told,
        [
            "5:22: metadata.creationTimestamp: the API server sets its own, so that the order of \
             equal priorities may be another",
            "6:46: metadata.annotations[\"wasmplugin.io/call-deadline\"]: in Istio no deadline: a \
             plugin that does not return holds its worker for ever",
            "8:8: spec.url: Istio refuses a port in a URL without scheme: write oci:// in front of it",
            "8:8: spec.url: if this is the digest of an index of several platforms, Istio refuses \
             the image that it finds there",
            "9:11: spec.sha256: in Istio it must be the digest in the URL",
            "10:17: spec.failStrategy: Istio 1.23 and older refuse it",
            "11:23: spec.targetRefs: in Istio only waypoints look at this kind, and for them no \
             port and no mode CLIENT of match ever holds",
            "13:12: spec.pluginConfig.limit: in Istio numbers are floats, and this one is rounded",
            "14:22: spec.pluginConfig.verificationKey: in Istio it reaches the plugin, and nothing \
             is verified",
            "15:27: spec.vmConfig.env: Istio takes variables of this prefix away",
            "18:7: TrafficExtension \"default/b\": kind: Istio knows this kind since 1.30; older \
             ones refuse it",
            "23:13: TrafficExtension \"default/b\": spec.wasm.sha256: in Istio the digest of a file \
             is not checked",
            "24:22: TrafficExtension \"default/b\": spec.wasm.imagePullSecret: Istio uses it for \
             OCI images only",
            "25:22: TrafficExtension \"default/b\": spec.wasm.verificationKey: in Istio it is not \
             implemented: the module runs without being verified",
            "1 file, 2 good resources, 14 problems",
        ]
    );
}

#[test]
fn validate_knows_how_much_kubernetes_takes() {
    let annotation = format!("wasmplugin.io/raw-plugin-config: {}", "x".repeat(1 << 18));
    let name = format!("{{name: good, annotations: {{{annotation}}}, ");
    let dir = Dir::new().with("a.yaml", &GOOD.replace("{name: good, ", &name));
    dir.run(&["validate", "a.yaml"]).exits(0);
    let run = dir.run(&["validate", "--portable", "a.yaml"]);
    let stdout = run.exits(1).stdout();
    assert!(
        stdout.contains("Kubernetes refuses more than 256 KiB"),
        "{stdout}"
    );
}

/// Settings, a directory, labels and a route.
fn shop() -> Dir {
    let resource = |name: &str, spec: &str| {
        format!(
            "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
             metadata: {{{name}}}\nspec: {{url: registry.example/a, {spec}}}\n---\n"
        )
    };
    let off =
        r#"name: "off", namespace: shop, annotations: {wasmplugin.io/enabled-by-default: "false"}"#;
    let directory = [
        resource("name: last, namespace: istio-system", ""),
        resource("name: first, namespace: shop", "phase: AUTHN"),
        resource(off, "match: [{ports: [{number: 80}, {number: 8080}]}]"),
        resource("name: low, namespace: shop", "priority: -1"),
        resource(
            "name: api, namespace: shop",
            "selector: {matchLabels: {app: api}}",
        ),
        resource("name: elsewhere, namespace: other", ""),
    ];
    let brought = resource("name: brought", "priority: 7").replace("---\n", "");
    let brought = brought.replace('\n', "\n  ");
    let route = format!(
        "shop/off: true\nshop/first: false\nshop/low: '{{pluginConfig: {{a: 1}}}}'\n\
         shop/brought: |\n  {brought}\n"
    );
    let settings = "workload: {namespace: shop, labelsFile: labels}\npluginsDir: plugins\n";
    Dir::new()
        .with("settings.yaml", settings)
        .with("labels", "app=\"web\"\n")
        .with("plugins/all.yaml", &directory.concat())
        .with("route.yaml", &route)
}

#[test]
fn explain_tells_the_order_and_its_reasons() {
    let run = shop().run(&["explain", "--config", "settings.yaml"]);
    run.exits(0);
    assert_eq!(
        run.stdout(),
        "workload: namespace shop, root namespace istio-system, type gateway, labels app=web

AUTHN
  1. shop/first (plugins/all.yaml:6)
     no priority, which is the lowest; comes first

UNSPECIFIED_PHASE
  2. shop/low (plugins/all.yaml:16)
     priority -1; its phase comes later
  3. shop/off (plugins/all.yaml:11)
     no priority, which is the lowest, ports 80, 8080; its priority is lower
     runs only where a route enables it
  4. istio-system/last (plugins/all.yaml:1)
     no priority, which is the lowest; it is in the root namespace, the one before in the workload's own

do not apply
  shop/api (plugins/all.yaml:21): its selector wants the label app=api, the workload has web
  other/elsewhere (plugins/all.yaml:26): its namespace is neither the workload's nor the root namespace
"
    );
}

#[test]
fn explain_takes_labels_and_a_route() {
    let args = [
        "explain",
        "--config",
        "settings.yaml",
        "--labels",
        "app=api,tier=front",
        "--route",
        "route.yaml",
    ];
    let dir = shop();
    let run = dir.run(&args);
    run.exits(0);
    let stdout = run.stdout();
    assert!(stdout.contains("labels app=api,tier=front\n"), "{stdout}");
    let on_route: Vec<_> = stdout
        .lines()
        .filter(|line| line.contains(". ") || line.contains("on this route"))
        .map(|line| line.trim().split(" (").next().unwrap_or_default())
        .collect();
    assert_eq!(
        on_route,
        [
            "1. shop/first",
            "on this route: disabled",
            "2. shop/brought",
            "on this route: brought by the route",
            "3. shop/low",
            "on this route: runs, with pluginConfig {\"a\":1}",
            "4. shop/api",
            "on this route: runs",
            "5. shop/off",
            "on this route: enabled",
            "6. istio-system/last",
            "on this route: runs",
        ]
    );
    let run = dir.run(&[args.as_slice(), &["--output", "json"]].concat());
    let result: serde_json::Value = serde_json::from_str(&run.exits(0).stdout()).expect("JSON");
    assert_eq!(result["workload"]["labels"]["app"], "api");
    let plugins = result["plugins"].as_array().expect("a list");
    assert_eq!(plugins.len(), 6);
    assert_eq!(plugins[0]["resource"], "shop/first");
    assert_eq!(plugins[0]["route"]["runs"], false);
    assert_eq!(plugins[1]["because"], "its phase comes later");
    assert_eq!(plugins[1]["route"]["added"], true);
    assert_eq!(plugins[2]["route"]["pluginConfig"], "{\"a\":1}");
    assert_eq!(plugins[4]["ports"], serde_json::json!([80, 8080]));
    assert_eq!(result["leftOut"][0]["resource"], "other/elsewhere");
    assert_eq!(result["problems"], serde_json::json!([]));
}

#[test]
fn explain_tells_problems() {
    let dir = shop()
        .with("plugins/wrong.yaml", WRONG)
        .with("labels", "app\n")
        .with("wrong-route.yaml", "{shop/first: maybe}");
    let args = [
        "explain",
        "--config",
        "settings.yaml",
        "--route",
        "wrong-route.yaml",
    ];
    let run = dir.run(&args);
    run.exits(1);
    let told: Vec<_> = run
        .stdout()
        .lines()
        .rev()
        .take(4)
        .map(str::to_owned)
        .collect();
    assert_eq!(
        told,
        [
            "wrong-route.yaml:1:14: route metadata \"shop/first\": must be true, false, {pluginConfig: {…}}, \
             or a WasmPlugin or TrafficExtension",
            "labels:1:1: labels file labels: not a label: lines are key=\"value\"",
            "plugins/wrong.yaml:7:3: WasmPlugin \"shop/wrong\": spec: unknown field \
             \"pluginConifg\", did you mean \"pluginConfig\"?",
            "plugins/wrong.yaml:6:8: WasmPlugin \"shop/wrong\": spec.url: \"ftp://example/a.wasm\": \
             unknown scheme \"ftp\": must be oci://, file://, http:// or https://, or none for OCI",
        ]
    );
    let dir = Dir::new().with("settings.yaml", "phase: [AUTHN]\n");
    let run = dir.run(&["explain", "--config", "settings.yaml"]);
    run.exits(1);
    assert_eq!(
        run.stdout(),
        "settings.yaml:1:1: settings: unknown field \"phase\", did you mean \"phases\"?\n"
    );
    let run = dir.run(&["explain", "--config", "missing.yaml", "--output", "json"]);
    let result: serde_json::Value = serde_json::from_str(&run.exits(1).stdout()).expect("JSON");
    assert_eq!(result["problems"][0]["file"], "missing.yaml");
    dir.run(&["explain"]).exits(2);
    dir.run(&["explain", "--config", "settings.yaml", "--labels", "x"])
        .exits(2);
}

#[test]
fn validate_does_not_pass_what_it_did_not_see() {
    let dir = Dir::new()
        .with("empty/x.txt", "")
        .with("none.yaml", "# nothing\n");
    let run = dir.run(&["validate", "empty", "none.yaml"]);
    run.exits(1);
    assert_eq!(
        run.stdout(),
        "empty: holds no *.yaml, *.yml or *.json\n\
         none.yaml: holds no resource\n\
         1 file, 0 good resources, 2 problems\n"
    );
}

#[test]
fn compile_fills_a_cache_once() {
    let guest =
        r#"(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1")))"#;
    let dir = Dir::new().with("a.wasm", guest).with("b.wasm", "no module");
    // Text is no module yet.
    let module = wat::parse_str(guest).expect("a module");
    fs::write(dir.0.path().join("a.wasm"), module).expect("a file");
    let args = [
        "compile",
        "--output",
        "json",
        "--cache-dir",
        "cache",
        "a.wasm",
    ];
    let states = ["compiled", "present"];
    for state in states {
        let run = dir.run(&args);
        run.exits(0);
        let result: serde_json::Value = serde_json::from_str(&run.stdout()).expect("JSON");
        assert_eq!(result["modules"][0]["state"], state);
    }
    let run = dir.run(&[
        "compile",
        "--cache-dir",
        "cache",
        "b.wasm",
        "none.wasm",
        "a.wasm",
    ]);
    run.exits(1);
    let text = run.stdout();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines[0], "b.wasm: error: not a WebAssembly module");
    assert!(
        lines[1].starts_with("none.wasm: error: cannot be read: "),
        "{text}"
    );
    assert!(
        lines[2].starts_with("a.wasm: there already, sha256:"),
        "{text}"
    );
    dir.run(&["compile", "a.wasm"]).exits(2);
}

#[test]
fn wrong_usage_exits_with_2() {
    let dir = Dir::new();
    dir.run(&[]).exits(2);
    dir.run(&["validate"]).exits(2);
    dir.run(&["validate", "--output", "xml", "a.yaml"]).exits(2);
    dir.run(&["config", "--phases", "AUTH"]).exits(2);
    let run = dir.run(&["validate", "missing.yaml"]);
    run.exits(2);
    assert_eq!(
        run.stderr(),
        "error: missing.yaml: no such file or directory\n"
    );
}

#[test]
fn help_names_the_commands() {
    let run = Dir::new().run(&["--help"]);
    run.exits(0);
    for command in ["validate", "explain", "config"] {
        assert!(run.stdout().contains(command));
    }
}

#[test]
fn config_prints_the_filter() {
    let args = [
        "config",
        "--config-file",
        "/etc/wasmplugin/wasmplugin.yaml",
        "--phases",
        "AUTHN",
    ];
    let run = Dir::new().run(&args);
    run.exits(0);
    assert_eq!(
        run.stdout(),
        r#"- name: wasmplugin.authn
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    dynamic_module_config: { name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }
    filter_name: wasmplugin
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value: { phases: [AUTHN], configFile: /etc/wasmplugin/wasmplugin.yaml }
"#
    );
}

#[test]
fn config_in_yaml_and_json_says_the_same_settings() {
    let dir = Dir::new();
    let args = [
        "config",
        "--phases",
        "AUTHN,STATS",
        "--config-file",
        "on: \"x\"",
    ];
    let yaml = dir.run(&args);
    let json = dir.run(&[args.as_slice(), &["--output", "json"]].concat());
    let (yaml, json) = (yaml.exits(0).stdout(), json.exits(0).stdout());
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["name"], "wasmplugin");
    let from_json = json["typed_config"]["filter_config"]["value"].to_string();
    let from_yaml = yaml
        .lines()
        .last()
        .and_then(|line| line.trim().strip_prefix("value: "));
    for settings in [from_json.as_str(), from_yaml.expect("settings")] {
        let read = |path: &str| {
            assert_eq!(path, "on: \"x\"");
            Ok("{}".to_owned())
        };
        let plan = plan(settings.as_bytes(), &read).expect("a plan");
        assert_eq!(
            plan.phases,
            PhaseSet::EMPTY.with(Phase::Authn).with(Phase::Stats)
        );
    }
    let bare = dir.run(&["config"]);
    assert!(bare.exits(0).stdout().ends_with("value: {}\n"));
}

/// A plugin that answers requests for `/refused`, and otherwise adds `x-mark: yes`.
const MARKING: &str = r#"(module
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value"
    (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
    (func $reply (param i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-markyes:pathrefused")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 6)))
    (drop (call $get (i32.const 0) (i32.const 25) (i32.const 5) (i32.const 64) (i32.const 68)))
    (if (i32.eq (i32.load (i32.const 68)) (i32.const 8)) (then
      (drop (call $reply (i32.const 403) (i32.const 0) (i32.const 0) (i32.const 30) (i32.const 7)
        (i32.const 0) (i32.const 0) (i32.const -1)))
      (return (i32.const 1))))
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 6) (i32.const 22) (i32.const 3)))
    (i32.const 0)))"#;

/// A directory with [`MARKING`], its resource, and these cases.
fn with_cases(cases: &str) -> Dir {
    let dir = Dir::new()
        .with("a/plugin.yaml", &GOOD.replace("shop", "market"))
        .with("a/cases.test.yaml", cases);
    let module = wat::parse_str(MARKING).expect("a module");
    fs::write(dir.0.path().join("a/mark.wasm"), module).expect("a file");
    dir
}

const CASES: &str = r"plugins: [plugin.yaml]
modules: { market/good: mark.wasm }
cases:
- name: marked
  request: { method: POST, path: /a?b, headers: { X-One: '1' }, body: hello }
  response: { status: 201, headers: { x-two: '2' }, body: world }
  expect:
    answered: false
    upstream:
      headers: { :method: POST, :path: /a?b, x-one: '1', x-mark: 'yes', x-none: null }
      body: hello
    client: { status: 201, headers: { x-two: '2' }, body: world }
    logs: ['wasm log market.good: x-mark']
- name: refused
  request: { path: /refused }
  expect:
    answered: true
    client: { status: 403, headers: { content-type: text/plain }, body: refused }
";

#[test]
fn test_runs_cases() {
    let run = with_cases(CASES).run(&["test", "."]);
    run.exits(0);
    assert_eq!(run.stdout(), "1 file, 2 cases, 0 failed\n");
}

#[test]
fn test_tells_what_is_not_as_expected() {
    let cases = CASES
        .replace("x-mark: 'yes', x-none: null", "x-mark: 'no', x-none: x")
        .replace("['wasm log", "['nobody says")
        .replace(
            "answered: true",
            "answered: false\n    upstream: { body: x }",
        );
    let dir = with_cases(&cases);
    let run = dir.run(&["test", "a/cases.test.yaml"]);
    run.exits(1);
    let stdout = run.stdout();
    for line in [
        "a/cases.test.yaml:10:66: marked: upstream.headers[\"x-mark\"]: expected \"no\", got \"yes\"\n",
        "a/cases.test.yaml:10:80: marked: upstream.headers[\"x-none\"]: expected \"x\", got none\n",
        "marked: logs[0]: no line holds \"nobody says market.good: x-mark\"; logged:\n",
        "refused: answered: expected false, but a plugin answers\n",
        "refused: upstream: nothing gets there: a plugin answers\n",
        "\n1 file, 2 cases, 2 failed\n",
    ] {
        assert!(stdout.contains(line), "{line} in {stdout}");
    }
    let run = dir.run(&["test", "--output", "json", "a"]);
    let result: serde_json::Value = serde_json::from_str(&run.exits(1).stdout()).expect("JSON");
    assert_eq!(
        (&result["cases"], &result["failed"]),
        (&2.into(), &2.into())
    );
    let case = &result["files"][0]["cases"][1];
    assert_eq!(case["name"], "refused");
    assert_eq!(case["passed"], false);
    assert_eq!(case["failures"].as_array().expect("a list").len(), 2);
}

#[test]
fn test_tells_what_cannot_be_run() {
    for (from, to, told) in [
        (
            "  expect:\n    answered: true",
            "  expct:\n    answered: true",
            "did you mean \"expect\"?",
        ),
        (
            "answered: true",
            "answered: 1",
            "must be true or false, not a number",
        ),
        ("plugin.yaml", "none.yaml", "a/none.yaml: cannot be read"),
        (
            "market/good",
            "market/other",
            "modules: none of the plugins is market/other",
        ),
        (
            "mark.wasm",
            "none.wasm",
            "plugin market/good: cannot run: cannot read",
        ),
    ] {
        let run = with_cases(&CASES.replace(from, to)).run(&["test", "a"]);
        let stdout = run.exits(1).stdout();
        assert!(stdout.contains(told), "{told} in {stdout}");
        assert!(stdout.ends_with("1 file, 0 cases, 0 failed\n"), "{stdout}");
    }
    Dir::new().run(&["test", "nowhere"]).exits(2);
    let run = with_cases(CASES)
        .with("b/notes.txt", "")
        .run(&["test", "b"]);
    assert!(run.exits(1).stdout().contains("b: holds no *.test.yaml"));
}

#[test]
fn the_cases_of_the_examples_pass() {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let run = Dir::new().run(&["test", examples]);
    let stdout = run.exits(0).stdout();
    let count = fs::read_dir(examples).expect("examples").flatten();
    let count = count
        .filter(|entry| entry.path().join("plugin.yaml").exists())
        .count();
    assert!(stdout.starts_with(&format!("{count} files, ")), "{stdout}");
}
