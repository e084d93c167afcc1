//! Rendering.

use std::borrow::Cow;
use std::sync::Arc;

use regex::Regex;

use super::functions::Function;
use super::parse::{Base, Command, Operand, Parsed, Piece, Pipeline};
use super::value::Value;
use super::{Queries, TemplateContext};

/// A rendering grows to at most so many bytes.
const MAX_BYTES: usize = 1 << 20;

/// A rendering runs at most so many pieces.
const MAX_PIECES: usize = 1_000_000;

/// Templates may call one another so deep.
const MAX_CALLS: usize = 64;

/// Renders the pieces; the error is what Go's template engine would say, without its place.
pub(super) fn run(
    parsed: &Parsed,
    context: &TemplateContext<'_>,
    queries: &mut dyn Queries,
    size_hint: usize,
) -> Result<String, String> {
    let root = Value::Root(context);
    let mut run = Run {
        parsed,
        context,
        queries,
        out: String::with_capacity(size_hint),
        dot: root.clone(),
        variables: vec![
            ("", root),
            ("labels", Value::Labels(Cow::Borrowed(context.labels))),
            ("externalLabels", Value::Pairs(context.external_labels)),
            ("externalURL", Value::text(context.external_url)),
            ("value", Value::Float(context.value)),
        ],
        calls: 0,
        pieces: 0,
    };
    run.pieces(&parsed.pieces)?;
    Ok(run.out)
}

struct Run<'a, 'q> {
    parsed: &'a Parsed,
    context: &'a TemplateContext<'a>,
    queries: &'q mut dyn Queries,
    out: String,
    dot: Value<'a>,
    variables: Vec<(&'a str, Value<'a>)>,
    calls: usize,
    pieces: usize,
}

/// How a list of pieces ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

