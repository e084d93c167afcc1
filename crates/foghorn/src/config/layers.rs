//! File, environment and flags, one over the other, by the `config` crate.

use std::path::Path;

use anyhow::{Context, bail};
use config::{Environment, Map, Source, Value, ValueKind};

use super::{Config, explain, parse};
use crate::out::{colours, complain};

/// A YAML text as a source of the `config` crate.
#[derive(Clone, Debug)]
struct Yaml(serde_json::Value);

impl Source for Yaml {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        match value(&self.0).kind {
            ValueKind::Table(table) => Ok(table),
            _ => Ok(Map::new()),
        }
    }
}

fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    let kind = match json {
        Json::Null => ValueKind::Nil,
        Json::Bool(value) => ValueKind::Boolean(*value),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => ValueKind::I64(whole),
            None => ValueKind::Float(number.as_f64().unwrap_or_default()),
        },
        Json::String(text) => ValueKind::String(text.clone()),
        Json::Array(items) => ValueKind::Array(items.iter().map(value).collect()),
        Json::Object(map) => ValueKind::Table(
            map.iter()
                .map(|(key, item)| (key.clone(), value(item)))
                .collect(),
        ),
    };
    Value::new(None, kind)
}

/// Reads a configuration file, and lays environment and `KEY=VALUE` settings over it.
pub(crate) fn load(path: &Path, set: &[String]) -> anyhow::Result<Config> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let name = path.display().to_string();
    let (parsed, problems) = parse(&name, &text);
    // What the layers may still mend is judged after them.
    if parsed.is_none() {
        for problem in &problems {
            complain(&problem.render(&text, colours(&std::io::stderr())));
        }
        bail!("{name} has {} problem(s)", problems.len());
    }
    let tree: serde_json::Value = if text.trim().is_empty() {
        serde_json::Value::Null
    } else {
        serde_saphyr::from_str(&text)?
    };
    let environment = Environment::with_prefix("FOGHORN")
        .prefix_separator("__")
        .separator("__")
        .try_parsing(true);
    let mut builder = config::Config::builder()
        .add_source(Yaml(tree))
        .add_source(environment);
    for setting in set {
        let Some((key, value)) = setting.split_once('=') else {
            bail!("--set {setting}: write KEY=VALUE");
        };
        builder = builder
            .set_override(key, value)
            .with_context(|| format!("--set {setting}"))?;
    }
    let config: Config = builder.build()?.try_deserialize().map_err(|error| {
        let (message, hint) = explain(&error.to_string());
        anyhow::anyhow!(
            "{message}{}",
            hint.map(|hint| format!(": {hint}")).unwrap_or_default()
        )
    })?;
    let problems = super::problems(&config, &name, &text);
    for problem in &problems {
        complain(&problem.render(&text, colours(&std::io::stderr())));
    }
    if !problems.is_empty() {
        bail!("{name} has {} problem(s)", problems.len());
    }
    Ok(config)
}
