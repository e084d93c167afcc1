//! Texts of which a line must hold at least one to pass a pipeline.
//!
//! Reads regular expressions as far as it understands them, and gives up (no requirement) on
//! anything else: a missing requirement costs time, a wrong one would lose matches.

use foghorn_rules::logql::{LineOp, LineTest, Pipeline, Stage};

/// Shorter texts are in nearly every line.
const SHORTEST: usize = 2;
/// Longer sets are not worth searching for.
const MOST: usize = 64;

/// A text that may be required.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Needle {
    /// In ASCII lower case: the search takes no notice of case.
    pub text: String,
    /// Whether it stands for a `k` or `s` without regard to case: then the Kelvin sign and the
    /// long s match it too, which no search for ASCII finds.
    pub folds: bool,
}

/// A line must hold one of these.
pub(super) type Needles = Vec<Needle>;

/// The best requirement that a pipeline makes of the record's own line.
pub(super) fn required(pipeline: &Pipeline) -> Option<Needles> {
    let own_line = pipeline
        .stages
        .iter()
        .take_while(|stage| !stage.changes_line());
    own_line
        .filter_map(|stage| match stage {
            Stage::Line(filter) if matches!(filter.op, LineOp::Contains | LineOp::Matches) => {
                union(filter.tests.iter().map(of_test))
            }
            _ => None,
        })
        .reduce(better)
}

fn of_test(test: &LineTest) -> Option<Needles> {
    match test {
        LineTest::Literal(text) => (text.len() >= SHORTEST).then(|| {
            vec![Needle {
                text: text.to_ascii_lowercase(),
                folds: false,
            }]
        }),
        LineTest::Regexp(regexp) => of_regexp(regexp.text()),
    }
}

/// Of two requirements, the one whose shortest text is longer (then the one with fewer texts).
fn better(best: Needles, next: Needles) -> Needles {
    let worth = |set: &Needles| {
        let shortest = set
            .iter()
            .map(|needle| needle.text.len())
            .min()
            .unwrap_or(0);
        (shortest.min(12), std::cmp::Reverse(set.len()))
    };
    if worth(&best) >= worth(&next) {
        best
    } else {
        next
    }
}

/// One of several alternatives: required only if each requires something.
fn union(sets: impl Iterator<Item = Option<Needles>>) -> Option<Needles> {
    let mut all = Vec::new();
    for set in sets {
        all.extend(set?);
    }
    all.sort();
    all.dedup();
    (all.len() <= MOST).then_some(all)
}

/// What an expression (which compiles) requires.
pub(super) fn of_regexp(text: &str) -> Option<Needles> {
    let mut reader = Reader {
        rest: text,
        depth: 0,
    };
    let set = reader.alternation(false).ok()?;
    if reader.rest.is_empty() { set } else { None }
}

/// Something that the reader does not understand.
struct Unknown;

struct Reader<'a> {
    rest: &'a str,
    depth: usize,
}

/// One branch of an alternation while it is read.
#[derive(Default)]
struct Branch {
    run: String,
    folds: bool,
    best: Option<Needles>,
}

impl Branch {
    fn push(&mut self, c: char, fold: bool) {
        if fold && !c.is_ascii() && (c.to_lowercase().ne([c]) || c.to_uppercase().ne([c])) {
            // Other cases of it exist, and the search knows ASCII's only.
            self.end_run();
            return;
        }
        self.folds |= fold && matches!(c, 'k' | 'K' | 's' | 'S');
        self.run.push(c.to_ascii_lowercase());
    }

    fn end_run(&mut self) {
        let needle = Needle {
            text: std::mem::take(&mut self.run),
            folds: std::mem::take(&mut self.folds),
        };
        if needle.text.len() >= SHORTEST {
            self.offer(vec![needle]);
        }
    }

    fn offer(&mut self, next: Needles) {
        self.best = Some(match self.best.take() {
            Some(best) => better(best, next),
            None => next,
        });
    }
}

