//! Series and their values as Prometheus' own tests write them: `up{job="api"}` and `0+10x5 _x3 stale`.
//!
//! Owns this notation alone; who reads it decides what the values are for. Refuses native
//! histograms by name.

use foghorn_model::labels::NAME;
use foghorn_model::{Labels, LabelsBuilder, STALE_NAN};
use thiserror::Error;

use crate::go_text::escaped;

/// A line stands for at most so many values.
const MAX_VALUES: usize = 10_000_000;

/// Why a text is no series, or no list of values.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct NotationError {
    /// Byte of the text.
    pub at: usize,
    /// For people: a lower-case fragment.
    pub message: String,
}

fn wrong(at: usize, message: impl Into<String>) -> NotationError {
    NotationError {
        at,
        message: message.into(),
    }
}

/// A series that is all of a text.
pub fn whole_series(text: &str) -> Result<Labels, NotationError> {
    let (labels, rest) = series(text)?;
    if rest.is_empty() {
        Ok(labels)
    } else {
        let message = format!("`{rest}` stands behind the series");
        Err(wrong(text.len() - rest.len(), message))
    }
}

/// `name{a="b"}` at the start of a text, and the rest of it.
pub fn series(text: &str) -> Result<(Labels, &str), NotationError> {
    let start = text.len() - text.trim_start().len();
    let body = &text[start..];
    let name_end = body
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(body.len());
    let (name, mut rest) = body.split_at(name_end);
    let place = |rest: &str| text.len() - rest.len();
    let mut builder = LabelsBuilder::default();
    builder.set(NAME, name);
    if let Some(inner) = rest.strip_prefix('{') {
        rest =
            labels(inner, &mut builder).map_err(|(rest, message)| wrong(place(rest), message))?;
    } else if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(wrong(start, "expected a series, such as `up{job=\"api\"}`"));
    }
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        Ok((builder.build(), rest.trim()))
    } else {
        Err(wrong(place(rest), "a blank must follow the series"))
    }
}

/// Label pairs up to the closing brace, and what is behind it; an error with what was left.
fn labels<'a>(
    mut text: &'a str,
    builder: &mut LabelsBuilder,
) -> Result<&'a str, (&'a str, &'static str)> {
    loop {
        text = text.trim_start_matches([' ', ',', '\t', '\n']);
        if let Some(rest) = text.strip_prefix('}') {
            return Ok(rest);
        }
        let (name, rest) = if text.starts_with(['"', '\'', '`']) {
            quoted(text).ok_or((text, "this text has no end, or an escape that is none"))?
        } else {
            let end = text
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.'))
                .unwrap_or(text.len());
            if end == 0 {
                return Err((text, "expected a label's name or `}`"));
            }
            (text[..end].to_owned(), &text[end..])
        };
        let rest = rest.trim_start();
        let Some(rest) = rest.strip_prefix('=') else {
            if !text.starts_with(['"', '\'', '`']) {
                return Err((rest, "expected `=` behind a label's name"));
            }
            // A quoted name without a value is the metric's.
            builder.set(NAME, &name);
            text = rest;
            continue;
        };
        let value = rest.trim_start();
        let (value, rest) = quoted(value).ok_or((value, "a label's value must be quoted"))?;
        builder.set(&name, &value);
        text = rest;
    }
}

/// A quoted text, its escapes resolved as Go does, and what follows it.
pub fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|c| ['"', '\'', '`'].contains(c))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => value.push(escaped(&mut chars).ok()?),
            c if c == quote => return Some((value, &text[i + 1..])),
            c => value.push(c),
        }
    }
    None
}

/// A number as Go reads it.
pub fn number(text: &str) -> Option<f64> {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or((1.0, text), |rest| (-1.0, rest));
    if let Some(hex) = digits.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(|v| sign * v as f64);
    }
    text.parse().ok()
}

