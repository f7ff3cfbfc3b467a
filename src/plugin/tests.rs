//! Properties of the whole; the rules, one by one, are golden cases in `tests/cases`.

use super::*;
use std::time::Duration;

fn no_file(path: &str) -> io::Result<String> {
    panic!("{path} was read")
}

fn read(config: &str) -> Result<Plan, Problems> {
    plan(config.as_bytes(), &no_file)
}

fn told(config: &str) -> String {
    read(config).unwrap_err().to_string()
}

const PLUGIN: &str = "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
                      metadata: {name: a}\nspec: {url: file:///a.wasm, pluginConfig: CONFIG}\n";

fn config_of(config: &str) -> String {
    let plugin = PLUGIN.replace("CONFIG", config).replace('\n', "\n  ");
    let plan = read(&format!("plugins:\n- {plugin}")).unwrap();
    String::from_utf8(plan.plugins[0].config.clone()).unwrap()
}

#[test]
fn defaults_are_those_of_the_contract() {
    let plan = read("").unwrap();
    assert_eq!(plan.phases, PhaseSet::ALL);
    assert_eq!(plan.plugins, []);
    assert_eq!(plan.startup_wait, Duration::from_secs(30));
    assert_eq!(plan.fetch.max_module_bytes, 256 << 20);
    let plugin = PLUGIN.replace("CONFIG", "{}").replace('\n', "\n  ");
    let plugin = read(&format!("plugins:\n- {plugin}"))
        .unwrap()
        .plugins
        .remove(0);
    assert_eq!(plugin.namespace, "default");
    assert_eq!(plugin.limits.call_deadline, Duration::from_millis(100));
    assert_eq!(plugin.limits.start_deadline, Duration::from_secs(10));
    assert_eq!(plugin.limits.memory, 128 << 20);
    assert_eq!(plugin.limits.table_elements, 10_000);
    assert_eq!(plugin.fail_status, 503);
    assert_eq!(plugin.fail, FailStrategy::Close);
    assert_eq!(plugin.phase, Phase::Unspecified);

    assert_eq!(defaults::ROOT_NAMESPACE, "istio-system");
    assert_eq!(defaults::FETCH_TIMEOUT, Duration::from_secs(30));
    assert_eq!(defaults::FETCH_ATTEMPTS, 5);
}

#[test]
fn keys_are_equal_where_settings_are() {
    let key = |config: &str| read(config).unwrap().key;
    let one = key("{phases: [AUTHN], limits: {memory: 1Mi, callDeadline: 1s}}");
    assert_eq!(one, key("limits:\n  callDeadline: 1s\n  memory: 1Mi\n"));
    assert_eq!(
        one,
        key(r#"{"limits":{"memory":"1Mi","callDeadline":"1s"},"phases":null}"#)
    );
    assert_ne!(one, key("limits: {memory: 2Mi, callDeadline: 1s}"));
    // A file says the same as the text itself.
    let file = |_: &str| Ok("limits: {memory: 1Mi}\nphases: [STATS]\n".to_owned());
    let merged = plan(b"{configFile: f, limits: {callDeadline: 1s}}", &file).unwrap();
    assert_eq!(one, merged.key);
    assert_eq!(merged.phases, PhaseSet::EMPTY.with(Phase::Stats));
}

#[test]
fn plugin_configurations_are_compact_json() {
    for (yaml, json) in [
        ("{}", ""),
        ("", ""),
        ("null", ""),
        (
            "{b: 1, a: [true, null, x]}",
            r#"{"a":[true,null,"x"],"b":1}"#,
        ),
        ("{a: 18446744073709551615}", r#"{"a":18446744073709551615}"#),
        ("{a: -9223372036854775808}", r#"{"a":-9223372036854775808}"#),
        ("{a: 9007199254740993}", r#"{"a":9007199254740993}"#),
        ("{a: 0x10, b: 1.50, c: 1e2}", r#"{"a":16,"b":1.5,"c":100}"#),
        (
            r#"{a: "é\n\"\u003c\u0001"}"#,
            "{\"a\":\"é\\n\\\"<\\u0001\"}",
        ),
        ("{é: ü, 1: 2, true: x}", r#"{"1":2,"true":"x","é":"ü"}"#),
        (
            "{a: 'on', b: \"010\", c: on the}",
            r#"{"a":"on","b":"010","c":"on the"}"#,
        ),
        ("{a: &x {b: 1}, c: *x}", r#"{"a":{"b":1},"c":{"b":1}}"#),
        ("{a: !!str 5}", r#"{"a":"5"}"#),
        (
            "{a: 2024-01-01, b: 1.2.3, c: 1s}",
            r#"{"a":"2024-01-01","b":"1.2.3","c":"1s"}"#,
        ),
    ] {
        assert_eq!(config_of(yaml), json, "{yaml}");
    }
}

#[test]
fn json_escapes_of_two_units_are_one_character() {
    let json = r#"{"workload":{"labels":{"a":"\ud83d\ude00 \\ud83d\\ude00 \/"}}}"#;
    assert_eq!(
        read(json).unwrap().key,
        r#"{"workload":{"labels":{"a":"😀 \\ud83d\\ude00 /"}}}"#
    );
}

#[test]
fn scalars_that_kubernetes_reads_otherwise_are_refused() {
    for (scalar, meant) in [
        ("on", "true"),
        ("Yes", "true"),
        ("N", "false"),
        ("OFF", "false"),
        ("010", "the number 8"),
        ("-010", "the number -8"),
        ("1_000", "the number 1000"),
        ("0b11", "the number 3"),
    ] {
        let message = told(&format!("workload: {{labels: {{a: {scalar}}}}}"));
        let wanted = format!("settings: `{scalar}` is {meant} in Kubernetes");
        assert!(message.starts_with(&wanted), "{message}");
    }
}

#[test]
fn hostile_texts_are_refused() {
    let laughs = (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, i| {
        let below = i - 1;
        text + &format!("a{i}: &a{i} [*a{below}, *a{below}, *a{below}]\n")
    });
    let copies = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a,".repeat(90_000)
    );
    // The deepest that the parser can be made to go.
    let mut deepest: String = (0..128)
        .map(|i| format!("{0}a:\n{0}-\n", " ".repeat(i)))
        .collect();
    deepest += &format!(
        "{}{}1{}",
        " ".repeat(128),
        "{a: ".repeat(255),
        "}".repeat(255)
    );
    for (text, message) in [
        (deepest, "nested deeper than 64 levels"),
        ("[".repeat(1 << 18), "not YAML"),
        ("{a: ".repeat(1 << 16), "not YAML"),
        ("- ".repeat(1 << 20), "indented by more than 128 columns"),
        ("? ".repeat(1 << 20), "indented by more than 128 columns"),
        (
            format!("{}x{}", "[".repeat(65), "]".repeat(65)),
            "nested deeper than 64 levels",
        ),
        ("- ".repeat(64) + "[x]", "nested deeper than 64 levels"),
        (
            "- ".repeat(64) + &"[".repeat(255) + &"]".repeat(255),
            "nested deeper than 64 levels",
        ),
        (" ".repeat(5 << 20), "5242880 bytes long"),
        (
            format!("[{}]", "1,".repeat(1 << 20)),
            "more than 262144 list items",
        ),
        ("a: 1\n\0b: 2\n".to_owned(), "control character U+0000"),
        (laughs, "alias expansion"),
        (copies, "with its aliases resolved"),
        ("a: &a [*a]".to_owned(), "an alias in its own anchor"),
        ("{<<: {a: 1}}".to_owned(), "merge keys"),
        ("{a: .inf}".to_owned(), "not a number that JSON can hold"),
        ("{a: 1e999}".to_owned(), "not a number that JSON can hold"),
        ("{[a]: 1}".to_owned(), "a key must be a string, not a list"),
        ("{1: a, '1': b}".to_owned(), "stands twice"),
    ] {
        let told = told(&text);
        assert!(told.contains(message), "{message}: {told:.200}");
    }
}

#[test]
fn nesting_up_to_the_bound_is_read() {
    // Below `plugins`, the resource, `spec` and `pluginConfig`.
    let inner = format!("{{a: {}{}}}", "[".repeat(59), "]".repeat(59));
    assert_eq!(config_of(&inner).len(), r#"{"a":}"#.len() + 2 * 59);
}

#[test]
fn many_problems_are_counted() {
    let fields: String = (0..5000).map(|i| format!("field{i}: 1\n")).collect();
    let problems = read(&fields).unwrap_err().0;
    assert_eq!(problems.len(), 1001);
    assert_eq!(problems[1000].message, "4000 more problems");
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let problems = plan(b"a: \xff", &no_file).unwrap_err();
    assert_eq!(problems.to_string(), "settings: not UTF-8 at byte 3");
}

#[test]
fn a_reader_remembers_names_between_files() {
    let text = PLUGIN.replace("CONFIG", "{}");
    let mut reader = ResourceReader::default();
    let (resources, problems) = reader.read(&text, "one.yaml", "shop");
    assert_eq!((resources.len(), problems.0.len()), (1, 0));
    assert_eq!(resources[0].resource(), "shop/a");
    let (resources, problems) = reader.read(&text, "two.yaml", "shop");
    assert_eq!(resources, []);
    assert_eq!(
        problems.to_string(),
        "WasmPlugin \"shop/a\": metadata.name: a second resource of this name; \
         the first is at one.yaml:1:1 (at two.yaml:3:18)"
    );
}