impl Reader<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = &self.rest[c.len_utf8()..];
        Some(c)
    }

    fn eat(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Branches up to the end or an unmatched `)`. Flags set inside hold to the group's end.
    fn alternation(&mut self, mut fold: bool) -> Result<Option<Needles>, Unknown> {
        self.depth += 1;
        if self.depth > 32 {
            return Err(Unknown);
        }
        let mut branches = Vec::new();
        loop {
            branches.push(self.branch(&mut fold)?);
            if !self.eat("|") {
                break;
            }
        }
        self.depth -= 1;
        Ok(union(branches.into_iter()))
    }

    fn branch(&mut self, fold: &mut bool) -> Result<Option<Needles>, Unknown> {
        let mut branch = Branch::default();
        while let Some(c) = self.rest.chars().next() {
            match c {
                '|' | ')' => break,
                '(' => self.group(&mut branch, fold)?,
                '[' => {
                    self.class()?;
                    branch.end_run();
                    self.repetition()?;
                }
                '.' | '^' | '$' => {
                    self.next();
                    branch.end_run();
                    self.repetition()?;
                }
                '*' | '+' | '?' | '{' => return Err(Unknown),
                '\\' => self.escape(&mut branch, *fold)?,
                _ => {
                    self.next();
                    self.literal(&mut branch, c, *fold)?;
                }
            }
        }
        branch.end_run();
        Ok(branch.best)
    }

    /// A character that stands for itself, and its repetition.
    fn literal(&mut self, branch: &mut Branch, c: char, fold: bool) -> Result<(), Unknown> {
        match self.repetition()? {
            None => branch.push(c, fold),
            Some(0) => branch.end_run(),
            Some(_) => {
                branch.push(c, fold);
                branch.end_run();
            }
        }
        Ok(())
    }

    fn group(&mut self, branch: &mut Branch, fold: &mut bool) -> Result<(), Unknown> {
        self.next();
        let mut inner_fold = *fold;
        if self.eat("?") {
            if self.eat("P<") || self.eat("<") {
                let end = self.rest.find('>').ok_or(Unknown)?;
                self.rest = &self.rest[end + 1..];
            } else if self.flags(&mut inner_fold)? {
                *fold = inner_fold;
                return Ok(());
            }
        }
        branch.end_run();
        let inner = self.alternation(inner_fold)?;
        if !self.eat(")") {
            return Err(Unknown);
        }
        if let (Some(inner), None | Some(1..)) = (inner, self.repetition()?) {
            branch.offer(inner);
        }
        Ok(())
    }

    /// `i-s:` or `i)`; whether it was the latter, which holds for what follows.
    fn flags(&mut self, fold: &mut bool) -> Result<bool, Unknown> {
        let mut on = true;
        loop {
            match self.next() {
                Some('i') => *fold = on,
                Some('s' | 'm' | 'U') => {}
                Some('-') => on = false,
                Some(':') => return Ok(false),
                Some(')') => return Ok(true),
                _ => return Err(Unknown),
            }
        }
    }

    fn escape(&mut self, branch: &mut Branch, fold: bool) -> Result<(), Unknown> {
        self.next();
        let c = self.next().ok_or(Unknown)?;
        let literal = match c {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'A' | 'z' => {
                branch.end_run();
                return self.repetition().map(|_| ());
            }
            'b' | 'B' if !self.rest.starts_with('{') => {
                branch.end_run();
                return self.repetition().map(|_| ());
            }
            c if c.is_ascii_punctuation() && !matches!(c, '<' | '>') => c,
            _ => return Err(Unknown),
        };
        self.literal(branch, literal, fold)
    }

    /// A bracketed class, which may hold others.
    fn class(&mut self) -> Result<(), Unknown> {
        self.next();
        self.eat("^");
        self.eat("]");
        let mut depth = 1;
        while depth > 0 {
            match self.next().ok_or(Unknown)? {
                '\\' => {
                    self.next();
                }
                // A bracket right after an inner one's beginning is rare and read differently.
                '[' if self.rest.starts_with([']', '^']) => return Err(Unknown),
                '[' => depth += 1,
                ']' => depth -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// The least number of times of a repetition, if one comes next.
    fn repetition(&mut self) -> Result<Option<u32>, Unknown> {
        let mut least: Option<u32> = None;
        loop {
            let times = match self.rest.as_bytes().first() {
                Some(b'*' | b'?') => 0,
                Some(b'+') => 1,
                Some(b'{') => {
                    let end = self.rest.find('}').ok_or(Unknown)?;
                    let low = self.rest[1..end].split(',').next().unwrap_or_default();
                    let times = low.trim().parse().map_err(|_| Unknown)?;
                    self.rest = &self.rest[end..];
                    times
                }
                _ => return Ok(least),
            };
            self.next();
            // A `?` behind a repetition makes it lazy, which changes no language.
            self.eat("?");
            least = Some(least.unwrap_or(1).min(times));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    fn check(pattern: &str, expect: Option<&[&str]>) {
        let found = of_regexp(pattern).map(|set| {
            set.into_iter()
                .map(|needle| needle.text)
                .collect::<Vec<_>>()
        });
        let expect = expect.map(|texts| {
            texts
                .iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        });
        assert_eq!(found, expect, "{pattern}");
    }

    #[test]
    fn requirements_of_expressions() {
        check("(?i)error", Some(&["error"]));
        check("(?i)fatal|panic", Some(&["fatal", "panic"]));
        check(
            "(?i)(error|fatal)|panic",
            Some(&["error", "fatal", "panic"]),
        );
        check(r"http(s?)://(\w+):(\w+)@", Some(&["http"]));
        check(
            r"Could not start node for \S+",
            Some(&["could not start node for "]),
        );
        check("a.*bcd", Some(&["bcd"]));
        check("abc?", Some(&["ab"]));
        check("abc+d", Some(&["abc"]));
        check("x|ab", None);
        check("ab|.*", None);
        check("(abc)?", None);
        check("(abc){2}de", Some(&["abc"]));
        check("[abc]+", None);
        check("(?i)größe", Some(&["gr"]));
        check("größe", Some(&["größe"]));
        check(r"a\.b\[c\]", Some(&["a.b[c]"]));
        check(r"\x41bc", None);
        check("(?x) a b c", None);
    }

    /// Expressions of pieces that the reader knows and pieces that it does not.
    fn pattern() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "a",
            "b",
            "k",
            "s",
            "ab",
            "(?i)",
            "(?i:ks)",
            "(?-i)",
            "|",
            "(",
            ")",
            "[ab]",
            "[^a]",
            "[]a]",
            "[[:alpha:]b]",
            ".",
            "*",
            "+",
            "?",
            "{2}",
            "{0,1}",
            r"\d",
            r"\b",
            r"\.",
            r"\x61",
            "é",
            "(?P<n>ab)",
            "^",
            "$",
            "??",
        ]);
        prop::collection::vec(piece, 1..9).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn what_matches_holds_what_is_required(pattern in pattern(), line in "[abksABKS1éÉ.\u{17f}\u{212a}]{0,10}") {
            let (Ok(regex), Some(needles)) = (Regex::new(&pattern), of_regexp(&pattern)) else { return Ok(()) };
            let lower = line.to_ascii_lowercase();
            let folded = line.contains(['\u{17f}', '\u{212a}']);
            let holds = needles.iter().any(|needle| lower.contains(&needle.text) || (needle.folds && folded));
            prop_assert!(holds || !regex.is_match(&line), "{pattern} {line} {needles:?}");
        }
    }
}
