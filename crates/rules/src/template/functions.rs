//! Functions of templates: Go's own and Prometheus'.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use regex::Regex;

use super::format::general;
use super::numbers::{
    duration, humanize, humanize_1024, humanize_duration, humanize_timestamp, time,
};
use super::printf::printf;
use super::texts;
use super::value::Value;

/// A function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Or,
    Not,
    Compare(Comparison),
    Index,
    Len,
    Print,
    Println,
    Printf,
    Humanize,
    Humanize1024,
    HumanizeDuration,
    HumanizePercentage,
    HumanizeTimestamp,
    ToUpper,
    ToLower,
    Title,
    ReReplaceAll,
    Match,
    Query,
    First,
    Label,
    SampleValue,
    StrValue,
    SortByLabel,
    Args,
    Tmpl,
    SafeHtml,
    GraphLink,
    TableLink,
    PathPrefix,
    ExternalUrl,
    Now,
    ToTime,
    ToDuration,
    ParseDuration,
    StripPort,
    StripDomain,
    UrlQueryEscape,
    Slice,
    Html,
    UrlQuery,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// Name, function, fewest and most arguments.
const TABLE: [(&str, Function, usize, usize); 47] = [
    ("and", Function::And, 1, usize::MAX),
    ("or", Function::Or, 1, usize::MAX),
    ("not", Function::Not, 1, 1),
    ("eq", Function::Compare(Comparison::Eq), 2, usize::MAX),
    ("ne", Function::Compare(Comparison::Ne), 2, 2),
    ("lt", Function::Compare(Comparison::Lt), 2, 2),
    ("le", Function::Compare(Comparison::Le), 2, 2),
    ("gt", Function::Compare(Comparison::Gt), 2, 2),
    ("ge", Function::Compare(Comparison::Ge), 2, 2),
    ("index", Function::Index, 1, usize::MAX),
    ("len", Function::Len, 1, 1),
    ("print", Function::Print, 0, usize::MAX),
    ("println", Function::Println, 0, usize::MAX),
    ("printf", Function::Printf, 1, usize::MAX),
    ("humanize", Function::Humanize, 1, 1),
    ("humanize1024", Function::Humanize1024, 1, 1),
    ("humanizeDuration", Function::HumanizeDuration, 1, 1),
    ("humanizePercentage", Function::HumanizePercentage, 1, 1),
    ("humanizeTimestamp", Function::HumanizeTimestamp, 1, 1),
    ("toUpper", Function::ToUpper, 1, 1),
    ("toLower", Function::ToLower, 1, 1),
    ("title", Function::Title, 1, 1),
    ("reReplaceAll", Function::ReReplaceAll, 3, 3),
    ("match", Function::Match, 2, 2),
    ("query", Function::Query, 1, 1),
    ("first", Function::First, 1, 1),
    ("label", Function::Label, 2, 2),
    ("value", Function::SampleValue, 1, 1),
    ("strvalue", Function::StrValue, 1, 1),
    ("sortByLabel", Function::SortByLabel, 2, 2),
    ("args", Function::Args, 0, usize::MAX),
    ("tmpl", Function::Tmpl, 2, 2),
    ("safeHtml", Function::SafeHtml, 1, 1),
    ("graphLink", Function::GraphLink, 1, 1),
    ("tableLink", Function::TableLink, 1, 1),
    ("pathPrefix", Function::PathPrefix, 0, 0),
    ("externalURL", Function::ExternalUrl, 0, 0),
    ("now", Function::Now, 0, 0),
    ("toTime", Function::ToTime, 1, 1),
    ("toDuration", Function::ToDuration, 1, 1),
    ("parseDuration", Function::ParseDuration, 1, 1),
    ("stripPort", Function::StripPort, 1, 1),
    ("stripDomain", Function::StripDomain, 1, 1),
    ("urlQueryEscape", Function::UrlQueryEscape, 1, 1),
    ("slice", Function::Slice, 1, 4),
    ("html", Function::Html, 0, usize::MAX),
    ("urlquery", Function::UrlQuery, 0, usize::MAX),
];

