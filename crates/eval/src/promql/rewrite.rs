//! `label_replace` and `label_join`: labels rewritten, values untouched.

use foghorn_model::Labels;

use super::cache::Caches;
use super::error::EvalError;
use super::value::settle;
use crate::vector::Vector;

/// `label_replace(v, dst, replacement, src, regex)`: where the anchored `regex` (`.` matches
/// newline) matches `src`, `dst` becomes the expanded replacement.
pub(super) fn replace(
    caches: &mut Caches,
    vector: Vector,
    args: [&str; 4],
) -> Result<Vector, EvalError> {
    let [dst, replacement, src, pattern] = args;
    name_must_be_valid(dst)?;
    let kept = caches.rewrite(&["label_replace", dst, replacement, src, pattern]);
    let regex = match &kept.regex {
        Some(regex) => regex,
        None => kept.regex.insert(
            regex::Regex::new(&format!("^(?s:{pattern})$"))
                .map_err(|_| EvalError::BadRegex(pattern.to_owned()))?,
        ),
    };
    let rewrite = |labels: &Labels| match regex.captures(labels.value(src)) {
        None => labels.clone(),
        Some(captures) => {
            let mut text = String::new();
            captures.expand(replacement, &mut text);
            labels.with(dst, &text)
        }
    };
    map(vector, &mut kept.results, rewrite)
}

/// `label_join(v, dst, separator, src…)`: `dst` becomes the values of all `src`, joined.
pub(super) fn join(
    caches: &mut Caches,
    vector: Vector,
    args: &[&str],
) -> Result<Vector, EvalError> {
    let [dst, separator, sources @ ..] = args else {
        return Err(EvalError::WrongType {
            expected: "a string",
            of: "label_join",
        });
    };
    for name in std::iter::once(dst).chain(sources) {
        name_must_be_valid(name)?;
    }
    let key: Vec<&str> = std::iter::once("label_join")
        .chain(args.iter().copied())
        .collect();
    let kept = caches.rewrite(&key);
    let rewrite = |labels: &Labels| {
        let values: Vec<&str> = sources.iter().map(|name| labels.value(name)).collect();
        labels.with(dst, &values.join(separator))
    };
    map(vector, &mut kept.results, rewrite)
}

fn map(
    mut vector: Vector,
    results: &mut super::cache::FingerprintMap<foghorn_model::Fingerprint, Labels>,
    rewrite: impl Fn(&Labels) -> Labels,
) -> Result<Vector, EvalError> {
    for element in &mut vector {
        let labels = results
            .entry(element.labels.fingerprint())
            .or_insert_with(|| rewrite(&element.labels))
            .clone();
        element.labels = labels;
    }
    settle(vector)
}

/// Prometheus 3 takes any UTF-8 for a label name, but not nothing.
fn name_must_be_valid(name: &str) -> Result<(), EvalError> {
    if name.is_empty() {
        Err(EvalError::BadLabelName(name.to_owned()))
    } else {
        Ok(())
    }
}
