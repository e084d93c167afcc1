//! Samples that come behind newer ones of their series: kept aside, and put in their places all at
//! once before the window is read.
//!
//! A window is packed: one point in its middle has a whole chunk packed anew. Where a series arrives
//! in several partitions (a Collector's exports have no key) and a backlog is read, most points are
//! of that kind.

use crate::series::{Kind, PartitionRank, Series};
use crate::vector::Point;

/// So many samples are put in their places even if nobody reads.
const MOST: usize = 64;

impl Series {
    /// Keeps a sample aside; whether it is the only one.
    pub(crate) fn defer(
        &mut self,
        point: Point,
        from: PartitionRank,
        lower: impl Fn(PartitionRank, PartitionRank) -> bool,
    ) -> bool {
        let aside = &mut self.extra.get_or_insert_default().unordered;
        aside.push((point, from));
        if aside.len() < MOST {
            return aside.len() == 1;
        }
        self.order(lower);
        false
    }

    /// Puts what was kept aside in its place. Of two samples of one instant the one from the lower
    /// partition stands, of one partition's the earlier; log records all stand.
    pub(crate) fn order(&mut self, lower: impl Fn(PartitionRank, PartitionRank) -> bool) {
        let Some(extra) = &mut self.extra else { return };
        let mut aside = std::mem::take(&mut extra.unordered);
        let Some(first) = aside.iter().map(|(point, _)| point.t).min() else {
            return;
        };
        self.stale |= aside
            .iter()
            .any(|(point, _)| foghorn_model::is_stale(point.v));
        let mut points = Vec::new();
        let before = self.window.take_from(first, &mut points);
        let mut origins = extra.origins.take();
        let home = self.home;
        let known = points.iter().enumerate().map(|(i, point)| {
            let from = origins.as_ref().map_or(home, |origins| origins[before + i]);
            (*point, from)
        });
        let mut all: Vec<_> = known.chain(aside.drain(..)).collect();
        // Stable: what came first stands first.
        all.sort_by_key(|(point, _)| point.t);
        if self.kind != Kind::Records {
            all.dedup_by(|next, stands| {
                let twins = next.0.t == stands.0.t;
                if twins && lower(next.1, stands.1) {
                    *stands = *next;
                }
                twins
            });
            if origins.is_some() || all.iter().any(|(_, from)| *from != home) {
                let mut list = origins.take().unwrap_or_else(|| vec![home; before]);
                list.truncate(before);
                list.extend(all.iter().map(|(_, from)| *from));
                extra.origins = Some(list);
            }
        }
        // The room is used again.
        extra.unordered = aside;
        points.clear();
        points.extend(all.iter().map(|(point, _)| *point));
        self.window.extend(&points);
    }
}

#[cfg(test)]
mod tests {
    use foghorn_model::{Labels, Timestamp};

    use super::*;
    use crate::series::SetId;

    /// Samples as `time=value@partition`, in arrival order; the window that they make.
    fn check(kind: Kind, arrivals: &str, expect: &str) {
        let mut series = Series::new(Labels::empty(), kind, 0, SetId(0), None);
        for arrival in arrivals.split_whitespace() {
            let (t, rest) = arrival.split_once('=').unwrap();
            let (v, from) = rest.split_once('@').unwrap();
            let point = Point {
                t: t.parse().unwrap(),
                v: v.parse().unwrap(),
            };
            let from = from.parse().unwrap();
            series.append(point, from, || Timestamp::MIN, |a, b| a < b);
        }
        series.order(|a, b| a < b);
        let mut points = Vec::new();
        let found: Vec<_> = series
            .window
            .all(&mut points)
            .iter()
            .map(|p| format!("{}={}", p.t, p.v))
            .collect();
        assert_eq!(found.join(" "), expect);
        let origins = series.extra.and_then(|extra| extra.origins);
        assert!(origins.is_none_or(|origins| origins.len() == found.len()));
    }

    #[test]
    fn points_find_their_places() {
        check(
            Kind::Absolute,
            "10=1@0 30=3@0 20=2@0 5=0@0",
            "5=0 10=1 20=2 30=3",
        );
    }

    #[test]
    fn of_twins_the_lower_partition_stands() {
        check(Kind::Absolute, "10=1@2 20=2@2 10=9@1 10=8@3", "10=9 20=2");
        check(Kind::Absolute, "10=1@1 20=2@1 10=9@1", "10=1 20=2");
        check(Kind::Absolute, "20=2@1 10=7@3 10=9@2 10=8@2", "10=9 20=2");
    }

    #[test]
    fn a_staleness_marker_is_not_forgotten() {
        let stale = |arrivals: &[(i64, f64)]| {
            let mut series = Series::new(Labels::empty(), Kind::Absolute, 0, SetId(0), None);
            for (t, v) in arrivals {
                let point = Point { t: *t, v: *v };
                // All but the newest may go whenever room is made.
                let horizon = Timestamp(series.window.last_t().saturating_sub(1));
                series.append(point, 0, || horizon, |a, b| a < b);
            }
            series.order(|a, b| a < b);
            series.stale
        };
        let marker = foghorn_model::time::STALE_NAN;
        for many in 1..200 {
            let values = (0..many).map(|t| (t, 1.0));
            let last: Vec<_> = values.clone().chain([(many, marker)]).collect();
            assert!(stale(&last), "the last of {many}");
            let aside: Vec<_> = values
                .chain([(many + 5, 1.0), (many + 3, marker)])
                .chain((6..40).map(|t| (many + t, 1.0)))
                .collect();
            assert!(stale(&aside), "aside, behind {many}");
        }
    }

    #[test]
    fn all_log_records_stand_as_they_came() {
        check(
            Kind::Records,
            "10=1@1 20=2@1 10=9@2 20=3@1",
            "10=1 10=9 20=2 20=3",
        );
    }

    #[test]
    fn long_windows_are_opened_only_where_something_comes_in() {
        let times = |from: i64, to: i64| (from..to).map(|t| format!("{}={t}@{}", 2 * t, t % 3));
        let mut arrivals: Vec<_> = times(0, 1_000).collect();
        arrivals.extend((400..700).map(|t| format!("{}={t}@1", 2 * t + 1)));
        let mut expect: Vec<_> = (0..1_000).map(|t| (2 * t, t)).collect();
        expect.extend((400..700).map(|t| (2 * t + 1, t)));
        expect.sort_unstable();
        let expect: Vec<_> = expect.iter().map(|(t, v)| format!("{t}={v}")).collect();
        check(Kind::Absolute, &arrivals.join(" "), &expect.join(" "));
    }
}
