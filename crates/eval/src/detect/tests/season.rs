//! Hours of the day and the week.

use super::*;

fn seasonal() -> Band {
    Band {
        season: true,
        ..band()
    }
}

/// A working day: high from 8 to 18, low at night.
fn day(i: usize) -> f64 {
    if (8..18).contains(&(i % DAY / 12)) {
        20.0
    } else {
        0.0
    }
}

/// Alarms that begin in the hour from sample `from`.
fn alarms_near(band: &Band, values: &[f64], from: usize) -> Vec<String> {
    let near = |episode: &Episode| (from..from + 12).contains(&episode.from);
    episodes(band, values)
        .into_iter()
        .filter(near)
        .map(|episode| episode.detector)
        .collect()
}

#[test]
fn a_usual_value_at_an_unusual_hour() {
    let night = 9 * DAY + 3 * 12;
    let values = series(10 * DAY, |i| {
        if (night..night + 6).contains(&i) {
            20.0
        } else {
            day(i)
        }
    });
    assert_eq!(alarms_near(&seasonal(), &values, night), ["season"]);
    assert_eq!(alarms_near(&band(), &values, night), [""; 0]);
}

#[test]
fn the_band_is_that_of_the_hour() {
    let night = 9 * DAY + 3 * 12;
    let values = series(10 * DAY, |i| if i == night { 20.0 } else { day(i) });
    let said = reasons(&Detector::Band(seasonal()), &values);
    let Some(Reason::Anomaly {
        expected_low,
        expected_high,
        ..
    }) = said[night]
    else {
        panic!()
    };
    assert!(
        expected_low < 0.0 && (0.0..10.0).contains(&expected_high),
        "{expected_low} {expected_high}"
    );
}

#[test]
fn a_weekend_is_usual_in_the_third_week() {
    let week = |i: usize| if i / DAY % 7 < 5 { day(i) } else { 0.0 };
    let values = series(21 * DAY, week);
    let third = episodes(&seasonal(), &values)
        .into_iter()
        .filter(|e| e.from >= 14 * DAY);
    assert_eq!(third.collect::<Vec<_>>(), []);
    // A Wednesday without its working day is not.
    let strike = series(21 * DAY, |i| if i / DAY == 16 { 0.0 } else { week(i) });
    assert_eq!(
        alarms_near(&seasonal(), &strike, 16 * DAY + 8 * 12).len(),
        1
    );
}

#[test]
fn a_season_that_explains_nothing_is_not_believed() {
    let values = series(10 * DAY, |_| 0.0);
    check(&seasonal(), &values, &[]);
}
