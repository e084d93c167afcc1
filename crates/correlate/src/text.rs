//! Words of summaries, compared as sets.

use foghorn_model::Labels;

/// Words kept of one summary.
const MAX_WORDS: usize = 32;
/// Words that say nothing.
const STOP: &[&str] = &[
    "and", "are", "for", "from", "has", "have", "than", "that", "the", "this", "was", "with",
    "been", "last",
];

/// The distinguishing words of an alert's summary (or of the first annotation of its kind that is
/// there, or of `fallback`), sorted.
pub(crate) fn words(annotations: &Labels, fallback: &str) -> Vec<String> {
    let said = ["summary", "title", "message", "description"]
        .iter()
        .find_map(|name| annotations.get(name));
    let text = said.unwrap_or(fallback).to_lowercase();
    let mut words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| {
            word.len() >= 3 && word.chars().any(char::is_alphabetic) && !STOP.contains(word)
        })
        .take(MAX_WORDS)
        .map(str::to_owned)
        .collect();
    words.sort_unstable();
    words.dedup();
    words
}

/// Jaccard's index of two sorted sets, and what they share. Two empty sets are not alike.
pub(crate) fn jaccard<'a>(a: &'a [String], b: &[String]) -> (f64, Vec<&'a str>) {
    let shared: Vec<&str> = a
        .iter()
        .filter(|word| b.binary_search(word).is_ok())
        .map(String::as_str)
        .collect();
    let union = a.len() + b.len() - shared.len();
    if union == 0 {
        (0.0, shared)
    } else {
        (shared.len() as f64 / union as f64, shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(a: &str, b: &str, expect: f64) {
        let of = |text: &str| words(&Labels::from_pairs([("summary", text)]), "");
        assert_eq!(jaccard(&of(a), &of(b)).0, expect, "{a} / {b}");
    }

    #[test]
    fn only_words_count() {
        check("Latency of checkout is 12 ms", "the checkout latency", 1.0);
        check("disk full", "disk slow", 1.0 / 3.0);
        check("", "", 0.0);
        check("42", "42", 0.0);
    }
}
