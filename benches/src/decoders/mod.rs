//! What decoding costs by itself: CPU nanoseconds per item, one thread, medians of several runs.
//!
//! Ours goes through a sink that looks each key up and counts; the series are known, as they are
//! nearly always. The oracle (`prost` messages, typed `serde_json`) only builds its structs and
//! walks them for as many items, hashes nothing and looks nothing up, so the ratio is no flattery.
//! Every pass is checked against the number of items that was put in.
//!
//! `--only NAME --side ours` runs one of them, for a profiler or for counting instructions.

mod data;
mod messages;
mod oracle;
mod sink;

use std::hint::black_box;

use foghorn_model::Timestamp;
use foghorn_wire::{Compression, DecodeOptions, Decoder, Format};

use crate::Failure;
use crate::dataset::T0_MS;
use crate::measure::{median, say, spread};
use crate::sys::cpu_seconds;
use data::Case;
use sink::Counting;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Items of each timed pass, about.
    #[arg(long, default_value_t = 500_000)]
    items: u64,
    /// Timed passes of each; medians are printed.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only cases whose name begins so.
    #[arg(long, default_value = "")]
    only: String,
    /// `ours`, `oracle` or both.
    #[arg(long, default_value = "both")]
    side: String,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    for case in data::cases()? {
        if case.name.starts_with(&args.only) {
            compare(args, &case)?;
        }
    }
    Ok(())
}

fn compare(args: &Args, case: &Case) -> Result<(), Failure> {
    let passes = (args.items / case.items()).max(1);
    let per_pass = case.items();
    let mut decoder = Decoder::new(DecodeOptions::default());
    let mut sink = Counting::default();
    let (mut ours, mut oracle) = (Vec::new(), Vec::new());
    pass(case, &mut decoder, &mut sink)?;
    for _ in 0..args.runs {
        if args.side != "oracle" {
            sink.items = 0;
            let begin = cpu_seconds();
            for _ in 0..passes {
                pass(case, &mut decoder, &mut sink)?;
            }
            ours.push(per_item(begin, passes * per_pass));
            checked(case, sink.items, passes * per_pass)?;
        }
        if args.side != "ours" {
            let begin = cpu_seconds();
            let mut items = 0;
            for _ in 0..passes {
                for record in &case.records {
                    items += (case.oracle)(black_box(record))?;
                }
            }
            oracle.push(per_item(begin, passes * per_pass));
            checked(case, items, passes * per_pass)?;
        }
    }
    let bytes: usize = case.records.iter().map(Vec::len).sum();
    let ratio = if ours.is_empty() || oracle.is_empty() {
        String::new()
    } else {
        format!(", {:.1} times as fast", median(&oracle) / median(&ours))
    };
    say(&format!(
        "{}: {} B an item; ours {} ns, {} {} ns{ratio}",
        case.name,
        bytes as u64 / per_pass,
        spread(&ours, 1),
        case.against,
        spread(&oracle, 1),
    ));
    Ok(())
}

/// Decodes every record once.
fn pass(case: &Case, decoder: &mut Decoder, sink: &mut Counting) -> Result<(), Failure> {
    for record in &case.records {
        decoder
            .decode_compressed(
                case.format,
                case.compression,
                black_box(record),
                Timestamp(T0_MS),
                sink,
            )
            .map_err(|refusal| format!("{}: {refusal:?}", case.name))?;
    }
    Ok(())
}

fn per_item(begin: f64, items: u64) -> f64 {
    (cpu_seconds() - begin) * 1e9 / items as f64
}

fn checked(case: &Case, got: u64, expect: u64) -> Result<(), Failure> {
    if got == expect {
        return Ok(());
    }
    Err(format!("{}: {got} items, not {expect}", case.name).into())
}

/// The formats of the cases are named as configs name them, and by their compression.
fn name(format: Format, compression: Compression) -> String {
    match compression {
        Compression::None => format.to_string(),
        packed => format!("{format}+{packed}"),
    }
}
