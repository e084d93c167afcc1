//! Label filters: `status >= 500 and (path =~ "/api.*" or duration > 1s)`.

use foghorn_model::MatchOp;

use super::LogqlError;
use super::cursor::Cursor;
use super::lex::Kind;
use super::pipeline::{Comparison, LabelCompare, LabelFilter};
use super::regexp::matcher;

/// A label filter; `or` binds weaker than `and`, a comma or mere neighbourhood.
pub(super) fn label_filter(cursor: &mut Cursor<'_>) -> Result<LabelFilter, LogqlError> {
    cursor.deeper(|cursor| {
        let mut any = vec![conjunction(cursor)?];
        while cursor.eat_word("or") {
            any.push(conjunction(cursor)?);
        }
        Ok(if any.len() == 1 {
            any.remove(0)
        } else {
            LabelFilter::Or(any)
        })
    })
}

fn conjunction(cursor: &mut Cursor<'_>) -> Result<LabelFilter, LogqlError> {
    let mut all = vec![operand(cursor)?];
    while cursor.eat_word("and") || cursor.eat(",") || begins_comparison(cursor) {
        all.push(operand(cursor)?);
    }
    Ok(if all.len() == 1 {
        all.remove(0)
    } else {
        LabelFilter::And(all)
    })
}

/// Whether a name and an operator come next (so not the word `or`).
fn begins_comparison(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek().kind, Kind::Name(_))
        && matches!(
            cursor.peek_past(1),
            Kind::Sign("=" | "==" | "!=" | "=~" | "!~" | ">" | ">=" | "<" | "<=")
        )
}

fn operand(cursor: &mut Cursor<'_>) -> Result<LabelFilter, LogqlError> {
    cursor.count()?;
    if cursor.eat("(") {
        let inner = label_filter(cursor)?;
        cursor.expect(")")?;
        return Ok(inner);
    }
    let (label, _) = cursor.name("a label")?;
    let operator = cursor.next();
    let Kind::Sign(sign) = operator.kind else {
        return Err(LogqlError::new(
            operator.at,
            format!("expected a comparison after `{label}`"),
        ));
    };
    if cursor.sees_word("ip") {
        return Err(LogqlError::unsupported(cursor.here(), "ip(…)"));
    }
    if let Kind::Text(text) = cursor.peek().kind.clone() {
        let at = cursor.next().at;
        let op = text_op(sign).ok_or_else(|| {
            LogqlError::new(operator.at, format!("`{sign}` does not compare texts"))
                .hint("write the number, duration or size without quotes")
        })?;
        return matcher(&label, op, &text)
            .map(LabelFilter::Text)
            .map_err(|why| LogqlError::new(at, why));
    }
    let op = comparison(sign).ok_or_else(|| {
        LogqlError::new(
            operator.at,
            format!("`{sign}` does not compare `{label}` with a number"),
        )
    })?;
    let negative = cursor.eat("-");
    let wanted = cursor.unexpected("a text, a number, a duration or a size");
    let compare = |value: f64| LabelCompare {
        label,
        op,
        value: if negative { -value } else { value },
    };
    Ok(match cursor.next().kind {
        Kind::Number(value) => LabelFilter::Number(compare(value)),
        Kind::Duration(value) => LabelFilter::Duration(compare(value)),
        Kind::Bytes(value) => LabelFilter::Bytes(compare(value)),
        _ => return Err(wanted),
    })
}

/// An operator between a label and a text.
pub(super) fn text_op(sign: &str) -> Option<MatchOp> {
    Some(match sign {
        "=" | "==" => MatchOp::Equal,
        "!=" => MatchOp::NotEqual,
        "=~" => MatchOp::Regex,
        "!~" => MatchOp::NotRegex,
        _ => return None,
    })
}

fn comparison(sign: &str) -> Option<Comparison> {
    Some(match sign {
        "=" | "==" => Comparison::Eq,
        "!=" => Comparison::Ne,
        ">" => Comparison::Gt,
        ">=" => Comparison::Ge,
        "<" => Comparison::Lt,
        "<=" => Comparison::Le,
        _ => return None,
    })
}
