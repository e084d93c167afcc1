//! Windows beside plain lists of points.

use proptest::prelude::*;

use super::*;

/// What may be done to a window.
#[derive(Clone, Debug)]
enum Deed {
    Push(i64, f64),
    Insert(i64, f64),
    Replace(usize, f64),
    Trim(usize, i64),
    Read(i64, i64),
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        8 => (0..500_000_i64).prop_map(|v| v as f64 / 1e6),
        4 => (0..2_000_i64).prop_map(|v| v as f64),
        2 => any::<f32>().prop_map(f64::from),
        2 => any::<f64>(),
        2 => any::<u64>().prop_map(f64::from_bits),
        1 => prop::sample::select(vec![
            0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE,
            foghorn_model::time::STALE_NAN, f64::NAN, 1e15, -1e15, 9_007_199_254_740_993.0,
        ]),
    ]
}

fn gap() -> impl Strategy<Value = i64> {
    prop_oneof![
        20 => Just(15_000_i64),
        5 => 14_900..15_100_i64,
        2 => Just(0_i64),
        2 => 0..100_000_i64,
        1 => 0..i64::MAX / 300,
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        20 => (gap(), value()).prop_map(|(t, v)| Deed::Push(t, v)),
        2 => (0..400_000_i64, value()).prop_map(|(back, v)| Deed::Insert(back, v)),
        1 => (any::<usize>(), value()).prop_map(|(at, v)| Deed::Replace(at, v)),
        2 => (any::<usize>(), -1..2_i64).prop_map(|(at, off)| Deed::Trim(at, off)),
        2 => (0..5_000_000_i64, 0..5_000_000_i64).prop_map(|(a, b)| Deed::Read(a, b)),
    ]
}

/// A run of many pushes of one kind, as windows mostly see.
fn run() -> impl Strategy<Value = Vec<Deed>> {
    let steady = (gap(), value(), 0..40_u32, 1..200_usize).prop_map(|(gap, v, step, n)| {
        let point = |i: usize| Deed::Push(gap, v + f64::from(step) * i as f64);
        (0..n).map(point).collect()
    });
    prop_oneof![steady, prop::collection::vec(deed(), 1..60)]
}

fn bits(points: &[Point]) -> Vec<(i64, u64)> {
    points.iter().map(|p| (p.t, p.v.to_bits())).collect()
}

fn agree(window: &Window, model: &[Point]) {
    let mut buffer = Vec::new();
    assert_eq!(bits(window.all(&mut buffer)), bits(model));
    assert_eq!(window.len(), model.len());
    assert_eq!(window.is_empty(), model.is_empty());
    assert_eq!(window.last_t(), model.last().map_or(i64::MIN, |p| p.t));
}

fn agree_between(window: &Window, model: &[Point], start: i64, end: i64) {
    let mut buffer = Vec::new();
    let expect: Vec<_> = model
        .iter()
        .filter(|p| p.t > start && p.t <= end)
        .copied()
        .collect();
    assert_eq!(bits(window.between(start, end, &mut buffer)), bits(&expect));
    let newest = window.newest(start, end);
    assert_eq!(
        bits(newest.as_slice()),
        bits(
            expect
                .last()
                .as_slice()
                .iter()
                .map(|p| **p)
                .collect::<Vec<_>>()
                .as_slice()
        )
    );
    let at = model.partition_point(|p| p.t < start);
    let found = model.get(at).is_some_and(|p| p.t == start);
    assert_eq!(window.find(start), if found { Ok(at) } else { Err(at) });
    agree_in_sum(window, model, start, end);
}

fn check(origin: i64, deeds: &[Deed]) {
    let (mut window, mut model) = (Window::default(), Vec::<Point>::new());
    let mut now = origin;
    for deed in deeds {
        match *deed {
            Deed::Push(gap, v) => {
                now = now.saturating_add(gap);
                window.push(Point { t: now, v });
                model.push(Point { t: now, v });
            }
            Deed::Insert(back, v) => {
                let t = now.saturating_sub(back);
                let at = model.partition_point(|p| p.t <= t);
                assert_eq!(window.first_after(t), at);
                window.insert(at, Point { t, v });
                model.insert(at, Point { t, v });
            }
            Deed::Replace(at, v) if !model.is_empty() => {
                let at = at % model.len();
                window.replace(at, v);
                model[at].v = v;
            }
            Deed::Trim(at, off) if !model.is_empty() => {
                let horizon = model[at % model.len()].t.saturating_add(off);
                let before = model.len();
                model.retain(|p| p.t > horizon);
                assert_eq!(window.trim(horizon), before - model.len());
            }
            Deed::Read(a, b) => {
                agree_between(
                    &window,
                    &model,
                    now.saturating_sub(a),
                    now.saturating_sub(b),
                );
            }
            Deed::Replace(..) | Deed::Trim(..) => {}
        }
    }
    agree(&window, &model);
}

proptest! {
    #[test]
    fn a_window_is_a_plain_list_of_points(
        origin in prop_oneof![Just(1_700_000_000_000), any::<i64>()],
        runs in prop::collection::vec(run(), 1..8),
    ) {
        check(origin, &runs.concat());
    }
}