impl<'a> Run<'a, '_> {
    fn pieces(&mut self, pieces: &'a [Piece]) -> Result<Flow, String> {
        for piece in pieces {
            self.pieces += 1;
            if self.pieces > MAX_PIECES {
                return Err("the template runs too long".to_owned());
            }
            let flow = match piece {
                Piece::Text(text) => {
                    self.out.push_str(text);
                    Flow::On
                }
                Piece::Print(pipeline) => {
                    self.pipeline(pipeline)?.print(&mut self.out);
                    Flow::On
                }
                Piece::Assign(pipeline) => {
                    self.pipeline(pipeline)?;
                    Flow::On
                }
                Piece::Branch {
                    with,
                    arms,
                    otherwise,
                } => self.branch(*with, arms, otherwise)?,
                Piece::Range {
                    variables,
                    over,
                    body,
                    otherwise,
                } => self.range(variables, over, body, otherwise)?,
                Piece::Template { name, data } => {
                    let data = match data {
                        Some(data) => self.pipeline(data)?,
                        None => Value::Nil,
                    };
                    self.template(name, data)?;
                    Flow::On
                }
                Piece::Break => Flow::Break,
                Piece::Continue => Flow::Continue,
            };
            if self.out.len() > MAX_BYTES {
                return Err("the text is too long".to_owned());
            }
            if flow != Flow::On {
                return Ok(flow);
            }
        }
        Ok(Flow::On)
    }

    fn branch(
        &mut self,
        with: bool,
        arms: &'a [(Pipeline, Vec<Piece>)],
        otherwise: &'a [Piece],
    ) -> Result<Flow, String> {
        let scope = self.variables.len();
        let mut chosen = (otherwise, None);
        for (condition, body) in arms {
            let value = self.pipeline(condition)?;
            if value.is_true() {
                chosen = (body, with.then_some(value));
                break;
            }
        }
        let (body, dot) = chosen;
        let outer = self.dot.clone();
        if let Some(dot) = dot {
            self.dot = dot;
        }
        let flow = self.pieces(body)?;
        self.dot = outer;
        self.variables.truncate(scope);
        Ok(flow)
    }

    fn range(
        &mut self,
        variables: &'a [String],
        over: &'a Pipeline,
        body: &'a [Piece],
        otherwise: &'a [Piece],
    ) -> Result<Flow, String> {
        let scope = self.variables.len();
        let over = self.pipeline(over)?;
        let elements = over
            .elements()
            .ok_or_else(|| format!("range can't iterate over {}", printed(&over)))?;
        if elements.is_empty() {
            let flow = self.pieces(otherwise)?;
            self.variables.truncate(scope);
            return Ok(flow);
        }
        let outer = self.dot.clone();
        for (key, element) in elements {
            match variables {
                [only] => self.variables.push((only, element.clone())),
                [first, second] => {
                    self.variables.push((first, key));
                    self.variables.push((second, element.clone()));
                }
                _ => {}
            }
            self.dot = element;
            let flow = self.pieces(body)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        self.dot = outer;
        Ok(Flow::On)
    }

    /// Runs a template that the text defines.
    fn template(&mut self, name: &str, data: Value<'a>) -> Result<(), String> {
        let parsed = self.parsed;
        let body = parsed
            .defined
            .get(name)
            .ok_or_else(|| format!("template \"{name}\" not defined"))?;
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err("exceeded maximum template depth".to_owned());
        }
        let variables = std::mem::replace(&mut self.variables, vec![("", data.clone())]);
        let dot = std::mem::replace(&mut self.dot, data);
        self.pieces(body)?;
        (self.variables, self.dot) = (variables, dot);
        self.calls -= 1;
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline) -> Result<Value<'a>, String> {
        let mut value: Option<Value<'a>> = None;
        for command in &pipeline.commands {
            value = Some(match command {
                Command::Value(Operand {
                    base: Base::Nil,
                    fields,
                }) if fields.is_empty() => return Err("nil is not a command".to_owned()),
                Command::Value(operand) => self.operand(operand)?,
                Command::Call {
                    function,
                    args,
                    regex,
                    ..
                } => self.call(*function, args, regex.as_ref(), value.take())?,
            });
        }
        let value = value.unwrap_or(Value::Nil);
        match &pipeline.variable {
            None => {}
            Some((name, true)) => self.variables.push((name, value.clone())),
            Some((name, false)) => {
                if let Some(known) = self
                    .variables
                    .iter_mut()
                    .rev()
                    .find(|(known, _)| known == name)
                {
                    known.1 = value.clone();
                }
            }
        }
        Ok(value)
    }

    /// Calls a function; `last` is what the pipeline hands on.
    fn call(
        &mut self,
        function: Function,
        args: &'a [Operand],
        regex: Option<&Regex>,
        last: Option<Value<'a>>,
    ) -> Result<Value<'a>, String> {
        if let Some(until) = function.decides_at() {
            // The first argument that decides is the last one that is looked at.
            let mut value = Value::Nil;
            for arg in args {
                value = self.operand(arg)?;
                if value.is_true() == until {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut given = Vec::with_capacity(args.len() + 1);
        for arg in args {
            given.push(self.operand(arg)?);
        }
        given.extend(last);
        let failed = |why: String| format!("error calling {}: {why}", function.name());
        match function {
            Function::Query => {
                let text = given[0].string()?;
                let samples = self.queries.query(text).map_err(failed)?;
                Ok(Value::Samples(Arc::new(samples)))
            }
            Function::Tmpl => {
                let outer = std::mem::take(&mut self.out);
                self.template(given[0].string()?, given[1].clone())
                    .map_err(failed)?;
                Ok(Value::text(std::mem::replace(&mut self.out, outer)))
            }
            Function::Now => Ok(Value::Float(self.context.at.seconds())),
            Function::ExternalUrl => Ok(Value::text(self.context.external_url)),
            Function::PathPrefix => Ok(Value::text(path_of(self.context.external_url))),
            _ => function.call(&given, regex),
        }
    }

    fn operand(&mut self, operand: &'a Operand) -> Result<Value<'a>, String> {
        let mut value = match &operand.base {
            Base::Dot => self.dot.clone(),
            Base::Nil => Value::Nil,
            Base::Variable(name) => self.variable(name)?,
            Base::Text(text) => Value::text(text.as_str()),
            Base::Float(value) => Value::Float(*value),
            Base::Int(value) => Value::Int(*value),
            Base::Bool(value) => Value::Bool(*value),
            Base::Nested(pipeline) => self.pipeline(pipeline)?,
        };
        for field in &operand.fields {
            value = value.field(field)?;
        }
        Ok(value)
    }

    fn variable(&self, name: &str) -> Result<Value<'a>, String> {
        let found = self
            .variables
            .iter()
            .rev()
            .find(|(known, _)| *known == name);
        found
            .map(|(_, value)| value.clone())
            .ok_or_else(|| format!("undefined variable: ${name}"))
    }
}

fn printed(value: &Value<'_>) -> String {
    let mut text = String::new();
    value.print(&mut text);
    text
}

/// The path of an address.
fn path_of(url: &str) -> &str {
    let behind = url.split_once("://").map_or(url, |(_, behind)| behind);
    let path = behind.find('/').map_or("", |at| &behind[at..]);
    path.split(['?', '#']).next().unwrap_or("")
}
