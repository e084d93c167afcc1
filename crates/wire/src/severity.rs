//! Log levels, as words and as OTLP's numbers.

/// OTLP's severity number (1–24) of a level's word, 0 where the word means nothing. A number as
/// text counts as it is.
pub(crate) fn number(word: &str) -> u8 {
    let word = word.trim();
    let starts = |prefix: &str| {
        word.get(..prefix.len())
            .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    match word {
        _ if word.starts_with(|c: char| c.is_ascii_digit()) => word.parse().map_or(0, in_range),
        _ if starts("trace") => 1,
        _ if starts("debug") || word.eq_ignore_ascii_case("dbg") => 5,
        _ if starts("info") || starts("notice") => 9,
        _ if starts("warn") => 13,
        _ if starts("err") => 17,
        _ if starts("crit") => 18,
        _ if starts("fatal") || starts("panic") || starts("alert") || starts("emerg") => 21,
        _ => 0,
    }
}

/// The number itself where OTLP knows it, else 0.
pub(crate) fn in_range(number: u64) -> u8 {
    if (1..=24).contains(&number) {
        number as u8
    } else {
        0
    }
}

/// The word of a severity number, as labels say it; nothing for 0.
pub(crate) fn word(number: u8) -> &'static str {
    match number {
        1..=4 => "trace",
        5..=8 => "debug",
        9..=12 => "info",
        13..=16 => "warn",
        17..=20 => "error",
        21..=24 => "fatal",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        let words = [
            "INFO", "Warning", "error", "ERR", "critical", "17", "99", "", "hm",
        ];
        assert_eq!(words.map(number), [9, 13, 17, 17, 18, 17, 0, 0, 0]);
        assert_eq!(
            words.map(|text| word(number(text))),
            [
                "info", "warn", "error", "error", "error", "error", "", "", ""
            ]
        );
    }
}
