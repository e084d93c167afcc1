//! Change events and alerts of other programs.

use foghorn_model::{ChangeKind, Timestamp};
use foghorn_wire::recording::RecordingSink;
use foghorn_wire::{DecodeOptions, Decoder, Format};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn decode(format: Format, text: &str) -> (Result<(), &'static str>, RecordingSink) {
    let mut sink = RecordingSink::new();
    let done =
        Decoder::new(DecodeOptions::default()).decode(format, text.as_bytes(), NOW, &mut sink);
    (done.map_err(|refusal| refusal.code), sink)
}

/// Kind, service, version, environment, summary, and milliseconds after `NOW`.
type Brief<'a> = (ChangeKind, &'a str, &'a str, &'a str, &'a str, i64);

fn check_change(text: &str, expect: Result<Brief<'_>, &str>) {
    let (done, sink) = decode(Format::Changes, text);
    let got = done.map(|()| {
        let c = &sink.changes[0];
        (
            c.kind,
            &*c.service,
            &*c.version,
            &*c.environment,
            &*c.summary,
            c.at - NOW,
        )
    });
    assert_eq!(got, expect, "{text}");
}

#[test]
fn plain_json_by_the_default_keys() {
    check_change(
        r#"{"service":"api","version":"v2","env":"prod","type":"deployment","title":"api v2","time":1700000001}"#,
        Ok((ChangeKind::Deploy, "api", "v2", "prod", "api v2", 1_000)),
    );
    check_change(
        r#"{"service":{"name":"api"},"version":7}"#,
        Ok((ChangeKind::Deploy, "api", "7", "", "change of api 7", 0)),
    );
    for (word, kind) in [
        ("Rollback", ChangeKind::Rollback),
        ("feature_flag.updated", ChangeKind::Flag),
        ("autoscaling", ChangeKind::Scale),
        ("schema_migration", ChangeKind::Migration),
        ("config-change", ChangeKind::Config),
        ("undeploy", ChangeKind::Remove),
        ("party", ChangeKind::Other),
    ] {
        let text = format!(r#"{{"service":"api","kind":"{word}","summary":"s"}}"#);
        check_change(&text, Ok((kind, "api", "", "", "s", 0)));
    }
}

#[test]
fn the_rest_becomes_labels_and_the_id_is_stable() {
    let text = r#"{"id":"42","service":"api","author":"kim","url":"http://x","labels":{"team":"core"},"git":{"sha":"abc"},"n":[1]}"#;
    let (_, sink) = decode(Format::Changes, text);
    let change = &sink.changes[0];
    assert_eq!(change.labels.to_string(), r#"{git_sha="abc", team="core"}"#);
    assert_eq!((&*change.author, &*change.link), ("kim", "http://x"));
    assert_eq!(decode(Format::Changes, text).1.changes[0].id, change.id);
    assert_ne!(
        decode(Format::Changes, &text.replace("42", "43")).1.changes[0].id,
        change.id
    );
}

fn cd_event(kind: &str) -> String {
    format!(
        r#"{{"context":{{"id":"e1","source":"/ci","type":"dev.cdevents.{kind}","timestamp":"2023-11-14T22:13:21Z"}},
            "subject":{{"id":"shop/checkout","type":"service","content":{{"environment":{{"id":"prod"}},
            "artifactId":"pkg:oci/checkout@sha256%3Aabc?repository_url=r.io&tag=1.4.2"}}}}}}"#
    )
}

#[test]
fn cdevents_bare_and_in_cloudevents() {
    let deployed = cd_event("service.deployed.0.2.0");
    let expect = (
        ChangeKind::Deploy,
        "checkout",
        "1.4.2",
        "prod",
        "service checkout 1.4.2 deployed in prod",
        1_000,
    );
    check_change(&deployed, Ok(expect));
    let wrapped = format!(
        r#"{{"specversion":"1.0","id":"x","source":"/ci","type":"dev.cdevents.service.deployed.0.2.0","data":{deployed}}}"#
    );
    check_change(&wrapped, Ok(expect));
    assert_eq!(
        decode(Format::Changes, &deployed).1.changes[0].id,
        decode(Format::Changes, &wrapped).1.changes[0].id
    );
    check_change(&cd_event("pipelinerun.finished.0.2.0"), Err("not_a_change"));
    let (_, sink) = decode(Format::Changes, &cd_event("service.rolledback.0.2.0"));
    assert_eq!(sink.changes[0].kind, ChangeKind::Rollback);
}

