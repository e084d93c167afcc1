//! Selectors and stages.

use foghorn_model::{MatchOp, Matcher};

use super::LogqlError;
use super::cursor::Cursor;
use super::filter::{label_filter, text_op};
use super::format::{LabelFormat, LineTemplate, is_label};
use super::lex::Kind;
use super::pattern::CapturePattern;
use super::pipeline::{
    FieldMapping, LabelRef, LineFilter, LineOp, LineTest, PathPart, Pipeline, Stage,
};
use super::regexp::{Regexp, matcher};

/// A log query, perhaps in brackets.
pub(super) fn log_query(cursor: &mut Cursor<'_>) -> Result<Pipeline, LogqlError> {
    if cursor.sees("(") {
        return cursor.deeper(|cursor| {
            cursor.expect("(")?;
            let query = log_query(cursor)?;
            cursor.expect(")")?;
            Ok(query)
        });
    }
    let start = cursor.here();
    let matchers = selector(cursor)?;
    let stages = stages(cursor)?;
    let text = cursor.text[start..cursor.read_to()].to_owned();
    Ok(Pipeline {
        text,
        matchers,
        stages,
        keep: None,
    })
}

/// `{job="x", env=~"…"}`.
pub(super) fn selector(cursor: &mut Cursor<'_>) -> Result<Vec<Matcher>, LogqlError> {
    let at = cursor.here();
    cursor.expect("{")?;
    let mut matchers = Vec::new();
    while !cursor.sees("}") {
        matchers.push(stream_matcher(cursor)?);
        if !cursor.eat(",") {
            break;
        }
    }
    cursor.expect("}")?;
    let all_pass_empty = matchers.iter().all(|matcher: &Matcher| matcher.accepts(""));
    if all_pass_empty {
        return Err(LogqlError::new(
            at,
            "a selector needs a matcher that does not match the empty text",
        )
        .hint("for every stream that has the label, write job=~\".+\""));
    }
    Ok(matchers)
}

fn stream_matcher(cursor: &mut Cursor<'_>) -> Result<Matcher, LogqlError> {
    let (name, _) = cursor.name("a label")?;
    let op = match cursor.peek().kind {
        Kind::Sign(sign) => text_op(sign),
        _ => None,
    };
    let op = op.ok_or_else(|| cursor.unexpected("=, !=, =~ or !~"))?;
    cursor.next();
    let (value, at) = cursor.quoted("a text in quotes")?;
    matcher(&name, op, &value).map_err(|why| LogqlError::new(at, why))
}

/// Stages up to whatever is none.
pub(super) fn stages(cursor: &mut Cursor<'_>) -> Result<Vec<Stage>, LogqlError> {
    let mut stages = Vec::new();
    loop {
        let op = match cursor.peek().kind {
            Kind::Sign("|=") => LineOp::Contains,
            Kind::Sign("!=") => LineOp::NotContains,
            Kind::Sign("|~") => LineOp::Matches,
            Kind::Sign("!~") => LineOp::NotMatches,
            Kind::Sign("|>" | "!>") => {
                return Err(LogqlError::unsupported(
                    cursor.here(),
                    "pattern line filters",
                ));
            }
            Kind::Sign("|") => {
                cursor.next();
                cursor.count()?;
                stages.push(piped(cursor)?);
                continue;
            }
            _ => return Ok(stages),
        };
        cursor.next();
        cursor.count()?;
        stages.push(Stage::Line(line_filter(cursor, op)?));
    }
}

fn line_filter(cursor: &mut Cursor<'_>, op: LineOp) -> Result<LineFilter, LogqlError> {
    let mut tests = vec![line_test(cursor, op)?];
    while cursor.eat_word("or") {
        tests.push(line_test(cursor, op)?);
    }
    Ok(LineFilter { op, tests })
}

