//! Series and their points as promqltest writes them.

use foghorn_eval::vector::Point;
use foghorn_model::labels::NAME;
use foghorn_model::{Labels, LabelsBuilder, STALE_NAN};

/// `name{a="b"}` at the start of a line, and the rest of it. `None` where there is no series.
pub(crate) fn series(line: &str) -> Option<(Labels, &str)> {
    let mut builder = LabelsBuilder::default();
    let name_end = line
        .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .unwrap_or(line.len());
    let (name, mut rest) = line.split_at(name_end);
    builder.set(NAME, name);
    if let Some(inner) = rest.strip_prefix('{') {
        rest = labels(inner, &mut builder)?;
    } else if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    (rest.is_empty() || rest.starts_with([' ', '\t'])).then(|| (builder.build(), rest.trim()))
}

fn labels<'a>(mut text: &'a str, builder: &mut LabelsBuilder) -> Option<&'a str> {
    loop {
        text = text.trim_start_matches([' ', ',', '\t']);
        if let Some(rest) = text.strip_prefix('}') {
            return Some(rest);
        }
        let (name, rest) = if text.starts_with(['"', '\'']) {
            quoted(text)?
        } else {
            let end = text.find(['=', ' '])?;
            (text[..end].to_owned(), &text[end..])
        };
        let rest = rest.trim_start();
        let Some(rest) = rest.strip_prefix('=') else {
            builder.set(NAME, &name);
            text = rest;
            continue;
        };
        let (value, rest) = quoted(rest.trim_start())?;
        builder.set(&name, &value);
        text = rest;
    }
}

/// A quoted string and what follows it.
pub(crate) fn quoted(text: &str) -> Option<(String, &str)> {
    let quote = text
        .chars()
        .next()
        .filter(|c| ['"', '\'', '`'].contains(c))?;
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' if quote != '`' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                c => value.push(c),
            },
            c if c == quote => return Some((value, &text[i + 1..])),
            c => value.push(c),
        }
    }
    None
}

/// A number as Go reads it.
pub(crate) fn number(text: &str) -> Option<f64> {
    let (sign, digits) = text
        .strip_prefix('-')
        .map_or((1.0, text), |rest| (-1.0, rest));
    if let Some(hex) = digits.strip_prefix("0x") {
        return i64::from_str_radix(hex, 16).ok().map(|v| sign * v as f64);
    }
    text.parse().ok()
}

/// `1 2+3x2 _ stale`: values one step apart, `None` for gaps.
pub(crate) fn values(text: &str) -> Option<Vec<Option<f64>>> {
    let mut values = Vec::new();
    for word in text.split_whitespace() {
        let (body, times) = match word
            .rsplit_once('x')
            .and_then(|(b, n)| Some((b, n.parse::<usize>().ok()?)))
        {
            Some((body, times)) => (body, Some(times)),
            None => (word, None),
        };
        match body {
            "_" => values.extend(std::iter::repeat_n(None, times.unwrap_or(1))),
            "stale" => values.push(Some(STALE_NAN)),
            _ => {
                let (start, step) = progression(body)?;
                values.extend((0..=times.unwrap_or(0)).map(|i| Some(start + step * i as f64)));
            }
        }
    }
    Some(values)
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

/// Points from values.
pub(crate) fn points(values: &[Option<f64>], step_ms: i64) -> impl Iterator<Item = Point> {
    values.iter().enumerate().filter_map(move |(i, v)| {
        Some(Point {
            t: i as i64 * step_ms,
            v: (*v)?,
        })
    })
}

/// `1h30m`, `15s`, `10`: milliseconds.
pub(crate) fn duration(text: &str) -> Option<i64> {
    let (sign, mut text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(sign * (seconds * 1e3).round() as i64);
    }
    let mut total = 0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let rest = &text[digits..];
        let unit_len = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit = match &rest[..unit_len] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            "y" => 31_536_000_000,
            _ => return None,
        };
        total += text[..digits].parse::<i64>().ok()? * unit;
        text = &rest[unit_len..];
    }
    Some(sign * total)
}
