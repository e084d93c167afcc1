//! Bands without a season.

use proptest::prelude::*;

use super::*;

/// `height` from sample `from` up to, not including, `to`.
fn step(from: usize, to: usize, height: f64) -> impl Fn(usize) -> f64 {
    move |i| if (from..to).contains(&i) { height } else { 0.0 }
}

#[test]
fn noise_alone_is_quiet() {
    check(&band(), &series(10 * DAY, |_| 0.0), &[]);
}

#[test]
fn a_spike_is_one_alarm() {
    check(
        &band(),
        &series(600, step(400, 401, 10.0)),
        &["band 400..401"],
    );
    check(
        &band(),
        &series(600, step(400, 401, -10.0)),
        &["band 400..401"],
    );
}

#[test]
fn a_level_shift_alarms_until_it_is_over() {
    check(
        &band(),
        &series(600, step(400, 500, 5.0)),
        &["band 400..500"],
    );
}

#[test]
fn learning_is_frozen_while_it_alarms() {
    let said = reasons(&Detector::Band(band()), &series(600, step(400, 600, 5.0)));
    let expected = |reason: &Option<Reason>| match reason {
        Some(Reason::Anomaly {
            expected_low,
            expected_high,
            ..
        }) => (*expected_low, *expected_high),
        other => panic!("{other:?}"),
    };
    assert_eq!(expected(&said[400]), expected(&said[599]));
    let (low, high) = expected(&said[599]);
    assert!(
        -3.0 < low && low < -0.5 && 0.5 < high && high < 3.0,
        "{low} {high}"
    );
}

#[test]
fn a_day_of_alarm_is_the_new_normal() {
    let values = series(1_200, step(400, 1_200, 5.0));
    check(&band(), &values, &["band 400..688"]);
}

#[test]
fn a_value_that_hovers_at_the_edge_does_not_flap() {
    // Out by half a width, then about the edge of the range (near 0.8) for a while.
    let hover = |i: usize| if i.is_multiple_of(2) { 1.1 } else { 1.2 };
    let values: Vec<f64> = (0..600)
        .map(|i| match i {
            400 => 3.0,
            401..450 => hover(i),
            _ => noise(i),
        })
        .collect();
    check(&band(), &values, &["band 400..450"]);
}

#[test]
fn what_recurs_falls_silent() {
    let values = series(3_000, |i| {
        if i >= 400 && i.is_multiple_of(100) {
            10.0
        } else {
            0.0
        }
    });
    let episodes = episodes(&band(), &values);
    assert!((2..8).contains(&episodes.len()), "{episodes:?}");
    assert!(
        episodes.iter().all(|episode| episode.to < 1_500),
        "{episodes:?}"
    );
}

#[test]
fn a_slow_ramp_is_a_shift() {
    let values = series(4 * DAY, |i| {
        if i > 2 * DAY {
            (i - 2 * DAY) as f64 * 0.005
        } else {
            0.0
        }
    });
    let episodes = episodes(&band(), &values);
    let first = episodes.first().unwrap();
    assert_eq!(first.detector, "cusum");
    assert!((2 * DAY..3 * DAY).contains(&first.from), "{first:?}");
}

#[test]
fn a_small_shift_that_lasts_is_seen() {
    let values = series(4 * DAY, step(3 * DAY, 4 * DAY, 0.8));
    let episodes = episodes(&band(), &values);
    assert!(
        (3 * DAY..3 * DAY + 60).contains(&episodes[0].from),
        "{episodes:?}"
    );
}

#[test]
fn a_change_of_spread_is_seen() {
    // Single jolts either way are usual; then they come all the time.
    let jolts = |i: usize, every: usize| {
        if i.is_multiple_of(every) {
            [1.0, -1.0][i / every % 2]
        } else {
            0.0
        }
    };
    let values: Vec<f64> = (0..3 * DAY)
        .map(|i| 0.1 * noise(i) + 4.0 * jolts(i, if i < 2 * DAY { 45 } else { 2 }))
        .collect();
    let band = Band {
        learn_samples: 300,
        ..band()
    };
    let first = episodes(&band, &values).swap_remove(0);
    assert_eq!(first.detector, "spread");
    assert!((2 * DAY..2 * DAY + 20).contains(&first.from), "{first:?}");
}

