//! The parser's tree → the plan's two halves.

use std::ops::Range;

use promql_parser::parser::{
    AggregateExpr, BinaryExpr, Call as AstCall, Expr as Ast, LabelModifier, MatrixSelector,
    SubqueryExpr, VectorMatchCardinality, VectorSelector,
};

use super::ExprError;
use super::functions::{self, Function};
use super::selector::{absent_labels, at_ms, millis, offset_ms, selector};
use super::tokens::{Token, find_call, find_word};
use crate::plan::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, Func, Leaf, LeafId,
    Matching, RangeFunc, Read,
};

/// One lowering of one expression.
pub(super) struct Lowering<'a> {
    pub(super) text: &'a str,
    pub(super) tokens: &'a [Token<'a>],
    pub(super) step_ms: i64,
    pub(super) leaves: &'a mut Vec<Leaf>,
}

impl Lowering<'_> {
    pub(super) fn expr(&mut self, ast: &Ast) -> Result<Expr, ExprError> {
        match ast {
            Ast::NumberLiteral(number) => Ok(Expr::Number(number.val)),
            Ast::StringLiteral(text) => Ok(Expr::Text(text.val.clone())),
            Ast::Paren(paren) => self.expr(&paren.expr),
            Ast::Unary(unary) => Ok(match self.expr(&unary.expr)? {
                Expr::Number(value) => Expr::Number(-value),
                inner => Expr::Neg(Box::new(inner)),
            }),
            Ast::Binary(binary) => self.binary(binary),
            Ast::Aggregate(aggregate) => self.aggregate(aggregate),
            Ast::VectorSelector(vector) => self.instant(vector, false),
            Ast::Call(call) => self.call(call),
            Ast::MatrixSelector(_) | Ast::Subquery(_) => Err(ExprError::new(
                "promql-type",
                self.whole(),
                "a range vector has no value of its own",
            )
            .hint("put a function such as rate() around it")),
            Ast::Extension(_) => Err(ExprError::unsupported(
                self.whole(),
                "an extension of the parser",
            )),
        }
    }

    fn whole(&self) -> Range<usize> {
        0..self.text.trim_end().len()
    }

    fn place_of_call(&self, name: &str) -> Range<usize> {
        find_call(self.tokens, name).unwrap_or_else(|| self.whole())
    }

    fn leaf(&mut self, read: Read, offset_ms: i64, at_ms: Option<i64>) -> Expr {
        let leaf = Leaf {
            read,
            offset_ms,
            at_ms,
        };
        let at = self
            .leaves
            .iter()
            .position(|known| *known == leaf)
            .unwrap_or_else(|| {
                self.leaves.push(leaf);
                self.leaves.len() - 1
            });
        Expr::Leaf(LeafId(at as u32))
    }

    fn instant(&mut self, ast: &VectorSelector, timestamp: bool) -> Result<Expr, ExprError> {
        let selector = selector(ast, self.tokens)?;
        let at = at_ms(ast.at.as_ref(), self.tokens)?;
        Ok(self.leaf(
            Read::Instant {
                selector,
                timestamp,
            },
            offset_ms(ast.offset.as_ref()),
            at,
        ))
    }

    // === Calls ===

    fn call(&mut self, ast: &AstCall) -> Result<Expr, ExprError> {
        let name = ast.func.name;
        let Some(function) = functions::function(name) else {
            return Err(ExprError::unsupported(
                self.place_of_call(name),
                format_args!("the function `{name}`"),
            ));
        };
        let args: Vec<&Ast> = ast.args.args.iter().map(|arg| &**arg).collect();
        match function {
            Function::Range(func) => self.range(func, name, &args),
            Function::Calendar(func) if args.is_empty() => {
                let time = call(Func::Time, Vec::new());
                Ok(call(func, vec![call(Func::Vector, vec![time])]))
            }
            Function::Plain(func) | Function::Calendar(func) => self.plain(func, &args),
            Function::Round => {
                let mut lowered = self.plain_args(&args)?;
                if lowered.len() == 1 {
                    lowered.push(Expr::Number(1.0));
                }
                Ok(call(Func::Round, lowered))
            }
            Function::Absent => self.absent(&args),
            Function::AbsentOverTime => self.absent_over_time(name, &args),
            Function::Timestamp => self.timestamp(&args),
        }
    }

    fn plain(&mut self, func: Func, args: &[&Ast]) -> Result<Expr, ExprError> {
        Ok(call(func, self.plain_args(args)?))
    }

    fn plain_args(&mut self, args: &[&Ast]) -> Result<Vec<Expr>, ExprError> {
        args.iter().map(|arg| self.expr(arg)).collect()
    }

    fn absent(&mut self, args: &[&Ast]) -> Result<Expr, ExprError> {
        // Only a bare selector lends its labels: not one in parentheses.
        let labels = match args.first() {
            Some(Ast::VectorSelector(vector)) => absent_labels(vector),
            _ => Vec::new(),
        };
        Ok(Expr::Call(Call {
            func: Func::Absent,
            args: self.plain_args(args)?,
            absent_labels: labels,
        }))
    }

    fn absent_over_time(&mut self, name: &str, args: &[&Ast]) -> Result<Expr, ExprError> {
        let labels = match args.first() {
            Some(Ast::MatrixSelector(matrix)) => absent_labels(&matrix.vs),
            _ => Vec::new(),
        };
        let present = self.range(RangeFunc::PresentOverTime, name, args)?;
        Ok(Expr::Call(Call {
            func: Func::Absent,
            args: vec![present],
            absent_labels: labels,
        }))
    }

    /// `timestamp(selector)` reads when the sample was; of anything computed it is the evaluation
    /// time, for each element: `group without () (x) * time()`, which is so for NaN too.
    fn timestamp(&mut self, args: &[&Ast]) -> Result<Expr, ExprError> {
        let Some(arg) = args.first().copied() else {
            return Err(ExprError::new(
                "promql-type",
                self.whole(),
                "timestamp() needs a vector",
            ));
        };
        if let Ast::VectorSelector(vector) = unwrapped(arg) {
            return self.instant(vector, true);
        }
        let group = Aggregate {
            op: AggregateOp::Group,
            param: None,
            expr: self.expr(arg)?,
            without: true,
            labels: Vec::new(),
        };
        Ok(Expr::Binary(Box::new(Binary {
            op: BinaryOp::Mul,
            return_bool: false,
            lhs: Expr::Aggregate(Box::new(group)),
            rhs: call(Func::Time, Vec::new()),
            matching: Matching::default(),
        })))
    }

    /// A range function: its range, and its parameters, which must be constant.
    fn range(&mut self, func: RangeFunc, name: &str, args: &[&Ast]) -> Result<Expr, ExprError> {
        let mut params = Vec::new();
        let mut range = None;
        for arg in args {
            match unwrapped(arg) {
                Ast::MatrixSelector(_) | Ast::Subquery(_) => range = Some(unwrapped(arg)),
                other => params.push(constant(other).ok_or_else(|| self.not_constant(name))?),
            }
        }
        match range {
            Some(Ast::MatrixSelector(matrix)) => self.matrix(matrix, func, params),
            Some(Ast::Subquery(subquery)) => self.subquery(subquery, func, params),
            _ => Err(ExprError::new(
                "promql-type",
                self.place_of_call(name),
                format!("{name}() needs a range"),
            )),
        }
    }

    fn not_constant(&self, name: &str) -> ExprError {
        ExprError::unsupported(
            self.place_of_call(name),
            format_args!("a parameter of `{name}` that changes"),
        )
        .hint("write a number")
    }

    fn matrix(
        &mut self,
        ast: &MatrixSelector,
        func: RangeFunc,
        params: Vec<f64>,
    ) -> Result<Expr, ExprError> {
        let selector = selector(&ast.vs, self.tokens)?;
        let at = at_ms(ast.vs.at.as_ref(), self.tokens)?;
        let read = Read::Range {
            selector,
            range_ms: self.length(millis(ast.range))?,
            func,
            params,
        };
        Ok(self.leaf(read, offset_ms(ast.vs.offset.as_ref()), at))
    }

    fn subquery(
        &mut self,
        ast: &SubqueryExpr,
        func: RangeFunc,
        params: Vec<f64>,
    ) -> Result<Expr, ExprError> {
        let inner = Box::new(self.expr(&ast.expr)?);
        let step_ms = ast
            .step
            .map_or(Ok(self.step_ms), |step| self.length(millis(step)))?;
        let range_ms = self.length(millis(ast.range))?;
        if range_ms / step_ms > MAX_STEPS {
            let message = format!(
                "a subquery of {} steps (at most {MAX_STEPS})",
                range_ms / step_ms
            );
            return Err(ExprError::new("promql-unsupported", self.whole(), message)
                .hint("take a longer step"));
        }
        let at = at_ms(ast.at.as_ref(), self.tokens)?;
        let read = Read::Subquery {
            inner,
            range_ms,
            step_ms,
            func,
            params,
        };
        Ok(self.leaf(read, offset_ms(ast.offset.as_ref()), at))
    }

    fn length(&self, ms: i64) -> Result<i64, ExprError> {
        if ms >= 1 {
            return Ok(ms);
        }
        let at = self
            .tokens
            .iter()
            .find(|token| token.text == "[")
            .map_or_else(|| self.whole(), |t| t.span.clone());
        Err(ExprError::new(
            "promql-type",
            at,
            "a range must be at least 1ms long",
        ))
    }

    // === Aggregations ===

    fn aggregate(&mut self, ast: &AggregateExpr) -> Result<Expr, ExprError> {
        let name = ast.op.to_string();
        let Some(op) = functions::aggregation(&name) else {
            return Err(ExprError::unsupported(
                self.place_of_call(&name),
                format_args!("the aggregation `{name}`"),
            ));
        };
        let (without, mut labels) = match &ast.modifier {
            None => (false, Vec::new()),
            Some(LabelModifier::Include(labels)) => (false, labels.labels.clone()),
            Some(LabelModifier::Exclude(labels)) => (true, labels.labels.clone()),
        };
        labels.sort();
        labels.dedup();
        let param = ast
            .param
            .as_ref()
            .map(|param| self.expr(param))
            .transpose()?;
        let expr = self.expr(&ast.expr)?;
        Ok(Expr::Aggregate(Box::new(Aggregate {
            op,
            param,
            expr,
            without,
            labels,
        })))
    }

    // === Binary operations ===

    fn binary(&mut self, ast: &BinaryExpr) -> Result<Expr, ExprError> {
        let written = ast.op.to_string();
        let Some(op) = functions::operator(&written) else {
            let at = self
                .tokens
                .iter()
                .find(|token| token.text == written)
                .map(|token| token.span.clone());
            let at = at.unwrap_or_else(|| self.whole());
            return Err(ExprError::unsupported(
                at,
                format_args!("the operator `{written}`"),
            ));
        };
        let mut matching = Matching::default();
        if let Some(modifier) = &ast.modifier {
            let fill = &modifier.fill_values;
            if fill.lhs.is_some() || fill.rhs.is_some() {
                let at = ["fill", "fill_left", "fill_right"]
                    .iter()
                    .find_map(|word| find_word(self.tokens, word));
                return Err(ExprError::unsupported(
                    at.unwrap_or_else(|| self.whole()),
                    "fill modifiers",
                ));
            }
            match &modifier.matching {
                None => {}
                Some(LabelModifier::Include(labels)) => {
                    (matching.on, matching.labels) = (true, labels.labels.clone());
                }
                Some(LabelModifier::Exclude(labels)) => matching.labels.clone_from(&labels.labels),
            }
            (matching.card, matching.include) = match &modifier.card {
                VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany => {
                    (Cardinality::OneToOne, Vec::new())
                }
                VectorMatchCardinality::ManyToOne(labels) => {
                    (Cardinality::ManyToOne, labels.labels.clone())
                }
                VectorMatchCardinality::OneToMany(labels) => {
                    (Cardinality::OneToMany, labels.labels.clone())
                }
            };
        }
        matching.labels.sort();
        matching.labels.dedup();
        matching.include.sort();
        matching.include.dedup();
        let return_bool = ast
            .modifier
            .as_ref()
            .is_some_and(|modifier| modifier.return_bool);
        let lhs = self.expr(&ast.lhs)?;
        let rhs = self.expr(&ast.rhs)?;
        Ok(Expr::Binary(Box::new(Binary {
            op,
            return_bool,
            lhs,
            rhs,
            matching,
        })))
    }
}

