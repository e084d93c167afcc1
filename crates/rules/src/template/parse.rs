//! Template text → pieces.

use regex::Regex;

use super::TemplateError;
use super::functions::Function;
use super::lex::{Kind, Word, action, error};
use super::pipeline::{Cursor, unsupported};

/// A piece of a template.
#[derive(Debug)]
pub(super) enum Piece {
    /// Text as it is.
    Text(String),
    /// `{{ pipeline }}`.
    Print(Pipeline),
    /// `{{ $x := pipeline }}` or `{{ $x = pipeline }}`.
    Assign(Pipeline),
    /// `if` or `with`.
    Branch {
        /// `with`: the value that was true becomes the dot.
        with: bool,
        /// Conditions in order.
        arms: Vec<(Pipeline, Vec<Piece>)>,
        /// `else`.
        otherwise: Vec<Piece>,
    },
}

/// Commands, each of which gets the last one's value as its last argument.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// `$x :=` (true) or `$x =` (false).
    pub(super) variable: Option<(String, bool)>,
    pub(super) commands: Vec<Command>,
}

/// A command.
#[derive(Debug)]
pub(super) enum Command {
    Value(Operand),
    Call {
        function: Function,
        args: Vec<Operand>,
        /// The first argument as a regular expression, where the function takes one and it is
        /// written out.
        regex: Option<Regex>,
    },
}

/// An operand and the fields taken of it.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) base: Base,
    pub(super) fields: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Base {
    Dot,
    Nil,
    Variable(String),
    Text(String),
    Float(f64),
    Int(i64),
    Bool(bool),
    Nested(Box<Pipeline>),
}

/// Blocks may be nested so deep.
pub(super) const MAX_DEPTH: usize = 32;

/// Variables that Prometheus sets in front of every template.
const GIVEN: [&str; 4] = ["", "labels", "externalLabels", "value"];

/// What ends a list of pieces.
enum Stop {
    Source,
    End(usize),
    /// `else`, with the words behind it.
    Else(usize, Vec<Word>),
}

pub(super) fn parse(source: &str) -> Result<Vec<Piece>, TemplateError> {
    let variables = GIVEN.iter().map(|name| (*name).to_owned()).collect();
    let mut parser = Parser {
        source,
        at: 0,
        trim: false,
        variables,
        depth: 0,
    };
    match parser.pieces()? {
        (pieces, Stop::Source) => Ok(pieces),
        (_, Stop::End(at)) => Err(error(at, "`end` without a block")),
        (_, Stop::Else(at, _)) => Err(error(at, "`else` without an `if`")),
    }
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    /// Whether the last action trims what follows.
    trim: bool,
    /// Variables in scope.
    variables: Vec<String>,
    depth: usize,
}