#[test]
fn only_the_direction_asked_for() {
    let up = series(600, step(400, 401, 10.0));
    let down = series(600, step(400, 401, -10.0));
    for (direction, up_alarms, down_alarms) in [
        (Direction::Up, 1, 0),
        (Direction::Down, 0, 1),
        (Direction::Both, 1, 1),
    ] {
        let band = Band {
            direction,
            ..band()
        };
        assert_eq!(episodes(&band, &up).len(), up_alarms, "{direction:?}");
        assert_eq!(episodes(&band, &down).len(), down_alarms, "{direction:?}");
    }
}

#[test]
fn both_deviations_must_be_exceeded() {
    // About 100, with a spike of 10.
    let values = series(600, |i| 100.0 + step(400, 401, 10.0)(i));
    for (absolute, relative, alarms) in [
        (0.0, 0.0, 1),
        (8.0, 0.08, 1),
        (12.0, 0.0, 0),
        (0.0, 0.12, 0),
        (12.0, 0.08, 0),
        (8.0, 0.12, 0),
    ] {
        let band = Band {
            min_deviation_absolute: absolute,
            min_deviation_relative: relative,
            ..band()
        };
        assert_eq!(
            episodes(&band, &values).len(),
            alarms,
            "{absolute} {relative}"
        );
    }
}

#[test]
fn nothing_alarms_in_the_learning_phase() {
    let values = series(600, step(150, 151, 10.0));
    check(&band(), &values, &["band 150..151"]);
    check(
        &Band {
            learn_samples: 151,
            ..band()
        },
        &values,
        &[],
    );
}

#[test]
fn sensitivity_goes_from_deaf_to_nervous() {
    let values = series(600, step(400, 401, 1.4));
    for (sensitivity, alarms) in [(0.0, 0), (0.2, 0), (0.8, 1), (1.0, 1)] {
        let band = Band {
            sensitivity,
            ..band()
        };
        let seen = episodes(&band, &values)
            .iter()
            .filter(|episode| episode.from == 400)
            .count();
        assert_eq!(seen, alarms, "{sensitivity}");
    }
    check(
        &Band {
            sensitivity: 0.0,
            ..band()
        },
        &series(600, step(400, 401, 1e6)),
        &[],
    );
}

#[test]
fn a_flat_series_that_moves_is_news() {
    let mut values = vec![0.0; 600];
    values[400] = 1.0;
    check(&band(), &values, &["band 400..401"]);
    check(
        &Band {
            min_deviation_absolute: 2.0,
            ..band()
        },
        &values,
        &[],
    );
}

#[test]
fn values_that_are_not_finite_are_not_judged() {
    let mut values = series(600, |_| 0.0);
    for (i, odd) in [
        (300, f64::NAN),
        (310, f64::INFINITY),
        (320, f64::NEG_INFINITY),
        (330, 1e300),
    ] {
        values[i] = odd;
    }
    check(&band(), &values, &[]);
}

#[test]
fn the_reason_tells_how_rare() {
    let said = reasons(&Detector::Band(band()), &series(600, step(400, 401, 10.0)));
    let Some(Reason::Anomaly {
        observed, once_in, ..
    }) = &said[400]
    else {
        panic!()
    };
    assert!(*observed > 9.0);
    assert!((100.0..=401.0).contains(once_in), "{once_in}");
}

#[test]
fn unit_and_origin_do_not_matter() {
    let values = series(4 * DAY, |i| {
        step(400, 403, 4.0)(i) + step(700, 760, -3.0)(i) + step(3 * DAY, 4 * DAY, 0.8)(i)
    });
    let plain = episodes(&band(), &values);
    assert!(plain.len() >= 3, "{plain:?}");
    for (scale, origin) in [(2.0, 0.0), (1_024.0, 0.0), (1.0, 64.0), (0.125, -4_096.0)] {
        let moved: Vec<f64> = values.iter().map(|x| scale * x + origin).collect();
        assert_eq!(episodes(&band(), &moved), plain, "{scale} {origin}");
    }
}

