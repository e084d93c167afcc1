//! An action's words → a pipeline.

use regex::Regex;

use super::TemplateError;
use super::functions::Function;
use super::lex::{Kind, Word, error};
use super::parse::{Base, Command, MAX_DEPTH, Operand, Pipeline};
use crate::diagnostic::did_you_mean;

pub(super) fn unsupported(at: usize, what: &str) -> TemplateError {
    TemplateError {
        at,
        message: format!("{what} is not supported in a template"),
        unsupported: true,
    }
}

/// A walk over an action's words.
pub(super) struct Cursor<'a> {
    pub(super) words: &'a [Word],
    pub(super) next: usize,
    pub(super) start: usize,
    pub(super) variables: &'a [String],
}

impl<'a> Cursor<'a> {
    pub(super) fn peek(&self) -> Option<&'a Word> {
        self.words.get(self.next)
    }

    fn at(&self) -> usize {
        self.peek().map_or(self.start, |word| word.at)
    }

    fn is_sign(&self, sign: &str) -> bool {
        matches!(self.peek().map(|word| &word.kind), Some(Kind::Sign(found)) if *found == sign)
    }

    pub(super) fn commands(&mut self, depth: usize) -> Result<Vec<Command>, TemplateError> {
        if depth > MAX_DEPTH {
            return Err(error(self.at(), "parentheses are nested too deep"));
        }
        let mut commands: Vec<Command> = vec![self.command(false, depth)?];
        while self.is_sign("|") {
            self.next += 1;
            commands.push(self.command(true, depth)?);
        }
        Ok(commands)
    }

    fn command(&mut self, piped: bool, depth: usize) -> Result<Command, TemplateError> {
        let Some(word) = self.peek() else {
            return Err(error(
                self.start,
                if piped {
                    "nothing follows `|`"
                } else {
                    "a value is missing"
                },
            ));
        };
        let name = match &word.kind {
            Kind::Name(name) if !matches!(name.as_str(), "true" | "false" | "nil") => name,
            _ if piped => return Err(error(word.at, "only a function may follow `|`")),

            _ => {
                let operand = self.operand(depth)?;
                return match self.peek() {
                    Some(next) if !matches!(next.kind, Kind::Sign("|" | ")")) => {
                        Err(error(next.at, "a value takes no arguments"))
                    }
                    _ => Ok(Command::Value(operand)),
                };
            }
        };
        let function = Self::function(word, name)?;
        self.next += 1;
        let mut args = Vec::new();
        while self
            .peek()
            .is_some_and(|word| !matches!(word.kind, Kind::Sign("|" | ")")))
        {
            args.push(self.operand(depth)?);
        }
        let given = args.len() + usize::from(piped);
        let (least, most) = function.arity();
        if given < least || given > most {
            let want = if least == most {
                least.to_string()
            } else {
                format!("at least {least}")
            };
            // Go finds out while rendering.
            return Err(TemplateError {
                unsupported: true,
                ..error(
                    word.at,
                    format!("`{name}` takes {want} arguments, not {given}"),
                )
            });
        }
        let regex =
            match (function.takes_regex(), args.first()) {
                (
                    true,
                    Some(Operand {
                        base: Base::Text(pattern),
                        ..
                    }),
                ) => Some(Regex::new(pattern).map_err(|_| {
                    error(word.at, format!("{pattern:?} is not a regular expression"))
                })?),
                _ => None,
            };
        Ok(Command::Call {
            function,
            at: word.at,
            args,
            regex,
        })
    }

    fn function(word: &Word, name: &str) -> Result<Function, TemplateError> {
        if let Some(function) = Function::named(name) {
            return Ok(function);
        }
        if Function::is_only_go(name) {
            return Err(unsupported(word.at, &format!("the function `{name}`")));
        }
        let mut message = format!("there is no function `{name}`");
        if let Some(hint) = did_you_mean(name, Function::names()) {
            message = format!("{message} ({hint})");
        }
        Err(error(word.at, message))
    }

    fn operand(&mut self, depth: usize) -> Result<Operand, TemplateError> {
        let Some(word) = self.peek() else {
            return Err(error(self.start, "a value is missing"));
        };
        self.next += 1;
        let mut fields = Vec::new();
        let base = match &word.kind {
            Kind::Dot => Base::Dot,
            Kind::Field(name) => {
                fields.push(name.clone());
                Base::Dot
            }
            Kind::Variable(name) if !self.variables.contains(name) => {
                return Err(error(word.at, format!("there is no variable `${name}`")));
            }
            Kind::Variable(name) => Base::Variable(name.clone()),
            Kind::Text(text) => Base::Text(text.clone()),
            Kind::Float(value) => Base::Float(*value),
            Kind::Int(value) => Base::Int(*value),
            Kind::Name(name) => match name.as_str() {
                "true" => Base::Bool(true),
                "false" => Base::Bool(false),
                "nil" => Base::Nil,
                _ => {
                    let function = Self::function(word, name)?;
                    if function.arity().1 == 0 {
                        return Ok(self.niladic(function, word.at, fields));
                    }
                    return Err(error(
                        word.at,
                        format!("put parentheses around the call of `{name}`"),
                    ));
                }
            },
            Kind::Sign("(") => {
                let commands = self.commands(depth + 1)?;
                if !self.is_sign(")") {
                    return Err(error(word.at, "this parenthesis is not closed"));
                }
                self.next += 1;
                Base::Nested(Box::new(Pipeline {
                    variable: None,
                    commands,
                }))
            }
            Kind::Sign(sign) => {
                return Err(error(word.at, format!("`{sign}` does not belong here")));
            }
        };
        self.fields(&mut fields);
        Ok(Operand { base, fields })
    }

    /// A function without arguments needs no parentheses.
    fn niladic(&mut self, function: Function, at: usize, mut fields: Vec<String>) -> Operand {
        self.fields(&mut fields);
        let call = Command::Call {
            function,
            at,
            args: Vec::new(),
            regex: None,
        };
        Operand {
            base: Base::Nested(Box::new(Pipeline {
                variable: None,
                commands: vec![call],
            })),
            fields,
        }
    }

    /// Fields that follow without a blank.
    fn fields(&mut self, fields: &mut Vec<String>) {
        while let Some(Word {
            kind: Kind::Field(name),
            spaced: false,
            ..
        }) = self.peek()
        {
            fields.push(name.clone());
            self.next += 1;
        }
    }
}
