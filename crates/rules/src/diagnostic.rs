//! Diagnostics: what is wrong with a text that a person wrote, pointing at its characters.
//!
//! Owns place, words and look (the compiler's, by way of `annotate-snippets`). Refuses to decide
//! what a problem costs: whoever reports one says whether it is an error. Other readers of files
//! (the configuration's, say) make theirs with the same constructors.

use std::cmp::Ordering;
use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Something was left out because of it.
    Error,
    /// Everything was used, but somebody should look.
    Warning,
}

/// One problem, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// What to do about it, where we know.
    pub hint: Option<String>,
    /// Stable name of the kind of problem, such as `unknown-field`.
    pub code: &'static str,
    /// Bytes of the file that it is about.
    pub span: Range<usize>,
    /// The rule group that it stands in.
    pub group: Option<String>,
    /// The rule that it stands in.
    pub rule: Option<String>,
}

impl Diagnostic {
    /// An error about the bytes `span` of `text`, which is the content of `file`.
    pub fn error(
        code: &'static str,
        file: &str,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        let span = on_characters(text, span);
        let (line, column) = position(text, span.start);
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line,
            column,
            message: message.into(),
            hint: None,
            code,
            span,
            group: None,
            rule: None,
        }
    }

    /// A warning about the bytes `span` of `text`, which is the content of `file`.
    pub fn warning(
        code: &'static str,
        file: &str,
        text: &str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, file, text, span, message)
        }
    }

    /// The same with advice.
    #[must_use]
    pub fn with_hint(self, hint: Option<impl Into<String>>) -> Self {
        Self {
            hint: hint.map(Into::into),
            ..self
        }
    }

    /// Whether something was left out because of it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The problem with the lines around it, as a compiler shows it; `source_text` is the content
    /// of its file. With `color`, terminal escapes.
    pub fn render(&self, source_text: &str, color: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let span = on_characters(source_text, self.span.clone());
        let snippet = Snippet::source(source_text)
            .path(self.file.as_str())
            .annotation(AnnotationKind::Primary.span(span));
        let mut report: Group<'_> = level
            .primary_title(self.message.as_str())
            .id(self.code)
            .element(snippet);
        if let Some(hint) = &self.hint {
            report = report.element(Level::HELP.message(hint.as_str()));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[report])
    }
}

impl fmt::Display for Diagnostic {
    /// One line: `file:line:column: message [code]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            code,
            ..
        } = self;
        write!(f, "{file}:{line}:{column}: {message} [{code}]")
    }
}

impl Ord for Diagnostic {
    /// By place, then by words.
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |d: &Self| {
            (
                d.file.clone(),
                d.span.start,
                d.span.end,
                d.severity,
                d.message.clone(),
            )
        };
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Diagnostic {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Line and column of a byte offset, both from 1; the column counts characters.
pub fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..floor(text, offset)];
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line as u32, before[start..].chars().count() as u32 + 1)
}

/// "did you mean `x`?", where one of the known words is near enough to the given one.
pub fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let near = |word: &&str| {
        let distance = strsim::damerau_levenshtein(given, word);
        (distance <= 1 + word.len() / 4).then_some(distance)
    };
    let best = known
        .into_iter()
        .filter_map(|word| near(&word).map(|d| (d, word)))
        .min()?;
    Some(format!("did you mean `{}`?", best.1))
}

fn on_characters(text: &str, span: Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    let end = floor(text, span.end).max(start);
    start..end
}

fn floor(text: &str, offset: usize) -> usize {
    text.floor_char_boundary(offset.min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_stay_inside_the_text() {
        let check = |text: &str, offset, expect| {
            assert_eq!(position(text, offset), expect, "{text:?} {offset}");
        };
        check("", 7, (1, 1));
        check("é: x\nb", 3, (1, 3));
        check("é: x\nb", 6, (2, 1));
        check("é", 1, (1, 1));
    }

    #[test]
    fn looks_like_a_compilers() {
        let text = "groups:\n- nane: x\n";
        let problem = Diagnostic::error(
            "unknown-field",
            "a.yml",
            text,
            10..14,
            "unknown field `nane`",
        )
        .with_hint(did_you_mean("nane", ["rules", "name"]));
        insta::assert_snapshot!(problem.render(text, false), @r#"
error[unknown-field]: unknown field `nane`
 --> a.yml:2:3
  |
2 | - nane: x
  |   ^^^^
  |
  = help: did you mean `name`?
"#);
        assert!(problem.render(text, true).contains('\u{1b}'));
    }

    #[test]
    fn far_words_are_not_meant() {
        assert_eq!(did_you_mean("rate", ["label_replace"]), None);
        assert_eq!(
            did_you_mean("expresion", ["expr", "expression"]).unwrap(),
            "did you mean `expression`?"
        );
    }
}
