//! Fixtures, broken in every way that bytes break: the bodies of the fuzz targets, run for a few
//! seconds from a fixed seed. What they must hold is in `tests/fuzz/src/decoder.rs`.

use foghorn_wire::{Compression, Format};

use crate::body;
use crate::fixture::fixtures;

/// Broken records of each fixture.
const ROUNDS: usize = 40;

/// The same numbers in every run (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n.max(1)
    }

    fn range(&mut self, len: usize) -> std::ops::Range<usize> {
        let (a, b) = (self.roll(len + 1), self.roll(len + 1));
        a.min(b)..a.max(b)
    }
}

/// Bytes that mean something somewhere: long varints and lengths, signs, ends of strings, numbers
/// of any size, halves of characters.
const LOADED: [&[u8]; 16] = [
    &[0xff; 9],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0],
    b"\"",
    b"\\u",
    b"\\ud800",
    b"{",
    b"[[[[[[[[",
    b"}",
    b"-1e999999",
    b"18446744073709551616",
    b"null",
    b"NaN",
    &[0xc3],
    &[0xed, 0xa0, 0x80],
];

fn broken(dice: &mut Dice, good: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=dice.roll(3) {
        let range = dice.range(bytes.len());
        match dice.roll(8) {
            0 => bytes.truncate(range.start),
            1 if !bytes.is_empty() => {
                let at = dice.roll(bytes.len());
                bytes[at] ^= 1 << dice.roll(8);
            }
            2 if !bytes.is_empty() => {
                let at = dice.roll(bytes.len());
                bytes[at] = dice.roll(256) as u8;
            }
            // A part twice: a field again, a key again.
            3 => {
                let part = bytes[range.clone()].to_vec();
                bytes.splice(range.end..range.end, part);
            }
            4 => drop(bytes.drain(range)),
            5 => drop(bytes.splice(range, LOADED[dice.roll(LOADED.len())].iter().copied())),
            6 => {
                let part = dice.range(other.len());
                bytes.splice(range, other[part].iter().copied());
            }
            _ => {
                let at = range.start;
                bytes.splice(at..at, LOADED[dice.roll(LOADED.len())].iter().copied());
            }
        }
        bytes.truncate(1 << 15);
    }
    bytes
}

#[test]
fn broken_fixtures() {
    let mut dice = Dice(0x0dd_b1a5e5);
    let all: Vec<_> = fixtures()
        .iter()
        .map(|fixture| (fixture.format, fixture.unpacked()))
        .collect();
    for (format, good) in &all {
        body::run(*format, Compression::None, good);
        for _ in 0..ROUNDS {
            let other = &all[dice.roll(all.len())].1;
            let bytes = broken(&mut dice, good, other);
            body::run(*format, Compression::None, &bytes);
        }
    }
}

#[test]
fn broken_packings() {
    let mut dice = Dice(0x5eed);
    for fixture in fixtures() {
        let compressions = [Compression::Snappy, Compression::Gzip];
        for compression in compressions {
            for _ in 0..ROUNDS / 4 {
                let bytes = broken(&mut dice, fixture.bytes, b"");
                body::run(fixture.format, compression, &bytes);
            }
        }
    }
}

#[test]
fn fixtures_cut_short_anywhere() {
    for fixture in fixtures() {
        let good = fixture.unpacked();
        for len in (0..good.len()).step_by(1 + good.len() / 50) {
            body::run(fixture.format, Compression::None, &good[..len]);
        }
    }
}

/// Ten thousand levels of whatever nests, in every format; far more than any decoder follows.
#[test]
fn nested_ten_thousand_deep() {
    let objects = [
        r#"{"a":"#,
        "[",
        r#"{"labels":"#,
        r#"{"data":"#,
        r#"{"alerts":["#,
    ];
    for format in Format::ALL {
        for open in objects {
            let text = open.repeat(10_000);
            body::run(format, Compression::None, text.as_bytes());
            // Inside a string, where a preset looks into it.
            let inner = format!(r#"{{"log":{}}}"#, serde_json::to_string(&text).unwrap());
            body::run(format, Compression::None, inner.as_bytes());
        }
        for field in 1..16_u8 {
            let mut bytes = Vec::new();
            for _ in 0..10_000 {
                // Every message is the rest: lengths need not fit for a decoder to try.
                bytes.extend_from_slice(&[field << 3 | 2, 0x7f]);
            }
            body::run(format, Compression::None, &bytes);
        }
    }
}

/// One field that claims to be longer than everything, and numbers that no type holds.
#[test]
fn huge_lengths_and_numbers() {
    for format in Format::ALL {
        for field in 1..16_u8 {
            for claim in [
                &[0xff, 0xff, 0xff, 0xff, 0x7f][..],
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            ] {
                let bytes = [&[field << 3 | 2], claim, b"abc"].concat();
                body::run(format, Compression::None, &bytes);
                let nested = [&[0x0a, bytes.len() as u8], &*bytes].concat();
                body::run(format, Compression::None, &nested);
            }
        }
        for number in [
            "1e999",
            "-1e999",
            &"9".repeat(5_000),
            "1e-9999",
            "0.0000001e400",
        ] {
            let text = format!(
                r#"{{"ts":{number},"timestamp":{number},"@timestamp":{number},"time":{number},"name":"m","value":{number},
                    "level":{number},"message":{number},"service":"s","labels":{{"alertname":{number}}},"startsAt":{number}}}"#
            );
            body::run(format, Compression::None, text.as_bytes());
        }
    }
}
