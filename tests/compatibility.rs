//! COMPATIBILITY.md is made here, of the tables that the code itself uses. Run with
//! `UPDATE_GOLDEN=1` to write it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use wasmplugin_host::proxy_wasm::property::missing::{MISSING, Missing, State};
use wasmplugin_host::proxy_wasm::property::served::ATTRIBUTES;
use wasmplugin_host::proxy_wasm::specification::{self, Specified};
use wasmplugin_host::proxy_wasm::surface::{HostFunction, foreign_functions, host_functions};
use wasmplugin_host::proxy_wasm::{AbiVersion, CALLBACKS, Called, Versions};
use wasmplugin_host::vm::Engine;

const HEAD: &str = "\
# Compatibility

What plugins can export, call and read: here, in the Wasm filter of Envoy 1.40 (with V8), and in the
specification of the ABI. The column `spec` has the versions of it that name something; 0.1.0, 0.2.0
and 0.2.1 differ. This page is made of the tables in the code (`tests/compatibility.rs`); a test fails
where it is out of date.

That both filters do the same is tested by running both in one Envoy, with the same plugins,
requests and upstreams: `tests/conformance/cases`, some seven hundred cases, and programs made at random.
Guests have 1 GiB of memory there and no deadlines; here they have what `limits` says, by default 128 MiB
and 100 ms a call. Large firewalls need more: Coraza with the whole Core Rule Set, `memory: 512Mi`.
What differs is listed [at the end](#deliberate-differences), each with the test that shows it.
";

const IN_ENVOY_ONLY: &str = "not";

/// Host functions that Envoy does not have with this type, and why we do.
const WIDER: [(&str, &str); 2] = [
    (
        "path_link",
        "with the types of WASI, which Envoy's differ from",
    ),
    (
        "path_symlink",
        "with the types of WASI, which Envoy's differ from",
    ),
];

/// Forms of properties.
const FORMS: &str = "\
| form | bytes |
|---|---|
| text, bytes | as they are |
| int, uint, double | 8 bytes, little endian |
| bool | 1 byte |
| timestamp, duration | nanoseconds, as int |
| message | protobuf; an empty one has no bytes |
| map | pairs, as header maps |
";

#[test]
fn the_page_is_current() {
    let path = root().join("COMPATIBILITY.md");
    let page = page();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, page).expect("a writable page");
        return;
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "COMPATIBILITY.md is out of date. Run again with UPDATE_GOLDEN=1, and read the diff."
    );
}

/// What the specification names, plugins of that version find here.
#[test]
fn everything_specified_is_here() {
    let engine = Engine::new().expect("an engine");
    for abi in AbiVersion::ALL {
        let functions = host_functions(&engine, abi).expect("functions that link");
        let has = |module: &str, name: &str| {
            let mut all = functions.iter();
            all.any(|function| function.module == module && function.name == name)
        };
        for known in specification::FUNCTIONS {
            let is = known.versions.contain(abi);
            assert_eq!(has("env", known.name), is, "{} of {abi:?}", known.name);
        }
        for known in specification::WASI {
            assert!(has("wasi_snapshot_preview1", known.name), "{}", known.name);
        }
        for known in specification::EXPORTS {
            let is_marker = known.name.starts_with("proxy_abi_version_");
            let is_known = CALLBACKS
                .iter()
                .any(|callback| callback.name == known.name && callback.versions.contain(abi));
            assert!(
                is_marker || !known.versions.contain(abi) || is_known,
                "{} of {abi:?}",
                known.name
            );
        }
    }
    let unserved: Vec<_> = specification::PROPERTIES
        .iter()
        .filter(|path| ATTRIBUTES.iter().all(|attribute| attribute.path != **path))
        .collect();
    assert_eq!(unserved, [&"upstream.local_port"]);
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    callbacks(&mut page);
    functions(&mut page);
    foreign(&mut page);
    properties(&mut page);
    differences(&mut page);
    page
}

