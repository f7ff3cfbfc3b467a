//! Where the built module and the real Envoys are.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The directory that holds `libwasmplugin.so`: `WASMPLUGIN_MODULE_DIR`, or where cargo built us.
pub(crate) fn directory() -> PathBuf {
    let directory = env::var_os("WASMPLUGIN_MODULE_DIR").map_or_else(
        || {
            // target/<profile>/deps/<this test>
            let test = env::current_exe().expect("the path of this test");
            let profile = test.ancestors().nth(2).expect("target/<profile>");
            profile.to_owned()
        },
        // Envoy may run elsewhere.
        |directory| root().join(directory),
    );
    let library = directory.join("libwasmplugin.so");
    assert!(
        library.is_file(),
        "{} is missing: cargo does not build it for tests; run `make test`",
        library.display()
    );
    directory
}

/// The built module.
pub(crate) fn library() -> PathBuf {
    directory().join("libwasmplugin.so")
}

/// The Envoy binary of `version`, fetched on first use.
pub(crate) fn envoy(version: &str) -> PathBuf {
    static PATHS: OnceLock<Mutex<HashMap<String, Arc<OnceLock<PathBuf>>>>> = OnceLock::new();
    let slot = Arc::clone(
        PATHS
            .get_or_init(Mutex::default)
            .lock()
            .expect("no test panics while fetching")
            .entry(version.to_owned())
            .or_default(),
    );
    slot.get_or_init(|| {
        let output = Command::new(root().join("envoy/fetch.sh"))
            .arg(version)
            .output()
            .expect("envoy/fetch.sh starts");
        assert!(
            output.status.success(),
            "envoy/fetch.sh {version}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let path = String::from_utf8(output.stdout).expect("a path");
        PathBuf::from(path.trim_end())
    })
    .clone()
}

/// The module `name` of `tests/guests/`: `name.wat` assembled, or the committed `wasm/name.wasm`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    let guests = root().join("tests/guests");
    let text = guests.join(format!("{name}.wat"));
    if text.is_file() {
        return wat::parse_file(&text).unwrap_or_else(|error| panic!("{error}"));
    }
    let binary = guests.join(format!("wasm/{name}.wasm"));
    std::fs::read(&binary).unwrap_or_else(|error| {
        panic!(
            "no guest {name}: neither {} nor {}: {error}",
            text.display(),
            binary.display()
        )
    })
}
