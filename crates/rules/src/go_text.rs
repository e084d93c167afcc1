//! Escapes in Go's texts, which templates and series notation have alike.

/// Why an escape cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadEscape {
    /// The text ends.
    End,
    /// Go knows no such escape.
    Unknown(char),
    /// Its digits name no character.
    NoCharacter,
}

/// The character of an escape, whose backslash has been read.
pub(crate) fn escaped(chars: &mut impl Iterator<Item = (usize, char)>) -> Result<char, BadEscape> {
    let (_, code) = chars.next().ok_or(BadEscape::End)?;
    let digits = match code {
        'n' => return Ok('\n'),
        't' => return Ok('\t'),
        'r' => return Ok('\r'),
        'a' => return Ok('\u{7}'),
        'b' => return Ok('\u{8}'),
        'f' => return Ok('\u{c}'),
        'v' => return Ok('\u{b}'),
        '\\' | '"' | '\'' => return Ok(code),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return Err(BadEscape::Unknown(code)),
    };
    let code: String = chars.take(digits).map(|(_, c)| c).collect();
    let read = u32::from_str_radix(&code, 16).ok();
    read.and_then(char::from_u32).ok_or(BadEscape::NoCharacter)
}