fn line_test(cursor: &mut Cursor<'_>, op: LineOp) -> Result<LineTest, LogqlError> {
    if cursor.sees_word("ip") {
        return Err(LogqlError::unsupported(cursor.here(), "ip(…)"));
    }
    let (text, at) = cursor.quoted("a text in quotes")?;
    Ok(match op {
        LineOp::Contains | LineOp::NotContains => LineTest::Literal(text),
        LineOp::Matches | LineOp::NotMatches => {
            LineTest::Regexp(Regexp::new(&text).map_err(|why| LogqlError::new(at, why))?)
        }
    })
}

/// What follows a `|`.
fn piped(cursor: &mut Cursor<'_>) -> Result<Stage, LogqlError> {
    let at = cursor.here();
    let compared = matches!(
        cursor.peek_past(1),
        Kind::Sign("=" | "==" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=")
    );
    // `| json != "x"` is a parser and a line filter; `| json = "x"` a label.
    let line_filter_follows = matches!(cursor.peek_past(1), Kind::Sign("!=" | "!~"));
    let word = match &cursor.peek().kind {
        Kind::Name(word)
            if !compared
                || (line_filter_follows
                    && matches!(word.as_str(), "json" | "logfmt" | "decolorize")) =>
        {
            word.clone()
        }
        _ => return label_filter(cursor).map(Stage::Filter),
    };
    cursor.next();
    match word.as_str() {
        "json" => Ok(Stage::Json(mappings(cursor, json_path)?)),
        "logfmt" => logfmt(cursor),
        "regexp" => regexp(cursor),
        "pattern" => {
            let (text, at) = cursor.quoted("a pattern in quotes")?;
            CapturePattern::parse(&text).map(Stage::Pattern).map_err(|why| LogqlError::new(at, why))
        }
        "line_format" => Ok(Stage::LineFormat(template(cursor)?)),
        "label_format" => label_formats(cursor),
        "decolorize" => Ok(Stage::Decolorize),
        "drop" => Ok(Stage::Drop(label_refs(cursor)?)),
        "keep" => Ok(Stage::Keep(label_refs(cursor)?)),
        "unwrap" => Err(LogqlError::unsupported(at, "unwrap (numbers taken from log lines)")),
        "unpack" => Err(LogqlError::unsupported(at, "unpack")),
        _ => Err(LogqlError::new(at, format!("`{word}` is neither a stage nor compared with anything"))
            .hint("stages are json, logfmt, regexp, pattern, line_format, label_format, decolorize, drop, keep")),
    }
}

fn logfmt(cursor: &mut Cursor<'_>) -> Result<Stage, LogqlError> {
    let mut strict = false;
    loop {
        if cursor.eat_flag("--strict") {
            strict = true;
        } else if !cursor.eat_flag("--keep-empty") {
            // A label with an empty value is no label, so --keep-empty changes nothing here.
            break;
        }
    }
    let mappings = mappings(cursor, |text| Some(vec![PathPart::Key(text.to_owned())]))?;
    Ok(Stage::Logfmt { mappings, strict })
}

fn regexp(cursor: &mut Cursor<'_>) -> Result<Stage, LogqlError> {
    let (text, at) = cursor.quoted("an expression in quotes")?;
    let regexp = Regexp::new(&text).map_err(|why| LogqlError::new(at, why))?;
    let mut names = regexp.regex().capture_names().flatten().peekable();
    if names.peek().is_none() {
        return Err(
            LogqlError::new(at, "the expression needs at least one named group")
                .hint("write (?P<status>\\d+) to make the label `status`"),
        );
    }
    match names.find(|name| !is_label(name)) {
        Some(name) => Err(LogqlError::new(
            at,
            format!("`{name}` is not a label's name"),
        )),
        None => Ok(Stage::Regexp(regexp)),
    }
}

/// `label="path", other` — none where no name comes next.
fn mappings(
    cursor: &mut Cursor<'_>,
    path: impl Fn(&str) -> Option<Vec<PathPart>>,
) -> Result<Vec<FieldMapping>, LogqlError> {
    let mut mappings = Vec::new();
    while matches!(cursor.peek().kind, Kind::Name(_)) {
        let (label, at) = cursor.name("a label")?;
        let (text, at) = if cursor.eat("=") {
            cursor.quoted("a path in quotes")?
        } else {
            (label.clone(), at)
        };
        let path = path(&text).ok_or_else(|| {
            LogqlError::new(at, format!("`{text}` is not a path"))
                .hint("paths are written a.b[0].c or a[\"b c\"]")
        })?;
        mappings.push(FieldMapping { label, path });
        if !cursor.eat(",") {
            break;
        }
    }
    Ok(mappings)
}

/// `a.b[0]["c d"]`.
fn json_path(text: &str) -> Option<Vec<PathPart>> {
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (part, after) = if let Some(quoted) = inner.strip_prefix('"') {
                let (key, after) = quoted.split_once('"')?;
                (PathPart::Key(key.to_owned()), after.strip_prefix(']')?)
            } else {
                let (index, after) = inner.split_once(']')?;
                (PathPart::Index(index.trim().parse().ok()?), after)
            };
            parts.push(part);
            rest = after;
        } else {
            let key = if parts.is_empty() {
                rest
            } else {
                rest.strip_prefix('.')?
            };
            let end = key.find(['.', '[', ']', '"']).unwrap_or(key.len());
            if end == 0 {
                return None;
            }
            parts.push(PathPart::Key(key[..end].to_owned()));
            rest = &key[end..];
        }
    }
    (!parts.is_empty()).then_some(parts)
}

