//! JSON logs (ECS) through decoder, intake and shard, in memory and in one thread: what a record
//! costs as rules with line filters grow in number.
//!
//! Every rule counts lines with a text of its own, each record passes at most one of them, and the
//! counts are compared with what was written.

use std::fmt::Write;

use foghorn_engine::RuleFile;
use foghorn_ingest::SourceConfig;
use foghorn_model::Timestamp;
use foghorn_wire::Format;

use crate::Failure;
use crate::dataset::T0_MS;
use crate::measure::{median, say};
use crate::rig::Rig;
use crate::rules::catalog;
use crate::sys::{allocations, cpu_seconds};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Records of each run.
    #[arg(long, default_value_t = 200_000)]
    records: u64,
    /// Numbers of rules, each measured by itself; 0: the decoder and the clock alone.
    #[arg(long, value_delimiter = ',', default_value = "0,1,10,100,1000")]
    rules: Vec<usize>,
    /// One record in so many passes a rule.
    #[arg(long, default_value_t = 20)]
    one_in: u64,
    /// Runs of each kind.
    #[arg(long, default_value_t = 5)]
    runs: usize,
}

/// Records that are fed before the shard takes in what came of them.
const BATCH: usize = 1_000;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    for rules in &args.rules {
        let records: Vec<_> = (0..args.records)
            .map(|i| record(i, rule_of(i, *rules, args.one_in)))
            .collect();
        let bytes: usize = records.iter().map(String::len).sum();
        let (mut costs, mut fresh) = (Vec::new(), 0);
        for _ in 0..args.runs {
            let (cost, allocated) = once(*rules, &records, args)?;
            costs.push(cost / records.len() as f64 * 1e9);
            fresh = allocated;
        }
        say(&format!(
            "JSON logs, {rules} rules: {:.0} ns a record (least {:.0}) of {} bytes, {:.2} M records per CPU-s, {fresh} allocations in the second half",
            median(&costs),
            costs.iter().copied().fold(f64::INFINITY, f64::min),
            bytes / records.len(),
            1e3 / median(&costs)
        ));
    }
    Ok(())
}

/// One run: CPU-seconds, and allocations of its second half.
fn once(rules: usize, records: &[String], args: &Args) -> Result<(f64, u64), Failure> {
    let catalog = catalog(&file(rules))?;
    let mut rig = Rig::new(&catalog, &SourceConfig::of("l", Format::JsonLogs));
    let before = cpu_seconds();
    let (first, second) = records.split_at(records.len() / 2);
    feed(&mut rig, first)?;
    let allocated = allocations();
    feed(&mut rig, second)?;
    let (cpu_s, allocated) = (cpu_seconds() - before, allocations() - allocated);
    let hits = rig.intake.stats().log_hits;
    let written = if rules == 0 {
        0
    } else {
        args.records.div_ceil(args.one_in)
    };
    if hits != written {
        return Err(format!("{hits} records passed a rule, not {written}").into());
    }
    Ok((cpu_s, allocated))
}

fn feed(rig: &mut Rig, records: &[String]) -> Result<(), Failure> {
    for batch in records.chunks(BATCH) {
        for record in batch {
            rig.feed(record.as_bytes(), Timestamp(T0_MS))?;
        }
        rig.settle();
    }
    Ok(())
}

/// What rule `i` looks for.
fn needle(i: usize) -> String {
    let what = [
        "connection refused",
        "payment declined",
        "deadline exceeded",
        "out of memory",
        "circuit breaker open",
        "checksum mismatch",
        "lock wait timeout",
    ][i % 7];
    format!("{what} E{i:04}")
}

fn file(rules: usize) -> RuleFile {
    let mut text = "groups:\n  - name: logs\n    interval: 10s\n    rules:\n".to_owned();
    // Writing to a string does not fail.
    for i in 0..rules.max(1) {
        let (service, needle) = if rules == 0 {
            ("nobody", needle(0))
        } else {
            ("svc-.+", needle(i))
        };
        let _infallible = write!(
            text,
            "      - alert: rule_{i}\n        expr: 'sum by (service) (count_over_time({{service=~\"{service}\"}} |= \"{needle}\" [1m])) > 1e9'\n"
        );
    }
    RuleFile {
        path: "logs.yaml".to_owned(),
        text,
    }
}

/// The rule that a record passes, if any.
fn rule_of(i: u64, rules: usize, one_in: u64) -> Option<usize> {
    (rules > 0 && i.is_multiple_of(one_in)).then(|| (i / one_in) as usize % rules)
}

fn record(i: u64, rule: Option<usize>) -> String {
    let message = rule.map_or_else(
        || {
            format!(
                "GET /api/v1/tenants/items/{:05}/details answered 200 in {} ms",
                i % 10_000,
                i % 97
            )
        },
        |rule| format!("order {i} could not be placed: {}", needle(rule)),
    );
    // What fails, fails in one service: new series are not what is measured here.
    let service = rule.map_or(i, |rule| rule as u64) % 200;
    format!(
        "{{\"@timestamp\":\"2023-11-14T22:13:{:02}.{:03}Z\",\"log.level\":\"INFO\",\"message\":\"{message}\",\
         \"ecs.version\":\"8.11.0\",\"service\":{{\"name\":\"svc-checkout-{service:03}\",\"version\":\"1.4.{}\",\"environment\":\"production\"}},\
         \"process\":{{\"pid\":{},\"thread\":{{\"name\":\"http-nio-8080-exec-{}\"}}}},\
         \"log\":{{\"logger\":\"com.example.checkout.OrderController\"}},\
         \"trace\":{{\"id\":\"4bf92f3577b34da6a3ce929d{i:08x}\"}},\"span\":{{\"id\":\"00f067aa{i:08x}\"}},\
         \"host\":{{\"name\":\"node-{:02}\"}}}}",
        20 + i / 1_000 % 20,
        i % 1_000,
        service % 10,
        1_000 + service,
        i % 16,
        service % 20
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_record_in_so_many_passes_one_rule() {
        let check = |rules: usize, one_in: u64| {
            let args = Args {
                records: 100,
                rules: vec![rules],
                one_in,
                runs: 1,
            };
            run(&args).unwrap();
        };
        check(0, 20);
        check(10, 7);
        check(1_000, 1);
    }
}
