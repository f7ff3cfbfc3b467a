//! The resolved form: what [`super::plan`] makes of settings and resources.

use super::order::Workload;
use super::resource::Resource;
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// A filter entry's configuration, checked and resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The phases that this entry runs.
    pub phases: PhaseSet,
    /// Identity of everything but `phases`: entries with equal keys share one set of plugins.
    pub key: String,
    /// Identity of everything but `phases` and `plugins`: a plan of equal lineage follows another.
    pub lineage: String,
    /// The plugins that apply to this workload, in the order in which requests meet them
    /// (all phases; an entry runs those of its own). Without those of `plugins_dir`: see
    /// [`Self::plugins_with`].
    pub plugins: Vec<PluginSpec>,
    /// The resources of the settings, those included that do not apply.
    pub resources: Vec<Resource>,
    /// Who this proxy is, without the labels of `labels_file`.
    pub workload: Workload,
    /// The caps of plugins that set none.
    pub limits: Limits,
    /// `startup.wait`: how long a first load may hold Envoy's start.
    pub startup_wait: Duration,
    /// How modules are fetched.
    pub fetch: FetchSettings,
    /// `pluginsDir`: a directory of further resources.
    pub plugins_dir: Option<String>,
    /// `workload.labelsFile`: a file of labels, in the format of Kubernetes' downward API.
    pub labels_file: Option<String>,
}

/// How modules are fetched: `fetch`, `secretsDir` and `cacheDir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchSettings {
    /// The longest that one fetch may take, all attempts together.
    pub timeout: Duration,
    /// How often a fetch is tried.
    pub attempts: u32,
    /// The largest module, also of what is unpacked.
    pub max_module_bytes: u64,
    /// Registries whose TLS certificate is not checked, and which may speak plain HTTP: `host`,
    /// `host:port`, or `*` for all.
    pub insecure_registries: Vec<String>,
    /// A file of certificates (PEM) to trust besides the built-in roots.
    pub ca_file: Option<String>,
    /// Addresses that no fetch may reach. Holds [`defaults::BLOCKED_CIDRS`] at least.
    ///
    /// [`defaults::BLOCKED_CIDRS`]: super::defaults::BLOCKED_CIDRS
    pub blocked_cidrs: Vec<IpNet>,
    /// Directories that `file://` may read from; none for any, empty for no file at all.
    pub allow_file_roots: Option<Vec<String>>,
    /// Where pull secrets are mounted: `<dir>/<namespace>/<name>/.dockerconfigjson`.
    pub secrets_dir: Option<String>,
    /// Where modules and compiled code are kept across restarts.
    pub cache_dir: Option<String>,
}

/// One plugin, ready to be loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginSpec {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `phase`.
    pub phase: Phase,
    /// `priority`; unset sorts lowest, as in istiod.
    pub priority: Option<i32>,
    /// `url`.
    pub url: ModuleUrl,
    /// `sha256`: 64 lower-case hex digits.
    pub sha256: Option<String>,
    /// `imagePullPolicy`, resolved with Istio's defaults.
    pub pull_policy: PullPolicy,
    /// `metadata.resourceVersion`, where [`PullPolicy::Always`] makes a change of it pull again;
    /// none otherwise, so that it does not tell equal plugins apart.
    pub resource_version: Option<String>,
    /// How often the module is looked up again without a change of the resource
    /// (`wasmplugin.io/refresh-interval`).
    pub refresh_interval: Option<Duration>,
    /// `imagePullSecret`: a secret in the plugin's namespace.
    pub pull_secret: Option<String>,
    /// Keys that the module must be signed with.
    pub verification_key: Option<VerificationKey>,
    /// What the guest reads as its plugin configuration.
    pub config: Vec<u8>,
    /// `pluginName`, the guest's root id.
    pub root_id: String,
    /// Scope of shared data and queues (`wasmplugin.io/vm-id`); empty unless set, as in Istio.
    pub vm_id: String,
    /// What the guest reads as its VM configuration (`wasmplugin.io/vm-config`).
    pub vm_config: String,
    /// Whether a plugin that pauses at headers still sees the body (`wasmplugin.io/hold-headers`).
    pub hold_headers: bool,
    /// `vmConfig.env`.
    pub env: Vec<(String, EnvValue)>,
    /// `failStrategy`.
    pub fail: FailStrategy,
    /// Status of the reply when the plugin fails closed (`wasmplugin.io/fail-status`).
    pub fail_status: u16,
    /// The caps of this plugin.
    pub limits: Limits,
    /// `match`: the ports of listeners on which the plugin runs; none for all.
    pub ports: Option<BTreeSet<u16>>,
    /// The least level of the guest's log lines (`wasmplugin.io/log-level`).
    pub log_level: Option<LogLevel>,
    /// Functions of the host that the guest may call (`wasmplugin.io/capabilities`); none for all.
    pub capabilities: Option<BTreeSet<String>>,
    /// Whether the plugin runs where no route enables it (`wasmplugin.io/enabled-by-default`).
    pub enabled_by_default: bool,
}