fn template(cursor: &mut Cursor<'_>) -> Result<LineTemplate, LogqlError> {
    let (text, at) = cursor.quoted("a template in quotes")?;
    LineTemplate::parse(&text).ok_or_else(|| {
        LogqlError::unsupported(
            at,
            "template actions other than {{.label}} and {{__line__}}",
        )
    })
}

fn label_formats(cursor: &mut Cursor<'_>) -> Result<Stage, LogqlError> {
    let mut formats = Vec::new();
    loop {
        let (to, _) = cursor.name("a label")?;
        cursor.expect("=")?;
        formats.push(match &cursor.peek().kind {
            Kind::Name(from) => {
                let from = from.clone();
                cursor.next();
                LabelFormat::Rename { to, from }
            }
            _ => LabelFormat::Template {
                to,
                template: template(cursor)?,
            },
        });
        if !cursor.eat(",") {
            return Ok(Stage::LabelFormat(formats));
        }
    }
}

fn label_refs(cursor: &mut Cursor<'_>) -> Result<Vec<LabelRef>, LogqlError> {
    let mut refs = Vec::new();
    loop {
        let compared = matches!(cursor.peek_past(1), Kind::Sign(sign) if text_op(sign).is_some());
        // `| drop a != "x"` could be a line filter; Loki reads a matcher, and so do we.
        refs.push(if compared {
            LabelRef::Matching(stream_matcher(cursor)?)
        } else {
            LabelRef::Name(cursor.name("a label")?.0)
        });
        if !cursor.eat(",") {
            return Ok(refs);
        }
    }
}

/// The labels that the absence of these streams is known by: equality matchers whose name no
/// other matcher has.
pub(super) fn absent_labels(matchers: &[Matcher]) -> Vec<(String, String)> {
    let lone = |name: &str| {
        matchers
            .iter()
            .filter(|matcher| &*matcher.name == name)
            .count()
            == 1
    };
    let mut labels: Vec<_> = matchers
        .iter()
        .filter(|matcher| {
            matcher.op == MatchOp::Equal && lone(&matcher.name) && !matcher.value.is_empty()
        })
        .map(|matcher| (matcher.name.to_string(), matcher.value.to_string()))
        .collect();
    labels.sort();
    labels
}
