//! The rules that the worlds run under.
//!
//! `… * 997 % 2 > 1` holds for about half of all values and turns with the last digits of each: a
//! tick that saw one sample more or less says something else.

/// Every read that looks back over a range: what a restart has to read again is short.
pub(crate) const RANGES: &str = r#"
groups:
- name: reads what is recorded later
  interval: 10s
  rules:
  - alert: Forward
    expr: avg_over_time(job:requests:rate[40s]) * 997 % 2 > 1
- name: recorder
  interval: 10s
  rules:
  - record: job:requests:rate
    expr: sum by (job) (rate(requests_total[30s]))
  - record: zone:temp:avg
    expr: avg by (zone) (avg_over_time(temp[20s]))
  - alert: OwnRecord
    expr: sum_over_time(zone:temp:avg[30s]) * 997 % 2 > 1
    for: 10s
- name: narrow
  interval: 5s
  sources: [first]
  rules:
  - alert: Hot
    expr: avg_over_time(temp[20s]) > 10
    for: 10s
    keep_firing_for: 15s
    annotations:
      summary: '{{ $labels.zone }} is at {{ $value }}'
  - alert: Gone
    expr: absent_over_time(beat[15s])
    for: 5s
  - alert: Odd
    expr: sum_over_time(temp[25s]) * 997 % 2 > 1
- name: wide
  interval: 15s
  rules:
  - alert: Increase
    expr: increase(requests_total[40s]) * 997 % 2 > 1
  - alert: Some
    expr: count(last_over_time(temp[20s]) > 9) > 1
    keep_firing_for: 30s
  - alert: Silence
    expr: absent_over_time(temp[30s])
- name: delayed
  interval: 10s
  query_offset: 4s
  rules:
  - record: job:requests:delayed
    expr: sum by (job) (increase(requests_total[20s]))
  - alert: Backward
    expr: max_over_time(job:requests:rate[30s]) * 997 % 2 > 1
- name: reads the delayed
  interval: 5s
  rules:
  - alert: Delayed
    expr: sum_over_time(job:requests:delayed[35s]) * 997 % 2 > 1
- name: jobs
  interval: 10s
  rules:
  - alert: Jobs
    expr: increase(jobs_total[40s]) * 997 % 2 > 1
- name: logs
  interval: 10s
  rules:
  - alert: Errors
    expr: sum by (service_name) (count_over_time({service_name=~".+"} |= "error" [20s])) > 2
  - alert: Bytes
    expr: sum(bytes_over_time({service_name=~".+"} [15s])) % 2 > 0
  - alert: Boom
    expr: '{service_name="api"} |= "boom"'
    resolve_after: 10s
- name: narrow logs
  interval: 5s
  sources: [logs]
  rules:
  - alert: Narrow
    expr: '{service_name=~".+"} |= "boom"'
    resolve_after: 10s
"#;

/// Instant reads, which look back over five minutes, beside the rest; totals of delta sums.
pub(crate) const INSTANTS: &str = r#"
groups:
- name: reads alerts that come later
  interval: 5s
  rules:
  - alert: Firing
    expr: count by (alertname) (ALERTS{alertname!="Firing", alertstate="firing"}) * 997 % 2 > 0
  - alert: Since
    expr: sum by (alertname) (ALERTS_FOR_STATE{alertname!~"Firing|Since"}) % 20 > 9
- name: forward
  interval: 10s
  rules:
  - alert: Forward
    expr: job:requests:rate * 997 % 2 > 1
    for: 10s
- name: recorder
  interval: 10s
  rules:
  - record: job:requests:rate
    expr: sum by (job) (rate(requests_total[30s]))
  - record: temp:count
    expr: count(temp > 9)
- name: reader
  interval: 15s
  rules:
  - alert: Backward
    expr: job:requests:rate * 997 % 2 > 1
  - alert: Count
    expr: temp:count > 2
    keep_firing_for: 20s
- name: narrow
  interval: 5s
  sources: [first]
  rules:
  - alert: Gone
    expr: absent(beat)
  - alert: Sum
    expr: sum by (zone) (temp) * 997 % 2 > 1
- name: second
  interval: 10s
  sources: [second]
  rules:
  - alert: Sum
    expr: sum by (zone) (temp) * 997 % 2 > 1
- name: asks
  interval: 10s
  rules:
  - alert: Asks
    expr: count by (zone) (temp) > 0
    labels:
      firing: '{{ query "count(ALERTS)" | len }}'
    annotations:
      temps: '{{ range printf "temp{zone=%q}" $labels.zone | query }}{{ .Value }} {{ end }}'
      rate: '{{ with query "job:requests:rate" }}{{ . | first | value }}{{ end }}'
"#;

/// Totals of delta sums are the rule groups' own.
pub(crate) const TOTALS: &str = r"
groups:
- name: totals
  interval: 10s
  rules:
  - alert: Total
    expr: last_over_time(jobs_total[20s]) * 997 % 2 > 1
- name: longer
  interval: 5s
  rules:
  - alert: Total
    expr: avg_over_time(jobs_total[60s]) * 997 % 2 > 1
";
