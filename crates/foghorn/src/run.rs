//! `foghorn run`: settings and rules, and an instance that works, as often as there is work to do.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foghorn_model::Timestamp;
use foghorn_runtime::{Active, CutOff, Failover, Lease, LiveError, clock};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use tracing::{error, info, warn};

use crate::args::{Output, RunArgs};
use crate::config::{Config, LogFormat, beside, load};
use crate::logging;
use crate::out::{Failure, colours, complain};
use crate::rule_files::{self, Loaded};
use crate::running::{Running, Was, properties};
use crate::standby::{rest, stand_by};

/// After a takeover that failed another one is tried so much later.
const REST: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &RunArgs) -> Result<(), Failure> {
    // Only in builds for tests is there any point at which it may fail on purpose.
    let _points = fail::FailScenario::setup();
    let (mut is_first, mut has_led, mut has_worked) = (true, false, false);
    let cut_off = CutOff::default();
    // Since when the disk takes nothing, and what it says.
    let mut outage: Option<(Timestamp, String)> = None;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    // A file that may not grow is an error like a full disk, and no reason to die.
    signal_hook::flag::register(SIGXFSZ, Arc::default())?;
    // More than once only where the work goes to and fro between instances, or the disk fills up.
    loop {
        let mut config = load(&args.config, &args.set)?;
        if let Some(output) = args.output {
            config.log.format = if output == Output::Json {
                LogFormat::Json
            } else {
                LogFormat::Text
            };
        }
        if std::mem::take(&mut is_first) {
            logging::start(&config.log)?;
        }
        let loaded = read_rules(&config, &args.config)?;
        let (http, state_dir) = (config.http.clone(), beside(&args.config, &config.state_dir));
        let (path, set) = (args.config.clone(), args.set.clone());
        let was = Was {
            outage: outage.as_ref().map(told),
            cut_off: cut_off.clone(),
        };
        let over = leased(&config, &path, &cut_off, &mut signals, &runtime).and_then(|leased| {
            let Leased::Go(leased) = leased else {
                return Ok(());
            };
            has_led |= leased.is_some();
            let leased = leased.map(|leased| *leased);
            let running = Running::start(config, path, set, loaded, leased, was, &runtime)?;
            (outage, has_worked) = (None, true);
            running.work(&mut signals, &runtime)
        });
        let Err(error) = over else { break };
        // At the very start it is more likely a mistake than something that passes.
        let (why, may): (_, &dyn Fn() -> bool) = match error.downcast_ref::<LiveError>() {
            Some(over) if over.is_overtaken() => {
                warn!(why = %over, "another instance does the work: standing by again");
                std::thread::sleep(REST);
                continue;
            }
            Some(over) if over.is_of_the_disk() && has_worked => {
                let why = over.to_string();
                error!(why, "nothing is decided until the disk takes it");
                let (_, why) = outage.get_or_insert_with(|| (clock::wall(), why));
                (why.clone(), &|| foghorn_store::probe(&state_dir).is_ok())
            }
            Some(over) if over.is_of_the_cluster() && (has_led || has_worked) => {
                let why = over.to_string();
                warn!(why, "the cluster does not answer: trying again");
                cut_off.note();
                (why, &|| true)
            }
            _ => return Err(error.into()),
        };
        if !rest(&why, may, &http, &args.config, &mut signals, &runtime)? {
            break;
        }
    }
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Whether there is work to do.
enum Leased {
    /// With the lease, where others may have it.
    Go(Option<Box<(Lease, Active)>>),
    /// It was asked to end before there was.
    End,
}

/// Waits for the lease, where others may have it.
fn leased(
    config: &Config,
    path: &Path,
    cut_off: &CutOff,
    signals: &mut Signals,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Leased> {
    if config.failover.topics.is_empty() {
        return Ok(Leased::Go(None));
    }
    let properties = properties(config, path)?;
    let (shared, kafka) = (config.failover.clone(), config.kafka.clone());
    let failover = Failover::new(shared, kafka, properties);
    failover.ensure_topics().map_err(LiveError::from)?;
    let lease = failover.ask(cut_off.clone())?;
    let leased = stand_by(failover, lease, &config.http, path, signals, runtime)?;
    Ok(leased.map_or(Leased::End, |leased| Leased::Go(Some(Box::new(leased)))))
}

/// What is told of an outage when it is over.
fn told((since, why): &(Timestamp, String)) -> String {
    let seconds = (clock::wall() - *since) / 1_000;
    format!(
        "For {seconds} s nothing could be decided, since the disk took nothing: {why}. What came meanwhile is decided now, late."
    )
}

/// Reads the config's rules; what does not load is said, the rest is used.
fn read_rules(config: &Config, path: &Path) -> anyhow::Result<Loaded> {
    let files: Vec<_> = config
        .rules
        .files
        .iter()
        .map(|file| beside(path, file))
        .collect();
    let loaded = rule_files::read(&files, &config.rules.options(&config.external_labels))?;
    for diagnostic in &loaded.diagnostics {
        complain(&diagnostic.render(loaded.text(diagnostic), colours(&std::io::stderr())));
    }
    let rules = loaded.rules();
    info!(
        files = loaded.files.len(),
        rules,
        refused = loaded.diagnostics.iter().filter(|d| d.is_error()).count(),
        "rules loaded"
    );
    if rules == 0 {
        warn!("no rules: nothing will be detected");
    }
    Ok(loaded)
}
