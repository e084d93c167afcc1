//! Which of many texts a line holds, without regard to ASCII case.
//!
//! Looks at a few bytes in every so many, and not at every byte: a text of `n` bytes holds
//! `n - w + 1` windows of `w` bytes, so one of them begins at a multiple of that number, wherever
//! the text stands. A bit set says whether a window belongs to any text at all, which is seldom;
//! only then texts are compared. (The idea of shift tables is Wu and Manber's, 1994.)
//!
//! Refuses texts of less than two bytes.

use std::collections::{BTreeMap, BTreeSet};

/// Texts of at least so many bytes are long: few places are looked at for them.
const LONG: usize = 8;
/// Windows of long and middling texts.
const WIDE: usize = 4;
/// Windows of texts too short for those.
const NARROW: usize = 2;
/// Longer strides would ask for more windows of each text than they save.
const LONGEST_STRIDE: usize = 8;
/// Bits of the sets' sizes: 512 bytes to 32 KiB, which stays in the nearest cache.
const SET_BITS: std::ops::RangeInclusive<u32> = 12..=18;

/// A search for texts, numbered as they were given.
#[derive(Debug, Default)]
pub(super) struct NeedleSearch {
    /// In ASCII lower case.
    texts: Vec<Box<[u8]>>,
    classes: Vec<Class>,
}

/// Texts of similar length, and where lines are looked at for them.
#[derive(Debug)]
struct Class {
    /// Bytes of a window.
    width: usize,
    /// From one window that is looked at to the next, in bytes.
    stride: usize,
    /// Of each window's hash one bit.
    set: Vec<u64>,
    /// How many bits of a hash are not used for `set`.
    set_shift: u32,
    /// Where the windows of a hash begin in `windows`.
    buckets: Vec<u32>,
    bucket_shift: u32,
    windows: Vec<Window>,
}

/// A window of a text.
#[derive(Clone, Copy, Debug)]
struct Window {
    folded: u32,
    text: u32,
    /// Where in the text it begins.
    offset: u32,
}

impl NeedleSearch {
    /// A search for these texts, which are in ASCII lower case.
    pub(super) fn new<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let texts: Vec<Box<[u8]>> = texts.map(|text| text.as_bytes().into()).collect();
        let of = |range: std::ops::Range<usize>| -> Vec<u32> {
            (0..texts.len() as u32)
                .filter(|text| range.contains(&texts[*text as usize].len()))
                .collect()
        };
        let classes = [
            (WIDE, of(LONG..usize::MAX)),
            (WIDE, of(WIDE..LONG)),
            (NARROW, of(NARROW..WIDE)),
        ];
        let classes = classes.into_iter().filter(|(_, of)| !of.is_empty());
        Self {
            classes: classes
                .map(|(width, of)| Class::new(width, &of, &texts))
                .collect(),
            texts,
        }
    }

    /// Number of texts.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Hands the texts that the line holds to `found`, some more than once.
    #[inline]
    pub(super) fn search(&self, line: &str, mut found: impl FnMut(u32)) {
        let line = line.as_bytes();
        for class in &self.classes {
            let mut at_window = |at: usize, word: u32, hash: u32| {
                for window in class.bucket(hash) {
                    if window.folded == word && self.stands(line, at, window) {
                        found(window.text);
                    }
                }
            };
            if class.width == WIDE {
                class.scan::<WIDE>(line, &mut at_window);
            } else {
                class.scan::<NARROW>(line, &mut at_window);
            }
        }
    }

    /// Whether a text stands in the line so that the window is at `at`.
    fn stands(&self, line: &[u8], at: usize, window: &Window) -> bool {
        let text = &self.texts[window.text as usize];
        let start = at.checked_sub(window.offset as usize);
        start
            .and_then(|start| line.get(start..start + text.len()))
            .is_some_and(|there| there.eq_ignore_ascii_case(text))
    }
}

impl Class {
    fn new(width: usize, of: &[u32], texts: &[Box<[u8]>]) -> Self {
        let text = |id: u32| &texts[id as usize];
        let shortest = of.iter().map(|id| text(*id).len()).min().unwrap_or(width);
        let stride = (shortest + 1 - width).min(LONGEST_STRIDE);
        // How many texts hold a window: those that many share tell little.
        let mut holders: BTreeMap<u32, u32> = BTreeMap::new();
        for id in of {
            let own: BTreeSet<_> = text(*id).windows(width).map(folded).collect();
            for window in own {
                *holders.entry(window).or_default() += 1;
            }
        }
        let mut windows = Vec::with_capacity(of.len() * stride);
        for id in of {
            let shared: Vec<_> = text(*id)
                .windows(width)
                .map(|window| holders.get(&folded(window)).copied().unwrap_or(0))
                .collect();
            let runs = shared.windows(stride).enumerate();
            let best = runs.min_by_key(|(_, run)| run.iter().sum::<u32>());
            let start = best.map_or(0, |(start, _)| start);
            let run = text(*id).windows(width).enumerate();
            windows.extend(run.skip(start).take(stride).map(|(offset, window)| Window {
                folded: folded(window),
                text: *id,
                offset: offset as u32,
            }));
        }
        Self::indexed(width, stride, windows)
    }

