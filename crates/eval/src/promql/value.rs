//! What an expression evaluates to.

use foghorn_model::Labels;

use super::error::EvalError;
use crate::vector::{Element, Vector};

/// The result of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A number without labels.
    Scalar(f64),
    /// An instant vector.
    Vector(Vector),
    /// A string.
    Text(String),
}

impl Value {
    /// As rules take it: a scalar stands for one element without labels; a string is an error.
    pub fn into_elements(self) -> Result<Vector, EvalError> {
        match self {
            Self::Scalar(value) => Ok(vec![Element {
                labels: Labels::empty(),
                value,
            }]),
            Self::Vector(vector) => Ok(vector),
            Self::Text(_) => Err(EvalError::WrongType {
                expected: "a vector or a scalar",
                of: "a rule",
            }),
        }
    }

    pub(super) fn vector(self, of: &'static str) -> Result<Vector, EvalError> {
        match self {
            Self::Vector(vector) => Ok(vector),
            Self::Scalar(_) | Self::Text(_) => Err(EvalError::WrongType {
                expected: "a vector",
                of,
            }),
        }
    }

    pub(super) fn scalar(self, of: &'static str) -> Result<f64, EvalError> {
        match self {
            Self::Scalar(value) => Ok(value),
            Self::Vector(_) | Self::Text(_) => Err(EvalError::WrongType {
                expected: "a scalar",
                of,
            }),
        }
    }
}

/// Puts a vector into label order; two elements with the same labels are an error.
pub(super) fn settle(mut vector: Vector) -> Result<Vector, EvalError> {
    if !vector.is_sorted_by(|a, b| a.labels < b.labels) {
        vector.sort_by(|a, b| a.labels.cmp(&b.labels));
        if vector
            .windows(2)
            .any(|pair| pair[0].labels == pair[1].labels)
        {
            return Err(EvalError::SameLabels);
        }
    }
    Ok(vector)
}

/// Takes the metric names away, and settles the vector where there were any.
pub(super) fn drop_names(mut vector: Vector) -> Result<Vector, EvalError> {
    let mut named = false;
    for element in &mut vector {
        let bare = element.labels.without_name();
        named |= bare != element.labels;
        element.labels = bare;
    }
    if named { settle(vector) } else { Ok(vector) }
}
