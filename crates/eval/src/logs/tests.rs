//! Pipelines and records as tables, and the prefilter against trying every pipeline.

use std::sync::Arc;

use foghorn_model::{Labels, LogRecord, SeriesKey, Timestamp};
use foghorn_rules::logql::{LogExpr, Pipeline, parse};
use foghorn_rules::plan::Read;
use proptest::prelude::*;

use super::{LogMatcher, PipelineId, Scratch};

fn pipeline(query: &str) -> Arc<Pipeline> {
    match parse(query).unwrap_or_else(|error| panic!("{query}: {error}")) {
        LogExpr::Logs(pipeline) => Arc::new(pipeline),
        LogExpr::Metric(_) => {
            let mut leaves = Vec::new();
            foghorn_rules::logql::lower(&parse(query).unwrap(), &mut leaves).unwrap();
            match &leaves[0].read {
                Read::Log { pipeline, .. } => Arc::clone(pipeline),
                _ => unreachable!("a log query has log leaves only"),
            }
        }
    }
}

fn stream() -> Labels {
    Labels::from_pairs([("job", "api"), ("pod", "p1")])
}

/// What each pipeline made of the record: its position, its labels as text, the line.
fn hits(
    matcher: &LogMatcher,
    scratch: &mut Scratch,
    line: &str,
    attributes: &[(&str, &str)],
) -> Vec<(u32, String, String)> {
    let labels = stream();
    let accepted = matcher.stream_mask(&labels);
    let record = LogRecord {
        at: Timestamp(0),
        stream: SeriesKey(0),
        line,
        severity: 0,
        attributes,
    };
    let mut found = Vec::new();
    matcher.run(
        scratch,
        &accepted,
        &labels,
        &record,
        &mut |PipelineId(id), hit| {
            let labels = hit.labels();
            assert_eq!(hit.key(), labels.fingerprint().0, "{labels}");
            found.push((id, labels.to_string(), hit.line().to_owned()));
        },
    );
    found
}

