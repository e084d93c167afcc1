//! Template text → pieces.

use std::collections::BTreeMap;

use regex::Regex;

use super::TemplateError;
use super::functions::Function;
use super::lex::{Kind, Word, action, error};
use super::pipeline::Cursor;

/// A template's text, and the templates that it defines.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) pieces: Vec<Piece>,
    pub(super) defined: BTreeMap<String, Vec<Piece>>,
}

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
    /// `range`.
    Range {
        /// None; that of the element; or those of key and element.
        variables: Vec<String>,
        over: Pipeline,
        body: Vec<Piece>,
        /// `else`: where there is nothing to walk over.
        otherwise: Vec<Piece>,
    },
    /// `template "name" data`.
    Template {
        name: String,
        data: Option<Pipeline>,
    },
    /// `break`.
    Break,
    /// `continue`.
    Continue,
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
        /// Byte of the text.
        at: usize,
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
const GIVEN: [&str; 5] = ["", "labels", "externalLabels", "externalURL", "value"];

/// What ends a list of pieces.
enum Stop {
    Source,
    End(usize),
    /// `else`, with the words behind it.
    Else(usize, Vec<Word>),
}

pub(super) fn parse(source: &str) -> Result<Parsed, TemplateError> {
    let variables = GIVEN.iter().map(|name| (*name).to_owned()).collect();
    let mut parser = Parser {
        source,
        at: 0,
        trim: false,
        variables,
        depth: 0,
        ranges: 0,
        defined: BTreeMap::new(),
        called: Vec::new(),
    };
    let pieces = match parser.pieces()? {
        (pieces, Stop::Source) => pieces,
        (_, Stop::End(at)) => return Err(error(at, "`end` without a block")),
        (_, Stop::Else(at, _)) => return Err(error(at, "`else` without an `if`")),
    };
    let defined = parser.defined;
    let unknown = |(name, _): &&(String, usize)| !defined.contains_key(name);
    if let Some((name, at)) = parser.called.iter().find(unknown) {
        // Go finds out while rendering.
        return Err(TemplateError {
            unsupported: true,
            ..error(*at, format!("there is no template \"{name}\""))
        });
    }
    Ok(Parsed { pieces, defined })
}

