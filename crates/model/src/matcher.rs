//! Label matchers, as Prometheus and Alertmanager have them.

use std::fmt;

use regex::Regex;

use crate::labels::Labels;

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, fully anchored; `.` matches newline (Prometheus 3)
    Regex,
    /// `!~`
    NotRegex,
}

/// One label matcher. A missing label compares as the empty string.
#[derive(Clone)]
pub struct Matcher {
    /// Label name.
    pub name: Box<str>,
    /// Comparison.
    pub op: MatchOp,
    /// Right-hand side as written.
    pub value: Box<str>,
    regex: Option<Regex>,
}

impl Matcher {
    /// Compiles a matcher; a bad regular expression is the regex crate's error.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, regex::Error> {
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(
                regex::RegexBuilder::new(&format!("^(?s:{value})$"))
                    .size_limit(1 << 20)
                    .build()?,
            ),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Self {
            name: name.into(),
            op,
            value: value.into(),
            regex,
        })
    }

    /// `name = value`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self {
            name: name.into(),
            op: MatchOp::Equal,
            value: value.into(),
            regex: None,
        }
    }

    /// Whether a value passes.
    pub fn accepts(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => value == &*self.value,
            (MatchOp::NotEqual, _) => value != &*self.value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => false,
        }
    }

    /// Whether a label set passes.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.accepts(labels.value(&self.name))
    }
}

/// Whether a label set passes all matchers.
pub fn all_match(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let op = match self.op {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        };
        write!(f, "{}{op}{:?}", self.name, self.value)
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: MatchOp, pattern: &str, value: &str, expect: bool) {
        assert_eq!(
            Matcher::new("x", op, pattern).unwrap().accepts(value),
            expect,
            "{op:?} {pattern} {value}"
        );
    }

    #[test]
    fn regexes_are_anchored_and_dot_matches_newline() {
        check(MatchOp::Regex, "a|b", "ab", false);
        check(MatchOp::Regex, "a.c", "a\nc", true);
        check(MatchOp::NotRegex, "a.*", "abc", false);
        check(MatchOp::Equal, "", "", true);
    }
}