/// The labels that come out beside the stream's own, or `None` if the record does not pass.
#[track_caller]
fn check_with(query: &str, line: &str, attributes: &[(&str, &str)], expect: Option<&str>) {
    let matcher = LogMatcher::new(&[pipeline(query)]);
    let found = hits(&matcher, &mut Scratch::default(), line, attributes);
    let found = found.first().map(|(_, labels, _)| {
        labels
            .replace(r#"job="api", "#, "")
            .replace(r#"pod="p1""#, "…")
    });
    assert_eq!(found.as_deref(), expect, "{query}\n{line}");
}

#[track_caller]
fn check(query: &str, line: &str, expect: Option<&str>) {
    check_with(query, line, &[], expect);
}

#[test]
fn selectors() {
    check(r#"{job="api"}"#, "x", Some("{…}"));
    check(r#"{job="web"}"#, "x", None);
    check(r#"{job=~"a.*", env!="dev"}"#, "x", Some("{…}"));
}

#[test]
fn line_filters() {
    check(r#"{job="api"} |= "bc" |= "cd""#, "abcd", Some("{…}"));
    check(r#"{job="api"} |= "bc" != "a""#, "abcd", None);
    check(r#"{job="api"} |= "xx" or "cd""#, "abcd", Some("{…}"));
    check(r#"{job="api"} != "xx" or "cd""#, "abcd", None);
    check(r#"{job="api"} |~ "(?i)B.D""#, "abcd", Some("{…}"));
    check(r#"{job="api"} !~ "b$" or "x""#, "abcd", Some("{…}"));
    check(r#"{job="api"} |= """#, "", Some("{…}"));
}

#[test]
fn json_fields() {
    let query = r#"{job="api"} | json"#;
    check(
        query,
        r#"{"a":1,"b":{"c":"x","d e":true},"f":[1],"g":null}"#,
        Some(r#"{a="1", b_c="x", b_d_e="true", …}"#),
    );
    check(
        query,
        r#"{"pod":"other","9x":1.50}"#,
        Some(r#"{_9x="1.50", …, pod_extracted="other"}"#),
    );
    check(
        query,
        r#"{"a":"q\"\n\u00e9\ud83d\ude00","b\u0063":2}"#,
        Some("{a=\"q\\\"\\né😀\", bc=\"2\", …}"),
    );
    check(query, r#"{"a":1,"a":2}"#, Some(r#"{a="2", …}"#));
    check(
        query,
        r#"{"a":1,"b":"cut of"#,
        Some(r#"{__error__="JSONParserErr", a="1", …}"#),
    );
    check(query, "plain", Some(r#"{__error__="JSONParserErr", …}"#));
    check(query, " {} ", Some("{…}"));
    let paths = r#"{job="api"} | json x="a.b[1]", y="a[\"b\"]", z="a.none", pod="a.b[0]""#;
    check(
        paths,
        r#"{"a":{"b":["s","t\n"]}}"#,
        Some(r#"{…, pod_extracted="s", x="t\n", y="[\"s\",\"t\\n\"]"}"#),
    );
    check(paths, r#"{"a":5}"#, Some("{…}"));
    check(paths, "plain", Some(r#"{__error__="JSONParserErr", …}"#));
}

#[test]
fn logfmt_fields() {
    let query = r#"{job="api"} | logfmt"#;
    check(
        query,
        r#"level=warn msg="a \"b\" c" bare took.ms=5 e= pod=x"#,
        Some(r#"{level="warn", msg="a \"b\" c", …, pod_extracted="x", took_ms="5"}"#),
    );
    check(query, r#"u=a=b k"q =v x=1 y="open"#, Some(r#"{…, x="1"}"#));
    check(
        r#"{job="api"} | logfmt --strict"#,
        "x=1 u=a=b y=2",
        Some(r#"{__error__="LogfmtParserErr", …, x="1"}"#),
    );
    check(
        r#"{job="api"} | logfmt lvl="level", msg"#,
        "level=warn msg=hi x=1",
        Some(r#"{lvl="warn", msg="hi", …}"#),
    );
}

#[test]
fn other_parsers() {
    check(
        r#"{job="api"} | regexp "(?P<code>[45]\\d\\d)""#,
        "HTTP 503",
        Some(r#"{code="503", …}"#),
    );
    check(
        r#"{job="api"} | regexp "(?P<code>[45]\\d\\d)""#,
        "HTTP",
        Some("{…}"),
    );
    check(
        r#"{job="api"} | pattern "<ip> <_> <pod>""#,
        "1.2.3.4 - x y",
        Some(r#"{ip="1.2.3.4", …, pod_extracted="x y"}"#),
    );
}

#[test]
fn label_filters() {
    let line = r#"{"status":503,"took":"1.5s","size":"2KB","level":"error","bad":"x"}"#;
    let passes = |filter: &str| {
        let matcher = LogMatcher::new(&[pipeline(&format!(r#"{{job="api"}} | json | {filter}"#))]);
        !hits(&matcher, &mut Scratch::default(), line, &[]).is_empty()
    };
    for yes in [
        "status=503",
        "status==503",
        "status >= 500 and status < 600",
        "took > 1s",
        "took <= 1500ms",
        "size > 1KiB",
        r#"level="error""#,
        r#"level=~"err.*""#,
        r#"level!="warn""#,
        r#"none="""#,
        r#"level="x" or status=503"#,
        r#"(level="x" or status=503), size=2KB"#,
        r#"pod="p1""#,
        r#"__error__="""#,
        "bad > 1",
    ] {
        assert!(passes(yes), "{yes}");
    }
    for no in [
        "status=504",
        "took > 2s",
        "size < 1KB",
        r#"level="warn""#,
        r#"level=~"err""#,
        "none = 0",
        "none != 0",
        r#"level="error" and status=1"#,
        r#"level="x" or status=503 and size=1KB"#,
        r#"bad > 1 | __error__="""#,
    ] {
        assert!(!passes(no), "{no}");
    }
    check(
        r#"{job="api"} | json | a > 1"#,
        r#"{"a":"x"}"#,
        Some(r#"{__error__="LabelFilterErr", a="x", …}"#),
    );
    check(
        r#"{job="api"} | json | a > 1 | __error__="""#,
        "plain",
        None,
    );
}

#[test]
fn formats_and_removal() {
    check(
        r#"{job="api"} | logfmt | label_format b=a, c="{{.pod}}!""#,
        "a=1",
        Some(r#"{b="1", c="p1!", …}"#),
    );
    check(
        r#"{job="api"} | logfmt | drop pod, a="1", b="3""#,
        "a=1 b=2",
        Some(r#"{b="2", job="api"}"#),
    );
    check(
        r#"{job="api"} | logfmt | keep b"#,
        "a=1 b=2",
        Some(r#"{b="2"}"#),
    );
    check(
        r#"{job="api"} | logfmt | line_format "{{.a}} of {{__line__}}" |= "1 of a""#,
        "a=1",
        Some(r#"{a="1", …}"#),
    );
    check(
        r#"{job="api"} | json | line_format "{{.m}}" | logfmt | line_format "x" | m != """#,
        r#"{"m":"k=v"}"#,
        Some(r#"{k="v", m="k=v", …}"#),
    );
    let matcher = LogMatcher::new(&[pipeline(r#"{job="api"} | decolorize |= "ab""#)]);
    let found = hits(
        &matcher,
        &mut Scratch::default(),
        "a\u{1b}[1;31mb\u{1b}[0m\u{1b}[2K",
        &[],
    );
    assert_eq!(found[0].2, "ab\u{1b}[2K");
}

#[test]
fn attributes_are_labels_that_parsers_override() {
    let attributes = [
        ("http.status", "500"),
        ("pod", "p2"),
        ("a", "0"),
        ("empty", ""),
    ];
    check_with(
        r#"{job="api"}"#,
        "a=1",
        &attributes,
        Some(r#"{a="0", http_status="500", …, pod_extracted="p2"}"#),
    );
    check_with(
        r#"{job="api"} | logfmt | http_status > 499"#,
        "a=1",
        &attributes,
        Some(r#"{a="1", http_status="500", …, pod_extracted="p2"}"#),
    );
    check_with(r#"{job="api"} | a="1""#, "a=1", &attributes, None);
}

#[test]
fn a_sum_keeps_only_its_labels() {
    check(
        r#"sum by (level, pod) (rate({job="api"} | logfmt [1m]))"#,
        "level=warn x=1",
        Some(r#"{level="warn", …}"#),
    );
    check(
        r#"sum by (level) (rate({job="api"} | logfmt [1m]))"#,
        "x=1",
        Some("{}"),
    );
    check(
        r#"sum(rate({job="api"} | json | level="warn" [1m]))"#,
        r#"{"level":"warn"}"#,
        Some("{}"),
    );
    check(
        r#"sum by (job, pod) (rate({job="api"} [1m]))"#,
        "x",
        Some("{…}"),
    );
}

#[test]
fn the_mask_names_the_accepting_pipelines() {
    let queries: Vec<_> = (0..130)
        .map(|i| {
            pipeline(if i % 64 == 1 {
                r#"{job="api"}"#
            } else {
                r#"{job="b"} |= "xy""#
            })
        })
        .collect();
    let mask = LogMatcher::new(&queries).stream_mask(&stream());
    assert_eq!(
        mask.pipelines().collect::<Vec<_>>(),
        [PipelineId(1), PipelineId(65), PipelineId(129)]
    );
    assert!(!mask.is_empty());
    assert!(
        LogMatcher::new(&queries)
            .stream_mask(&Labels::empty())
            .is_empty()
    );
}

#[test]
fn scratch_memory_does_not_grow_with_records() {
    let matcher = LogMatcher::new(&[pipeline(
        r#"{job="api"} | json | a="x\"" | line_format "{{.a}}""#,
    )]);
    let mut scratch = Scratch::default();
    let mut sizes = (0..3).map(|_| {
        assert_eq!(
            hits(&matcher, &mut scratch, r#"{"a":"x\""}"#, &[("t.id", "1")]).len(),
            1
        );
        (
            scratch.fields.arena.len(),
            scratch.fields.json.entries.len(),
            scratch.own.len(),
        )
    });
    let first = sizes.next();
    assert!(sizes.all(|size| Some(size) == first));
}

/// Pipelines of every kind, most of them with a literal.
const MANY: &[&str] = &[
    r#"{job="api"} |= "error""#,
    r#"{job="api"} |= "Error""#,
    r#"{job="api"} |~ "(?i)error|fatal""#,
    r#"{job="api"} |~ "(?i)disk|task""#,
    r#"{job="api"} |~ "sk+|ta(sk)?""#,
    r#"{job="api"} |~ "e.*r" |= "task""#,
    r#"{job="api"} != "error""#,
    r#"{job="api"} | json | level="error""#,
    r#"{job="api"} |= "error" | json | task != """#,
    r#"{job="api"} | logfmt | level=~"e.*" |= "disk""#,
    r#"{job="api"} | line_format "fatal {{__line__}}" |= "fatal""#,
    r#"{job="web"} |= "error""#,
    r#"{job="api"} |= "disk" or "fatal" or "e""#,
    r#"{job="api"} |= "fatal" or "task" | logfmt | json"#,
    r#"sum by (level) (rate({job="api"} |= "er" | logfmt | json [1m]))"#,
];

proptest! {
    #[test]
    fn the_prefilter_loses_nothing_and_adds_nothing(
        lines in prop::collection::vec(
            prop::collection::vec(
                prop::sample::select(vec![
                    "error", "ERROR", "fatal", "disk", "task", "level=error ", "{\"level\":\"error\",\"task\":1}", "{\"level\":",
                    "e", "r", "s", "k", " ", "di\u{17f}k", "tas\u{212a}", "sk", "=", "\"",
                ]),
                0..6,
            ),
            1..4,
        ),
    ) {
        let pipelines: Vec<_> = MANY.iter().map(|query| pipeline(query)).collect();
        let all = LogMatcher::new(&pipelines);
        let mut scratch = Scratch::default();
        for line in lines.iter().map(|pieces| pieces.concat()) {
            let attributes = [("level", "info")];
            let together = hits(&all, &mut scratch, &line, &attributes);
            let mut alone = Vec::new();
            for (id, own) in pipelines.iter().enumerate() {
                let single = LogMatcher::new(std::slice::from_ref(own));
                let found = hits(&single, &mut Scratch::default(), &line, &attributes);
                alone.extend(found.into_iter().map(|(_, labels, line)| (id as u32, labels, line)));
            }
            prop_assert_eq!(together, alone, "{}", line);
        }
    }

    #[test]
    fn parsers_take_any_line(line in r#"[{}\[\]":,=\\u0-9a-f é\n"]{0,60}"#) {
        let queries = [r#"{job="api"} | json"#, r#"{job="api"} | logfmt"#, r#"{job="api"} | json x="a[0].b", y="c""#, r#"{job="api"} | logfmt --strict"#];
        let matcher = LogMatcher::new(&queries.map(pipeline));
        prop_assert_eq!(hits(&matcher, &mut Scratch::default(), &line, &[]).len(), queries.len());
    }

    #[test]
    fn json_reads_what_serde_writes(fields in prop::collection::btree_map("[a-z]{1,4}", ".{0,12}", 0..6)) {
        let line = serde_json::to_string(&fields).unwrap();
        let matcher = LogMatcher::new(&[pipeline(r#"{job="api"} | json"#)]);
        let found = hits(&matcher, &mut Scratch::default(), &line, &[]);
        let mut expect = stream().to_builder();
        for (name, value) in fields.iter().filter(|(_, value)| !value.contains('\u{fffd}')) {
            let name = if stream().get(name).is_some() { format!("{name}_extracted") } else { name.clone() };
            expect.set(&name, value);
        }
        prop_assert_eq!(&found[0].1, &expect.build().to_string());
    }
}
