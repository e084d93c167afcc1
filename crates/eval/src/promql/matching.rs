//! Vector matching: joins and set operators.

use foghorn_model::Labels;
use foghorn_rules::plan::{Binary, BinaryOp, Cardinality, Matching};

use super::binary::{WithBase, arithmetic, compare, truth};
use super::cache::Caches;
use super::error::EvalError;
use super::value::settle;
use crate::vector::{Element, Vector};

/// Handle of the projection to match groups.
fn match_groups(caches: &mut Caches, matching: &Matching) -> usize {
    caches.projection(matching.on, !matching.on, &matching.labels)
}

/// `and`, `or`, `unless`: elements are kept as they are, names included.
pub(super) fn set(
    caches: &mut Caches,
    binary: &Binary,
    mut lhs: Vector,
    rhs: Vector,
) -> Result<Vector, EvalError> {
    let handle = match_groups(caches, &binary.matching);
    let groups = caches.projected(handle);
    groups.begin();
    let mark = if binary.op == BinaryOp::Or {
        &lhs
    } else {
        &rhs
    };
    for element in mark {
        let number = groups.number(&element.labels);
        groups.sit(number, 0);
    }
    let mut marked = |element: &Element| {
        let number = groups.number(&element.labels);
        groups.occupant(number).is_some()
    };
    match binary.op {
        BinaryOp::Or => {
            lhs.extend(rhs.into_iter().filter(|element| !marked(element)));
            return settle(lhs);
        }
        BinaryOp::Unless => lhs.retain(|element| !marked(element)),
        _ => lhs.retain(marked),
    }
    Ok(lhs)
}

/// How the labels of a pair's result are formed.
enum ResultLabels {
    /// The "many" (or left) side's own.
    Own { drop_name: bool },
    /// … projected.
    Projected(usize),
    /// … with some of the "one" side's.
    Merged(usize),
}

impl ResultLabels {
    fn plan(caches: &mut Caches, binary: &Binary) -> Self {
        let matching = &binary.matching;
        let drop_name = !binary.op.is_comparison() || binary.return_bool;
        match matching.card {
            Cardinality::OneToOne if matching.on || !matching.labels.is_empty() => {
                Self::Projected(caches.projection(matching.on, drop_name, &matching.labels))
            }
            Cardinality::ManyToOne | Cardinality::OneToMany if !matching.include.is_empty() => {
                Self::Merged(caches.merge(drop_name, &matching.include))
            }
            _ => Self::Own { drop_name },
        }
    }

    fn of(&self, caches: &mut Caches, many: &Labels, one: &Labels) -> Labels {
        match self {
            Self::Own { drop_name: true } => many.without_name(),
            Self::Own { drop_name: false } => many.clone(),
            Self::Projected(handle) => caches.projected(*handle).of(many),
            Self::Merged(handle) => caches.merged(*handle).of(many, one),
        }
    }
}

/// Arithmetic and comparison between the elements of two vectors that match. The base, where
/// asked for, has every pair with its left value.
pub(super) fn join(
    caches: &mut Caches,
    binary: &Binary,
    lhs: &[Element],
    rhs: &[Element],
    want_base: bool,
) -> Result<WithBase<Vector>, EvalError> {
    let filter = binary.op.is_comparison() && !binary.return_bool;
    let mut base = (want_base && filter).then(Vec::new);
    let swapped = binary.matching.card == Cardinality::OneToMany;
    let (many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    if many.is_empty() || one.is_empty() {
        return Ok((Vec::new(), base));
    }
    let handle = match_groups(caches, &binary.matching);
    seat_one_side(caches, handle, one, swapped)?;
    let labels = ResultLabels::plan(caches, binary);
    let one_to_one = binary.matching.card == Cardinality::OneToOne;
    let mut taken = vec![false; if one_to_one { one.len() } else { 0 }];
    let mut result = Vec::with_capacity(if filter { 0 } else { many.len() });
    for element in many {
        let groups = caches.projected(handle);
        let number = groups.number(&element.labels);
        let Some(partner) = groups.occupant(number) else {
            continue;
        };
        let other = &one[partner as usize];
        let (a, b) = if swapped {
            (other.value, element.value)
        } else {
            (element.value, other.value)
        };
        let holds = compare(binary.op, a, b);
        if let Some(base) = &mut base {
            base.push(Element {
                labels: labels.of(caches, &element.labels, &other.labels),
                value: a,
            });
        }
        if filter && !holds {
            continue;
        }
        if one_to_one && std::mem::replace(&mut taken[partner as usize], true) {
            return Err(EvalError::ImplicitManyToOne);
        }
        let value = match (binary.op.is_comparison(), binary.return_bool) {
            (true, true) => truth(holds),
            (true, false) => a,
            (false, _) => arithmetic(binary.op, a, b),
        };
        result.push(Element {
            labels: labels.of(caches, &element.labels, &other.labels),
            value,
        });
    }
    let result = settle(result).map_err(|error| {
        if one_to_one {
            error
        } else {
            EvalError::MatchesNotUnique
        }
    })?;
    Ok((result, base))
}

/// Seats the "one" side; two elements of one match group are an error.
fn seat_one_side(
    caches: &mut Caches,
    handle: usize,
    one: &[Element],
    left: bool,
) -> Result<(), EvalError> {
    let groups = caches.projected(handle);
    groups.begin();
    for (i, element) in one.iter().enumerate() {
        let number = groups.number(&element.labels);
        if let Some(other) = groups.sit(number, i as u32) {
            return Err(EvalError::ManyToMany {
                group: groups.labels(number).to_string(),
                side: if left { "left" } else { "right" },
                first: element.labels.to_string(),
                second: one[other as usize].labels.to_string(),
            });
        }
    }
    Ok(())
}
