//! JSON lines, read once from left to right: flat fields, or single values by path. Builds no tree.

use foghorn_rules::logql::PathPart;

use super::scratch::{Sink, Span, append_name};

/// Deepest nesting that is read.
const MAX_DEPTH: usize = 64;

/// The line is not JSON from here on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Gives every scalar field of an object to `sink`, nested names joined by `_`; arrays and nulls
/// are left out. What stands before an error is given.
pub(super) fn flatten(sink: &mut Sink<'_>, prefix: &mut String) -> Result<(), Malformed> {
    prefix.clear();
    let mut scan = Scan {
        text: sink.source,
        at: 0,
    };
    object(&mut scan, sink, prefix, 0)
}

fn object(
    scan: &mut Scan<'_>,
    sink: &mut Sink<'_>,
    prefix: &mut String,
    depth: usize,
) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed);
    }
    let outer = prefix.len();
    scan.entries(|scan, key| {
        match scan.peek()? {
            b'{' => {
                append_name(prefix, 0, &key.text(scan.text));
                object(scan, sink, prefix, depth + 1)?;
                prefix.truncate(outer);
            }
            b'[' => scan.skip()?,
            b'"' => {
                let text = scan.string()?;
                let value = text.span(sink);
                emit(sink, prefix, scan.text, key, value);
            }
            _ => {
                let (start, end) = scan.word()?;
                if &scan.text[start..end] != "null" {
                    let value = sink.piece(start, end);
                    emit(sink, prefix, scan.text, key, value);
                }
            }
        }
        Ok(true)
    })
}

fn emit(sink: &mut Sink<'_>, prefix: &str, text: &str, key: Quoted, value: Span) {
    if key.escaped {
        sink.field(prefix, &key.text(text), None, value);
    } else {
        sink.field(prefix, &text[key.start..key.end], Some(key.start), value);
    }
}

/// The value at a path: texts unescaped, objects and arrays as they are written; `None` where
/// there is none (or null).
pub(super) fn find(sink: &mut Sink<'_>, path: &[PathPart]) -> Result<Option<Span>, Malformed> {
    let mut scan = Scan {
        text: sink.source,
        at: 0,
    };
    scan.peek()?;
    if !descend(&mut scan, path)? {
        return Ok(None);
    }
    if scan.peek()? == b'"' {
        let text = scan.string()?;
        return Ok(Some(text.span(sink)));
    }
    let start = scan.at;
    scan.skip()?;
    let end = scan.at;
    Ok((&scan.text[start..end] != "null").then(|| sink.piece(start, end)))
}

/// Moves to the value at a path; whether there is one.
fn descend(scan: &mut Scan<'_>, path: &[PathPart]) -> Result<bool, Malformed> {
    let [step, rest @ ..] = path else {
        return Ok(true);
    };
    let mut found = None;
    match (step, scan.peek()?) {
        (PathPart::Key(wanted), b'{') => scan.entries(|scan, key| {
            if found.is_none() && key.text(scan.text) == wanted.as_str() {
                scan.peek()?;
                found = Some(scan.at);
                return Ok(false);
            }
            scan.skip()?;
            Ok(true)
        })?,
        (PathPart::Index(wanted), b'[') => {
            let mut index = 0;
            scan.elements(|scan| {
                if index == *wanted {
                    scan.peek()?;
                    found = Some(scan.at);
                    return Ok(false);
                }
                index += 1;
                scan.skip()?;
                Ok(true)
            })?;
        }
        _ => return Ok(false),
    }
    match found {
        Some(at) => {
            scan.at = at;
            descend(scan, rest)
        }
        None => Ok(false),
    }
}

/// A quoted text of the source, between its quotes.
#[derive(Clone, Copy)]
pub(super) struct Quoted {
    pub start: usize,
    pub end: usize,
    pub escaped: bool,
}

