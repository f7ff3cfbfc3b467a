//! The module of a resource, and how it runs.

use super::super::decode::{Field, Fields};
use super::super::document::{Mark, Node, Value};
use super::super::report::Report;
use super::super::shape::{Choices, TEXT};
use super::super::spec::{EnvValue, FailStrategy, ModuleUrl, PullPolicy};
use super::super::{json, policy, url};
use super::environment;

/// In `pluginConfig`.
const HIDDEN_KEY: &str = "verificationKey";

pub(in super::super) static FAIL_STRATEGIES: Choices<FailStrategy> = Choices(&[
    (FailStrategy::Close.as_str(), FailStrategy::Close),
    (FailStrategy::Open.as_str(), FailStrategy::Open),
    (FailStrategy::Reload.as_str(), FailStrategy::Reload),
]);

pub(in super::super) static PULL_POLICIES: Choices<Option<PullPolicy>> = Choices(&[
    ("UNSPECIFIED_POLICY", None),
    (
        PullPolicy::IfNotPresent.as_str(),
        Some(PullPolicy::IfNotPresent),
    ),
    (PullPolicy::Always.as_str(), Some(PullPolicy::Always)),
]);

/// What a plugin is for.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum PluginType {
    Http,
    Network,
}

pub(in super::super) static PLUGIN_TYPES: Choices<PluginType> = Choices(&[
    ("UNSPECIFIED_PLUGIN_TYPE", PluginType::Http),
    ("HTTP", PluginType::Http),
    ("NETWORK", PluginType::Network),
]);

/// What is to run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Module {
    pub(super) url: ModuleUrl,
    pub(super) sha256: Option<String>,
    pub(super) pull_policy: PullPolicy,
    pub(super) pull_secret: Option<String>,
    pub(super) verification_key: Option<String>,
    pub(super) config: Vec<u8>,
    pub(super) root_id: String,
    pub(super) env: Vec<(String, EnvValue)>,
    pub(super) fail: FailStrategy,
}

/// A module, and where the fields stand that annotations may exclude.
pub(super) struct Described {
    pub(super) module: Module,
    pub(super) config: Option<(String, Mark)>,
    pub(super) key: Option<(String, Mark)>,
}

/// Reads the fields of a module.
pub(super) fn decode(fields: &mut Fields<'_>, report: &mut Report) -> Option<Described> {
    let url = fields.take("url", report).and_then(|field| {
        let url = url::parse(field.text(report)?);
        url.map_err(|message| field.refuse(report, message)).ok()
    });
    let sha256 = text(fields, "sha256", report);
    let pull_policy = fields.take("imagePullPolicy", report);
    let pull_policy = pull_policy.and_then(|field| field.choice(&PULL_POLICIES, report));
    let pull_secret = text(fields, "imagePullSecret", report);
    let config_field = fields.take("pluginConfig", report);
    let config = config_field
        .as_ref()
        .map(|field| plugin_config(field, report));
    let key_field = fields.take("verificationKey", report);
    let hidden = config_field.as_ref().and_then(hidden_key);
    if let (Some(field), Some(hidden)) = (&key_field, &hidden) {
        let message = format!("excludes {}; keep one", hidden.path);
        report.place(&field.path, field.node.mark, message);
    }
    let key_field = key_field.or(hidden);
    let key = key_field.as_ref().and_then(|field| key(field, report));
    let root_id = text(fields, "pluginName", report);
    let fail = fields.take("failStrategy", report);
    let fail = fail.and_then(|field| field.choice(&FAIL_STRATEGIES, report));
    let env = fields.take("vmConfig", report);
    let env = env.and_then(|field| environment::decode(&field, report));
    if let Some(field) = fields.take("type", report)
        && let Some(PluginType::Network) = field.choice(&PLUGIN_TYPES, report)
    {
        field.refuse(report, "not supported; wasmplugin runs HTTP plugins only");
    }
    let url = url?;
    let module = Module {
        sha256: sha256.filter(|digest| !digest.is_empty()),
        pull_policy: policy::resolve(pull_policy.flatten(), &url),
        url,
        pull_secret,
        verification_key: key,
        config: config.unwrap_or_default(),
        root_id: root_id.unwrap_or_default(),
        env: env.unwrap_or_default(),
        fail: fail.unwrap_or(FailStrategy::Close),
    };
    let place = |field: Field<'_>| (field.path, field.node.mark);
    Some(Described {
        module,
        config: config_field.map(place),
        key: key_field.map(place),
    })
}

fn text(fields: &mut Fields<'_>, name: &str, report: &mut Report) -> Option<String> {
    fields.take(name, report)?.text(report).map(str::to_owned)
}

/// The other place of a verification key, as OpenShift's documentation has it. It is not for the
/// guest.
pub(in super::super) fn hidden_key<'n>(config: &Field<'n>) -> Option<Field<'n>> {
    let node = config.node.get(HIDDEN_KEY)?;
    let path = format!("{}.{HIDDEN_KEY}", config.path);
    let field = Field::new(&path, node, &TEXT);
    (!matches!(node.value, Value::Null)).then_some(field)
}

/// Public keys in PEM. Which keys they are is for the one who verifies.
fn key(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    if text.contains("-----BEGIN PUBLIC KEY-----") && text.contains("-----END PUBLIC KEY-----") {
        return Some(text.to_owned());
    }
    let other = if field.path.ends_with(&format!("pluginConfig.{HIDDEN_KEY}")) {
        "; if it is the plugin's own, write the annotation wasmplugin.io/raw-plugin-config instead"
    } else {
        ""
    };
    field.refuse(
        report,
        format!("must be public keys in PEM, as cosign.pub: -----BEGIN PUBLIC KEY-----{other}"),
    );
    None
}

/// What the guest reads: compact JSON, and nothing at all for `{}`, for which guests test.
pub(in super::super) fn plugin_config(field: &Field<'_>, report: &mut Report) -> Vec<u8> {
    let mark = field.node.mark;
    match &field.node.value {
        Value::Object(entries) => {
            let entries = entries.iter().filter(|entry| entry.name != HIDDEN_KEY);
            let value = Value::Object(entries.cloned().collect());
            match json::text(&Node { mark, value }).into_bytes() {
                empty if empty == b"{}" => Vec::new(),
                text => text,
            }
        }
        other => {
            let message = format!(
                "must be an object, not {}; the annotation wasmplugin.io/raw-plugin-config \
                 takes any text",
                other.kind()
            );
            field.refuse(report, message);
            Vec::new()
        }
    }
}