/// What Go has besides.
const ONLY_GO: [&str; 2] = ["js", "call"];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// Whether Go knows it and we do not.
    pub(super) fn is_only_go(name: &str) -> bool {
        ONLY_GO.contains(&name)
    }

    /// All names.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        TABLE.iter().map(|row| row.0)
    }

    /// Of `and` and `or`: the truth that settles the matter, whatever follows.
    pub(super) fn decides_at(self) -> Option<bool> {
        match self {
            Self::And => Some(false),
            Self::Or => Some(true),
            _ => None,
        }
    }

    /// Fewest and most arguments.
    pub(super) fn arity(self) -> (usize, usize) {
        TABLE
            .iter()
            .find(|row| row.1 == self)
            .map_or((0, usize::MAX), |row| (row.2, row.3))
    }

    /// Whether its first argument is a regular expression.
    pub(super) fn takes_regex(self) -> bool {
        matches!(self, Self::ReReplaceAll | Self::Match)
    }

    /// Calls it; an error reads as Go's `error calling …`.
    pub(super) fn call<'a>(
        self,
        args: &[Value<'a>],
        regex: Option<&Regex>,
    ) -> Result<Value<'a>, String> {
        self.apply(args, regex)
            .map_err(|why| format!("error calling {}: {why}", self.name()))
    }

    pub(super) fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.1 == self)
            .map_or("", |row| row.0)
    }

    fn apply<'a>(self, args: &[Value<'a>], regex: Option<&Regex>) -> Result<Value<'a>, String> {
        let text = |text: String| Ok(Value::text(text));
        match self {
            Self::Not => Ok(Value::Bool(!args[0].is_true())),
            Self::Compare(comparison) => comparison.of(args).map(Value::Bool),
            Self::Index => args[1..]
                .iter()
                .try_fold(args[0].clone(), |of, key| index(&of, key)),
            Self::Len => length(&args[0]).map(Value::Int),
            Self::Print | Self::Println => text(print(args, self == Self::Println)),
            Self::Printf => text(printf(args[0].string()?, &args[1..])),
            Self::Humanize => text(humanize(args[0].number()?)),
            Self::Humanize1024 => text(humanize_1024(args[0].number()?)),
            Self::HumanizeDuration => text(humanize_duration(args[0].number()?)),
            Self::HumanizePercentage => {
                text(format!("{}%", general(args[0].number()? * 100.0, Some(4))))
            }
            Self::HumanizeTimestamp => humanize_timestamp(args[0].number()?).map(Value::text),
            Self::ToTime => Ok(Value::Opaque("*time.Time", time(args[0].number()?)?)),
            Self::ToDuration => Ok(Value::Opaque(
                "*time.Duration",
                duration(args[0].number()?)?,
            )),
            Self::ParseDuration => texts::parse_duration(args[0].string()?).map(Value::Float),
            Self::First => args[0]
                .samples()?
                .first()
                .map(|sample| Value::Sample(sample.clone()))
                .ok_or_else(|| "first() called on vector with no elements".to_owned()),
            Self::Label => {
                let sample = args[1].sample()?;
                text(sample.labels.value(args[0].string()?).to_owned())
            }
            Self::SampleValue => Ok(Value::Float(args[0].sample()?.value)),
            Self::StrValue => text(args[0].sample()?.labels.value("__value__").to_owned()),
            Self::SortByLabel => {
                let mut samples = args[1].samples()?.as_ref().clone();
                let name = args[0].string()?;
                samples.sort_by(|a, b| a.labels.value(name).cmp(b.labels.value(name)));
                Ok(Value::Samples(Arc::new(samples)))
            }
            Self::Args => {
                let named = args.iter().enumerate();
                let named = named.map(|(i, arg)| (format!("arg{i}"), arg.clone()));
                Ok(Value::Map(Arc::new(named.collect())))
            }
            Self::SafeHtml => text(args[0].string()?.to_owned()),
            Self::GraphLink => text(texts::link(args[0].string()?, 0)),
            Self::TableLink => text(texts::link(args[0].string()?, 1)),
            Self::StripPort => text(texts::strip_port(args[0].string()?).to_owned()),
            Self::StripDomain => text(texts::strip_domain(args[0].string()?)),
            Self::UrlQueryEscape => text(texts::query_escape(args[0].string()?)),
            Self::Slice => slice(args),
            Self::Html => text(texts::html_escape(&joined(args))),
            Self::UrlQuery => text(texts::query_escape(&joined(args))),
            Self::ToUpper => text(args[0].string()?.to_uppercase()),
            Self::ToLower => text(args[0].string()?.to_lowercase()),
            Self::Title => text(texts::title(args[0].string()?)),
            Self::ReReplaceAll => {
                let regex = compiled(args[0].string()?, regex)?;
                let replaced = regex.replace_all(args[2].string()?, args[1].string()?);
                text(replaced.into_owned())
            }
            Self::Match => Ok(Value::Bool(
                compiled(args[0].string()?, regex)?.is_match(args[1].string()?),
            )),
            // What needs to know where it is called is the rendering's.
            Self::And
            | Self::Or
            | Self::Query
            | Self::Tmpl
            | Self::PathPrefix
            | Self::ExternalUrl
            | Self::Now => Ok(Value::Nil),
        }
    }
}

