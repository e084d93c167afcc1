//! Logs: to stderr, as text or JSON.

use foghorn_engine::View;
use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};
use crate::out::colours;

/// Starts logging as the config says.
pub(crate) fn start(config: &LogConfig) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder
            .with_ansi(colours(&std::io::stderr()))
            .with_target(false)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(|error| anyhow::anyhow!("logging could not be started: {error}"))
}

/// One line about how an API's read model stands, for the log.
pub(crate) fn standing(view: &View) -> String {
    format!(
        "{} incidents, {} alerts",
        view.incidents.len(),
        view.alerts.len()
    )
}