#[test]
fn a_state_is_small() {
    assert!(size_of::<super::super::band::BandState>() <= 300);
    let detector = Detector::Band(band());
    let seasonal = Detector::Band(Band {
        season: true,
        ..band()
    });
    for (detector, most) in [(detector, 300), (seasonal, 2_048)] {
        let mut bank = DetectorBank::new(&detector);
        let vector: Vec<Element> = (0..64).map(|i| element(&format!("{i:02}"), 1.0)).collect();
        bank.observe(&detector, at(0), STEP_MS, &vector);
        let labels: usize = vector
            .iter()
            .map(|element| element.labels.heap_bytes())
            .sum();
        assert_eq!(bank.len(), 64);
        assert!(
            (bank.bytes() - labels) / 64 <= most,
            "{}",
            (bank.bytes() - labels) / 64
        );
    }
}

#[test]
fn a_snapshot_goes_on_where_it_stopped() {
    let detector = Detector::Band(Band {
        season: true,
        ..band()
    });
    let values = series(4 * DAY, step(700, 720, 5.0));
    let mut bank = DetectorBank::new(&detector);
    let mut plain = Vec::new();
    let mut copied = Vec::new();
    let mut copy: Option<DetectorBank> = None;
    for (i, value) in values.iter().enumerate() {
        if i == 710 {
            copy = Some(serde_json::from_str(&serde_json::to_string(&bank).unwrap()).unwrap());
        }
        let vector = [element("a", *value)];
        plain.extend(bank.observe(&detector, at(i), STEP_MS, &vector));
        copied.extend(
            copy.iter_mut()
                .flat_map(|copy| copy.observe(&detector, at(i), STEP_MS, &vector)),
        );
    }
    assert_eq!(copied.len(), 10);
    assert_eq!(plain[plain.len() - 10..], copied);
}

#[test]
fn series_do_not_know_of_each_other() {
    let detector = Detector::Band(band());
    let mut bank = DetectorBank::new(&detector);
    let mut picked = Vec::new();
    for i in 0..600 {
        let spike = if i == 400 { 10.0 } else { 0.0 };
        let mut vector = vec![
            element("b", noise(i) + spike),
            element("c", noise(i + 7)),
            element("d", spike),
        ];
        if i > 50 {
            vector.insert(0, element("a", noise(i + 99)));
        }
        if i % 3 == 0 {
            vector.retain(|element| element.labels.value("series") != "c");
        }
        picked.extend(
            bank.observe(&detector, at(i), STEP_MS, &vector)
                .into_iter()
                .map(|pick| (i, pick.labels)),
        );
    }
    let spiked = ["b", "d"].map(|name| (400, element(name, 0.0).labels));
    assert_eq!(picked, spiked);
}

#[test]
fn a_series_that_is_gone_is_forgotten_after_a_day() {
    let detector = Detector::Band(band());
    let mut bank = DetectorBank::new(&detector);
    bank.observe(
        &detector,
        at(0),
        STEP_MS,
        &[element("a", 1.0), element("b", 1.0)],
    );
    for (tick, kept) in [(DAY - 1, 2), (DAY, 1)] {
        bank.observe(&detector, at(tick), STEP_MS, &[element("b", 1.0)]);
        assert_eq!(bank.len(), kept);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn doubling_changes_no_alarm(values in prop::collection::vec(-1_000_i32..1_000, 200..800), season in any::<bool>()) {
        let band = Band { season, sensitivity: 1.0, ..band() };
        let plain: Vec<f64> = values.iter().map(|x| f64::from(*x)).collect();
        let doubled: Vec<f64> = plain.iter().map(|x| 2.0 * x).collect();
        prop_assert_eq!(episodes(&band, &plain), episodes(&band, &doubled));
    }
}
