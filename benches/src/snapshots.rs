//! What a snapshot costs while everything goes on, and what a restart saves by it: cut, pieces, file,
//! and back. In one thread, without a broker: the pieces are taken between batches, as the runtime
//! does it, so that each figure is how long something else has to wait.

use std::sync::Arc;

use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_engine::RuleFile;
use foghorn_engine::core::Core;
use foghorn_eval::shard::Shard;
use foghorn_ingest::{Raw, SourceConfig};
use foghorn_model::{Offset, Partition, Timestamp};
use foghorn_runtime::snapshot::{Head, Restore};
use foghorn_runtime::{Layout, Pipeline};
use foghorn_store::{PartKind, Snapshots};
use foghorn_wire::Format;

use crate::Failure;
use crate::dataset::{Dataset, T0_MS};
use crate::measure::{median, ms, say, timed};
use crate::rules::{Kind, catalog, file};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series.
    #[arg(long, default_value_t = 1_000_000)]
    series: u64,
    /// Rules of the comparison, evaluated.
    #[arg(long, default_value_t = 10)]
    rules: usize,
    /// Whether the rules record (a series for each of theirs) in place of alerting.
    #[arg(long)]
    record: bool,
    /// Rounds of samples before the first snapshot.
    #[arg(long, default_value_t = 20)]
    rounds: i64,
}

/// Records between two pieces.
const BATCH: u64 = 1_000;
/// Bytes of a piece, as in the runtime.
const PIECE: usize = 1 << 20;
/// Seconds of event time between two rounds.
const EVERY: i64 = 15;
/// No step should wait for longer, in milliseconds.
const MOST_MS: f64 = 50.0;

/// Some waits, in milliseconds.
#[derive(Default)]
struct Waits(Vec<f64>);

impl Waits {
    fn add<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let (done, took) = timed(work);
        self.0.push(ms(took));
        done
    }

    fn most(&self) -> f64 {
        self.0.iter().copied().fold(0.0, f64::max)
    }

    fn told(&self) -> String {
        format!(
            "{:.2} ms in the middle, {:.1} at most",
            median(&self.0),
            self.most()
        )
    }
}

struct Bench<'a> {
    args: &'a Args,
    pipeline: Pipeline,
    rules: RuleFile,
    offset: Offset,
    round: i64,
}

const PARTITION: Partition = Partition::new(0, 0);

fn pipeline(rules: &RuleFile) -> Result<Pipeline, Failure> {
    let correlator = Correlator::new(Config::default(), Topology::new(&TopologyFile::default()));
    let sources = [SourceConfig::of("m", Format::JsonMetrics)];
    let catalog = catalog(rules)?;
    Ok(Pipeline::new(
        Arc::clone(&catalog),
        &sources,
        correlator,
        Vec::new(),
        &Layout::default(),
    ))
}