fn callbacks(page: &mut String) {
    *page += "\n## Exports\n\n\
        A module exports `proxy_abi_version_0_1_0`, `_0_2_0` or `_0_2_1`; the first of them in the \
        order\nof exports counts. An export of one of these names with another type is refused. \
        All parameters\nand results are `i32`.\n\n\
        | export | parameters | result | ABI | spec | Envoy | here |\n|---|---|---|---|---|---|---|\n";
    for callback in CALLBACKS {
        let spec = specified(specification::EXPORTS, callback.name, callback.versions);
        let (envoy, here) = match callback.called {
            Called::AsInEnvoy => ("called".to_owned(), "called".to_owned()),
            Called::If(condition) => (format!("if {condition}"), format!("if {condition}")),
            Called::Never => ("never called".to_owned(), "never called".to_owned()),
            Called::NotHere(reason) => ("called".to_owned(), format!("never called: {reason}")),
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {spec} | {envoy} | {here} |",
            callback.name,
            callback.parameters,
            if callback.result { "yes" } else { "" },
            versions(callback.versions),
        );
    }
}

const fn versions(versions: Versions) -> &'static str {
    match versions {
        Versions::All => "all",
        Versions::Old => "0.1.0",
        Versions::Middle => "0.2.0",
        Versions::New => "0.2.0, 0.2.1",
        Versions::Newest => "0.2.1",
    }
}

/// The versions of the specification that name `name`, as a table has it. Where a name is there with
/// another type by version, `own` says which versions have this one.
fn specified(table: &[Specified], name: &str, own: Versions) -> String {
    let Some(found) = specification::find(table, name) else {
        return String::new();
    };
    let text = versions(if found.versions == Versions::All {
        own
    } else {
        found.versions
    });
    match found.differs {
        Some(how) => format!("{text}, {how}"),
        None => text.to_owned(),
    }
}

fn functions(page: &mut String) {
    let engine = Engine::new().expect("an engine");
    let of = |abi| host_functions(&engine, abi).expect("functions that link");
    let [old, new, newest] = AbiVersion::ALL.map(of);
    let all: BTreeSet<&HostFunction> = [&old, &new, &newest].into_iter().flatten().collect();
    let in_which = |function: &HostFunction| {
        let has = |list: &[HostFunction]| list.contains(function);
        match (has(&old), has(&new), has(&newest)) {
            (true, true, true) => "all",
            (true, false, false) => "0.1.0",
            (false, true, true) => "0.2.0, 0.2.1",
            (false, false, true) => "0.2.1",
            _ => panic!("{function:?} is in a strange choice of versions"),
        }
    };
    *page += "\n## Host functions\n\nFrom the module `env`. An import that is not listed, or of another \
        type, is refused. Memories and\ntables that a module imports are made for it.\n\n\
        | function | type | ABI | spec | Envoy | here |\n|---|---|---|---|---|---|\n";
    for function in all.iter().filter(|function| function.module == "env") {
        row(page, function, in_which(function));
    }
    *page += "\n### WASI\n\nFrom the modules `wasi_snapshot_preview1` and `wasi_unstable`, in all \
        versions of the ABI. There are\nno files, no sockets and no arguments; standard output is the \
        log.\n\n| function | type | spec | Envoy | here |\n|---|---|---|---|---|\n";
    for function in all
        .iter()
        .filter(|function| function.module == "wasi_snapshot_preview1")
    {
        let wider = WIDER.iter().find(|(name, _)| *name == function.name);
        let here = wider.map_or("as in Envoy".to_owned(), |(_, why)| format!("yes, {why}"));
        let spec = specified(specification::WASI, &function.name, Versions::All);
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {spec} | {} | {here} |",
            function.name,
            ty(function),
            if wider.is_some() {
                IN_ENVOY_ONLY
            } else {
                "yes"
            },
        );
    }
}

fn row(page: &mut String, function: &HostFunction, versions: &str) {
    let spec = specified(specification::FUNCTIONS, &function.name, Versions::All);
    let _ = writeln!(
        page,
        "| `{}` | `{}` | {versions} | {spec} | yes | as in Envoy |",
        function.name,
        ty(function),
    );
}

/// `(type (func (param i32) (result i32)))` without what every type has.
fn ty(function: &HostFunction) -> String {
    let ty = function.ty.trim_start_matches("(type ");
    let ty = ty.strip_prefix("(func").unwrap_or(ty);
    let depth = ty.matches(')').count() - ty.matches('(').count();
    let ty = ty.get(..ty.len() - depth).unwrap_or(ty).trim();
    if ty.is_empty() {
        "()".to_owned()
    } else {
        ty.to_owned()
    }
}

