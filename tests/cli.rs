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
    for command in ["validate", "config"] {
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
