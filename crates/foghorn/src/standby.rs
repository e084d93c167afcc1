//! Standing by: a door that says so, until the lease is ours, or the disk takes something again.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use foghorn_engine::{Command, View};
use foghorn_http::{Accepted, Api, Commands, Declined, HttpConfig, Intake, Readiness};
use foghorn_model::Timestamp;
use foghorn_runtime::{Active, Failover, Lease, LiveError, Metrics, clock};
use foghorn_store::StoreError;
use foghorn_wire::Format;
use signal_hook::consts::SIGHUP;
use signal_hook::iterator::Signals;
use tracing::info;

use crate::config::beside;
use crate::serving::Serving;

/// Where nobody else has it the lease comes within this, and nobody need be told of waiting.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How often signals are looked for.
const LOOK: Duration = Duration::from_millis(50);
/// After trouble with the disk it is looked at again so much later.
const REST: Duration = Duration::from_secs(2);
/// Senders come again after so many seconds: by then they may be led to the active instance.
const LATER: u32 = 5;

/// Waits until this instance is to do the work; `None` where it was asked to end first.
pub(crate) fn stand_by(
    failover: Failover,
    lease: Lease,
    http: &HttpConfig,
    config: &Path,
    signals: &mut Signals,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Option<(Lease, Active)>> {
    let mut door = None;
    let began = tokio::time::Instant::now();
    loop {
        // One that was lost before it was sure is asked for again.
        let given_up = |why| LiveError::from(StoreError::GivenUp { why });
        if lease.wait(LOOK).map_err(given_up)? {
            break;
        }
        if door.is_none() && began.elapsed() >= AT_ONCE {
            let why = "standing by: another instance does the work";
            info!("{why}");
            door = Some(open(http, config, why, runtime)?);
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

/// A door that takes nothing and says why.
fn open(
    http: &HttpConfig,
    config: &Path,
    why: &str,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Serving> {
    let access = crate::web::access(http, |file| beside(config, file), runtime)?;
    let readiness = Readiness::default();
    readiness.set_not_ready(why);
    let api = Api {
        readiness,
        intake: Some(Arc::new(Nothing)),
        commands: Some(Arc::new(Nothing)),
        ..Api::new(
            Arc::new(View::default()),
            Metrics::new()?.registry().clone(),
            clock::wall,
        )
    };
    let serving = Serving::open(http.clone(), api, access, runtime)?;
    info!(address = %serving.address(), "listening");
    Ok(serving)
}

/// Waits until it is worth trying again, by the word of `may`; `false` where it was asked to end.
pub(crate) fn rest(
    why: &str,
    may: impl Fn() -> bool,
    http: &HttpConfig,
    config: &Path,
    signals: &mut Signals,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<bool> {
    let door = open(http, config, why, runtime)?;
    let mut tried = tokio::time::Instant::now();
    loop {
        if signals.pending().any(|signal| signal != SIGHUP) {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
        if tried.elapsed() >= REST {
            if may() {
                break;
            }
            tried = tokio::time::Instant::now();
        }
    }
    door.stop_and_wait(runtime);
    Ok(true)
}

/// Takes nothing: another instance may, or this one later.
struct Nothing;

impl Intake for Nothing {
    fn offer(&self, _: Format, _: Vec<u8>, _: Timestamp) -> Result<Accepted, Declined> {
        Err(Declined::Busy {
            retry_after_s: LATER,
        })
    }
}

impl Commands for Nothing {
    fn command(&self, _: Command) -> Result<(), Declined> {
        Err(Declined::Busy {
            retry_after_s: LATER,
        })
    }
}