/// Values one step apart, `None` for gaps: `a`, `axn` (n+1 times a), `a+bxn` and `a-bxn` (n+1
/// values), `_`, `_xn` (n gaps), `stale`.
pub fn values(text: &str) -> Result<Vec<Option<f64>>, NotationError> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        let at = word.as_ptr() as usize - text.as_ptr() as usize;
        if word.starts_with("{{") {
            return Err(wrong(at, "native histograms are not supported"));
        }
        let split = word
            .rsplit_once('x')
            .and_then(|(body, times)| Some((body, times.parse::<usize>().ok()?)));
        let (body, times) = match split {
            Some((body, times)) => (body, Some(times)),
            None => (word, None),
        };
        if values.len().saturating_add(times.unwrap_or(0)) >= MAX_VALUES {
            return Err(wrong(at, format!("more than {MAX_VALUES} values")));
        }
        match body {
            "_" => values.extend(std::iter::repeat_n(None, times.unwrap_or(1))),
            "stale" if times.is_none() => values.push(Some(STALE_NAN)),
            _ => {
                let (mut value, step) = progression(body).ok_or_else(|| {
                    wrong(
                        at,
                        format!("`{word}` is no value (such as 1, 0+10x5, 1x5, _x3 or stale)"),
                    )
                })?;
                // Added up one by one, as Prometheus does: the bits of fractions depend on it.
                for _ in 0..=times.unwrap_or(0) {
                    values.push(Some(value));
                    value += step;
                }
            }
        }
    }
    Ok(values)
}

fn progression(body: &str) -> Option<(f64, f64)> {
    if let Some(value) = number(body) {
        return Some((value, 0.0));
    }
    let signs = body
        .char_indices()
        .skip(1)
        .filter(|(_, c)| ['+', '-'].contains(c));
    signs.into_iter().find_map(|(i, _)| {
        Some((
            number(&body[..i])?,
            number(body[i..].trim_start_matches('+'))?,
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_one_step_apart() {
        let check = |text: &str, expect: &[Option<f64>]| {
            assert_eq!(values(text).unwrap(), expect, "{text}");
        };
        check("1 2.5 -3", &[Some(1.0), Some(2.5), Some(-3.0)]);
        check("0+10x2", &[Some(0.0), Some(10.0), Some(20.0)]);
        check("5-2x1 _", &[Some(5.0), Some(3.0), None]);
        check("7x1 _x2", &[Some(7.0), Some(7.0), None, None]);
        check("0x2", &[Some(0.0); 3]);
        check("1e3+1e-1x1", &[Some(1e3), Some(1_000.1)]);
        check("-1-1x1", &[Some(-1.0), Some(-2.0)]);
        check(
            "0+0.1x3",
            &[Some(0.0), Some(0.1), Some(0.2), Some(0.1 + 0.1 + 0.1)],
        );
        check("", &[]);
        let stale = values("1 stale").unwrap();
        assert!(foghorn_model::is_stale(stale[1].unwrap()));
        assert!(values("NaN").unwrap()[0].unwrap().is_nan());
        assert_eq!(values("Inf -Inf").unwrap()[1], Some(f64::NEG_INFINITY));
    }

    #[test]
    fn series_and_what_follows() {
        let check = |text: &str, labels: &str, rest: &str| {
            let (series, behind) = series(text).unwrap();
            assert_eq!((series.to_string().as_str(), behind), (labels, rest));
        };
        check("up 1 2", "up", "1 2");
        check(
            r#"up{job='a', x="é\"\\\u00e9"} 1"#,
            r#"up{job="a", x="é\"\\é"}"#,
            "1",
        );
        check(r#"{"my.metric", a="b",} _"#, r#"my.metric{a="b"}"#, "_");
        check("{} 3", "{}", "3");
        assert_eq!(whole_series("a:b").unwrap().metric(), "a:b");
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        let series_error = |text: &str, at: usize, message: &str| {
            let expect = wrong(at, message);
            assert_eq!(whole_series(text).unwrap_err(), expect, "{text}");
        };
        series_error("1", 0, "expected a series, such as `up{job=\"api\"}`");
        series_error("up{job=a}", 7, "a label's value must be quoted");
        series_error("up{job}", 6, "expected `=` behind a label's name");
        series_error("up{!}", 3, "expected a label's name or `}`");
        series_error("up{}x", 4, "a blank must follow the series");
        series_error("up 3", 3, "`3` stands behind the series");
        let values_error = |text: &str, at: usize, words: &str| {
            let error = values(text).unwrap_err();
            assert_eq!(error.at, at, "{text}");
            assert!(error.message.contains(words), "{error}");
        };
        values_error("1 x3", 2, "is no value");
        values_error("1 {{schema:1 sum:2}}", 2, "native histograms");
        values_error("1x99999999999", 0, "more than");
        values_error("1+", 0, "is no value");
    }
}