#[test]
fn cloudevents_fill_what_the_data_does_not_say() {
    let text = r#"{"specversion":"1.0","id":"7","source":"/flags","type":"com.flags.toggled","subject":"api",
        "time":"2023-11-14T22:13:22Z","data":{"summary":"dark mode on"}}"#;
    check_change(
        text,
        Ok((ChangeKind::Flag, "api", "", "", "dark mode on", 2_000)),
    );
    check_change(
        &text.replace(
            r#""data":{"summary":"dark mode on"}"#,
            r#""data_base64":"e30=""#,
        ),
        Err("unsupported_type"),
    );
}

#[test]
fn several_changes_and_faults() {
    let a = r#"{"service":"a","version":"1"}"#;
    for text in [
        format!("{a}\n{a}\n"),
        format!("[{a},{a}]"),
        format!("{a}\n{{oops\n{a}"),
    ] {
        let (done, sink) = decode(Format::Changes, &text);
        assert_eq!((done, sink.changes.len()), (Ok(()), 2), "{text}");
    }
    check_change(r#"{"version":"1"}"#, Err("missing_field"));
    check_change(r#"{"service":"a","time":"soon"}"#, Err("bad_timestamp"));
    check_change("7", Err("wrong_type"));
    check_change(r#"{"service":"#, Err("truncated"));
    check_change(&"[".repeat(100_000), Err("bad_json"));
}

/// Name, beginning and end in milliseconds after `NOW`.
type AlertBrief<'a> = (&'a str, i64, Option<i64>);

fn check_alerts(text: &str, expect: Result<&[AlertBrief<'_>], &str>) {
    let (done, sink) = decode(Format::Alerts, text);
    let got = done.map(|()| {
        let brief = |alert: &foghorn_model::OutsideAlert| {
            (
                alert.labels.value("alertname").to_owned(),
                alert.starts_at - NOW,
                alert.ends_at.map(|end| end - NOW),
            )
        };
        sink.alerts.iter().map(brief).collect::<Vec<_>>()
    });
    let expect = expect.map(|list| {
        list.iter()
            .map(|(name, from, to)| ((*name).to_owned(), *from, *to))
            .collect()
    });
    assert_eq!(got, expect, "{text}");
}

#[test]
fn webhook_v4() {
    let text = r#"{"version":"4","groupKey":"g","status":"firing","alerts":[
        {"status":"firing","labels":{"alertname":"A","n":1},"annotations":{"summary":"s"},"startsAt":"2023-11-14T22:13:10Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://g"},
        {"status":"resolved","labels":{"alertname":"B"},"startsAt":"2023-11-14T22:13:10Z","endsAt":"2023-11-14T22:13:15Z"}]}"#;
    check_alerts(
        text,
        Ok(&[("A", -10_000, None), ("B", -10_000, Some(-5_000))]),
    );
    let (_, sink) = decode(Format::Alerts, text);
    let alert = &sink.alerts[0];
    assert_eq!(
        (
            alert.labels.value("n"),
            alert.annotations.value("summary"),
            &*alert.generator
        ),
        ("1", "s", "http://g")
    );
}

#[test]
fn the_v2_array() {
    let alert = |name: &str, ends: &str| {
        format!(
            r#"{{"labels":{{"alertname":"{name}"}},"startsAt":"2023-11-14T22:13:10.5+00:00","endsAt":"{ends}"}}"#
        )
    };
    let text = format!(
        "[{},{}]",
        alert("A", "2023-11-14T22:17:20Z"),
        alert("B", "2023-11-14T22:13:19Z")
    );
    check_alerts(
        &text,
        Ok(&[("A", -9_500, None), ("B", -9_500, Some(-1_000))]),
    );
    check_alerts(r#"{"labels":{"alertname":"A"}}"#, Ok(&[("A", 0, None)]));
    let wrapped =
        format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{text}}}"#);
    check_alerts(
        &wrapped,
        Ok(&[("A", -9_500, None), ("B", -9_500, Some(-1_000))]),
    );
}

