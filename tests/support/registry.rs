//! Real registries: Debian's `docker-registry`, and a newer one that knows referrers.
//!
//! Both come from package registries on first use, so that no machine need be prepared.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use tempfile::TempDir;

use super::install::install;
use super::{free_port, http, module, wait_for};

/// The user of registries that want one, and the password.
pub(crate) const USER: &str = "puller";
pub(crate) const PASSWORD: &str = "s3cret";

/// The same, as `htpasswd -B` writes it.
const HTPASSWD: &str = "puller:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n";

const START: Duration = Duration::from_secs(30);

/// A registry as a child process; killed when dropped. What it holds lives as long as itself.
pub(crate) struct Registry {
    port: u16,
    secure: bool,
    directory: TempDir,
    child: Child,
}

impl Registry {
    /// Debian's, by plain HTTP, open to all.
    pub(crate) fn plain() -> Self {
        Self::debian(false)
    }

    /// Debian's, by TLS, for [`USER`] only.
    pub(crate) fn secure() -> Self {
        Self::debian(true)
    }

    fn debian(secure: bool) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let at = directory.path().display();
        let port = free_port();
        let mut config = format!(
            "version: 0.1\n\
             log: {{ accesslog: {{ disabled: true }}, level: error }}\n\
             storage: {{ filesystem: {{ rootdirectory: {at}/data }} }}\n\
             http:\n  addr: 127.0.0.1:{port}\n  secret: x\n"
        );
        if secure {
            certificate(directory.path());
            fs::write(directory.path().join("htpasswd"), HTPASSWD).expect("a file");
            config += &format!(
                "  tls: {{ certificate: {at}/ca.pem, key: {at}/key.pem }}\n\
                 auth: {{ htpasswd: {{ realm: test, path: {at}/htpasswd }} }}\n"
            );
        }
        let file = directory.path().join("config.yml");
        fs::write(&file, config).expect("a file");
        let mut command = Command::new(tool("docker-registry"));
        command.arg("serve").arg(file);
        Self::start(command, directory, port, secure)
    }

    /// A newer one that knows referrers, by plain HTTP, in memory.
    pub(crate) fn with_referrers() -> Self {
        let port = free_port();
        let mut command = Command::new(referrers());
        command.arg(format!("127.0.0.1:{port}"));
        let directory = tempfile::tempdir().expect("a temporary directory");
        Self::start(command, directory, port, false)
    }

    fn start(mut command: Command, directory: TempDir, port: u16, secure: bool) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let registry = Self {
            port,
            secure,
            directory,
            child,
        };
        wait_for("a registry", START, || {
            if secure {
                return std::net::TcpStream::connect(("127.0.0.1", port))
                    .ok()
                    .map(drop);
            }
            let answer = http::try_request(port, "GET", "/v2/", &[], b"").ok()?;
            (answer.status == 200).then_some(())
        });
        registry
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it has TLS and wants a password.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// Host and port.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The certificate to trust.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// Copies the image `latest` of the OCI layout in `from` to `name`, which is
    /// `repository:tag`, with further options of `skopeo copy`. Its digest there.
    pub(crate) fn push(&self, from: &Path, name: &str, options: &[&str]) -> String {
        let digest = self.directory.path().join("digest");
        let mut command = Command::new(tool("skopeo"));
        command
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
            .arg("--digestfile")
            .arg(&digest)
            .args(options);
        if self.secure {
            command.arg(format!("--dest-creds={USER}:{PASSWORD}"));
        }
        let output = command
            .arg(format!("oci:{}:latest", from.display()))
            .arg(format!("docker://{}/{name}", self.host()))
            .output()
            .expect("skopeo");
        assert!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let digest = fs::read_to_string(digest).expect("a digest");
        digest.trim().trim_start_matches("sha256:").to_owned()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Makes `ca.pem` and `key.pem` in `directory`: a certificate of this machine that is its own
/// authority.
pub(crate) fn certificate(directory: &Path) {
    let output = Command::new(tool("openssl"))
        .args([
            "req",
            "-x509",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
        ])
        .args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"])
        .args(["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "ca.pem"])
        .current_dir(directory)
        .output()
        .expect("openssl");
    assert!(output.status.success(), "{output:?}");
}

/// The path of a program, installed where it is missing.
fn tool(name: &'static str) -> &'static str {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| install(&["docker-registry", "skopeo", "openssl"]));
    name
}

/// The registry that knows referrers, built on first use.
fn referrers() -> PathBuf {
    static BUILT: OnceLock<()> = OnceLock::new();
    let binary = module::root().join("target/tools/registry");
    BUILT.get_or_init(|| {
        let output = Command::new("go")
            .args(["build", "-o"])
            .arg(&binary)
            .arg(".")
            .current_dir(module::root().join("tests/support/registry"))
            .env("CGO_ENABLED", "0")
            .output()
            .expect("go is needed to build a registry for tests");
        assert!(
            output.status.success(),
            "go build: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    });
    binary
}