fn compiled<'a>(pattern: &str, regex: Option<&'a Regex>) -> Result<Cow<'a, Regex>, String> {
    match regex {
        Some(regex) => Ok(Cow::Borrowed(regex)),
        None => Regex::new(pattern)
            .map(Cow::Owned)
            .map_err(|_| format!("error parsing regexp: `{pattern}`")),
    }
}

fn index<'a>(of: &Value<'a>, key: &Value<'a>) -> Result<Value<'a>, String> {
    match of {
        Value::Labels(_) | Value::Pairs(_) | Value::Map(_) => of.field(key.string()?),
        Value::Samples(samples) => {
            let at = place(key, samples.len(), "index")?;
            let sample = samples.get(at).cloned().map(Value::Sample);
            sample.ok_or_else(|| format!("index out of range: {at}"))
        }
        Value::Text(text) => {
            let at = place(key, text.len(), "index")?;
            let byte = text.as_bytes().get(at).copied();
            let byte = byte.map(|byte| Value::Int(i64::from(byte)));
            byte.ok_or_else(|| format!("index out of range: {at}"))
        }
        Value::Nil => Err("index of untyped nil".to_owned()),
        _ => Err(format!("can't index item of type {}", of.type_name())),
    }
}

fn place(key: &Value<'_>, len: usize, what: &str) -> Result<usize, String> {
    match key {
        Value::Int(at) => usize::try_from(*at)
            .ok()
            .filter(|at| *at <= len)
            .ok_or_else(|| format!("{what} out of range: {at}")),
        _ => Err(format!(
            "cannot index slice/array with type {}",
            key.type_name()
        )),
    }
}

fn slice<'a>(args: &[Value<'a>]) -> Result<Value<'a>, String> {
    let len = length(&args[0])? as usize;
    let from = args.get(1).map_or(Ok(0), |arg| place(arg, len, "index"))?;
    let to = args
        .get(2)
        .map_or(Ok(len), |arg| place(arg, len, "index"))?;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    match &args[0] {
        Value::Samples(samples) => Ok(Value::Samples(Arc::new(samples[from..to].to_vec()))),
        // Go cuts within characters; a text here cannot be cut so.
        Value::Text(text) => match text.get(from..to) {
            Some(part) => Ok(Value::text(part.to_owned())),
            None => Err("a slice within a character".to_owned()),
        },
        _ => Err(format!("can't slice item of type {}", args[0].type_name())),
    }
}

fn length(value: &Value<'_>) -> Result<i64, String> {
    let len = match value {
        Value::Text(text) => text.len(),
        Value::Labels(labels) => labels.len(),
        Value::Pairs(pairs) => pairs.len(),
        Value::Samples(samples) => samples.len(),
        Value::Map(map) => map.len(),
        _ => return Err(format!("len of type {}", value.type_name())),
    };
    Ok(len as i64)
}

/// All arguments as one text, as `print` would.
fn joined(args: &[Value<'_>]) -> String {
    print(args, false)
}

/// Go's `Sprint` (a blank between two values that are no texts) or `Sprintln`.
fn print(args: &[Value<'_>], line: bool) -> String {
    let mut out = String::new();
    for (i, arg) in args.iter().enumerate() {
        let texts = |value: &Value<'_>| matches!(value, Value::Text(_));
        if i > 0 && (line || !(texts(arg) || texts(&args[i - 1]))) {
            out.push(' ');
        }
        arg.print(&mut out);
    }
    if line {
        out.push('\n');
    }
    out
}

impl Comparison {
    /// Of numbers (Go's templates refuse to compare an `int` with a `float64`; we do not), texts or
    /// booleans.
    fn of(self, args: &[Value<'_>]) -> Result<bool, String> {
        if self == Self::Eq {
            for other in &args[1..] {
                if compare(&args[0], other)? == Some(Ordering::Equal) {
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        let ordering = compare(&args[0], &args[1])?;
        Ok(match self {
            Self::Eq => false,
            Self::Ne => ordering != Some(Ordering::Equal),
            Self::Lt => ordering == Some(Ordering::Less),
            Self::Le => ordering.is_some_and(Ordering::is_le),
            Self::Gt => ordering == Some(Ordering::Greater),
            Self::Ge => ordering.is_some_and(Ordering::is_ge),
        })
    }
}

fn compare(a: &Value<'_>, b: &Value<'_>) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(a), Value::Bool(b)) => Ok(Some(a.cmp(b))),
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(_) | Value::Int(_), Value::Float(_) | Value::Int(_)) => {
            Ok(a.number()?.partial_cmp(&b.number()?))
        }
        _ => Err("incompatible types for comparison".to_owned()),
    }
}