    fn indexed(width: usize, stride: usize, mut windows: Vec<Window>) -> Self {
        let bits = windows.len().next_power_of_two().trailing_zeros();
        let set_bits = (bits + 5).clamp(*SET_BITS.start(), *SET_BITS.end());
        let bucket_bits = (bits + 1).min(set_bits);
        let (set_shift, bucket_shift) = (32 - set_bits, 32 - bucket_bits);
        windows.sort_by_key(|window| (hash(window.folded), window.text, window.offset));
        let mut set = vec![0_u64; 1 << (set_bits - 6)];
        let mut buckets = vec![0_u32; (1 << bucket_bits) + 1];
        for window in &windows {
            let bit = hash(window.folded) >> set_shift;
            set[bit as usize / 64] |= 1 << (bit % 64);
            buckets[(hash(window.folded) >> bucket_shift) as usize + 1] += 1;
        }
        for i in 1..buckets.len() {
            buckets[i] += buckets[i - 1];
        }
        Self {
            width,
            stride,
            set,
            set_shift,
            buckets,
            bucket_shift,
            windows,
        }
    }

    /// Hands every window that may be some text's to `at_window`: where, folded, hashed.
    #[inline]
    fn scan<const W: usize>(&self, line: &[u8], at_window: &mut impl FnMut(usize, u32, u32)) {
        for (i, window) in line.windows(W).step_by(self.stride).enumerate() {
            let word = folded(window);
            let hash = hash(word);
            let bit = hash >> self.set_shift;
            let holds = self
                .set
                .get(bit as usize / 64)
                .is_some_and(|bits| bits >> (bit % 64) & 1 == 1);
            if holds {
                at_window(i * self.stride, word, hash);
            }
        }
    }

    fn bucket(&self, hash: u32) -> &[Window] {
        let bucket = (hash >> self.bucket_shift) as usize;
        let (from, to) = (self.buckets[bucket], self.buckets[bucket + 1]);
        &self.windows[from as usize..to as usize]
    }
}

/// A window as a number, equal for texts that differ in ASCII case (and for a few others).
#[inline]
fn folded(window: &[u8]) -> u32 {
    let word = match *window {
        [a, b] => u32::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => u32::from_le_bytes([a, b, c, d]),
        _ => 0,
    };
    word | 0x2020_2020
}

/// Knuth's multiplicative hash: the upper bits are the good ones.
#[inline]
fn hash(word: u32) -> u32 {
    word.wrapping_mul(0x9e37_79b1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn found(texts: &[String], line: &str) -> Vec<u32> {
        let search = NeedleSearch::new(texts.iter().map(String::as_str));
        let mut found = BTreeSet::new();
        search.search(line, |text| {
            found.insert(text);
        });
        found.into_iter().collect()
    }

    fn check(texts: &[&str], line: &str, expect: &[u32]) {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(found(&texts, line), expect, "{line}");
    }

    #[test]
    fn texts_are_found_wherever_they_stand() {
        for pad in 0..20 {
            let line = format!("{}Connection REFUSED{}", "x".repeat(pad), "y".repeat(pad));
            check(
                &["connection refused", "refused", "on", "sed", "absent"],
                &line,
                &[0, 1, 2, 3],
            );
        }
    }

    #[test]
    fn a_line_shorter_than_a_text_holds_it_not() {
        check(&["abcdefgh", "abcd", "ab"], "abc", &[2]);
        check(&["abcdefgh", "abcd", "ab"], "", &[]);
        check(&["abcdefgh"], "bcdefgh", &[]);
    }

    #[test]
    fn texts_with_the_same_beginning_are_told_apart() {
        let texts: Vec<_> = (0..300)
            .map(|i| format!("error: code e{i:04} of unit"))
            .collect();
        for i in [0, 17, 299] {
            assert_eq!(
                found(&texts, &format!("ERROR: code E{i:04} of unit 3")),
                [i]
            );
        }
    }

    proptest! {
        #[test]
        fn it_finds_what_a_plain_search_finds(
            texts in proptest::collection::vec("[a-cé@`k]{2,14}", 1..40),
            line in "[a-cA-CéK@`k]{0,60}",
        ) {
            let texts: Vec<_> = texts.iter().map(|text| text.to_ascii_lowercase()).collect();
            let folded = line.to_ascii_lowercase();
            let plain: Vec<_> = (0..texts.len() as u32)
                .filter(|text| folded.contains(&texts[*text as usize]))
                .collect();
            prop_assert_eq!(found(&texts, &line), plain);
        }
    }
}
