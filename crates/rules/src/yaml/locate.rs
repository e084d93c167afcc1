//! From a place inside of a scalar's text back to the file.

use std::ops::Range;

use serde_saphyr::granit_parser::ScalarStyle;

use super::{Kind, Node};

impl Node {
    /// The bytes of the file `source` that hold the bytes `within` of this scalar's text.
    ///
    /// Walks text and source together: what is not blank stands in both in the same order, blanks
    /// differ by indentation and folds, quoted texts by their escapes.
    pub(crate) fn locate(&self, source: &str, within: Range<usize>) -> Range<usize> {
        let Kind::Scalar { value, style } = &self.kind else {
            return self.span.clone();
        };
        let mut walk = Walk::new(source, &self.span, *style);
        let (mut start, mut end) = (None, None);
        for (offset, character) in value.char_indices() {
            if offset >= within.end && end.is_some() {
                break;
            }
            let (from, to) = walk.next(character);
            if offset >= within.start && start.is_none() {
                start = Some(from);
            }
            if offset < within.end {
                end = Some(to);
            }
        }
        let start = start.unwrap_or(walk.at);
        start..end.unwrap_or(start).max(start)
    }
}

/// A walk through a scalar's source.
struct Walk<'a> {
    source: &'a str,
    at: usize,
    end: usize,
    style: ScalarStyle,
}

impl<'a> Walk<'a> {
    fn new(source: &'a str, span: &Range<usize>, style: ScalarStyle) -> Self {
        let end = source.floor_char_boundary(span.end.min(source.len()));
        let start = source.floor_char_boundary(span.start.min(end));
        let opening = match style {
            ScalarStyle::SingleQuoted => source[start..end].starts_with('\''),
            ScalarStyle::DoubleQuoted => source[start..end].starts_with('"'),
            _ => false,
        };
        Self {
            source,
            at: start + usize::from(opening),
            end,
            style,
        }
    }

    /// The source of the text's next character.
    fn next(&mut self, character: char) -> (usize, usize) {
        let quoted = self.style == ScalarStyle::DoubleQuoted;
        if character.is_whitespace() && !(quoted && self.rest().starts_with('\\')) {
            let from = self.at;
            if self.rest().starts_with(character) && character != '\n' {
                self.at += character.len_utf8();
            }
            return (from, self.at);
        }
        // Blanks and line continuations that the text does not have.
        while let Some(found) = self.rest().chars().next() {
            let continued = quoted && self.rest().starts_with("\\\n");
            if found.is_whitespace() || continued {
                self.at += found.len_utf8();
            } else {
                break;
            }
        }
        let from = self.at;
        let rest = self.rest();
        let length = if quoted && rest.starts_with('\\') {
            escape_length(rest)
        } else if self.style == ScalarStyle::SingleQuoted && rest.starts_with("''") {
            2
        } else {
            rest.chars().next().map_or(0, char::len_utf8)
        };
        self.at += length;
        (from, self.at)
    }

    fn rest(&self) -> &str {
        &self.source[self.at.min(self.end)..self.end]
    }
}

fn escape_length(rest: &str) -> usize {
    let code = rest[1..].chars().next();
    let length = match code {
        Some('x') => 4,
        Some('u') => 6,
        Some('U') => 10,
        Some(other) => 1 + other.len_utf8(),
        None => 1,
    };
    length.min(rest.len())
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use super::*;

    /// `yaml` holds `x:`; in its value `needle` must be found at the bytes that read `expect`.
    fn check_locate(yaml: &str, needle: &str, expect: &str) {
        let root = parse(yaml).unwrap().root.unwrap();
        let Kind::Mapping(mapping) = &root.kind else {
            panic!("not a mapping")
        };
        let node = mapping.get("x").unwrap();
        let at = node.text().unwrap().find(needle).unwrap();
        let span = node.locate(yaml, at..at + needle.len());
        assert_eq!(&yaml[span], expect, "{yaml:?}");
    }

    #[test]
    fn places_inside_of_values() {
        check_locate("x: sum(a) > 1", "a)", "a)");
        check_locate(
            "a: 1\nx: |\n    sum(\n      rate(b[5m])\n    ) > 1\n",
            "rate",
            "rate",
        );
        check_locate("x: >\n  sum(\n    rate(b[5m])\n  )\n", "b[5m]", "b[5m]");
        check_locate("x: sum(\n   rate(c[5m])\n   )\n", "c[5m]", "c[5m]");
        check_locate("x: 'up{a=''b''} == 0'\n", "'b'", "''b''");
        check_locate("x: 'up{a=''b''} == 0'\n", "== 0", "== 0");
        check_locate(r#"x: "up{a=\"b\"} == 0""#, "== 0", "== 0");
        check_locate("x: \"a\\n  b\\\n    c\"\n", "c", "c");
    }
}