impl Quoted {
    /// What it says.
    fn text(self, source: &str) -> std::borrow::Cow<'_, str> {
        let raw = &source[self.start..self.end];
        if self.escaped {
            let mut out = String::new();
            unescape(raw, &mut out);
            out.into()
        } else {
            raw.into()
        }
    }

    /// What it says, as a span; a text that holds U+FFFD (it was not UTF-8 once) counts as empty.
    pub(super) fn span(self, sink: &mut Sink<'_>) -> Span {
        let Self { start, end, .. } = self;
        let source = sink.source;
        if !self.escaped && !source[start..end].contains('\u{fffd}') {
            return sink.piece(start, end);
        }
        let from = sink.arena.len();
        unescape(&source[start..end], sink.arena);
        if sink.arena[from..].contains('\u{fffd}') {
            sink.arena.truncate(from);
        }
        Span::since(sink.arena, from)
    }
}

/// Appends a JSON text without its escapes; what is no escape stands for itself.
fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else { return };
        rest = &rest[c.len_utf8()..];
        match c {
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'b' => out.push('\u{8}'),
            'f' => out.push('\u{c}'),
            'u' => rest = unicode(rest, out),
            _ => out.push(c),
        }
    }
    out.push_str(rest);
}

/// The four digits of a `\u`, with the second half of a pair; gives what follows.
fn unicode<'r>(rest: &'r str, out: &mut String) -> &'r str {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
    };
    let Some(high) = unit(rest) else {
        out.push('\u{fffd}');
        return rest;
    };
    let after = &rest[4..];
    if let 0xd800..=0xdbff = high
        && let Some(low @ 0xdc00..=0xdfff) = after.strip_prefix("\\u").and_then(unit)
    {
        out.push(
            char::from_u32(0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00))
                .unwrap_or('\u{fffd}'),
        );
        return &after[6..];
    }
    out.push(char::from_u32(high).unwrap_or('\u{fffd}'));
    after
}

/// A position in a text.
pub(super) struct Scan<'t> {
    pub text: &'t str,
    pub at: usize,
}

impl Scan<'_> {
    /// The next byte that is no white space; stays there.
    fn peek(&mut self) -> Result<u8, Malformed> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Ok(*byte);
            }
            self.at += 1;
        }
        Err(Malformed)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek()? != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// Reads an object: `entry` stands before a value and moves past it; `false` from it ends early.
    fn entries(
        &mut self,
        mut entry: impl FnMut(&mut Self, Quoted) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.peek()?;
            let key = self.string()?;
            self.expect(b':')?;
            if !entry(self, key)? || !self.another(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads an array, likewise.
    fn elements(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<bool, Malformed>,
    ) -> Result<(), Malformed> {
        self.expect(b'[')?;
        if self.peek()? == b']' {
            self.at += 1;
            return Ok(());
        }
        while element(self)? && self.another(b']')? {}
        Ok(())
    }

    /// Past a comma (true) or the closing bracket (false).
    fn another(&mut self, close: u8) -> Result<bool, Malformed> {
        let byte = self.peek()?;
        self.at += 1;
        if byte == b',' || byte == close {
            Ok(byte == b',')
        } else {
            Err(Malformed)
        }
    }

    /// Past a quoted text.
    pub(super) fn string(&mut self) -> Result<Quoted, Malformed> {
        let bytes = self.text.as_bytes();
        if bytes.get(self.at) != Some(&b'"') {
            return Err(Malformed);
        }
        let start = self.at + 1;
        let (mut at, mut escaped) = (start, false);
        loop {
            at +=
                memchr::memchr2(b'"', b'\\', bytes.get(at..).ok_or(Malformed)?).ok_or(Malformed)?;
            if bytes[at] == b'"' {
                self.at = at + 1;
                return Ok(Quoted {
                    start,
                    end: at,
                    escaped,
                });
            }
            escaped = true;
            at += 2;
        }
    }

    /// Past a number, `true`, `false` or `null`.
    fn word(&mut self) -> Result<(usize, usize), Malformed> {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while bytes
            .get(self.at)
            .is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'.'))
        {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let number = word.starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if number || matches!(word, "true" | "false" | "null") {
            Ok((start, self.at))
        } else {
            Err(Malformed)
        }
    }

    /// Past any value.
    fn skip(&mut self) -> Result<(), Malformed> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.skip_nested(),
            _ => self.word().map(|_| ()),
        }
    }

    /// Past an object or an array: counts brackets outside texts.
    fn skip_nested(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_usize;
        loop {
            match self.text.as_bytes().get(self.at).ok_or(Malformed)? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Ok(());
            }
        }
    }
}
