//! `wasmplugin config`: the Envoy filter that runs plugins.

use crate::{Outcome, Output};
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use std::io::{self, Write};
use wasmplugin_host::plugin::Phase;

/// Print the Envoy HTTP filter that runs plugins, to paste into http_filters.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of settings, as Envoy will find it
    #[arg(long, value_name = "PATH")]
    config_file: Option<String>,
    /// Phases of this filter entry, all if not given
    #[arg(
        long,
        value_delimiter = ',',
        value_parser = PossibleValuesParser::new(Phase::ALL.map(Phase::as_str)),
    )]
    phases: Vec<String>,
    /// How to print the filter: YAML or JSON
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let mut phases: Vec<&str> = Vec::new();
    for phase in &args.phases {
        if !phases.contains(&phase.as_str()) {
            phases.push(phase);
        }
    }
    let name = match phases.as_slice() {
        [phase] => format!("wasmplugin.{}", phase.to_ascii_lowercase()),
        _ => "wasmplugin".to_owned(),
    };
    match args.output {
        Output::Text => write!(out, "{}", yaml(&name, &phases, args.config_file.as_deref()))?,
        Output::Json => {
            let filter = filter(&name, settings(&phases, args.config_file.as_deref()));
            writeln!(out, "{filter:#}")?;
        }
    }
    Ok(Outcome::Good)
}

fn yaml(name: &str, phases: &[&str], config_file: Option<&str>) -> String {
    let mut settings = Vec::new();
    if !phases.is_empty() {
        settings.push(format!("phases: [{}]", phases.join(", ")));
    }
    if let Some(path) = config_file {
        settings.push(format!("configFile: {}", scalar(path)));
    }
    let settings = match settings.join(", ") {
        none if none.is_empty() => "{}".to_owned(),
        some => format!("{{ {some} }}"),
    };
    format!(
        r#"- name: {name}
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    dynamic_module_config: {{ name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }}
    filter_name: wasmplugin
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value: {settings}
"#
    )
}

fn settings(phases: &[&str], config_file: Option<&str>) -> Value {
    let mut settings = serde_json::Map::new();
    if !phases.is_empty() {
        settings.insert("phases".to_owned(), json!(phases));
    }
    if let Some(path) = config_file {
        settings.insert("configFile".to_owned(), json!(path));
    }
    Value::Object(settings)
}

/// The filter called `name`, with these settings.
pub(crate) fn filter(name: &str, settings: Value) -> Value {
    json!({
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": module(),
            "filter_name": "wasmplugin",
            "filter_config": {
                "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": settings,
            },
        },
    })
}

/// Our module, wherever Envoy asks for one.
pub(crate) fn module() -> Value {
    json!({
        "name": "wasmplugin",
        "do_not_close": true,
        "metrics_namespace": "wasmplugin",
    })
}

/// `text` as a YAML scalar: quoted unless it is a plain absolute path.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.starts_with('/') && text.chars().all(plain) {
        text.to_owned()
    } else {
        json!(text).to_string()
    }
}
