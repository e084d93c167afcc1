//! Why an expression (or an alert rule) has no result at a tick.

use thiserror::Error;

/// An evaluation failed: the rule gives nothing at this tick, and its alerts stay as they were
/// unless a variant says otherwise. Texts are Prometheus' own where it has one.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum EvalError {
    /// Two elements of one result have the same labels.
    #[error("vector cannot contain metrics with the same labelset")]
    SameLabels,
    /// The "one" side of a match has two elements in one match group.
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the operation: \
         [{first}, {second}];many-to-many matching not allowed: matching labels must be unique on one side"
    )]
    ManyToMany {
        /// The match group's labels.
        group: String,
        /// `left` or `right`.
        side: &'static str,
        /// One of the two.
        first: String,
        /// The other.
        second: String,
    },
    /// Several elements of the left side match one of the right, without `group_left`.
    #[error(
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    )]
    ImplicitManyToOne,
    /// Results of a many-to-one match have the same labels.
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    MatchesNotUnique,
    /// An operand or argument has the wrong type; rule loading ought to have refused it.
    #[error("expected {expected} for {of}")]
    WrongType {
        /// What was expected: `a vector`, `a scalar`, `a string`.
        expected: &'static str,
        /// Whose operand it is.
        of: &'static str,
    },
    /// `topk`'s or `bottomk`'s k is no integer.
    #[error("scalar value {0} overflows int64")]
    NoCount(f64),
    /// A label name that cannot be.
    #[error("invalid label name {0:?}")]
    BadLabelName(String),
    /// `label_replace` was given a regular expression that does not compile.
    #[error("invalid regular expression in label_replace(): {0}")]
    BadRegex(String),
    /// The expression names a leaf that its group does not have; rule loading is at fault.
    #[error("no leaf {0} in the group")]
    NoLeaf(u32),
    /// Two elements of an alert rule's result give alerts with the same labels.
    #[error("vector contains metrics with the same labelset after applying alert labels")]
    SameAlert,
    /// A rule gave more than its group's `limit` allows; an alert rule's alerts have been ended.
    #[error("exceeded limit of {limit} with {count} alerts")]
    Limit {
        /// The limit.
        limit: usize,
        /// How many there were.
        count: usize,
    },
}