impl PluginSpec {
    /// `<namespace>/<name>`, as resources are named in messages and routes.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// `<namespace>.<name>`, as guests, logs and metrics know the plugin.
    pub fn plugin_name(&self) -> String {
        format!("{}.{}", self.namespace, self.name)
    }
}

/// Where a plugin stands in the chain. The order of the variants is the order of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// Before Envoy's authentication filters.
    Authn,
    /// After authentication, before authorization.
    Authz,
    /// After authorization.
    Stats,
    /// Before the router.
    Unspecified,
}

impl Phase {
    /// All phases in request order.
    pub const ALL: [Self; 4] = [Self::Authn, Self::Authz, Self::Stats, Self::Unspecified];

    /// The spelling of the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authn => "AUTHN",
            Self::Authz => "AUTHZ",
            Self::Stats => "STATS",
            Self::Unspecified => "UNSPECIFIED_PHASE",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A set of phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseSet(u8);

impl PhaseSet {
    /// Every phase.
    pub const ALL: Self = Self(0b1111);
    /// No phase.
    pub const EMPTY: Self = Self(0);

    /// This set and `phase`.
    #[must_use]
    pub const fn with(self, phase: Phase) -> Self {
        Self(self.0 | 1 << phase as u8)
    }

    /// How many sets there are.
    pub const COUNT: usize = 16;

    /// Its number, below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Whether `phase` is in the set.
    pub const fn contains(self, phase: Phase) -> bool {
        self.0 & (1 << phase as u8) != 0
    }
}

/// Where a module comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleUrl {
    /// `file://PATH`: a path, relative ones to Envoy's working directory (as Istio hands it on).
    File(String),
    /// `http://…` or `https://…`, whole.
    Http(String),
    /// `oci://…` or no scheme: the reference without scheme.
    Oci(String),
}

impl fmt::Display for ModuleUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file://{path}"),
            Self::Http(url) => f.write_str(url),
            Self::Oci(reference) => write!(f, "oci://{reference}"),
        }
    }
}

/// When a module is fetched although an earlier fetch of the same URL is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Never.
    IfNotPresent,
    /// When the resource has changed, its metadata included. Not by itself as time passes.
    Always,
}

impl PullPolicy {
    /// The spelling of the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IfNotPresent => "IfNotPresent",
            Self::Always => "Always",
        }
    }
}

/// Where the public keys stand that verify a module's signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VerificationKey {
    /// In the resource: PEM, one or several keys.
    Pem(String),
    /// In a file of PEM (`wasmplugin.io/verification-key-file`).
    File(String),
}

/// How much a guest's log line matters. Later variants matter more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Every step.
    Trace,
    /// For developers.
    Debug,
    /// For operators.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
    /// Nothing works.
    Critical,
    /// No line matters.
    Off,
}

/// The value of one environment variable of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvValue {
    /// Written in the resource.
    Inline(String),
    /// Taken from Envoy's environment under the same name; skipped where that has none.
    Host,
}

/// What happens to traffic when a plugin cannot run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailStrategy {
    /// Refuse (the default).
    Close,
    /// Go on without the plugin.
    Open,
    /// Refuse the failing stream, start the plugin afresh for later ones.
    Reload,
}

impl FailStrategy {
    /// The spelling of the resource.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Close => "FAIL_CLOSE",
            Self::Open => "FAIL_OPEN",
            Self::Reload => "FAIL_RELOAD",
        }
    }
}

/// Caps of one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest that one call into the guest may take on a stream.
    pub call_deadline: Duration,
    /// The longest that start or configuration may take.
    pub start_deadline: Duration,
    /// Linear memory of one instance, in bytes.
    pub memory: u64,
    /// Elements of all tables of one instance.
    pub table_elements: u32,
    /// The most of a body that is held for the plugin, in bytes; none for what Envoy's own buffer
    /// limits allow.
    pub max_body: Option<u64>,
    /// The most calls of one instance whose answers are to come.
    pub open_callouts: u32,
    /// The most that one space of shared data and queues may hold, in bytes.
    pub shared_data: u64,
}
