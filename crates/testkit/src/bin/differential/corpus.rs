//! Rules as public rule files have them, made to fit a short test.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use foghorn_testkit::rng::Rng;
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::Value;

/// A rule as it is written.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct CorpusRule {
    /// Alert's name; empty for a recording rule.
    #[serde(default)]
    pub(crate) alert: String,
    /// The expression.
    #[serde(deserialize_with = "text")]
    pub(crate) expr: String,
    /// Labels, values as text.
    #[serde(default)]
    pub(crate) labels: Option<BTreeMap<String, Value>>,
    /// Annotations, values as text.
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, Value>>,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    rules: Option<Vec<CorpusRule>>,
}

fn text<'de, D: serde::Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(as_text(&Value::deserialize(from)?))
}

/// A scalar of YAML as text.
pub(crate) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Every rule of a folder's files, in order.
///
/// # Errors
/// A file cannot be read as a rule file.
pub(crate) fn read(folder: &Path) -> Result<Vec<CorpusRule>, String> {
    let listed = std::fs::read_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut paths: Vec<_> = listed.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
    paths.sort();
    let mut rules = Vec::new();
    for path in paths {
        let told = |e: String| format!("{}: {e}", path.display());
        let text = std::fs::read_to_string(&path).map_err(|e| told(e.to_string()))?;
        let file: File = serde_saphyr::from_str(&text).map_err(|e| told(e.to_string()))?;
        let groups = file.groups.into_iter();
        rules.extend(groups.flat_map(|group| group.rules.unwrap_or_default()));
    }
    Ok(rules)
}

/// The expression with ranges and offsets that fit into minutes; the rest stays as it is.
pub(crate) fn shortened(expr: &str, rng: &mut Rng) -> String {
    static SPAN: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\[[^\[\]]*\]|\boffset\s+-?[0-9a-z]+")
            .unwrap_or_else(|_| unreachable!("a pattern that compiles"))
    });
    let mut short = |span: &Captures<'_>| {
        let text = &span[0];
        if let Some((range, step)) = text.split_once(':') {
            let range = if fits(&range[1..]) { &range[1..] } else { "6m" };
            let step = step.trim_end_matches(']');
            let step = if step.is_empty() || fits(step) {
                step
            } else {
                "1m"
            };
            return format!("[{range}:{step}]");
        }
        let range = text
            .trim_start_matches("offset")
            .trim_matches(['[', ']', ' ']);
        if fits(range) {
            return text.to_owned();
        }
        let (brackets, spans) = (text.starts_with('['), ["3m", "5m", "7m30s"]);
        if brackets {
            format!("[{}]", rng.pick(&spans))
        } else {
            "offset 2m".to_owned()
        }
    };
    SPAN.replace_all(expr, &mut short).into_owned()
}

/// Whether a span is at most eight minutes.
fn fits(span: &str) -> bool {
    let span = span.trim().trim_start_matches('-');
    foghorn_rules::duration::parse(span).is_ok_and(|ms| ms <= 480_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_spans_become_short_ones() {
        let check = |expr: &str, expect: &str| {
            assert_eq!(shortened(expr, &mut Rng::new(1)), expect);
        };
        check("rate(a[5m]) > 1", "rate(a[5m]) > 1");
        check("max_over_time(a[1d:5m])", "max_over_time(a[6m:5m])");
        check("a offset 1w - b offset 1m", "a offset 2m - b offset 1m");
        assert!(!shortened("rate(a[30d])", &mut Rng::new(1)).contains("30d"));
    }
}
