//! Standing by: a door that says so, until the lease is ours.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foghorn_engine::{Command, View};
use foghorn_http::{Accepted, Api, Commands, Declined, HttpConfig, Intake, Readiness};
use foghorn_model::Timestamp;
use foghorn_runtime::{Active, Failover, Lease, LiveError, Metrics, clock};
use foghorn_wire::Format;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use tracing::{info, warn};

use crate::config::beside;
use crate::run::Serving;

/// Where nobody else has it the lease comes within this, and nobody need be told of waiting.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// Senders come again after so many seconds: by then they may be led to the active instance.
const LATER: u32 = 5;

/// Waits until this instance is to do the work; `None` where it was asked to end first.
pub(crate) fn stand_by(
    failover: Failover,
    http: &HttpConfig,
    config: &Path,
    signals: &mut Signals,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Option<(Lease, Active)>> {
    failover.ensure_topics()?;
    let lease = failover.ask()?;
    let mut door = None;
    let began = tokio::time::Instant::now();
    loop {
        if lease.wait(LOOK).map_err(LiveError::Thread)? {
            break;
        }
        if door.is_none() && began.elapsed() >= AT_ONCE {
            info!("standing by: another instance does the work");
            door = Some(open(http, config, runtime)?);
        }
        for signal in signals.pending() {
            if signal == SIGHUP {
                info!("standing by: configuration and rules are read when there is work to do");
            } else {
                info!("stopped while standing by");
                return Ok(None);
            }
        }
    }
    info!("this instance does the work");
    if let Some(door) = door {
        door.stop_and_wait(runtime);
    }
    let active = Active::new(failover, lease.hold());
    Ok(Some((lease, active)))
}

fn open(
    http: &HttpConfig,
    config: &Path,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Serving> {
    let access = crate::web::access(http, |file| beside(config, file), runtime)?;
    let readiness = Readiness::default();
    readiness.set_not_ready("standing by: another instance does the work");
    let api = Api {
        readiness,
        intake: Some(Arc::new(Elsewhere)),
        commands: Some(Arc::new(Elsewhere)),
        ..Api::new(
            Arc::new(View::default()),
            Metrics::new()?.registry().clone(),
            clock::wall,
        )
    };
    let serving = Serving::open(http.clone(), api, access, runtime);
    if let Err(error) = &serving {
        warn!(%error, "the door of an instance that stands by cannot be opened");
    }
    let serving = serving?;
    info!(address = %serving.address(), "listening");
    Ok(serving)
}

/// Takes nothing: another instance does.
struct Elsewhere;

impl Intake for Elsewhere {
    fn offer(&self, _: Format, _: Vec<u8>, _: Timestamp) -> Result<Accepted, Declined> {
        Err(Declined::Busy {
            retry_after_s: LATER,
        })
    }
}

impl Commands for Elsewhere {
    fn command(&self, _: Command) -> Result<(), Declined> {
        Err(Declined::Busy {
            retry_after_s: LATER,
        })
    }
}
