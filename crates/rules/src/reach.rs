//! What a rule set reads, and how far back.

use std::sync::Arc;

use crate::logql::Pipeline;
use crate::plan::{Detector, Expr, Group, Leaf, LeafId, Read, Rule, RuleKind, RuleSet, Selector};

impl RuleSet {
    /// Every selector of metrics that some rule reads, in (file, position) order.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.groups.iter().flat_map(|group| group.selectors())
    }

    /// Every log query that some rule reads or matches, in (file, position) order.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        self.groups.iter().flat_map(|group| group.pipelines())
    }

    /// The longest [`Group::longest_range_ms`]; 0 without groups.
    pub fn longest_range_ms(&self) -> i64 {
        self.groups
            .iter()
            .map(|group| group.longest_range_ms())
            .max()
            .unwrap_or(0)
    }
}

impl Group {
    /// Every selector of metrics that some rule of the group reads.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.leaves.iter().filter_map(|leaf| match &leaf.read {
            Read::Instant { selector, .. } | Read::Range { selector, .. } => Some(selector),
            Read::Subquery { .. } | Read::Log { .. } => None,
        })
    }

    /// Every log query that some rule of the group reads or matches.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        let read = self.leaves.iter().filter_map(|leaf| match &leaf.read {
            Read::Log { pipeline, .. } => Some(pipeline),
            _ => None,
        });
        let matched = self.rules.iter().filter_map(|rule| match &rule.kind {
            RuleKind::Match { pipeline, .. } => Some(pipeline),
            _ => None,
        });
        read.chain(matched)
    }

    /// How far back from a tick anything lies that the group's state at that tick may depend on, in
    /// milliseconds: the farthest read (offsets and subqueries added up) of a rule and then its
    /// `for`, `keep_firing_for`, `resolve_after` or detector's own span, and the query offset.
    ///
    /// Reads at a fixed time (`@`) count as if they moved with the tick; what a band learns has no
    /// bound and does not count.
    pub fn longest_range_ms(&self) -> i64 {
        let rules = self.rules.iter().map(|rule| {
            let reads = rule.exprs().map(|expr| self.read_range_ms(expr));
            reads.max().unwrap_or(0).saturating_add(held_ms(rule))
        });
        rules
            .max()
            .unwrap_or(0)
            .saturating_add(self.query_offset_ms)
    }

    /// How far back from its evaluation time an expression of the group reads, in milliseconds.
    pub fn read_range_ms(&self, expr: &Expr) -> i64 {
        match expr {
            Expr::Number(_) | Expr::Text(_) => 0,
            Expr::Leaf(id) => self
                .leaves
                .get(id.0 as usize)
                .map_or(0, |leaf| self.leaf_range_ms(leaf)),
            Expr::Neg(inner) => self.read_range_ms(inner),
            Expr::Binary(binary) => self
                .read_range_ms(&binary.lhs)
                .max(self.read_range_ms(&binary.rhs)),
            Expr::Aggregate(aggregate) => {
                let param = aggregate
                    .param
                    .as_ref()
                    .map_or(0, |param| self.read_range_ms(param));
                self.read_range_ms(&aggregate.expr).max(param)
            }
            Expr::Call(call) => call
                .args
                .iter()
                .map(|arg| self.read_range_ms(arg))
                .max()
                .unwrap_or(0),
        }
    }

    fn leaf_range_ms(&self, leaf: &Leaf) -> i64 {
        let inner = match &leaf.read {
            Read::Subquery { inner, .. } => self.read_range_ms(inner),
            _ => 0,
        };
        leaf.read
            .lookback_ms()
            .saturating_add(inner)
            .saturating_add(leaf.offset_ms.max(0))
    }
}

/// How long a rule's state outlives what it read.
fn held_ms(rule: &Rule) -> i64 {
    match &rule.kind {
        RuleKind::Record { .. } => 0,
        RuleKind::Alert {
            for_ms,
            keep_firing_ms,
            detector,
        } => {
            let learnt = match detector {
                Some(Detector::Absence { after_ms }) => *after_ms,
                Some(Detector::Forecast { over_ms, .. }) => *over_ms,
                Some(Detector::Band(_)) | None => 0,
            };
            for_ms
                .saturating_add(*keep_firing_ms)
                .saturating_add(learnt)
        }
        RuleKind::Match {
            resolve_after_ms, ..
        } => *resolve_after_ms,
    }
}

impl Rule {
    /// Everything that it evaluates: its expression, and what its templates ask.
    pub fn exprs(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.expr).chain(&self.queries)
    }

    /// The leaves that it reads, those of its templates among them.
    pub fn leaves(&self, group: &Group) -> Vec<LeafId> {
        self.exprs()
            .flat_map(|expr| leaves_of(expr, group))
            .collect()
    }
}

/// The leaves that an expression reads, those inside of subqueries among them.
pub fn leaves_of(expr: &Expr, group: &Group) -> Vec<LeafId> {
    let mut leaves = Vec::new();
    visit_leaves(expr, group, &mut leaves);
    leaves
}

fn visit_leaves(expr: &Expr, group: &Group, out: &mut Vec<LeafId>) {
    match expr {
        Expr::Number(_) | Expr::Text(_) => {}
        Expr::Neg(inner) => visit_leaves(inner, group, out),
        Expr::Binary(binary) => {
            visit_leaves(&binary.lhs, group, out);
            visit_leaves(&binary.rhs, group, out);
        }
        Expr::Aggregate(aggregate) => {
            visit_leaves(&aggregate.expr, group, out);
            aggregate
                .param
                .iter()
                .for_each(|param| visit_leaves(param, group, out));
        }
        Expr::Call(call) => call
            .args
            .iter()
            .for_each(|arg| visit_leaves(arg, group, out)),
        Expr::Leaf(id) => {
            out.push(*id);
            if let Read::Subquery { inner, .. } = &group.leaves[id.0 as usize].read {
                visit_leaves(inner, group, out);
            }
        }
    }
}
