//! `| pattern "…"`: texts and captures, for lines of a fixed shape.

use super::format::is_label;

/// A pattern: captures that texts divide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturePattern {
    /// Pieces in order; no two captures are neighbours.
    pub parts: Vec<PatternPart>,
}

/// A piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatternPart {
    /// As it stands.
    Text(String),
    /// `<name>`: up to the next text; `None` for `<_>`.
    Capture(Option<String>),
}

impl CapturePattern {
    /// Reads a pattern; the error is for people.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parts: Vec<PatternPart> = Vec::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if let Some((name, after)) = capture(rest) {
                if matches!(parts.last(), Some(PatternPart::Capture(_))) {
                    return Err(format!(
                        "`<{name}>` follows another capture without a text between them"
                    ));
                }
                parts.push(PatternPart::Capture((name != "_").then(|| name.to_owned())));
                rest = after;
                continue;
            }
            match parts.last_mut() {
                Some(PatternPart::Text(text)) => text.push(c),
                _ => parts.push(PatternPart::Text(c.to_string())),
            }
            rest = &rest[c.len_utf8()..];
        }
        let mut names: Vec<&str> = parts.iter().filter_map(PatternPart::name).collect();
        if names.is_empty() {
            return Err("a pattern needs at least one named capture such as <status>".to_owned());
        }
        names.sort_unstable();
        if let Some([name, ..]) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("`<{name}>` stands twice"));
        }
        Ok(Self { parts })
    }

    /// Hands each named capture of `line` to `found`, as far as the line follows the pattern: the
    /// last capture before a missing text takes the rest of the line.
    pub fn captures<'l>(&self, line: &'l str, mut found: impl FnMut(&str, &'l str)) {
        let mut parts = self.parts.as_slice();
        let mut rest = line;
        if let [PatternPart::Text(text), after @ ..] = parts {
            let Some(left) = rest.strip_prefix(text.as_str()) else {
                return;
            };
            (parts, rest) = (after, left);
        }
        while let [capture, after @ ..] = parts {
            let (value, left) = match after {
                [PatternPart::Text(text), ..] => match rest.split_once(text.as_str()) {
                    Some((value, left)) => (value, Some(left)),
                    None => (rest, None),
                },
                _ => (rest, None),
            };
            if let Some(name) = capture.name() {
                found(name, value);
            }
            let Some(left) = left else { return };
            (parts, rest) = (&after[1..], left);
        }
    }
}

impl PatternPart {
    /// The name, of a named capture.
    fn name(&self) -> Option<&str> {
        match self {
            Self::Capture(name) => name.as_deref(),
            Self::Text(_) => None,
        }
    }
}

/// `<name>` at the start of `text`, and what follows it.
fn capture(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('<')?.split_once('>')?;
    is_label(name).then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, line: &str, expect: &[(&str, &str)]) {
        let mut found = Vec::new();
        let pattern = CapturePattern::parse(pattern).unwrap();
        pattern.captures(line, |name, value| found.push((name.to_owned(), value)));
        let expect: Vec<_> = expect.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
        assert_eq!(found, expect, "{line}");
    }

    #[test]
    fn captures_run_to_the_next_text() {
        let access = r#"<ip> - - [<_>] "<method> <path>" <status>"#;
        check(
            access,
            r#"10.0.0.1 - - [x] "GET /a b" 200"#,
            &[
                ("ip", "10.0.0.1"),
                ("method", "GET"),
                ("path", "/a b"),
                ("status", "200"),
            ],
        );
        check(access, "10.0.0.1 no more", &[("ip", "10.0.0.1 no more")]);
        check("ts=<ts> ", "other", &[]);
        check("a <b < c> <d>", "a <b < c> e", &[("d", "e")]);
    }

    #[test]
    fn neighbours_and_nameless_patterns_are_refused() {
        assert!(CapturePattern::parse("<a><b>").is_err());
        assert!(CapturePattern::parse("<_> x").is_err());
        assert!(CapturePattern::parse("<a> <a>").is_err());
    }
}