/// A subquery evaluates its inside at most so often per tick (Prometheus refuses beyond 11,000
/// points, too).
const MAX_STEPS: i64 = 11_000;

fn call(func: Func, args: Vec<Expr>) -> Expr {
    Expr::Call(Call {
        func,
        args,
        absent_labels: Vec::new(),
    })
}

fn unwrapped(mut ast: &Ast) -> &Ast {
    while let Ast::Paren(paren) = ast {
        ast = &paren.expr;
    }
    ast
}

/// The value of an expression that is a number whatever the time and the data.
fn constant(ast: &Ast) -> Option<f64> {
    match unwrapped(ast) {
        Ast::NumberLiteral(number) => Some(number.val),
        Ast::Unary(unary) => constant(&unary.expr).map(|value| -value),
        Ast::Call(call) if call.func.name == "pi" => Some(std::f64::consts::PI),
        Ast::Binary(binary) => {
            let (l, r) = (constant(&binary.lhs)?, constant(&binary.rhs)?);
            Some(match functions::operator(&binary.op.to_string())? {
                BinaryOp::Add => l + r,
                BinaryOp::Sub => l - r,
                BinaryOp::Mul => l * r,
                BinaryOp::Div => l / r,
                BinaryOp::Mod => l % r,
                BinaryOp::Pow => l.powf(r),
                BinaryOp::Atan2 => l.atan2(r),
                BinaryOp::Eq => f64::from(l == r),
                BinaryOp::Ne => f64::from(l != r),
                BinaryOp::Gt => f64::from(l > r),
                BinaryOp::Lt => f64::from(l < r),
                BinaryOp::Ge => f64::from(l >= r),
                BinaryOp::Le => f64::from(l <= r),
                BinaryOp::And | BinaryOp::Or | BinaryOp::Unless => return None,
            })
        }
        _ => None,
    }
}
