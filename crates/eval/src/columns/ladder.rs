//! Thresholds on one number, weakest first.

use foghorn_rules::plan::BinaryOp;

/// A filtering comparison of a value (on the left) with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Comparison {
    /// Of an operator as it is written; `flipped` where the number stands on the left.
    pub(crate) fn of(op: BinaryOp, flipped: bool) -> Option<Self> {
        Some(match (op, flipped) {
            (BinaryOp::Gt, false) | (BinaryOp::Lt, true) => Self::Gt,
            (BinaryOp::Ge, false) | (BinaryOp::Le, true) => Self::Ge,
            (BinaryOp::Lt, false) | (BinaryOp::Gt, true) => Self::Lt,
            (BinaryOp::Le, false) | (BinaryOp::Ge, true) => Self::Le,
            (BinaryOp::Eq, _) => Self::Eq,
            (BinaryOp::Ne, _) => Self::Ne,
            _ => return None,
        })
    }

    /// Whether a value passes.
    #[inline]
    pub(crate) fn holds(self, value: f64, number: f64) -> bool {
        match self {
            Self::Gt => value > number,
            Self::Ge => value >= number,
            Self::Lt => value < number,
            Self::Le => value <= number,
            Self::Eq => value == number,
            Self::Ne => value != number,
        }
    }

    /// How many of the values pass.
    pub(crate) fn count(self, values: impl Iterator<Item = f64>, number: f64) -> usize {
        // One loop an operator: inside, nothing branches.
        match self {
            Self::Gt => values.map(|v| usize::from(v > number)).sum(),
            Self::Ge => values.map(|v| usize::from(v >= number)).sum(),
            Self::Lt => values.map(|v| usize::from(v < number)).sum(),
            Self::Le => values.map(|v| usize::from(v <= number)).sum(),
            Self::Eq => values.map(|v| usize::from(v == number)).sum(),
            Self::Ne => values.map(|v| usize::from(v != number)).sum(),
        }
    }

    /// Whether what passes one number passes every weaker one.
    fn is_ordered(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }
}

/// Thresholds of one comparison. Of an ordered one the first that a value fails ends the search.
#[derive(Clone, Debug)]
pub(crate) struct Ladder {
    pub(crate) comparison: Comparison,
    /// Number and whose it is, weakest first.
    steps: Vec<(f64, u32)>,
}

impl Ladder {
    /// Sorts thresholds into ladders.
    pub(crate) fn all(mut tests: Vec<(Comparison, f64, u32)>) -> Vec<Self> {
        // Nothing is above, below or equal to NaN.
        tests.retain(|(comparison, number, _)| !(number.is_nan() && *comparison != Comparison::Ne));
        let mut ladders: Vec<Self> = Vec::new();
        for (comparison, number, owner) in tests {
            let at = ladders.iter().position(|l| l.comparison == comparison);
            let at = at.unwrap_or_else(|| {
                ladders.push(Self {
                    comparison,
                    steps: Vec::new(),
                });
                ladders.len() - 1
            });
            ladders[at].steps.push((number, owner));
        }
        for ladder in &mut ladders {
            match ladder.comparison {
                Comparison::Gt | Comparison::Ge => {
                    ladder.steps.sort_by(|a, b| a.0.total_cmp(&b.0));
                }
                Comparison::Lt | Comparison::Le => {
                    ladder.steps.sort_by(|a, b| b.0.total_cmp(&a.0));
                }
                Comparison::Eq | Comparison::Ne => {}
            }
        }
        ladders
    }

    /// Calls for each threshold that a value passes.
    #[inline]
    pub(crate) fn passed(&self, value: f64, mut passed: impl FnMut(u32)) {
        for (number, owner) in &self.steps {
            if self.comparison.holds(value, *number) {
                passed(*owner);
            } else if self.comparison.is_ordered() {
                return;
            }
        }
    }

    /// Calls for each threshold that some value between two bounds may pass, with its number.
    pub(crate) fn reachable(&self, low: f64, high: f64, mut reach: impl FnMut(f64, u32)) {
        for (number, owner) in &self.steps {
            if !self.may_pass(*number, low, high) {
                return;
            }
            reach(*number, *owner);
        }
    }

    /// Whether some value between two bounds may pass the weakest.
    pub(crate) fn is_reachable(&self, low: f64, high: f64) -> bool {
        let weakest = self.steps.first();
        weakest.is_some_and(|(number, _)| self.may_pass(*number, low, high))
    }

    fn may_pass(&self, number: f64, low: f64, high: f64) -> bool {
        match self.comparison {
            Comparison::Gt | Comparison::Ge => self.comparison.holds(high, number),
            Comparison::Lt | Comparison::Le => self.comparison.holds(low, number),
            Comparison::Eq | Comparison::Ne => true,
        }
    }

    /// Calls for each (position, value, threshold passed) of a column, in the column's order.
    pub(crate) fn sift(&self, values: &[f64], mut passed: impl FnMut(u32, f64, u32)) {
        let Some((weakest, _)) = self.steps.first().copied() else {
            return;
        };
        let mut some = |i: usize, v: f64| self.passed(v, |owner| passed(i as u32, v, owner));
        let values = values.iter().copied().enumerate();
        match self.comparison {
            Comparison::Gt => values
                .filter(|(_, v)| *v > weakest)
                .for_each(|(i, v)| some(i, v)),
            Comparison::Ge => values
                .filter(|(_, v)| *v >= weakest)
                .for_each(|(i, v)| some(i, v)),
            Comparison::Lt => values
                .filter(|(_, v)| *v < weakest)
                .for_each(|(i, v)| some(i, v)),
            Comparison::Le => values
                .filter(|(_, v)| *v <= weakest)
                .for_each(|(i, v)| some(i, v)),
            Comparison::Eq | Comparison::Ne => values
                .filter(|(_, v)| !super::is_absent(*v))
                .for_each(|(i, v)| some(i, v)),
        }
    }
}
