//! Label values that pass matchers: for series that rules' own selectors find.

use foghorn_model::labels::NAME;
use foghorn_model::matcher::{MatchOp, Matcher};

/// Values that may pass a matcher, the likeliest first: what it says, with simple patterns filled in,
/// then any. Whether one does pass is the caller's to ask.
pub fn candidates(matcher: &Matcher) -> impl Iterator<Item = String> {
    let written = matches!(matcher.op, MatchOp::Equal | MatchOp::Regex);
    let value = matcher.value.replace('\\', "");
    let plain = |text: &str| {
        text.replace(['(', ')', '?', '^', '$'], "")
            .replace("[0-9]+", "1")
            .replace(".*", "x")
            .replace(".+", "x")
            .replace("..", "00")
            .replace("_.", "_z")
            .replace("[ab]", "a")
    };
    let parts: Vec<_> = value.split('|').map(plain).filter(|_| written).collect();
    let any = if &*matcher.name == NAME {
        ["gauge_a", "gauge_b"]
    } else {
        ["some", "5"]
    };
    let own = [matcher.value.to_string(), plain(&value)];
    let own = own.into_iter().filter(move |_| written).chain(parts);
    own.chain(any.map(str::to_owned)).chain([String::new()])
}