struct Parser<'a> {
    source: &'a str,
    at: usize,
    /// Whether the last action trims what follows.
    trim: bool,
    /// Variables in scope.
    variables: Vec<String>,
    depth: usize,
    /// How many `range` blocks are open.
    ranges: usize,
    defined: BTreeMap<String, Vec<Piece>>,
    /// Templates that are called, and where.
    called: Vec<(String, usize)>,
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
                "range" => pieces.push(self.range(start, &words[1..])?),
                "define" => self.define(start, &words)?,
                "block" => pieces.push(self.block(start, &words)?),
                "template" => pieces.push(self.template(start, &words)?),
                "break" | "continue" => {
                    if self.ranges == 0 {
                        let message = format!("`{keyword}` outside of a `range`");
                        return Err(error(words[0].at, message));
                    }
                    nothing_more(&words[1..])?;
                    pieces.push(if keyword == "break" {
                        Piece::Break
                    } else {
                        Piece::Continue
                    });
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

    fn enter(&mut self, start: usize) -> Result<(), TemplateError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(error(start, "blocks are nested too deep"));
        }
        Ok(())
    }

    fn range(&mut self, start: usize, words: &[Word]) -> Result<Piece, TemplateError> {
        self.enter(start)?;
        let scope = self.variables.len();
        let (variables, words) = range_variables(words);
        let over = self.condition(start, words)?;
        self.variables.extend(variables.iter().cloned());
        self.ranges += 1;
        let (body, end) = self.pieces()?;
        self.ranges -= 1;
        let otherwise = match end {
            Stop::End(_) => Vec::new(),
            Stop::Source => return Err(error(start, "this block has no `end`")),
            Stop::Else(at, words) if words.is_empty() => match self.pieces()? {
                (otherwise, Stop::End(_)) => otherwise,
                (_, Stop::Else(at, _)) => return Err(error(at, "a second `else`")),
                (_, Stop::Source) => return Err(error(at, "this block has no `end`")),
            },
            Stop::Else(_, words) => {
                return Err(error(words[0].at, "nothing may follow this `else`"));
            }
        };
        self.variables.truncate(scope);
        self.depth -= 1;
        Ok(Piece::Range {
            variables,
            over,
            body,
            otherwise,
        })
    }

    /// `define "name"`, its body and its `end`.
    fn define(&mut self, start: usize, words: &[Word]) -> Result<(), TemplateError> {
        let (name, rest) = template_name(start, words)?;
        nothing_more(rest)?;
        if self.depth > 0 {
            return Err(error(start, "`define` inside of a block"));
        }
        self.definition(start, name)
    }

    /// The body of a definition. It sees no variables but `$`.
    fn definition(&mut self, start: usize, name: String) -> Result<(), TemplateError> {
        self.enter(start)?;
        let variables = std::mem::replace(&mut self.variables, vec![String::new()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.pieces()?;
        (self.variables, self.ranges) = (variables, ranges);
        self.depth -= 1;
        match end {
            Stop::End(_) => {
                self.defined.insert(name, body);
                Ok(())
            }
            Stop::Else(at, _) => Err(error(at, "`else` without an `if`")),
            Stop::Source => Err(error(start, "this block has no `end`")),
        }
    }

    /// `block "name" data`: a definition, called at its place.
    fn block(&mut self, start: usize, words: &[Word]) -> Result<Piece, TemplateError> {
        let (name, rest) = template_name(start, words)?;
        let data = Some(self.condition(start, rest)?);
        self.definition(start, name.clone())?;
        Ok(Piece::Template { name, data })
    }

    fn template(&mut self, start: usize, words: &[Word]) -> Result<Piece, TemplateError> {
        let (name, rest) = template_name(start, words)?;
        let data = if rest.is_empty() {
            None
        } else {
            Some(self.pipeline(start, rest)?)
        };
        self.called.push((name.clone(), words[1].at));
        Ok(Piece::Template { name, data })
    }

    fn branch(&mut self, start: usize, with: bool, words: &[Word]) -> Result<Piece, TemplateError> {
        self.enter(start)?;
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

/// `$element :=` or `$key, $element :=` in front of what is walked over.
fn range_variables(words: &[Word]) -> (Vec<String>, &[Word]) {
    let variable = |word: &Word| match &word.kind {
        Kind::Variable(name) => Some(name.clone()),
        _ => None,
    };
    let is = |word: &Word, sign: &str| matches!(word.kind, Kind::Sign(found) if found == sign);
    match words {
        [one, becomes, rest @ ..] if is(becomes, ":=") => {
            variable(one).map_or((Vec::new(), words), |one| (vec![one], rest))
        }
        [one, comma, two, becomes, rest @ ..] if is(comma, ",") && is(becomes, ":=") => {
            match (variable(one), variable(two)) {
                (Some(one), Some(two)) => (vec![one, two], rest),
                _ => (Vec::new(), words),
            }
        }
        _ => (Vec::new(), words),
    }
}

/// The name behind `define`, `block` or `template`, and what follows it.
fn template_name(start: usize, words: &[Word]) -> Result<(String, &[Word]), TemplateError> {
    match words.get(1) {
        Some(Word {
            kind: Kind::Text(name),
            ..
        }) => Ok((name.clone(), &words[2..])),
        Some(word) => Err(error(word.at, "a template's name must be a quoted text")),
        None => Err(error(start, "the template's name is missing")),
    }
}

fn nothing_more(words: &[Word]) -> Result<(), TemplateError> {
    match words.first() {
        None => Ok(()),
        Some(word) => Err(error(word.at, "this does not belong here")),
    }
}
