//! PromQL's functions and aggregations, by name.

use crate::plan::{AggregateOp, BinaryOp, Func, RangeFunc};

/// How a function is lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    /// Over a range of samples.
    Range(RangeFunc),
    /// Over evaluated arguments.
    Plain(Func),
    /// Of a vector, or of `time()` where no argument is given.
    Calendar(Func),
    /// `round(v)`: to 1 where no unit is given.
    Round,
    /// `absent(v)`.
    Absent,
    /// `absent_over_time(r)`.
    AbsentOverTime,
    /// `timestamp(v)`.
    Timestamp,
}

use Function::{Absent, AbsentOverTime, Calendar, Plain, Range, Round, Timestamp};

/// Functions that the engine evaluates, in name order.
const FUNCTIONS: [(&str, Function); 67] = [
    ("abs", Plain(Func::Abs)),
    ("absent", Absent),
    ("absent_over_time", AbsentOverTime),
    ("acos", Plain(Func::Acos)),
    ("acosh", Plain(Func::Acosh)),
    ("asin", Plain(Func::Asin)),
    ("asinh", Plain(Func::Asinh)),
    ("atan", Plain(Func::Atan)),
    ("atanh", Plain(Func::Atanh)),
    ("avg_over_time", Range(RangeFunc::AvgOverTime)),
    ("ceil", Plain(Func::Ceil)),
    ("changes", Range(RangeFunc::Changes)),
    ("clamp", Plain(Func::Clamp)),
    ("clamp_max", Plain(Func::ClampMax)),
    ("clamp_min", Plain(Func::ClampMin)),
    ("cos", Plain(Func::Cos)),
    ("cosh", Plain(Func::Cosh)),
    ("count_over_time", Range(RangeFunc::CountOverTime)),
    ("day_of_month", Calendar(Func::DayOfMonth)),
    ("day_of_week", Calendar(Func::DayOfWeek)),
    ("day_of_year", Calendar(Func::DayOfYear)),
    ("days_in_month", Calendar(Func::DaysInMonth)),
    ("deg", Plain(Func::Deg)),
    ("delta", Range(RangeFunc::Delta)),
    ("deriv", Range(RangeFunc::Deriv)),
    ("exp", Plain(Func::Exp)),
    ("floor", Plain(Func::Floor)),
    ("histogram_fraction", Plain(Func::HistogramFraction)),
    ("histogram_quantile", Plain(Func::HistogramQuantile)),
    ("hour", Calendar(Func::Hour)),
    ("idelta", Range(RangeFunc::Idelta)),
    ("increase", Range(RangeFunc::Increase)),
    ("irate", Range(RangeFunc::Irate)),
    ("label_join", Plain(Func::LabelJoin)),
    ("label_replace", Plain(Func::LabelReplace)),
    ("last_over_time", Range(RangeFunc::LastOverTime)),
    ("ln", Plain(Func::Ln)),
    ("log10", Plain(Func::Log10)),
    ("log2", Plain(Func::Log2)),
    ("max_over_time", Range(RangeFunc::MaxOverTime)),
    ("min_over_time", Range(RangeFunc::MinOverTime)),
    ("minute", Calendar(Func::Minute)),
    ("month", Calendar(Func::Month)),
    ("pi", Plain(Func::Pi)),
    ("predict_linear", Range(RangeFunc::PredictLinear)),
    ("present_over_time", Range(RangeFunc::PresentOverTime)),
    ("quantile_over_time", Range(RangeFunc::QuantileOverTime)),
    ("rad", Plain(Func::Rad)),
    ("rate", Range(RangeFunc::Rate)),
    ("resets", Range(RangeFunc::Resets)),
    ("round", Round),
    ("scalar", Plain(Func::Scalar)),
    ("sgn", Plain(Func::Sgn)),
    ("sin", Plain(Func::Sin)),
    ("sinh", Plain(Func::Sinh)),
    ("sort", Plain(Func::Sort)),
    ("sort_desc", Plain(Func::SortDesc)),
    ("sqrt", Plain(Func::Sqrt)),
    ("stddev_over_time", Range(RangeFunc::StddevOverTime)),
    ("stdvar_over_time", Range(RangeFunc::StdvarOverTime)),
    ("sum_over_time", Range(RangeFunc::SumOverTime)),
    ("tan", Plain(Func::Tan)),
    ("tanh", Plain(Func::Tanh)),
    ("time", Plain(Func::Time)),
    ("timestamp", Timestamp),
    ("vector", Plain(Func::Vector)),
    ("year", Calendar(Func::Year)),
];

const AGGREGATIONS: [(&str, AggregateOp); 12] = [
    ("avg", AggregateOp::Avg),
    ("bottomk", AggregateOp::BottomK),
    ("count", AggregateOp::Count),
    ("count_values", AggregateOp::CountValues),
    ("group", AggregateOp::Group),
    ("max", AggregateOp::Max),
    ("min", AggregateOp::Min),
    ("quantile", AggregateOp::Quantile),
    ("stddev", AggregateOp::Stddev),
    ("stdvar", AggregateOp::Stdvar),
    ("sum", AggregateOp::Sum),
    ("topk", AggregateOp::TopK),
];

const OPERATORS: [(&str, BinaryOp); 16] = [
    ("+", BinaryOp::Add),
    ("-", BinaryOp::Sub),
    ("*", BinaryOp::Mul),
    ("/", BinaryOp::Div),
    ("%", BinaryOp::Mod),
    ("^", BinaryOp::Pow),
    ("atan2", BinaryOp::Atan2),
    ("==", BinaryOp::Eq),
    ("!=", BinaryOp::Ne),
    (">", BinaryOp::Gt),
    ("<", BinaryOp::Lt),
    (">=", BinaryOp::Ge),
    ("<=", BinaryOp::Le),
    ("and", BinaryOp::And),
    ("or", BinaryOp::Or),
    ("unless", BinaryOp::Unless),
];

fn find<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    table
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, value)| *value)
}

/// A function by its name.
pub(super) fn function(name: &str) -> Option<Function> {
    find(&FUNCTIONS, name)
}

/// An aggregation by its name.
pub(super) fn aggregation(name: &str) -> Option<AggregateOp> {
    find(&AGGREGATIONS, name)
}

/// An operator as it is written.
pub(super) fn operator(text: &str) -> Option<BinaryOp> {
    find(&OPERATORS, text)
}

/// Names of everything that is called with parentheses.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS
        .iter()
        .map(|(name, _)| *name)
        .chain(AGGREGATIONS.iter().map(|(name, _)| *name))
}

/// Whether something is called so.
pub(super) fn is_known(name: &str) -> bool {
    function(name).is_some() || aggregation(name).is_some()
}