impl Bench<'_> {
    /// One round of samples, batch by batch, each with what `between` does after it; then a tick.
    fn round(&mut self, mut between: impl FnMut(&mut Pipeline)) -> Result<(Waits, Waits), Failure> {
        let at = Timestamp(T0_MS + self.round * EVERY * 1_000);
        self.round += 1;
        let (mut batches, mut ticks) = (Waits::default(), Waits::default());
        let mut texts = vec![String::new(); BATCH as usize];
        for start in (0..self.args.series).step_by(BATCH as usize) {
            let count = BATCH.min(self.args.series - start) as usize;
            for (i, text) in (start..).zip(&mut texts[..count]) {
                Dataset::write_at(i, at, text);
            }
            let (pipeline, offset) = (&mut self.pipeline, &mut self.offset);
            batches.add(|| -> Result<(), Failure> {
                for text in &texts[..count] {
                    let raw = Raw {
                        partition: PARTITION,
                        offset: *offset,
                        timestamp: Some(at),
                        payload: text.as_bytes(),
                        ..Raw::default()
                    };
                    *offset += 1;
                    let fed = pipeline.feed(&raw, None);
                    fed.map_err(|refusal| format!("{}: {}", refusal.code, refusal.detail))?;
                }
                pipeline.settle();
                Ok(())
            })?;
            between(&mut self.pipeline);
        }
        ticks.add(|| self.pipeline.step(at));
        Ok((batches, ticks))
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let kind = if args.record {
        Kind::Record
    } else {
        Kind::Alert
    };
    let rules = file(kind, args.rules);
    let mut bench = Bench {
        args,
        pipeline: pipeline(&rules)?,
        rules,
        offset: 0,
        round: 0,
    };
    bench.pipeline.join(PARTITION, 0, &[], 0, Timestamp(T0_MS));
    let origin = Timestamp(T0_MS);
    bench.pipeline.brain().keep_history();
    bench.pipeline.brain().start(origin, Timestamp::MIN);
    let (_, filling) = timed(|| -> Result<(), Failure> {
        for _ in 0..args.rounds {
            bench.round(|_| ())?;
        }
        Ok(())
    });
    let (batches, ticks) = bench.round(|_| ())?;
    say(&format!(
        "{} series, {} rules, {} rounds: {:.1} s from bytes to windows and ticks",
        args.series,
        args.rules,
        args.rounds,
        filling.as_secs_f64()
    ));
    say(&format!(
        "without a snapshot: a batch of {BATCH} {}; a tick {:.0} ms",
        batches.told(),
        ticks.most()
    ));

    let files = [bench.rules.clone()];
    let alerts = bench.pipeline.brain().core().active().count();
    let (head, cut) = timed(|| bench.pipeline.cut(&files));
    let (head, core) = head.ok_or("there is something left to decide")?;
    let reach_ms = bench.pipeline.catalog().longest_reach_ms();
    let (state, cloning) = timed(|| bench.pipeline.brain().log_state(1, reach_ms, |_| 0));
    say(&format!(
        "what the log comes to: {:.1} ms on the thread that closes ticks, {:.1} MB packed ({} incidents)",
        ms(cloning),
        state.pack()?.len() as f64 / 1e6,
        bench.pipeline.view().incidents.len()
    ));
    let mut pieces = Waits::default();
    let mut blocks = Vec::new();
    let (batches, ticks) = bench.round(|pipeline| {
        blocks.extend(pieces.add(|| pipeline.capture(PIECE)));
    })?;
    while let Some(block) = pieces.add(|| bench.pipeline.capture(PIECE)) {
        blocks.push(block);
    }
    let most = ms(cut).max(pieces.most());
    say(&format!(
        "while one is taken: a batch of {BATCH} {}; a tick {:.0} ms; the cut {:.1} ms ({alerts} alerts), a piece {}: {} (at most {MOST_MS:.0})",
        batches.told(),
        ticks.most(),
        ms(cut),
        pieces.told(),
        if most <= MOST_MS { "PASS" } else { "over" }
    ));
    file_and_back(args, &bench.rules, &head.with_core(&core)?, &blocks)
}

/// Writes what was captured, and goes on from it.
fn file_and_back(
    args: &Args,
    rules: &RuleFile,
    head: &Head,
    blocks: &[Vec<u8>],
) -> Result<(), Failure> {
    let bytes = head.pack()?.len() + blocks.iter().map(Vec::len).sum::<usize>();
    let dir = tempfile::tempdir()?;
    let store = Snapshots::open(dir.path())?;
    let (written, writing) = timed(|| -> Result<u64, Failure> {
        let mut writer = store.begin(1)?;
        writer.put(PartKind::Head, &head.pack()?)?;
        for block in blocks {
            writer.put(PartKind::Series, block)?;
        }
        Ok(writer.finish()?.0)
    });
    let path = store.newest_first()?.remove(0);
    let catalog = catalog(rules)?;
    let (restored, reading) = timed(|| -> Result<(usize, Vec<Shard>), Failure> {
        let mut begun = None;
        Snapshots::read(&path, &mut |kind, part| {
            let taken = match (kind, &mut begun) {
                (PartKind::Series, Some(restore)) => Restore::take(restore, part),
                _ => Head::unpack(&part).and_then(|head| {
                    let core = Core::new(Arc::clone(&catalog), Vec::new());
                    begun = Some(Restore::begin(&head, core, 1)?);
                    Ok(())
                }),
            };
            taken.map_err(|error| error.to_string())
        })?;
        let (_, shards, series) = begun.ok_or("no head")?.finish()?;
        Ok((series, shards))
    });
    let series = restored?.0 as u64;
    if series != args.series {
        return Err(format!("{series} series came back of {}", args.series).into());
    }
    let mb = bytes as f64 / 1e6;
    say(&format!(
        "{mb:.0} MB, {:.0} MB on disk; packed and written with {:.0} MB/s, read, checked and restored with {:.0} MB/s ({:.1} s)",
        written? as f64 / 1e6,
        mb / writing.as_secs_f64(),
        mb / reading.as_secs_f64(),
        reading.as_secs_f64()
    ));
    Ok(())
}