fn window(times: impl IntoIterator<Item = i64>) -> Window {
    let mut window = Window::default();
    times
        .into_iter()
        .for_each(|t| window.push(Point { t, v: 0.0 }));
    window
}

#[test]
fn every_border_is_found() {
    for (len, jitter) in [
        (0, 0),
        (1, 0),
        (17, 0),
        (40, 0),
        (40, 3),
        (300, 0),
        (300, 3),
    ] {
        let times: Vec<_> = (0..len)
            .map(|i: i64| i * 10 + i * 7 % (jitter + 1))
            .collect();
        let model: Vec<_> = times.iter().map(|t| Point { t: *t, v: 0.0 }).collect();
        let window = window(times);
        for start in -5..len * 10 + 5 {
            agree_between(&window, &model, start, start + 95);
        }
    }
}

/// Heap bytes of a window that took so many points, trimmed to `keep` on the way.
fn bytes_after(points: usize, keep: i64, value: impl Fn(usize) -> f64) -> usize {
    let mut window = Window::default();
    for i in 0..points {
        let t = i as i64 * 15_000;
        let point = Point { t, v: value(i) };
        if !window.try_push(point) {
            window.trim(t - keep * 15_000);
            window.push(point);
        }
    }
    window.bytes()
}

#[test]
fn windows_are_small() {
    let noise = |i: usize| ((i * 7_919 % 500) * 1_000 + i * 31 % 1_000) as f64 / 1e6;
    assert_eq!(bytes_after(500, 20, |_| 0.25), 0, "a constant");
    assert!(bytes_after(500, 20, |i| i as f64) <= 40, "a counter");
    assert!(bytes_after(500, 20, noise) <= 88, "six digits");
    assert!(
        bytes_after(500, 20, |i| (i as f64).sqrt()) <= 200,
        "anything"
    );
}

#[test]
fn an_outlier_is_forgotten() {
    let value = |i: usize| if i == 100 { 0.1 + 0.2 } else { (i % 50) as f64 };
    assert!(bytes_after(110, 20, value) >= 160);
    assert!(bytes_after(2_000, 20, value) <= 56);
}

/// A summary beside the same from all points.
fn agree_in_sum(window: &Window, model: &[Point], start: i64, end: i64) {
    let numbers: Vec<_> = model
        .iter()
        .filter(|p| p.t > start && p.t <= end && !foghorn_model::is_stale(p.v))
        .copied()
        .collect();
    let pairs = || numbers.windows(2).map(|pair| (pair[0].v, pair[1].v));
    let fold = |beats: fn(f64, f64) -> bool| {
        numbers.iter().fold(f64::NAN, |best, p| {
            if beats(p.v, best) || best.is_nan() {
                p.v
            } else {
                best
            }
        })
    };
    for asked in [Asked::Ends, Asked::Lost, Asked::Steps, Asked::Extremes] {
        let found = window.summary(start, end, true, asked, &mut Vec::new());
        let Some(found) = found else {
            assert!(numbers.is_empty(), "{asked:?}");
            continue;
        };
        assert_eq!(
            bits(&[found.first, found.last]),
            bits(&[numbers[0], numbers[numbers.len() - 1]])
        );
        assert_eq!(found.count, numbers.len());
        match asked {
            Asked::Ends => {}
            Asked::Lost => {
                let lost: Vec<_> = pairs().filter(|(a, b)| b < a).map(|(a, _)| a).collect();
                assert_eq!(&found.lost[..], &lost[..]);
            }
            Asked::Steps => {
                assert_eq!(found.resets, pairs().filter(|(a, b)| b < a).count());
                let changes = pairs().filter(|(a, b)| a != b && !(a.is_nan() && b.is_nan()));
                assert_eq!(found.changes, changes.count());
            }
            Asked::Extremes => {
                let expect = [fold(|v, best| v < best), fold(|v, best| v > best)];
                assert_eq!(
                    [found.least, found.most].map(f64::to_bits),
                    expect.map(f64::to_bits)
                );
            }
        }
    }
}

#[test]
fn a_long_window_is_summed_up_as_from_all_its_points() {
    // A counter that is reset now and then, with markers, NaN and both zeros.
    let value = |i: i64| match i % 131 {
        7 => foghorn_model::time::STALE_NAN,
        60 => f64::NAN,
        61 => -0.0,
        62 => 0.0,
        _ => (i % 97) as f64,
    };
    let (mut window, mut model) = (Window::default(), Vec::new());
    for i in 0..1_500 {
        let point = Point {
            t: i * 10,
            v: value(i),
        };
        window.push(point);
        model.push(point);
        if i % 300 == 299 {
            let horizon = (i - 900) * 10;
            window.trim(horizon);
            model.retain(|p| p.t > horizon);
        }
    }
    for start in (5_000..15_100).step_by(313) {
        for len in [0, 9, 10, 500, 1_300, 2_600, 7_000, 20_000] {
            agree_in_sum(&window, &model, start, start + len);
        }
    }
    assert!(window.is_long());
}
