//! A pull scanner over JSON text: it walks once, borrows strings and numbers as they stand, and
//! allocates nothing.

/// Deepest nesting of arrays and objects.
pub(crate) const MAX_DEPTH: usize = 128;

/// Why text is not the JSON that it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JsonError {
    /// The text ends too early.
    #[error("the text ends too early")]
    Truncated,
    /// Something else stands where a value, a key or a sign should.
    #[error("not JSON at byte {0}")]
    Unexpected(usize),
    /// A value of another kind than its key asks for.
    #[error("a value of the wrong type at byte {0}")]
    WrongType(usize),
    /// An escape that means nothing, or a control character in a string.
    #[error("a broken string before byte {0}")]
    BadString(usize),
    /// Nested deeper than anybody needs.
    #[error("nested too deeply at byte {0}")]
    TooDeep(usize),
}

impl JsonError {
    /// The refusal's code.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Unexpected(_) | Self::BadString(_) => "bad_json",
            Self::WrongType(_) => "wrong_type",
            Self::TooDeep(_) => "too_deep",
        }
    }

    /// As a refusal.
    pub(crate) fn refusal(self) -> foghorn_model::Refusal {
        foghorn_model::Refusal::new(self.code(), self.to_string())
    }
}

/// A string between its quotes, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct JsonStr<'a> {
    /// The raw text, escapes and all.
    pub raw: &'a str,
    /// Whether it has escapes.
    pub escaped: bool,
}

impl JsonStr<'_> {
    /// Appends the text that is meant.
    pub(crate) fn decode(self, out: &mut String) -> Result<(), JsonError> {
        if !self.escaped {
            out.push_str(self.raw);
            return Ok(());
        }
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
            out.push_str(&rest[..at]);
            let (c, len) = escape(&rest[at + 1..]).ok_or(JsonError::BadString(0))?;
            out.push(c);
            rest = &rest[at + 1 + len..];
        }
        out.push_str(rest);
        Ok(())
    }
}

/// The character of an escape (after its backslash) and the escape's length.
fn escape(text: &str) -> Option<(char, usize)> {
    let c = match text.as_bytes().first()? {
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        c @ (b'"' | b'\\' | b'/') => char::from(*c),
        b'u' => return unicode_escape(text),
        _ => return None,
    };
    Some((c, 1))
}

fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |from: usize| {
        let digits = text
            .get(from..from + 4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let high = unit(1)?;
    if !(0xd800..0xe000).contains(&high) {
        return char::from_u32(high).map(|c| (c, 5));
    }
    let low = (text.get(5..7)? == "\\u").then(|| unit(7))??;
    if high >= 0xdc00 || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let code = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    char::from_u32(code).map(|c| (c, 11))
}

/// A value that is neither array nor object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    /// A string.
    Str(JsonStr<'a>),
    /// A number, as written.
    Number(&'a str),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

/// A place in a text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning.
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Bytes walked.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The whole text, where it holds nothing but what was walked since `start`.
    pub(crate) fn alone(&self, start: Self) -> Option<&'a str> {
        let blank = |text: &str| {
            text.bytes()
                .all(|b| matches!(b, b' ' | b'\n' | b'\r' | b'\t'))
        };
        (blank(&self.text[..start.at]) && blank(&self.text[self.at..])).then_some(self.text)
    }

    /// The text between two places.
    pub(crate) fn between(&self, from: usize, to: usize) -> &'a str {
        &self.text[from..to]
    }

    /// Goes to the start of the next line.
    pub(crate) fn skip_line(&mut self) {
        let rest = &self.text.as_bytes()[self.at..];
        self.at = memchr::memchr(b'\n', rest).map_or(self.text.len(), |n| self.at + n + 1);
    }

    /// The next byte that is not blank; `None` at the end.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(byte) = bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Steps over one byte that `peek` showed.
    #[inline]
    pub(crate) fn bump(&mut self) {
        self.at += 1;
    }

    /// Steps over `byte`, which must come next.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        match self.peek() {
            Some(next) if next == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(JsonError::Unexpected(self.at)),
            None => Err(JsonError::Truncated),
        }
    }

    /// Inside an object: the next key, past its colon; `None` past the closing brace. `first`
    /// tells whether a comma must stand before it.
    #[inline]
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<JsonStr<'a>>, JsonError> {
        if !self.more(first, b'}')? {
            return Ok(None);
        }
        if self.peek().is_some_and(|byte| byte != b'"') {
            return Err(JsonError::Unexpected(self.at));
        }
        let key = self.string()?;
        self.expect(b':')?;
        Ok(Some(key))
    }

    /// Inside an array: whether another element follows.
    #[inline]
    pub(crate) fn element(&mut self, first: &mut bool) -> Result<bool, JsonError> {
        self.more(first, b']')
    }

    #[inline]
    fn more(&mut self, first: &mut bool, close: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(byte) if byte == close => {
                self.at += 1;
                return Ok(false);
            }
            Some(b',') if !*first => {
                self.at += 1;
                if self.peek() == Some(close) {
                    return Err(JsonError::Unexpected(self.at));
                }
            }
            Some(_) if *first => {}
            Some(_) => return Err(JsonError::Unexpected(self.at)),
            None => return Err(JsonError::Truncated),
        }
        *first = false;
        Ok(true)
    }

    /// A string.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<JsonStr<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => {}
            Some(_) => return Err(JsonError::WrongType(self.at)),
            None => return Err(JsonError::Truncated),
        }
        let start = self.at + 1;
        let bytes = self.text.as_bytes();
        let (mut at, mut escaped) = (start, false);
        loop {
            at += plain_prefix(&bytes[at..]);
            match bytes.get(at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    at += 2;
                    if at > bytes.len() {
                        return Err(JsonError::Truncated);
                    }
                }
                Some(_) => return Err(JsonError::BadString(at)),
                None => return Err(JsonError::Truncated),
            }
        }
        self.at = at + 1;
        let raw = self.text.get(start..at).ok_or(JsonError::BadString(at))?;
        Ok(JsonStr { raw, escaped })
    }

    /// A scalar; arrays and objects are the wrong type.
    #[inline]
    pub(crate) fn scalar(&mut self) -> Result<Scalar<'a>, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(Scalar::Str),
            Some(b'-' | b'0'..=b'9') => self.number().map(Scalar::Number),
            Some(b't') => self.word("true", Scalar::Bool(true)),
            Some(b'f') => self.word("false", Scalar::Bool(false)),
            Some(b'n') => self.word("null", Scalar::Null),
            Some(b'[' | b'{') => Err(JsonError::WrongType(self.at)),
            Some(_) => Err(JsonError::Unexpected(self.at)),
            None => Err(JsonError::Truncated),
        }
    }

    fn word(&mut self, word: &str, value: Scalar<'a>) -> Result<Scalar<'a>, JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(value)
        } else if word.as_bytes().starts_with(rest) {
            Err(JsonError::Truncated)
        } else {
            Err(JsonError::Unexpected(self.at))
        }
    }

    /// A number by RFC 8259's grammar: no leading zeros, digits around the point.
    fn number(&mut self) -> Result<&'a str, JsonError> {
        let (bytes, start) = (self.text.as_bytes(), self.at);
        let digits = |mut at: usize| {
            let from = at;
            while bytes.get(at).is_some_and(u8::is_ascii_digit) {
                at += 1;
            }
            if at > from { Ok(at) } else { Err(at) }
        };
        let fail = |at: usize| {
            if at == bytes.len() {
                JsonError::Truncated
            } else {
                JsonError::Unexpected(at)
            }
        };
        let mut at = start + usize::from(bytes[start] == b'-');
        at = if bytes.get(at) == Some(&b'0') {
            at + 1
        } else {
            digits(at).map_err(fail)?
        };
        if bytes.get(at) == Some(&b'.') {
            at = digits(at + 1).map_err(fail)?;
        }
        if matches!(bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
            at = digits(at + 1 + sign).map_err(fail)?;
        }
        self.at = at;
        Ok(&self.text[start..at])
    }

    /// Steps over any value, and gives its text. `depth` is that of the value itself.
    pub(crate) fn skip(&mut self, depth: usize) -> Result<&'a str, JsonError> {
        let open = self.peek();
        let start = self.at;
        if depth > MAX_DEPTH {
            return Err(JsonError::TooDeep(self.at));
        }
        let mut first = true;
        match open {
            Some(b'{') => {
                self.bump();
                while self.key(&mut first)?.is_some() {
                    self.skip(depth + 1)?;
                }
            }
            Some(b'[') => {
                self.bump();
                while self.element(&mut first)? {
                    self.skip(depth + 1)?;
                }
            }
            _ => {
                self.scalar()?;
            }
        }
        Ok(&self.text[start..self.at])
    }
}

