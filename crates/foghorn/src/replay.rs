//! `foghorn replay`: rules over recorded files.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use foghorn_correlate::{Config, Correlator, Topology, TopologyFile};
use foghorn_eval::catalog::Catalog;
use foghorn_ingest::{Recording, SourceConfig};
use foghorn_lab::replay::{self, Summary};
use foghorn_rules::LoadOptions;
use foghorn_runtime::Layout;
use indicatif::{ProgressBar, ProgressStyle};

use crate::args::{Output, ReplayArgs};
use crate::out::{Failure, colours, complain, say};
use crate::rule_files;

pub(crate) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let loaded = rule_files::read(&args.rules, &LoadOptions::default())?;
    for diagnostic in &loaded.diagnostics {
        complain(&diagnostic.render(loaded.text(diagnostic), colours(&std::io::stderr())));
    }
    if loaded
        .rules
        .groups
        .iter()
        .all(|group| group.rules.is_empty())
    {
        return Err(Failure::Other(anyhow::anyhow!("no rule could be loaded")));
    }
    let mut files = Vec::new();
    for spec in &args.files {
        let recording = Recording::open(spec)?;
        let name = recording.path.display().to_string();
        let mut source = SourceConfig::of(&name, recording.format);
        if source.format.has_series() {
            (source.scope, source.replica) = (args.scope.clone(), args.replica.clone());
        }
        files.push((recording, source));
    }
    let topology = match &args.topology {
        Some(path) => topology(path)?,
        None => Topology::new(&TopologyFile::default()),
    };
    let correlator = Correlator::new(Config::default(), topology);
    let catalog = Arc::new(Catalog::new(loaded.rules));
    let bar = progress();
    let summary = replay::replay(
        &catalog,
        correlator,
        Vec::new(),
        &files,
        &Layout::default(),
        |step, share| {
            bar.set_position((share * 1_000.0) as u64);
            for incident in &step.incidents {
                bar.suspend(|| say(replay::line(incident).trim_end()));
            }
        },
    );
    bar.finish_and_clear();
    match args.output {
        Output::Text => complain(&table(&summary)),
        Output::Json => complain(&serde_json::to_string(&summary)?),
    }
    Ok(())
}

/// Reads a service graph.
pub(crate) fn topology(path: &Path) -> anyhow::Result<Topology> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let file: TopologyFile = serde_saphyr::from_str(&text)
        .with_context(|| format!("{} is no service graph", path.display()))?;
    Ok(Topology::new(&file))
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(1_000);
    if let Ok(style) = ProgressStyle::with_template("{bar:50} {percent}% {elapsed}") {
        bar.set_style(style);
    }
    bar
}

fn table(summary: &Summary) -> String {
    let width = summary
        .rules
        .iter()
        .map(|row| row.rule.len())
        .max()
        .unwrap_or(4)
        .max(4);
    let mut text = format!(
        "{:<width$}  {:>8}  {:>14}  {:>9}\n",
        "rule", "firings", "time firing", "incidents"
    );
    for row in &summary.rules {
        let time = foghorn_model::time::span_text(row.firing_ms / 1_000 * 1_000);
        let _infallible = writeln!(
            text,
            "{:<width$}  {:>8}  {time:>14}  {:>9}",
            row.rule, row.firings, row.incidents
        );
    }
    let refused: u64 = summary.refused.values().sum();
    let _infallible = write!(
        text,
        "{} records, {} events, {refused} refused, {} late; {} alerts, {} incidents",
        summary.records, summary.events, summary.late, summary.alerts, summary.incidents
    );
    for (reason, count) in &summary.refused {
        let _infallible = write!(text, "\n  refused: {count} × {reason}");
    }
    text
}
