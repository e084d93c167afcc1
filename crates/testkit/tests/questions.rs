//! Questions over what the rules' windows hold: the path from bytes to answers, in memory.

use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_engine::{Answer, Query};
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{Raw, SourceConfig};
use foghorn_model::{Labels, Partition, Timestamp};
use foghorn_rules::{LoadOptions, Source, load};
use foghorn_runtime::{Layout, Pipeline};
use foghorn_wire::Format;
use foghorn_wire::encode::RemoteWrite;

const RULES: &str = "
groups:
  - name: g
    interval: 30s
    rules:
      - record: job:up:sum
        expr: sum by (job) (up)
      - alert: Busy
        expr: rate(requests_total{job=\"api\"}[2m]) > 100
";
const MINUTE: i64 = 60_000;

/// Ten minutes of two clusters, the second one with a replica that says 5.
fn pipeline(scope: &[&str], replica: Option<&str>, shards: usize) -> Pipeline {
    let (rules, diagnostics) = load(&[Source::new("t.yaml", RULES)], &LoadOptions::default());
    assert_eq!(diagnostics, []);
    let sources = [SourceConfig {
        scope: scope.iter().map(|&name| name.to_owned()).collect(),
        replica: replica.map(str::to_owned),
        ..SourceConfig::of("metrics", Format::RemoteWrite1)
    }];
    let layout = Layout {
        shards,
        ..Layout::default()
    };
    let topology = Topology::new(&TopologyFile::default());
    let correlator = Correlator::new(Config::default(), topology);
    let catalog = Arc::new(Catalog::new(rules));
    let mut pipeline = Pipeline::new(catalog, &sources, correlator, Vec::new(), &layout);
    pipeline.brain().start(Timestamp(-1), Timestamp::MIN);
    let partition = Partition::new(0, 0);
    pipeline.join(partition, 0, &[], 0, Timestamp(0));
    let series = [
        (
            vec![("__name__", "up"), ("job", "api"), ("cluster", "eu")],
            1.0,
        ),
        (
            vec![
                ("__name__", "up"),
                ("job", "api"),
                ("cluster", "us"),
                ("r", "a"),
            ],
            1.0,
        ),
        (
            vec![
                ("__name__", "up"),
                ("job", "api"),
                ("cluster", "us"),
                ("r", "b"),
            ],
            5.0,
        ),
    ];
    for step in 0..=20_i64 {
        let at = Timestamp(step * MINUTE / 2);
        let requests = [
            ("__name__", "requests_total"),
            ("job", "api"),
            ("cluster", "eu"),
        ];
        let mut body =
            RemoteWrite::new().series(&Labels::from_pairs(requests), &[(at, (step * 60) as f64)]);
        for (labels, value) in &series {
            body = body.series(&Labels::from_pairs(labels.iter().copied()), &[(at, *value)]);
        }
        let payload = body.into_bytes();
        let raw = Raw {
            partition,
            offset: step,
            timestamp: Some(at),
            payload: &payload,
            ..Raw::default()
        };
        pipeline.feed(&raw, None).expect("it can be read");
        pipeline.step(at);
    }
    pipeline
}

fn told(pipeline: &mut Pipeline, query: &str, minute: f64) -> String {
    let at = Timestamp((minute * MINUTE as f64) as i64);
    match Query::parse(query).map(|query| pipeline.query(&query, at)) {
        Err(problem) => problem,
        Ok(Err(error)) => error.to_string(),
        Ok(Ok(Answer::Scalar(value))) => value.to_string(),
        Ok(Ok(Answer::Vector(elements))) => {
            let told = elements
                .iter()
                .map(|(labels, value)| format!("{labels} {value}"));
            told.collect::<Vec<_>>().join(", ")
        }
    }
}

/// Without scopes, at a minute.
fn check(query: &str, minute: f64, expect: &str) {
    for shards in [1, 3] {
        let mut pipeline = pipeline(&[], None, shards);
        assert_eq!(
            told(&mut pipeline, query, minute),
            expect,
            "{query} on {shards} shards"
        );
    }
}

#[test]
fn what_a_rule_reads_can_be_asked() {
    check("sum(up)", 10.0, "{} 7");
    check(
        "up{r=\"b\"} * 2",
        10.0,
        "{cluster=\"us\", job=\"api\", r=\"b\"} 10",
    );
    check(
        "round(rate(requests_total{job=\"api\"}[2m]), 0.01)",
        10.0,
        "{cluster=\"eu\", job=\"api\"} 2",
    );
    // A narrower selector and a shorter range of the same series.
    check(
        "round(increase(requests_total{job=\"api\",cluster=\"eu\"}[1m]), 1)",
        10.0,
        "{cluster=\"eu\", job=\"api\"} 120",
    );
    check("1 + 1", 0.0, "2");
    check("vector(time())", 10.0, "{} 600");
    // What has no closed tick yet is there, too; and what a rule recorded.
    check("count(up)", 10.4, "{} 3");
    check("absent(up{job=\"web\"})", 10.0, "{job=\"web\"} 1");
}

#[test]
fn what_is_not_kept_is_said() {
    check(
        "down",
        10.0,
        "no rule names down: only series that a rule in force reads are kept",
    );
    check(
        "requests_total",
        10.0,
        "no rule names requests_total: only series that a rule in force reads are kept",
    );
    check(
        "up offset 1h",
        10.0,
        "up is kept since 1970-01-01T00:04:30.000Z, and what is asked needs it since 1969-12-31T23:05:00.000Z",
    );
    check("sum(up", 10.0, "1:4: parse error: `(` is not closed");
}

/// With scope and replica.
fn check_scoped(query: &str, expect: &str) {
    for shards in [1, 3] {
        let mut pipeline = pipeline(&["cluster"], Some("r"), shards);
        assert_eq!(
            told(&mut pipeline, query, 10.0),
            expect,
            "{query} on {shards} shards"
        );
    }
}

#[test]
fn each_scope_answers_with_its_labels() {
    check_scoped("sum(up)", "{cluster=\"eu\"} 1, {cluster=\"us\"} 1");
    check_scoped("sum(up{cluster=\"us\"})", "{cluster=\"us\"} 1");
    check_scoped("up{cluster=~\"e.*\"}", "up{cluster=\"eu\", job=\"api\"} 1");
    check_scoped("1 + 1", "2");
}

#[test]
fn a_rule_that_explodes_fails_alone() {
    let mut pipeline = pipeline(&[], None, 1);
    pipeline.brain().bound_results(0);
    let at = Timestamp(12 * MINUTE);
    pipeline.finish(Partition::new(0, 0));
    pipeline.brain().stop_at(at);
    pipeline.step(at);
    let groups = pipeline.view().groups();
    let told: Vec<_> = groups[0]
        .rules
        .iter()
        .map(|rule| rule.last_error.as_str())
        .collect();
    let why = "1 elements, where a rule may give 0 (limits.max_rule_elements)";
    assert_eq!(told, [why, ""]);
}