/// How many bytes come before a quote, a backslash or a control character; eight at a time.
#[inline]
pub(crate) fn plain_prefix(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let (chunks, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for chunk in chunks {
        let word = u64::from_le_bytes(*chunk);
        // A byte of `x` is zero where `word` has the sought one; the borrow of `x - ONES` sets
        // its high bit. Higher bytes may be marked wrongly, the lowest never.
        let zero = |x: u64| x.wrapping_sub(ONES) & !x & HIGHS;
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let slash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let stops = quote | slash | control;
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at + bytes[at..]
        .iter()
        .take_while(|b| !matches!(b, b'"' | b'\\' | 0..0x20))
        .count()
}

/// Walks the documents of a record: one object, an array of them, or one after another (NDJSON,
/// concatenated). Steps into a top-level array, never into its elements.
#[derive(Debug)]
pub(crate) struct Documents {
    in_array: bool,
    first: bool,
}

impl Documents {
    /// Before the first document.
    pub(crate) const fn new() -> Self {
        Self {
            in_array: false,
            first: true,
        }
    }

    /// Whether a document begins at the cursor; an error ends the record.
    pub(crate) fn next(&mut self, cursor: &mut Cursor<'_>) -> Result<bool, JsonError> {
        loop {
            if self.in_array {
                if cursor.element(&mut self.first)? {
                    return Ok(true);
                }
                self.in_array = false;
                continue;
            }
            match cursor.peek() {
                None => return Ok(false),
                Some(b'[') => {
                    cursor.bump();
                    (self.in_array, self.first) = (true, true);
                }
                Some(_) => return Ok(true),
            }
        }
    }

    /// After an error in the document that began at `start`: goes on at the line after that
    /// beginning, where documents stand one on a line. (A line that opens more than it closes is
    /// walked again, so that it does not swallow its neighbours; the bound on depth bounds that.)
    pub(crate) fn recover<'a>(&self, start: Cursor<'a>, cursor: &mut Cursor<'a>) -> bool {
        if !self.in_array {
            *cursor = start;
            cursor.skip_line();
        }
        !self.in_array
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expect: Result<usize, JsonError>) {
        let mut cursor = Cursor::new(text);
        assert_eq!(cursor.skip(0).map(str::len), expect, "{text}");
    }

    #[test]
    fn values_and_their_faults() {
        check(r#"{"a":[1,-2.5e-3,true,null,"x\"y"],"b":{}} "#, Ok(41));
        check(r#"{"a":1,}"#, Err(JsonError::Unexpected(7)));
        check("[1 2]", Err(JsonError::Unexpected(3)));
        check("01", Ok(1));
        check("1.", Err(JsonError::Truncated));
        check("tru", Err(JsonError::Truncated));
        check("\"a\nb\"", Err(JsonError::BadString(2)));
        check("\"a\\", Err(JsonError::Truncated));
        check(&"[".repeat(100_000), Err(JsonError::TooDeep(MAX_DEPTH + 1)));
    }

    #[test]
    fn broken_escapes() {
        for raw in [
            r"\x",
            r"\u12",
            r"\ud800",
            r"\ud800\u0041",
            r"\udc00",
            r"\u+123",
        ] {
            let text = JsonStr { raw, escaped: true };
            assert!(text.decode(&mut String::new()).is_err(), "{raw}");
        }
    }

    proptest! {
        #[test]
        fn strings_mean_what_serde_says(text in "\\PC*|[a-c\"\\\\\u{1f}\u{80}\u{10000}\\n/]{0,40}") {
            let quoted = serde_json::to_string(&text).unwrap();
            let found = Cursor::new(&quoted).string().unwrap();
            let mut out = String::new();
            found.decode(&mut out).unwrap();
            prop_assert_eq!(out, text);
        }

        #[test]
        fn arbitrary_text_is_judged_as_serde_does(text in "[\\[\\]{}:,\"\\\\0-2.eE+tfn ul-]{0,24}") {
            let ours = {
                let mut cursor = Cursor::new(&text);
                cursor.skip(0).is_ok() && cursor.peek().is_none()
            };
            // Escapes are judged when a string is decoded, not when it is stepped over.
            if !text.contains('\\') {
                prop_assert_eq!(ours, serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok(), "{}", text);
            }
        }
    }
}
