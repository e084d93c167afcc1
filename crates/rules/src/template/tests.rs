use foghorn_model::Labels;
use proptest::prelude::*;

use super::*;

/// Renders over `{instance="a:9090", job="node"}`, external label `dc="eu"`.
fn render(text: &str, value: f64) -> String {
    let labels = Labels::from_pairs([("instance", "a:9090"), ("job", "node")]);
    let external = [("dc".to_owned(), "eu".to_owned())];
    let template =
        Template::parse(text).unwrap_or_else(|(at, why)| panic!("{text:?} at {at}: {why}"));
    template.render(&TemplateContext::new(&labels, value).with_external_labels(&external))
}

fn check(text: &str, value: f64, expect: &str) {
    assert_eq!(render(text, value), expect, "{text}");
}

#[test]
fn labels_and_values() {
    check("plain }} text", 0.0, "plain }} text");
    check(
        "{{ $labels.job }} on {{$labels.instance}}: {{ $value }}",
        0.5,
        "node on a:9090: 0.5",
    );
    check("{{ .Labels.job }}{{ .Value }}", 1e8, "node1e+08");
    check("{{ $labels }}", 0.0, "map[instance:a:9090 job:node]");
    check("{{ $labels.missing }}|", 0.0, "|");
    check(
        "{{ $externalLabels.dc }}{{ .ExternalLabels.dc }}",
        0.0,
        "eueu",
    );
    check(r#"{{ index $labels "job" }}"#, 0.0, "node");
    check("{{ $.Labels.job }}", 0.0, "node");
}

#[test]
fn external_labels_of_its_own() {
    let own = Arc::from([("dc".to_owned(), "us".to_owned())]);
    let template = Template::parse("{{ $externalLabels.dc }}")
        .unwrap()
        .with_external_labels(&own);
    assert_eq!(
        template.render(&TemplateContext::new(&Labels::empty(), 0.0)),
        "us"
    );
}

#[test]
fn trimming_and_comments() {
    check("a  {{- $value -}}  b", 1.0, "a1b");
    check("a {{/* no */}} b", 1.0, "a  b");
    check("a {{- /* no */ -}} b", 1.0, "ab");
    check("a\n{{- if true }} b{{ end -}}\n c", 1.0, "a bc");
}

#[test]
fn humanized() {
    check("{{ $value | humanize }}", 1_234_567.0, "1.235M");
    check("{{ humanize $value }}", 0.001_234, "1.234m");
    check("{{ humanize 0.0 }}", 0.0, "0");
    check("{{ $value | humanize1024 }}", 1_048_576.0, "1Mi");
    check("{{ $value | humanizePercentage }}", 0.123_456, "12.35%");
    check("{{ $value | humanizeDuration }}", 93_784.5, "1d 2h 3m 4s");
    check("{{ $value | humanizeDuration }}", 0.012, "12ms");
    check("{{ $value | humanizeDuration }}", -65.0, "-1m 5s");
    check("{{ $value | humanizeDuration }}", 12.345_6, "12.35s");
    check(
        "{{ $value | humanizeTimestamp }}",
        1_435_065_584.128,
        "2015-06-23 13:19:44.128 +0000 UTC",
    );
    check("{{ \"1500\" | humanize }}", 0.0, "1.5k");
}

#[test]
fn printf_verbs() {
    check(r#"{{ printf "%.2f" $value }}"#, 0.666_66, "0.67");
    check(r#"{{ $value | printf "%.0f%%" }}"#, 99.5, "100%");
    check(
        r#"{{ printf "%.4g %g %e" $value $value $value }}"#,
        1234.5678,
        "1235 1234.5678 1.234568e+03",
    );
    check(
        r#"{{ printf "%s=%q=%v" $labels.job $labels.job $labels.job }}"#,
        0.0,
        "node=\"node\"=node",
    );
    check(
        r#"{{ printf "%d|%5d|%-4d|%03d" 7 7 7 7 }}"#,
        0.0,
        "7|    7|7   |007",
    );
    check(r#"{{ printf "%d" $value }}"#, 1.5, "%!d(float64=1.5)");
    check(r#"{{ printf "%s" }}"#, 0.0, "%!s(MISSING)");
    check(r#"{{ printf "x" 1 }}"#, 0.0, "x%!(EXTRA int=1)");
}

#[test]
fn texts() {
    check(
        "{{ $labels.job | toUpper }}{{ toLower \"AB\" }}{{ title \"a b-c\" }}",
        0.0,
        "NODEabA B-C",
    );
    check(
        r#"{{ reReplaceAll "(.*):\\d+" "$1" $labels.instance }}"#,
        0.0,
        "a",
    );
    check(
        "{{ $labels.instance | reReplaceAll `:\\d+$` `` }}",
        0.0,
        "a",
    );
    check(
        r#"{{ if match "^no" $labels.job }}yes{{ end }}"#,
        0.0,
        "yes",
    );
    // Seen on a Prometheus 3.5.3.
    check(
        r#"{{ printf "%q %5.1f %+d %x %s" "é\n" 1.25 5 10 $value }}"#,
        123_456_789.0,
        "\"é\\n\"   1.2 +5 a %!s(float64=1.23456789e+08)",
    );
    check(
        "{{ 1e6 }}|{{ 1000000.0 }}|{{ 100000.0 }}|{{ 12345678 }}",
        0.0,
        "1e+06|1e+06|100000|12345678",
    );
    check("{{ print 1 2 \"a\" 3 }}", 0.0, "1 2a3");
}

#[test]
fn branches_and_variables() {
    check(
        "{{ if $labels.job }}{{ .Labels.job }}{{ else }}none{{ end }}",
        0.0,
        "node",
    );
    let steps = "{{ if gt $value 10.0 }}high{{ else if gt $value 5 }}mid{{ else }}low{{ end }}";
    check(steps, 11.0, "high");
    check(steps, 6.0, "mid");
    check(steps, 1.0, "low");
    check(
        "{{ with $labels.job }}<{{ . }}>{{ end }}{{ with $labels.x }}{{ . }}{{ else }}-{{ end }}",
        0.0,
        "<node>-",
    );
    check(
        "{{ $x := $labels.job | toUpper }}{{ $x }}{{ $x = \"b\" }}{{ $x }}",
        0.0,
        "NODEb",
    );
    check(
        r#"{{ if and (eq $labels.job "node" "x") (not false) }}ok{{ end }}"#,
        0.0,
        "ok",
    );
    check(
        r#"{{ if or (ne $labels.job "node") (lt $value 0.0) }}a{{ else }}b{{ end }}"#,
        0.0,
        "b",
    );
}

#[test]
fn failures_at_run_time_read_as_prometheus_says_them() {
    check(
        "{{ $labels.job | humanize }}",
        0.0,
        "<error expanding template: error calling humanize: strconv.ParseFloat: parsing \"node\": invalid syntax>",
    );
    check(
        "{{ eq $labels.job 1 }}",
        0.0,
        "<error expanding template: error calling eq: incompatible types for comparison>",
    );
}

#[test]
fn failures_at_load_have_a_place() {
    let check = |text: &str, at: usize, why: &str| {
        let error = Template::parse(text).unwrap_err();
        assert_eq!(error, (at, why.to_owned()), "{text}");
    };
    check("a {{ $value", 4, "this action is not closed by `}}`");
    check("{{ $valeu }}", 3, "there is no variable `$valeu`");
    check(
        "{{ humanise $value }}",
        3,
        "there is no function `humanise`",
    );
    check("{{ humanize }}", 3, "`humanize` takes 1 arguments, not 0");
    check("{{ if $value }}a", 0, "this block has no `end`");
    check("a{{ end }}", 1, "`end` without a block");
    check("{{ \"a }}", 3, "this text has no closing quote");
    check("{{ $value | 3 }}", 12, "only a function may follow `|`");
    check(
        "{{ range $labels }}{{ end }}",
        3,
        "`range` is not supported in a template",
    );
    check(
        "{{ query \"up\" }}",
        3,
        "the function `query` is not supported in a template",
    );
    check(
        r#"{{ match "(" "a" }}"#,
        3,
        "\"(\" is not a regular expression",
    );
    check("{{ }}", 0, "an action without a value");
}

proptest! {
    #[test]
    fn never_panics(text in "(\\{\\{|\\}\\}|-| |\\$labels|\\.a|\\$value|if|else|end|with|printf|\"%[sdvfq5.]\"|[|()]|:=|[0-9é]){0,24}") {
        if let Ok(template) = Template::parse(&text) {
            template.render(&TemplateContext::new(&Labels::empty(), 1.0));
        }
    }
}
