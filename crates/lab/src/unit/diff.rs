//! Alerts that were expected and alerts that there are, as one coloured text of JSON: what is
//! missing in red, what is too much in green, what is another in yellow.

use foghorn_model::Labels;

use super::told::quote;

/// The text is set in by so much, behind its first line.
const INDENT: &str = "            ";

const RED: &str = "\u{1b}[0;31m";
const GREEN: &str = "\u{1b}[0;32m";
const YELLOW: &str = "\u{1b}[0;33m";
const PLAIN: &str = "\u{1b}[0m";

/// What is said of an alert or of one of its pairs.
struct Line {
    depth: usize,
    text: String,
    colour: &'static str,
    /// A comma follows in the colour of the text.
    comma: bool,
    /// A comma follows.
    then: bool,
}

impl Line {
    fn new(depth: usize, text: impl Into<String>, colour: &'static str) -> Self {
        Self {
            depth,
            text: text.into(),
            colour,
            comma: false,
            then: false,
        }
    }
}

/// The differences between the alerts expected and those that there are, one by one in order.
pub(super) fn alerts(expected: &[(Labels, Labels)], got: &[(Labels, Labels)]) -> String {
    let nothing = [(Labels::empty(), Labels::empty())];
    let or_nothing = |alerts| -> Vec<(Labels, Labels)> {
        let alerts: &[(Labels, Labels)] = alerts;
        if alerts.is_empty() { &nothing } else { alerts }.to_vec()
    };
    let (expected, got) = (or_nothing(expected), or_nothing(got));
    let mut lines = Vec::new();
    let count = expected.len().max(got.len());
    for i in 0..count {
        match (expected.get(i), got.get(i)) {
            (Some(expected), Some(got)) => both(expected, got, &mut lines),
            (Some(missing), None) => only(missing, RED, &mut lines),
            (None, Some(added)) => only(added, GREEN, &mut lines),
            (None, None) => {}
        }
        if let Some(last) = lines.last_mut() {
            last.then = i + 1 < count;
        }
    }
    let mut out = "[".to_owned();
    for line in &lines {
        let Line { text, colour, .. } = line;
        out.push('\n');
        out.push_str(INDENT);
        out.push_str(&"    ".repeat(line.depth));
        let comma = if line.comma { "," } else { "" };
        let plain = if colour.is_empty() { "" } else { PLAIN };
        out.extend([*colour, text.as_str(), comma, plain]);
        if line.then {
            out.push(',');
        }
    }
    out.push('\n');
    out.push_str(INDENT);
    out.push(']');
    out
}

/// An alert that only one side has.
fn only((labels, annotations): &(Labels, Labels), colour: &'static str, lines: &mut Vec<Line>) {
    lines.push(Line::new(1, "{", colour));
    for (key, set, comma) in [
        ("Annotations", annotations, true),
        ("Labels", labels, false),
    ] {
        if set.is_empty() {
            lines.push(Line::new(2, format!("\"{key}\": {{}}"), colour));
        } else {
            lines.push(Line::new(2, format!("\"{key}\": {{"), colour));
            for (i, (name, value)) in set.iter().enumerate() {
                let pair = format!("{}: {}", quote(name), quote(value));
                let mut line = Line::new(3, pair, colour);
                line.comma = i + 1 < set.len();
                lines.push(line);
            }
            lines.push(Line::new(2, "}", colour));
        }
        if let Some(last) = lines.last_mut() {
            last.comma = comma;
        }
    }
    lines.push(Line::new(1, "}", colour));
}

fn both(expected: &(Labels, Labels), got: &(Labels, Labels), lines: &mut Vec<Line>) {
    lines.push(Line::new(1, "{", ""));
    sets("Annotations", &expected.1, &got.1, lines);
    if let Some(last) = lines.last_mut() {
        last.then = true;
    }
    sets("Labels", &expected.0, &got.0, lines);
    lines.push(Line::new(1, "}", ""));
}

fn sets(key: &str, expected: &Labels, got: &Labels, lines: &mut Vec<Line>) {
    let mut names: Vec<&str> = expected.iter().chain(got.iter()).map(|(n, _)| n).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        lines.push(Line::new(2, format!("\"{key}\": {{}}"), ""));
        return;
    }
    lines.push(Line::new(2, format!("\"{key}\": {{"), ""));
    for (i, name) in names.iter().enumerate() {
        let name_of = quote(name);
        let mut line = match (expected.get(name), got.get(name)) {
            (Some(a), Some(b)) if a == b => Line::new(3, format!("{name_of}: {}", quote(a)), ""),
            (Some(a), Some(b)) => {
                let changed = format!("{YELLOW}{} => {}{PLAIN}", quote(a), quote(b));
                Line::new(3, format!("{name_of}: {changed}"), "")
            }
            (Some(a), None) => Line::new(3, format!("{name_of}: {}", quote(a)), RED),
            (None, b) => {
                let value = quote(b.unwrap_or_default());
                Line::new(3, format!("{name_of}: {value}"), GREEN)
            }
        };
        line.then = i + 1 < names.len();
        lines.push(line);
    }
    lines.push(Line::new(2, "}", ""));
}
