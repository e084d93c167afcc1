//! logfmt lines: `key=value key="quoted value"`.

use super::json::{Malformed, Scan};
use super::scratch::{Sink, Span};

/// Gives every pair to `pair` (the key, its place, the value). A malformed pair (a quote in a key,
/// a quote or `=` in a bare value, a quote that does not close) is passed over; with `strict` it
/// ends reading.
pub(super) fn pairs(
    sink: &mut Sink<'_>,
    strict: bool,
    mut pair: impl FnMut(&mut Sink<'_>, &str, usize, Span),
) -> Result<(), Malformed> {
    let source = sink.source;
    let mut at = 0;
    while let Some(start) = next_non_blank(source, at) {
        match key_value(sink, start) {
            Ok((end, key_end, value)) => {
                at = end;
                if let Some(value) = value {
                    pair(sink, &source[start..key_end], start, value);
                }
            }
            Err(_) if strict => return Err(Malformed),
            Err(bad) => at = blank_from(source, bad),
        }
    }
    Ok(())
}

/// Where a malformed pair went wrong.
type Wrong = usize;

/// The pair at `start`: where it ends, where its key ends, and its value if it has one.
fn key_value(sink: &mut Sink<'_>, start: usize) -> Result<(usize, usize, Option<Span>), Wrong> {
    let source = sink.source;
    let bytes = source.as_bytes();
    let key_end = bytes[start..]
        .iter()
        .position(|b| *b <= b' ' || matches!(b, b'=' | b'"'));
    let key_end = key_end.map_or(bytes.len(), |n| start + n);
    match bytes.get(key_end) {
        Some(b'=') if key_end > start => {}
        Some(b'=' | b'"') => return Err(key_end),
        // A key alone.
        None | Some(_) => return Ok((key_end, key_end, None)),
    }
    let from = key_end + 1;
    match bytes.get(from) {
        None => return Ok((from, key_end, None)),
        Some(b'"') => {
            let mut scan = Scan {
                text: source,
                at: from,
            };
            let text = scan.string().map_err(|Malformed| bytes.len())?;
            return Ok((scan.at, key_end, Some(text.span(sink))));
        }
        Some(_) => {}
    }
    let end = bytes[from..]
        .iter()
        .position(|b| *b <= b' ' || matches!(b, b'=' | b'"'));
    let end = end.map_or(bytes.len(), |n| from + n);
    if matches!(bytes.get(end), Some(b'=' | b'"')) {
        return Err(end);
    }
    // Values that were not UTF-8 once are no labels.
    let broken = source[from..end].contains('\u{fffd}');
    let value = (end > from && !broken).then(|| sink.piece(from, end));
    Ok((end, key_end, value))
}

fn next_non_blank(text: &str, from: usize) -> Option<usize> {
    text.as_bytes()[from..]
        .iter()
        .position(|b| *b > b' ')
        .map(|n| from + n)
}

fn blank_from(text: &str, from: usize) -> usize {
    text.as_bytes()[from..]
        .iter()
        .position(|b| *b <= b' ')
        .map_or(text.len(), |n| from + n)
}
