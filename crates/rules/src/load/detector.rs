//! `anomaly:`, `absence:` and `forecast:` of an alert.

use super::fields::{Desk, Fields};
use crate::plan::{Band, Detector, Direction};

/// Values of a series before its band alarms, where `learn` is not given: half an hour of 30 s.
const LEARN_SAMPLES: u32 = 60;

/// How long a trend is learnt over, where `over` is not given: an hour.
const FORECAST_OVER_MS: i64 = 3_600_000;

/// How long until a limit, where `within` is not given: four hours.
const FORECAST_WITHIN_MS: i64 = 4 * 3_600_000;

/// How long a series is gone, where `after` is not given: the lookback of an instant selector.
const ABSENCE_AFTER_MS: i64 = 300_000;

/// The detector of an alert, if it has one; it has at most one.
pub(super) fn load(fields: &Fields<'_>, desk: &mut Desk<'_>) -> Option<Detector> {
    let given: Vec<_> = ["anomaly", "absence", "forecast"]
        .into_iter()
        .filter(|name| fields.get(name).is_some())
        .collect();
    if let [_, second, ..] = given[..] {
        let message = "an alert has one detector: `anomaly`, `absence` or `forecast`";
        desk.error(
            "detector",
            fields.key(second),
            message,
            Some("write two rules"),
        );
        return None;
    }
    match *given.first()? {
        "anomaly" => band(fields, desk).map(Detector::Band),
        "absence" => absence(fields, desk),
        _ => forecast(fields, desk),
    }
}

fn band(fields: &Fields<'_>, desk: &mut Desk<'_>) -> Option<Band> {
    let known = [
        "direction",
        "min_deviation",
        "sensitivity",
        "learn",
        "season",
    ];
    let fields = Fields::open(fields.get("anomaly")?, "`anomaly`", &known, desk)?;
    let words = [
        ("up", Direction::Up),
        ("down", Direction::Down),
        ("both", Direction::Both),
    ];
    let direction = fields.choice("direction", &words, desk).unwrap_or_default();
    let (absolute, relative) = min_deviation(&fields, desk);
    Some(Band {
        direction,
        min_deviation_absolute: absolute,
        min_deviation_relative: relative,
        sensitivity: sensitivity(&fields, desk),
        learn_samples: fields.count("learn", 2, desk).unwrap_or(LEARN_SAMPLES),
        season: fields.flag("season", desk).unwrap_or(true),
    })
}

fn min_deviation(fields: &Fields<'_>, desk: &mut Desk<'_>) -> (f64, f64) {
    let Some(node) = fields.get("min_deviation") else {
        return (0.0, 0.0);
    };
    let Some(fields) = Fields::open(node, "`min_deviation`", &["absolute", "relative"], desk)
    else {
        return (0.0, 0.0);
    };
    let mut read = |name| {
        fields
            .number(name, |value| value >= 0.0, "a number from 0 on", desk)
            .unwrap_or(0.0)
    };
    (read("absolute"), read("relative"))
}

/// `low`, `medium`, `high`, or a number from 0 to 1.
fn sensitivity(fields: &Fields<'_>, desk: &mut Desk<'_>) -> f64 {
    let words = [("low", 0.25), ("medium", 0.5), ("high", 0.75)];
    let text = fields.get("sensitivity").and_then(crate::yaml::Node::text);
    if let Some((_, value)) = words.iter().find(|(word, _)| Some(*word) == text) {
        return *value;
    }
    let passes = |value| (0.0..=1.0).contains(&value);
    fields
        .number(
            "sensitivity",
            passes,
            "low, medium, high or a number from 0 to 1",
            desk,
        )
        .unwrap_or(0.5)
}

fn absence(fields: &Fields<'_>, desk: &mut Desk<'_>) -> Option<Detector> {
    let fields = Fields::open(fields.get("absence")?, "`absence`", &["after"], desk)?;
    let after_ms = fields
        .positive_duration("after", desk)
        .unwrap_or(ABSENCE_AFTER_MS);
    Some(Detector::Absence { after_ms })
}

fn forecast(fields: &Fields<'_>, desk: &mut Desk<'_>) -> Option<Detector> {
    let fields = Fields::open(
        fields.get("forecast")?,
        "`forecast`",
        &["limit", "within", "over"],
        desk,
    )?;
    let within_ms = fields
        .positive_duration("within", desk)
        .unwrap_or(FORECAST_WITHIN_MS);
    let over_ms = fields
        .positive_duration("over", desk)
        .unwrap_or(FORECAST_OVER_MS);
    if fields.get("limit").is_none() {
        desk.error(
            "detector",
            fields.place(),
            "`forecast` needs a `limit`",
            None::<String>,
        );
        return None;
    }
    let limit = fields.number("limit", |_| true, "a number", desk)?;
    Some(Detector::Forecast {
        limit,
        within_ms,
        over_ms,
    })
}
