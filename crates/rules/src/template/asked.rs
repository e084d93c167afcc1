//! What a template may ask by `query`: so that the series are kept before anybody asks.
//!
//! The text of a query is often put together while rendering (`printf "up{job=%q}" $labels.job`).
//! Its shape is written out all the same; each part that is not is a hole.

use std::collections::BTreeMap;

use super::functions::Function;
use super::parse::{Base, Command, Operand, Parsed, Piece, Pipeline};
use super::pipeline::unsupported;
use super::{Asked, TemplateError};

/// Stands for a part of a query that only rendering can tell. It reads as a name in PromQL.
pub(crate) const HOLE: &str = "foghorn_hole_in_a_query";

/// A text that is put together from so many ways is not followed.
const MAX_WAYS: usize = 64;

/// What a template's text can depend on, beside the element's labels.
#[derive(Clone, Debug, Default)]
pub(super) struct Needs {
    /// Its queries, in the order of its text.
    pub(super) asked: Vec<Asked>,
    /// The element's value.
    pub(super) value: bool,
    /// The time.
    pub(super) now: bool,
}

/// What a template needs, or rather more.
pub(super) fn needs(parsed: &Parsed) -> Result<Needs, TemplateError> {
    let mut walk = Walk {
        needs: Needs::default(),
        variables: BTreeMap::new(),
    };
    for body in parsed.defined.values() {
        walk.pieces(body)?;
    }
    walk.pieces(&parsed.pieces)?;
    walk.needs.asked.sort_by_key(|asked| asked.at);
    walk.needs.asked.dedup();
    Ok(walk.needs)
}

struct Walk {
    needs: Needs,
    /// Every text that was given to a variable of the name so far.
    variables: BTreeMap<String, Vec<String>>,
}

impl Walk {
    fn pieces(&mut self, pieces: &[Piece]) -> Result<(), TemplateError> {
        for piece in pieces {
            match piece {
                Piece::Text(_) | Piece::Break | Piece::Continue => {}
                Piece::Print(pipeline) | Piece::Assign(pipeline) => drop(self.pipeline(pipeline)?),
                Piece::Branch {
                    arms, otherwise, ..
                } => {
                    for (condition, body) in arms {
                        self.pipeline(condition)?;
                        self.pieces(body)?;
                    }
                    self.pieces(otherwise)?;
                }
                Piece::Range {
                    over,
                    body,
                    otherwise,
                    variables,
                } => {
                    self.pipeline(over)?;
                    for name in variables {
                        self.give(name, vec![HOLE.to_owned()]);
                    }
                    self.pieces(body)?;
                    self.pieces(otherwise)?;
                }
                Piece::Template { data, .. } => {
                    if let Some(data) = data {
                        self.pipeline(data)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn give(&mut self, name: &str, texts: Vec<String>) {
        let known = self.variables.entry(name.to_owned()).or_default();
        known.extend(texts);
        known.sort();
        known.dedup();
    }

    /// The texts that a pipeline may give.
    fn pipeline(&mut self, pipeline: &Pipeline) -> Result<Vec<String>, TemplateError> {
        let mut last: Option<Vec<String>> = None;
        for command in &pipeline.commands {
            last = Some(match command {
                Command::Value(operand) => self.operand(operand)?,
                Command::Call {
                    function, args, at, ..
                } => {
                    let mut texts = Vec::with_capacity(args.len() + 1);
                    for arg in args {
                        texts.push(self.operand(arg)?);
                    }
                    texts.extend(last.take());
                    self.call(*function, *at, &texts)?
                }
            });
        }
        let texts = last.unwrap_or_default();
        if let Some((name, _)) = &pipeline.variable {
            self.give(name, texts.clone());
        }
        Ok(texts)
    }

    fn call(
        &mut self,
        function: Function,
        at: usize,
        args: &[Vec<String>],
    ) -> Result<Vec<String>, TemplateError> {
        let hole = || vec![HOLE.to_owned()];
        match function {
            Function::Query => {
                for text in args.first().into_iter().flatten() {
                    if text == HOLE {
                        let what = "a `query` of which nothing is written out";
                        return Err(unsupported(at, what));
                    }
                    self.needs.asked.push(Asked {
                        text: text.clone(),
                        at,
                    });
                }
                Ok(hole())
            }
            Function::Now => {
                self.needs.now = true;
                Ok(hole())
            }
            Function::Printf => Ok(args.first().map_or_else(hole, |formats| {
                formats.iter().map(|format| filled(format)).collect()
            })),
            Function::Print => {
                let mut ways = vec![String::new()];
                for arg in args {
                    let longer = ways
                        .iter()
                        .flat_map(|way| arg.iter().map(move |text| format!("{way}{text}")));
                    ways = longer.take(MAX_WAYS).collect();
                }
                Ok(ways)
            }
            // Either of them may be what they give.
            Function::And | Function::Or => Ok(args.iter().flatten().cloned().collect()),
            _ => Ok(hole()),
        }
    }

    fn operand(&mut self, operand: &Operand) -> Result<Vec<String>, TemplateError> {
        let hole = || vec![HOLE.to_owned()];
        // Without a field, `.` and `$` may be all that there is.
        self.needs.value |= match &operand.base {
            Base::Variable(name) if name == "value" => true,
            Base::Variable(name) if !name.is_empty() => false,
            Base::Dot | Base::Variable(_) => {
                operand.fields.first().is_none_or(|field| field == "Value")
            }
            _ => false,
        };
        let texts = match &operand.base {
            Base::Text(text) => vec![text.clone()],
            Base::Float(value) => vec![value.to_string()],
            Base::Int(value) => vec![value.to_string()],
            Base::Variable(name) => self.variables.get(name).cloned().unwrap_or_else(hole),
            Base::Nested(pipeline) => self.pipeline(pipeline)?,
            Base::Dot | Base::Nil | Base::Bool(_) => hole(),
        };
        Ok(if operand.fields.is_empty() {
            texts
        } else {
            hole()
        })
    }
}

/// A format with a hole for each text and a number for each number.
fn filled(format: &str) -> String {
    let mut out = String::with_capacity(format.len());
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let spec = &rest[at + 1..];
        let end = spec
            .find(|c: char| c.is_ascii_alphabetic() || c == '%')
            .unwrap_or(spec.len());
        let verb = spec[end..].chars().next();
        match verb {
            Some('%') => out.push('%'),
            Some('q') => {
                out.push('"');
                out.push_str(HOLE);
                out.push('"');
            }
            Some('d' | 'f' | 'F' | 'e' | 'g' | 'x') => out.push('1'),
            Some(_) => out.push_str(HOLE),
            None => {}
        }
        rest = verb.map_or("", |verb| &spec[end + verb.len_utf8()..]);
    }
    out.push_str(rest);
    out
}