/// An event of Alertmanager's event recorder; labels as the first version of its schema has them.
fn recorded(kind: &str, alert: &str) -> String {
    format!(
        r#"{{"@timestamp":"2023-11-14T22:13:20Z","instance":"am-0","data":{{"{kind}":{{"alert":{alert}}}}},"clusterPosition":1}}"#
    )
}

#[test]
fn the_event_recorders_alerts() {
    let alert = |more: &str| {
        format!(
            r#"{{"fingerprint":"12130","name":"A","labels":{{"labels":[{{"key":"alertname","value":"A"}},{{"key":"service","value":"api"}}]}},
                "startsAt":"2023-11-14T22:13:10Z","endsAt":"2023-11-14T22:17:10Z"{more}}}"#
        )
    };
    let detailed = format!(r#"{{"hash":"99","details":{}}}"#, alert(""));
    let open: &[AlertBrief<'_>] = &[("A", -10_000, None)];
    let over: &[AlertBrief<'_>] = &[("A", -10_000, Some(230_000))];
    check_alerts(&recorded("alertCreated", &alert("")), Ok(open));
    check_alerts(&recorded("alertGrouped", &detailed), Ok(open));
    check_alerts(&recorded("alertResolved", &detailed), Ok(over));
    check_alerts(
        &recorded("alertGrouped", &alert(r#","resolved":true"#)),
        Ok(over),
    );
    let text = recorded("alertCreated", &alert(""));
    let (_, sink) = decode(Format::Alerts, &text);
    assert_eq!(
        sink.alerts[0].labels.to_string(),
        r#"{alertname="A", service="api"}"#
    );
    // The second version has its labels as an object.
    let second = r#"{"name":"A","labels":{"alertname":"A"},"startsAt":"2023-11-14T22:13:10Z"}"#;
    check_alerts(
        &recorded("alertResolved", second),
        Ok(&[("A", -10_000, Some(0))]),
    );
    // Inside CloudEvents; and what is no alert.
    let wrapped =
        format!(r#"{{"specversion":"1.0","id":"1","source":"s","type":"t","data":{text}}}"#);
    check_alerts(&wrapped, Ok(open));
    check_alerts(&recorded("silenceMutedAlert", "{}"), Ok(&[]));
    check_alerts(
        &recorded("alertResolved", r#"{"hash":"99"}"#),
        Err("missing_field"),
    );
    check_alerts(r#"{"data":{"a":1,"b":2}}"#, Err("wrong_type"));
}

#[test]
fn kubernetes_events() {
    let event = |reason: &str| {
        format!(
            r#"{{"metadata":{{"uid":"u1","namespace":"shop"}},"involvedObject":{{"kind":"Deployment","namespace":"shop","name":"checkout"}},
                "reason":"{reason}","message":"Scaled up replica set checkout-7d9 to 3","type":"Normal","count":1,
                "lastTimestamp":"2023-11-14T22:13:21Z","source":{{"component":"deployment-controller"}}}}"#
        )
    };
    let summary = "Scaled up replica set checkout-7d9 to 3";
    let expect = (ChangeKind::Scale, "checkout", "", "shop", summary, 1_000);
    let scaled = event("ScalingReplicaSet");
    check_change(&scaled, Ok(expect));
    check_change(
        &format!(r#"{{"type":"ADDED","object":{scaled}}}"#),
        Ok(expect),
    );
    check_change(&event("BackOff"), Err("not_a_change"));
    let later = scaled.replace(r#""count":1"#, r#""count":2"#);
    let id = |text: &str| decode(Format::Changes, text).1.changes[0].id;
    assert_ne!(id(&scaled), id(&later));
}

#[test]
fn alerts_that_are_none() {
    check_alerts(r#"{"labels":{}}"#, Err("missing_field"));
    check_alerts(r#"{"labels":[]}"#, Err("wrong_type"));
    check_alerts(
        r#"[{"labels":{"alertname":"A"},"startsAt":"soon"}]"#,
        Err("bad_timestamp"),
    );
    check_alerts("true", Err("wrong_type"));
    check_alerts("[]", Ok(&[]));
    let mixed = r#"{"alerts":[{"labels":{}},{"labels":{"alertname":"A"}}]}"#;
    let (done, sink) = decode(Format::Alerts, mixed);
    assert_eq!(
        (done, sink.alerts.len(), sink.codes()),
        (Ok(()), 1, vec!["missing_field"])
    );
}
