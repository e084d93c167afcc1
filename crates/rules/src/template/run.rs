//! Rendering.

use super::TemplateContext;
use super::parse::{Base, Command, Operand, Piece, Pipeline};
use super::value::Value;

/// A rendering grows to at most so many bytes.
const MAX_BYTES: usize = 1 << 20;

/// Renders the pieces; the error is what Go's template engine would say, without its place.
pub(super) fn run(
    pieces: &[Piece],
    context: &TemplateContext<'_>,
    size_hint: usize,
) -> Result<String, String> {
    let root = Value::Root(context);
    let mut run = Run {
        out: String::with_capacity(size_hint),
        dot: root.clone(),
        variables: vec![
            ("", root),
            ("labels", Value::Labels(context.labels)),
            ("externalLabels", Value::Pairs(context.external_labels)),
            ("value", Value::Float(context.value)),
        ],
    };
    run.pieces(pieces)?;
    Ok(run.out)
}

struct Run<'a> {
    out: String,
    dot: Value<'a>,
    variables: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Run<'a> {
    fn pieces(&mut self, pieces: &'a [Piece]) -> Result<(), String> {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.out.push_str(text),
                Piece::Print(pipeline) => self.pipeline(pipeline)?.print(&mut self.out),
                Piece::Assign(pipeline) => drop(self.pipeline(pipeline)?),
                Piece::Branch {
                    with,
                    arms,
                    otherwise,
                } => self.branch(*with, arms, otherwise)?,
            }
            if self.out.len() > MAX_BYTES {
                return Err("the text is too long".to_owned());
            }
        }
        Ok(())
    }

    fn branch(
        &mut self,
        with: bool,
        arms: &'a [(Pipeline, Vec<Piece>)],
        otherwise: &'a [Piece],
    ) -> Result<(), String> {
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
        self.pieces(body)?;
        self.dot = outer;
        self.variables.truncate(scope);
        Ok(())
    }

    fn pipeline(&mut self, pipeline: &'a Pipeline) -> Result<Value<'a>, String> {
        let mut value: Option<Value<'a>> = None;
        for command in &pipeline.commands {
            value = Some(match command {
                Command::Value(operand) => self.operand(operand)?,
                Command::Call {
                    function,
                    args,
                    regex,
                } => {
                    let mut given = Vec::with_capacity(args.len() + 1);
                    for arg in args {
                        given.push(self.operand(arg)?);
                    }
                    given.extend(value.take());
                    function.call(&given, regex.as_ref())?
                }
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
