//! Which replica of a scope a group sees.

use std::sync::Arc;

use foghorn_model::Timestamp;

/// The replica that a group's tick sees. Each candidate comes with when it was last heard at or
/// before the tick. The present one stays while it was heard within the timeout; else it is the one
/// heard last within it, of several the first by name; and where none was, the present one stays.
/// Event times decide, so that every replay decides alike (Mimir's tracker goes by arrival).
pub fn elect<'a>(
    present: Option<&Arc<str>>,
    candidates: impl Iterator<Item = (&'a Arc<str>, Timestamp)> + Clone,
    tick: Timestamp,
    timeout_ms: i64,
) -> Option<Arc<str>> {
    let heard = candidates.filter(|(_, at)| *at > tick - timeout_ms);
    if let Some(present) = present
        && heard.clone().any(|(name, _)| name == present)
    {
        return Some(Arc::clone(present));
    }
    heard
        .min_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)))
        .map(|(name, _)| name)
        .or(present)
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates are written `name@when`; the tick is at 100 s, the timeout 60 s.
    fn check(present: &str, candidates: &str, expect: Option<&str>) {
        let parse = |text: &str| -> (Arc<str>, Timestamp) {
            let (name, at) = text.split_once('@').unwrap();
            (name.into(), Timestamp(at.parse::<i64>().unwrap() * 1_000))
        };
        let candidates: Vec<_> = candidates.split_whitespace().map(parse).collect();
        let present = (!present.is_empty()).then(|| present.into());
        let elected = elect(
            present.as_ref(),
            candidates.iter().map(|(name, at)| (name, *at)),
            Timestamp(100_000),
            60_000,
        );
        assert_eq!(elected.as_deref(), expect);
    }

    #[test]
    fn the_present_one_stays_while_it_is_heard() {
        check("b", "a@100 b@41", Some("b"));
    }

    #[test]
    fn a_silent_one_gives_way_to_the_one_heard_last() {
        check("b", "a@90 b@40 c@95", Some("c"));
    }

    #[test]
    fn the_first_by_name_breaks_a_tie() {
        check("", "b@90 a@90", Some("a"));
    }

    #[test]
    fn where_all_are_silent_nothing_changes() {
        check("b", "a@10 b@5", Some("b"));
        check("", "a@10", None);
    }
}