fn foreign(page: &mut String) {
    *page += "\n## Foreign functions\n\n`proxy_call_foreign_function` knows the functions that Envoy \
        registers, and answers as Envoy does.\nThe specification leaves them to hosts.\n\n\
        | function | Envoy | here |\n|---|---|---|\n";
    for name in foreign_functions() {
        let _ = writeln!(page, "| `{name}` | yes | as in Envoy |");
    }
}

fn properties(page: &mut String) {
    let _ = write!(
        page,
        "\n## Properties\n\nPaths of `proxy_get_property`, with dots for NULs; capitals stand for any \
        name. The specification\nlists some in versions 0.1.0 and 0.2.0, and none in 0.2.1; \
        `upstream.local_port`, which it lists, is\nin no Envoy. What Envoy derives from a header map \
        is there as long as the map. Names at the\ntop that older Envoys had (`node`, \
        `cluster_name`, …) are under `xds.`, as in Envoy 1.40.\n\n{FORMS}\n\
        | path | form | spec | Envoy | here |\n|---|---|---|---|---|\n"
    );
    let missing: BTreeMap<&str, &Missing> = MISSING
        .iter()
        .map(|missing| (missing.path, missing))
        .collect();
    for attribute in ATTRIBUTES {
        let here = match missing.get(attribute.path) {
            None => "as in Envoy".to_owned(),
            Some(missing) => match missing.state {
                State::NotFound => format!("not found: {}", missing.reason),
                State::Partly => format!("partly: {}", missing.reason),
            },
        };
        let spec = if specification::PROPERTIES.contains(&attribute.path) {
            "0.1.0, 0.2.0"
        } else {
            ""
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | {spec} | yes | {here} |",
            attribute.path, attribute.form
        );
    }
}

fn differences(page: &mut String) {
    let path = root().join("tests/conformance/differences.txt");
    let text = fs::read_to_string(path).expect("differences.txt");
    let mut order: Vec<String> = Vec::new();
    let mut cases: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() || line.starts_with(['#', ' ']) {
            continue;
        }
        let first = lines.next().unwrap_or_default();
        let mut why = first
            .strip_prefix("  why: ")
            .unwrap_or_else(|| panic!("{line}: no reason"))
            .to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with("    ")) {
            why.push(' ');
            why += more.trim();
        }
        if !order.contains(&why) {
            order.push(why.clone());
        }
        cases.entry(why).or_default().push(line.to_owned());
    }
    *page += "\n## Deliberate differences\n\nEach is a case, or several, of `tests/conformance/cases`, \
        which fails where anything else differs:\n`cargo test --test conformance` runs them. A star \
        stands for every case. Where Envoy's own filter\nwould crash or hang, the case runs here alone \
        and says what must happen (`ours-only`).\n\n| what, and why | cases |\n|---|---|\n";
    for why in order {
        let names = cases.remove(&why).unwrap_or_default();
        let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| {why} | {} |", names.join(", "));
    }
    let alone = alone();
    let _ = writeln!(
        page,
        "\nCases that Envoy's own filter cannot bear:\n\n| case | |\n|---|---|"
    );
    for (name, about) in alone {
        let _ = writeln!(page, "| `{name}` | {about} |");
    }
}

/// Cases that run here alone, with what they say about it.
fn alone() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let topics = fs::read_dir(root().join("tests/conformance/cases")).expect("cases");
    for topic in topics.filter_map(Result::ok) {
        let files = fs::read_dir(topic.path()).expect("a topic");
        for file in files.filter_map(Result::ok) {
            let text = fs::read_to_string(file.path()).expect("cases");
            let topic = topic.file_name().to_string_lossy().into_owned();
            for case in text
                .split("\ncase ")
                .skip(1)
                .chain(text.strip_prefix("case "))
            {
                let name = case.lines().next().unwrap_or_default();
                let about = case.lines().find_map(|line| line.strip_prefix("  about "));
                if case.lines().any(|line| line == "  ours-only") {
                    let about = about.unwrap_or_default().to_owned();
                    found.insert(format!("{topic}/{name}"), about);
                }
            }
        }
    }
    found
}
