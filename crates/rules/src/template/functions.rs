//! Functions of templates: Go's own and Prometheus'.

use std::borrow::Cow;
use std::cmp::Ordering;

use regex::Regex;

use super::format::general;
use super::printf::printf;
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
const TABLE: [(&str, Function, usize, usize); 24] = [
    ("and", Function::And, 1, usize::MAX),
    ("or", Function::Or, 1, usize::MAX),
    ("not", Function::Not, 1, 1),
    ("eq", Function::Compare(Comparison::Eq), 2, usize::MAX),
    ("ne", Function::Compare(Comparison::Ne), 2, 2),
    ("lt", Function::Compare(Comparison::Lt), 2, 2),
    ("le", Function::Compare(Comparison::Le), 2, 2),
    ("gt", Function::Compare(Comparison::Gt), 2, 2),
    ("ge", Function::Compare(Comparison::Ge), 2, 2),
    ("index", Function::Index, 2, 2),
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
];

/// What Prometheus has besides.
const ONLY_PROMETHEUS: [&str; 23] = [
    "query",
    "first",
    "label",
    "value",
    "strvalue",
    "args",
    "safeHtml",
    "graphLink",
    "tableLink",
    "pathPrefix",
    "externalURL",
    "sortByLabel",
    "tmpl",
    "now",
    "toTime",
    "toDuration",
    "parseDuration",
    "stripPort",
    "stripDomain",
    "urlQueryEscape",
    "slice",
    "html",
    "urlquery",
];

impl Function {
    pub(super) fn named(name: &str) -> Option<Self> {
        TABLE.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// Whether Prometheus knows it and we do not.
    pub(super) fn is_only_prometheus(name: &str) -> bool {
        ONLY_PROMETHEUS.contains(&name)
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

    fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|row| row.1 == self)
            .map_or("", |row| row.0)
    }

    fn apply<'a>(self, args: &[Value<'a>], regex: Option<&Regex>) -> Result<Value<'a>, String> {
        let text = |text: String| Ok(Value::text(text));
        match self {
            Self::And => Ok(args
                .iter()
                .find(|arg| !arg.is_true())
                .unwrap_or(&args[args.len() - 1])
                .clone()),
            Self::Or => Ok(args
                .iter()
                .find(|arg| arg.is_true())
                .unwrap_or(&args[args.len() - 1])
                .clone()),
            Self::Not => Ok(Value::Bool(!args[0].is_true())),
            Self::Compare(comparison) => comparison.of(args).map(Value::Bool),
            Self::Index => index(&args[0], &args[1]),
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
            Self::ToUpper => text(args[0].string()?.to_uppercase()),
            Self::ToLower => text(args[0].string()?.to_lowercase()),
            Self::Title => text(title(args[0].string()?)),
            Self::ReReplaceAll => {
                let regex = compiled(args[0].string()?, regex)?;
                let replaced = regex.replace_all(args[2].string()?, args[1].string()?);
                text(replaced.into_owned())
            }
            Self::Match => Ok(Value::Bool(
                compiled(args[0].string()?, regex)?.is_match(args[1].string()?),
            )),
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
        Value::Labels(_) | Value::Pairs(_) => of.field(key.string()?),
        _ => Err(format!("can't index item of type {}", of.type_name())),
    }
}

fn length(value: &Value<'_>) -> Result<i64, String> {
    match value {
        Value::Text(text) => Ok(text.len() as i64),
        Value::Labels(labels) => Ok(labels.len() as i64),
        Value::Pairs(pairs) => Ok(pairs.len() as i64),
        _ => Err(format!("len of type {}", value.type_name())),
    }
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

/// Prometheus' `humanize`: four digits and a decimal prefix.
fn humanize(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return general(value, Some(4));
    }
    if value.abs() >= 1.0 {
        return scaled(value, 1000.0, &["k", "M", "G", "T", "P", "E", "Z", "Y"]);
    }
    small(value)
}

fn scaled(mut value: f64, base: f64, prefixes: &[&str]) -> String {
    let mut prefix = "";
    for next in prefixes {
        if value.abs() < base {
            break;
        }
        prefix = next;
        value /= base;
    }
    format!("{}{prefix}", general(value, Some(4)))
}

fn small(mut value: f64) -> String {
    let mut prefix = "";
    for next in ["m", "u", "n", "p", "f", "a", "z", "y"] {
        if value.abs() >= 1.0 {
            break;
        }
        prefix = next;
        value *= 1000.0;
    }
    format!("{}{prefix}", general(value, Some(4)))
}

fn humanize_1024(value: f64) -> String {
    if value.abs() <= 1.0 || !value.is_finite() {
        return general(value, Some(4));
    }
    scaled(
        value,
        1024.0,
        &["ki", "Mi", "Gi", "Ti", "Pi", "Ei", "Zi", "Yi"],
    )
}

/// Seconds as days, hours, minutes and seconds.
fn humanize_duration(value: f64) -> String {
    if !value.is_finite() {
        return general(value, Some(4));
    }
    if value == 0.0 {
        return "0s".to_owned();
    }
    if value.abs() < 1.0 {
        return format!("{}s", small(value));
    }
    let sign = if value < 0.0 { "-" } else { "" };
    let value = value.abs();
    let whole = value as i64;
    let (days, hours, minutes, seconds) = (
        whole / 86_400,
        whole / 3_600 % 24,
        whole / 60 % 60,
        whole % 60,
    );
    if days != 0 {
        format!("{sign}{days}d {hours}h {minutes}m {seconds}s")
    } else if hours != 0 {
        format!("{sign}{hours}h {minutes}m {seconds}s")
    } else if minutes != 0 {
        format!("{sign}{minutes}m {seconds}s")
    } else {
        format!("{sign}{}s", general(value, Some(4)))
    }
}

/// Seconds since the epoch as Go prints a time in UTC.
fn humanize_timestamp(value: f64) -> Result<String, String> {
    if !value.is_finite() {
        return Ok(general(value, Some(4)));
    }
    let nanos = value * 1e9;
    if nanos.abs() >= 9.223_372_036_854_775e18 {
        return Err(format!("{value} seconds is out of range of a time"));
    }
    let ms = (nanos as i64).div_euclid(1_000_000);
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (hour, minute, second, ms) = (
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1_000 % 60,
        in_day % 1_000,
    );
    let fraction = if ms == 0 {
        String::new()
    } else {
        format!(".{ms:03}").trim_end_matches('0').to_owned()
    };
    Ok(format!(
        "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction} +0000 UTC"
    ))
}

/// Days since 1970-01-01 as a date of the Gregorian calendar (years start in March, so that the
/// leap day is the last one).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Go's `strings.Title`: the first letter of each word in upper case, the others as they are.
fn title(text: &str) -> String {
    let mut inside = false;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if inside {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphanumeric() || c == '_' || c == '\'';
    }
    out
}
