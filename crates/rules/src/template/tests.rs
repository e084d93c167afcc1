use foghorn_model::Labels;
use proptest::prelude::*;

use super::*;

/// Answers `up` with two elements, and `none` with nothing.
struct Up;

impl Queries for Up {
    fn query(&mut self, text: &str) -> Result<Vec<Sample>, String> {
        let up = |instance, zone, value| Sample {
            labels: Labels::from_pairs([("instance", instance), ("zone", zone)]),
            value,
        };
        match text {
            "up" => Ok(vec![up("a", "z2", 2.5), up("b", "z1", 1.0)]),
            "up{instance=\"a:9090\"}" => Ok(vec![up("a:9090", "z", 7.0)]),
            "none" => Ok(Vec::new()),
            _ => Err(format!("what is {text}?")),
        }
    }
}

/// Renders over `{instance="a:9090", job="node"}`, external label `dc="eu"`.
fn render(text: &str, value: f64) -> String {
    let labels = Labels::from_pairs([("instance", "a:9090"), ("job", "node")]);
    let external = [("dc".to_owned(), "eu".to_owned())];
    let template =
        Template::parse(text).unwrap_or_else(|(at, why)| panic!("{text:?} at {at}: {why}"));
    let template = template.with_external_url(&"http://fog.example/x/y".into());
    let context = TemplateContext::new(&labels, value).with_external_labels(&external);
    template.render_asking(&context.at(Timestamp(90_500)), &mut Up)
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

// What follows was seen on promtool 3.5.3, but for `now`, `tmpl` and `toDuration`, which are newer.

#[test]
fn queries() {
    check(r#"{{ query "up" | first | value }}"#, 0.0, "2.5");
    check(
        r#"{{ len (query "up") }}{{ index (query "up") 1 | value }}"#,
        0.0,
        "21",
    );
    check(
        r#"{{ range $i, $s := query "up" | sortByLabel "zone" }}{{ $i }}{{ $s.Labels.zone }}={{ .Value }} {{ end }}"#,
        0.0,
        "0z1=1 1z2=2.5 ",
    );
    check(
        r#"{{ with printf "up{instance=%q}" $labels.instance | query }}{{ . | first | value | printf "%.2f" }}{{ end }}"#,
        0.0,
        "7.00",
    );
    check(
        r#"{{ with query "none" }}yes{{ else }}no{{ end }}{{ if query "up" }}yes{{ end }}"#,
        0.0,
        "noyes",
    );
    check(
        r#"{{ query "up" | first | label "zone" }}{{ label "x" (query "up" | first) }}"#,
        0.0,
        "z2",
    );
    check(
        r#"{{ (query "up" | first).Labels }}{{ query "up" | first }}{{ query "up" | first | strvalue }}"#,
        0.0,
        "map[instance:a zone:z2]{map[instance:a zone:z2] 2.5}",
    );
    check(r#"{{ printf "%v" (query "none") }}"#, 0.0, "[]");
    check(
        r#"{{ $s := "" }}{{ range query "up" }}{{ $s = print $s .Labels.zone }}{{ end }}{{ $s }}"#,
        0.0,
        "z2z1",
    );
    check(
        r#"{{ query "none" | first | value }}"#,
        0.0,
        "<error expanding template: error calling first: first() called on vector with no elements>",
    );
    check(
        r#"{{ query "other" }}"#,
        0.0,
        "<error expanding template: error calling query: what is other?>",
    );
}

#[test]
fn ranges() {
    check(
        "{{ range $k, $v := $labels }}{{ $k }}={{ $v }},{{ end }}{{ range .Labels }}{{ . }};{{ end }}",
        0.0,
        "instance=a:9090,job=node,a:9090;node;",
    );
    check("{{ range $externalLabels }}{{ . }}{{ end }}", 0.0, "eu");
    check(
        r#"{{ range query "none" }}x{{ else }}empty{{ end }}"#,
        0.0,
        "empty",
    );
    let flow = |word: &str| {
        format!(
            r#"{{{{ range query "up" }}}}{{{{ if eq .Labels.zone "z2" }}}}{{{{ {word} }}}}{{{{ end }}}}{{{{ .Labels.zone }}}}{{{{ end }}}}|"#
        )
    };
    check(&flow("break"), 0.0, "|");
    check(&flow("continue"), 0.0, "z1|");
    check("{{ range 3 }}{{ . }}{{ end }}", 0.0, "012");
    check(
        r#"{{ range $k, $v := args "a" "b" }}{{ $k }}{{ $v }}{{ end }}"#,
        0.0,
        "arg0aarg1b",
    );
    check(
        "{{ range $value }}{{ end }}",
        1.5,
        "<error expanding template: range can't iterate over 1.5>",
    );
}

#[test]
fn templates_in_templates() {
    check(
        r#"{{ define "x" }}<{{ . }}>{{ end }}{{ template "x" "a" }}{{ template "x" 5 }}{{ template "x" }}"#,
        0.0,
        "<a><5><<no value>>",
    );
    check(
        r#"{{ define "y" }}{{ .arg0 }}-{{ .arg1 }}-{{ .arg2 }}{{ end }}{{ template "y" (args 1 "b") }}"#,
        0.0,
        "1-b-<no value>",
    );
    check(
        r#"{{ block "z" $labels }}{{ .job }}{{ end }}{{ template "z" . }}"#,
        0.0,
        "<error expanding template: can't evaluate field job>",
    );
    check(
        r#"{{ define "x" }}{{ . }}!{{ end }}{{ tmpl "x" "dyn" | toUpper }}"#,
        0.0,
        "DYN!",
    );
    check(
        r#"{{ define "x" }}{{ template "x" . }}{{ end }}{{ template "x" 1 }}"#,
        0.0,
        "<error expanding template: exceeded maximum template depth>",
    );
    check(
        r#"{{ args 1 "b" 2.5 }}"#,
        0.0,
        "map[arg0:1 arg1:b arg2:2.5]",
    );
}

#[test]
fn more_functions() {
    check(
        "{{ externalURL }} {{ $externalURL }} {{ .ExternalURL }} {{ pathPrefix }} {{ printf \"%s!\" externalURL }}",
        0.0,
        "http://fog.example/x/y http://fog.example/x/y http://fog.example/x/y /x/y http://fog.example/x/y!",
    );
    check(
        r#"{{ graphLink "up{a='b c'} > 1" }} {{ tableLink "up" }}"#,
        0.0,
        "/graph?g0.expr=up%7Ba%3D%27b+c%27%7D+%3E+1&g0.tab=0 /graph?g0.expr=up&g0.tab=1",
    );
    check(
        r#"{{ safeHtml "<b>" }}{{ html "<a href='x'>&" }} {{ urlquery "a b&c=d/é" 1 }}"#,
        0.0,
        "<b>&lt;a href=&#39;x&#39;&gt;&amp; a+b%26c%3Dd%2F%C3%A91",
    );
    check(
        r#"{{ 1435065584.128 | toTime }}|{{ toTime "0" }}|{{ now }}"#,
        0.0,
        "2015-06-23 13:19:44.128 +0000 UTC|1970-01-01 00:00:00 +0000 UTC|90.5",
    );
    check(
        "{{ toDuration 90.5 }} {{ toDuration 3661 }} {{ toDuration 0.0015 }} {{ toDuration 0 }} {{ -0.25 | toDuration }}",
        0.0,
        "1m30.5s 1h1m1s 1.5ms 0s -250ms",
    );
    check(
        r#"{{ parseDuration "1h30m" }} {{ parseDuration "1d" | humanizeDuration }}"#,
        0.0,
        "5400 1d 0h 0m 0s",
    );
    check(
        r#"{{ parseDuration "5x" }}"#,
        0.0,
        "<error expanding template: error calling parseDuration: unknown unit \"x\" in duration \"5x\">",
    );
    check(
        r#"{{ stripPort "a.b:80" }} {{ stripPort "[::1]:80" }} {{ stripPort "a:b:c" }} {{ stripDomain "a.b.c:80" }} {{ stripDomain "1.2.3.4:80" }} {{ stripDomain "x.y" }}"#,
        0.0,
        "a.b ::1 a:b:c a:80 1.2.3.4:80 x",
    );
    check(
        r#"{{ slice "abcdef" 1 3 }}{{ slice "abc" 1 }}{{ index "abc" 1 }} {{ 'a' }}"#,
        0.0,
        "bcbc98 97",
    );
    check(
        r#"{{ and 1 0 "x" }} {{ or 0 "" "x" }} {{ and false (query "none" | first) }} {{ eq 1 1 | not }}"#,
        0.0,
        "0 x false false",
    );
    check(
        r#"{{ title "a.b a:b it's a_b 1ab a..b a,b wOrld-foo" }}"#,
        0.0,
        "A.b A:b It's A_b 1Ab A..B A,B WOrld-Foo",
    );
    check(
        r#"{{ printf "%X|%o|%b|%c|%U|%x" 255 8 5 65 65 -255 }} {{ printf "%[2]s %[1]s" "a" "b" }} {{ printf "%E %G %x" 1.5 1.5e-7 "hi" }}"#,
        0.0,
        "FF|10|101|A|U+0041|-ff b a 1.500000E+00 1.5E-07 6869",
    );
}

#[test]
fn what_a_text_depends_on() {
    let check = |text: &str, value: bool, time: bool| {
        let template = Template::parse(text).unwrap();
        assert_eq!(
            (template.sees_value(), template.sees_time()),
            (value, time),
            "{text}"
        );
    };
    check("value", false, false);
    check("{{ $labels.value }}", false, false);
    check("{{ if true }}{{ .Value }}{{ end }}", true, false);
    check("{{ $value | humanize }}", true, false);
    check("{{ . }}", true, false);
    check(
        "{{ define `x` }}{{ .Value }}{{ end }}{{ template `x` . }}",
        true,
        false,
    );
    check("{{ now }}", false, true);
    check("{{ query `up` | len }}", false, true);
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
        "there is no function `humanise` (did you mean `humanize`?)",
    );
    check("{{ humanize }}", 3, "`humanize` takes 1 arguments, not 0");
    check("{{ if $value }}a", 0, "this block has no `end`");
    check("a{{ end }}", 1, "`end` without a block");
    check("{{ \"a }}", 3, "this text has no closing quote");
    check("{{ $value | 3 }}", 12, "only a function may follow `|`");
    check(
        "{{ query $labels.q }}",
        3,
        "a `query` of which nothing is written out is not supported in a template",
    );
    check(
        "{{ js \"a\" }}",
        3,
        "the function `js` is not supported in a template",
    );
    check("{{ break }}", 3, "`break` outside of a `range`");
    check("{{ template \"x\" }}", 12, "there is no template \"x\"");
    check(
        "{{ define x }}{{ end }}",
        10,
        "a template's name must be a quoted text",
    );
    check("{{ range $labels }}a", 0, "this block has no `end`");
    check(
        "{{ define \"x\" }}{{ $value }}{{ end }}",
        19,
        "there is no variable `$value`",
    );
    check(
        "{{ if 1 }}{{ define \"x\" }}{{ end }}{{ end }}",
        10,
        "`define` inside of a block",
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
    fn never_panics(text in "(\\{\\{ ?|\\}\\}|-| |\\$labels|\\.a|\\$value|if|else|end|with|range|define|template|break|query|first|args|index|slice|\"x\"|\"up\"|printf|\"%(\\[[0-3]\\])?[sdvfq5.]\"|[|()]|:=|[0-9é]){0,24}") {
        if let Ok(template) = Template::parse(&text) {
            template.render_asking(&TemplateContext::new(&Labels::empty(), 1.0), &mut Up);
        }
    }
}