impl Parser<'_> {
    fn pieces(&mut self) -> Result<(Vec<Piece>, Stop), TemplateError> {
        let mut pieces = Vec::new();
        loop {
            let Some((start, words)) = self.next_action(&mut pieces)? else {
                return Ok((pieces, Stop::Source));
            };
            let keyword = match words.first().map(|word| &word.kind) {
                Some(Kind::Name(name)) => name.as_str(),
                Some(_) => "",
                None => return Err(error(start, "an action without a value")),
            };
            match keyword {
                "end" => return Ok((pieces, Stop::End(start))),
                "else" => return Ok((pieces, Stop::Else(start, words[1..].to_vec()))),
                "if" | "with" => pieces.push(self.branch(start, keyword == "with", &words[1..])?),
                "range" | "define" | "template" | "block" | "break" | "continue" => {
                    return Err(unsupported(words[0].at, &format!("`{keyword}`")));
                }
                _ => pieces.push(self.statement(start, &words)?),
            }
        }
    }

    /// Takes the text up to the next action, and the action.
    fn next_action(
        &mut self,
        pieces: &mut Vec<Piece>,
    ) -> Result<Option<(usize, Vec<Word>)>, TemplateError> {
        loop {
            let rest = &self.source[self.at..];
            let (mut text, start) = match rest.find("{{") {
                Some(open) => (&rest[..open], self.at + open),
                None => (rest, self.source.len()),
            };
            if self.trim {
                text = text.trim_start();
            }
            let inside = start + 2;
            let after_brace = self.source.get(inside..).unwrap_or("");
            let trims = after_brace
                .strip_prefix('-')
                .is_some_and(|rest| rest.starts_with(char::is_whitespace));
            if trims {
                text = text.trim_end();
            }
            if !text.is_empty() {
                pieces.push(Piece::Text(text.to_owned()));
            }
            if start == self.source.len() {
                self.at = start;
                return Ok(None);
            }
            let body = inside + usize::from(trims);
            if self.source[body..].trim_start().starts_with("/*") {
                self.comment(start, body)?;
                continue;
            }
            let (words, end, trim) = action(self.source, body)?;
            (self.at, self.trim) = (end, trim);
            return Ok(Some((start, words)));
        }
    }

    fn comment(&mut self, start: usize, body: usize) -> Result<(), TemplateError> {
        let unclosed = || error(start, "this comment is not closed by `*/}}`");
        let end = body + self.source[body..].find("*/").ok_or_else(unclosed)? + 2;
        let rest = &self.source[end..];
        let trimmed = rest.trim_start();
        let blanks = rest.len() - trimmed.len();
        if rest.starts_with("}}") {
            (self.at, self.trim) = (end + 2, false);
        } else if blanks > 0 && trimmed.starts_with("-}}") {
            (self.at, self.trim) = (end + blanks + 3, true);
        } else {
            return Err(unclosed());
        }
        Ok(())
    }

    fn branch(&mut self, start: usize, with: bool, words: &[Word]) -> Result<Piece, TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(start, "blocks are nested too deep"));
        }
        let scope = self.variables.len();
        let mut arms = Vec::new();
        let mut condition = self.condition(start, words)?;
        let otherwise = loop {
            let (body, end) = self.pieces()?;
            arms.push((condition, body));
            match end {
                Stop::End(_) => break Vec::new(),
                Stop::Source => return Err(error(start, "this block has no `end`")),
                Stop::Else(at, words) if words.is_empty() => {
                    let (body, end) = self.pieces()?;
                    match end {
                        Stop::End(_) => break body,
                        Stop::Else(at, _) => return Err(error(at, "a second `else`")),
                        Stop::Source => return Err(error(at, "this block has no `end`")),
                    }
                }
                Stop::Else(at, words) => {
                    let keyword = if with { "with" } else { "if" };
                    if words[0].kind != Kind::Name(keyword.to_owned()) {
                        return Err(error(
                            at,
                            format!("only `{keyword}` may follow this `else`"),
                        ));
                    }
                    condition = self.condition(at, &words[1..])?;
                }
            }
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Piece::Branch {
            with,
            arms,
            otherwise,
        })
    }

    fn condition(&mut self, start: usize, words: &[Word]) -> Result<Pipeline, TemplateError> {
        if words.is_empty() {
            return Err(error(start, "a condition is missing"));
        }
        self.pipeline(start, words)
    }

    fn statement(&mut self, start: usize, words: &[Word]) -> Result<Piece, TemplateError> {
        let pipeline = self.pipeline(start, words)?;
        Ok(if pipeline.variable.is_some() {
            Piece::Assign(pipeline)
        } else {
            Piece::Print(pipeline)
        })
    }

    /// A pipeline that takes all words.
    fn pipeline(&mut self, start: usize, words: &[Word]) -> Result<Pipeline, TemplateError> {
        let (variable, words) = match words {
            [
                Word {
                    kind: Kind::Variable(name),
                    ..
                },
                Word {
                    kind: Kind::Sign(sign @ (":=" | "=")),
                    ..
                },
                rest @ ..,
            ] => (Some((name.clone(), *sign == ":=")), rest),
            _ => (None, words),
        };
        if let Some((name, false)) = &variable
            && !self.variables.contains(name)
        {
            return Err(error(start, format!("there is no variable `${name}`")));
        }
        let mut cursor = Cursor {
            words,
            next: 0,
            start,
            variables: &self.variables,
        };
        let commands = cursor.commands(0)?;
        if let Some(word) = cursor.peek() {
            return Err(error(word.at, "this does not belong here"));
        }
        if let Some((name, true)) = &variable {
            self.variables.push(name.clone());
        }
        Ok(Pipeline { variable, commands })
    }
}
