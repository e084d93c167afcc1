//! Texts as Prometheus' templates bend them.

/// A duration in seconds: `1h30m` is 5400.
pub(super) fn parse_duration(text: &str) -> Result<f64, String> {
    use crate::duration::DurationError;
    let (sign, rest) = text
        .strip_prefix('-')
        .map_or((1.0, text), |rest| (-1.0, rest));
    match crate::duration::parse(rest) {
        Ok(ms) => Ok(sign * ms as f64 / 1e3),
        Err(DurationError::UnknownUnit(unit)) => {
            Err(format!("unknown unit {unit:?} in duration {text:?}"))
        }
        Err(_) => Err(format!("not a valid duration string: {text:?}")),
    }
}

/// Link to an expression in the expression browser, on its first (graph) or second (table) tab.
pub(super) fn link(expr: &str, tab: u8) -> String {
    format!("/graph?g0.expr={}&g0.tab={tab}", query_escape(expr))
}

/// As Go's `url.QueryEscape`.
pub(super) fn query_escape(text: &str) -> String {
    use std::fmt::Write;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(byte as char);
            }
            b' ' => out.push('+'),
            _ => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// As Go's `template.HTMLEscapeString`.
pub(super) fn html_escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\0' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Host and port of `host:port` or `[host]:port`.
fn split_host_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    if let Some(inner) = host.strip_prefix('[') {
        return Some((inner.strip_suffix(']')?, port));
    }
    let plain = |part: &str| !part.contains([':', '[', ']']);
    (plain(host) && plain(port)).then_some((host, port))
}

/// The host of `host:port`; another text as it is.
pub(super) fn strip_port(text: &str) -> &str {
    split_host_port(text).map_or(text, |(host, _)| host)
}

/// The host's first name; an address as it is.
pub(super) fn strip_domain(text: &str) -> String {
    let (host, port) = split_host_port(text).unwrap_or((text, ""));
    if host.parse::<std::net::IpAddr>().is_ok() {
        return text.to_owned();
    }
    let first = host.split('.').next().unwrap_or("");
    if port.is_empty() {
        first.to_owned()
    } else {
        format!("{first}:{port}")
    }
}

/// The first letter of each word in upper case, the others as they are. A mark within a word, such
/// as the point of `a.b`, does not end it.
pub(super) fn title(text: &str) -> String {
    let (mut inside, mut done) = (false, false);
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if is_of_word(c) {
            inside = true;
            if !done && (c.is_lowercase() || c.is_uppercase()) {
                done = true;
                out.extend(c.to_uppercase());
                continue;
            }
        } else {
            inside &= is_mid_word(c) && chars.peek().is_some_and(|next| is_of_word(*next));
            done &= inside;
        }
        out.push(c);
    }
    out
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Marks that stand within words (Unicode's `MidLetter`, `MidNumLet` and the apostrophe).
fn is_mid_word(c: char) -> bool {
    matches!(
        c,
        '\'' | '.'
            | ':'
            | '\u{b7}'
            | '\u{387}'
            | '\u{5f4}'
            | '\u{2018}'
            | '\u{2019}'
            | '\u{2024}'
            | '\u{2027}'
            | '\u{fe13}'
            | '\u{fe52}'
            | '\u{fe55}'
            | '\u{ff07}'
            | '\u{ff0e}'
            | '\u{ff1a}'
    )
}
