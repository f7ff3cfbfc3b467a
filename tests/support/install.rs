//! Programs that tests run and that Debian has.

use std::path::Path;
use std::process::Command;

/// Installs those of `programs` that are missing.
pub(crate) fn install(programs: &[&str]) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/install.sh");
    let output = Command::new(script)
        .args(programs)
        .output()
        .expect("a shell");
    assert!(
        output.status.success(),
        "{programs:?} are missing and cannot be installed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
