//! The web configuration: read at the start, and again when it, or a file that it names, has changed.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use foghorn_http::{Access, HttpConfig, WebConfig};
use tracing::{info, warn};

/// How often its files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The files that were looked at, with what stood in them; `None` where one could not be read.
#[derive(Default)]
struct Seen(Mutex<BTreeMap<PathBuf, Option<Vec<u8>>>>);

impl Seen {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let bytes = std::fs::read(path);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.insert(path.to_owned(), bytes.as_ref().ok().cloned());
        bytes
    }

    /// Whether some file is not what it was.
    fn has_changed(&self) -> bool {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut files = seen.iter();
        files.any(|(path, bytes)| std::fs::read(path).ok() != *bytes)
    }

    /// What the configuration says. Its paths are relative to it, as in Prometheus.
    fn access(&self, path: &Path) -> anyhow::Result<Access> {
        let at = || path.display().to_string();
        let text = String::from_utf8(self.read(path).with_context(at)?).with_context(at)?;
        let config: WebConfig = serde_saphyr::from_str(&text).with_context(at)?;
        let base = path.parent().unwrap_or(Path::new("."));
        Access::of(&config, &|file| self.read(&base.join(file))).with_context(at)
    }
}

/// Who may come in by HTTP, as the file says that the config names, now and whenever it, or a file that
/// it names, changes.
pub(crate) fn access(
    config: &HttpConfig,
    beside: impl Fn(&Path) -> PathBuf,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Arc<Access>> {
    let Some(path) = config.web_config_file.as_deref().map(beside) else {
        return Ok(Arc::new(Access::open()));
    };
    let mut seen = Seen::default();
    let access = Arc::new(seen.access(&path)?);
    // Until the door that it is for has closed.
    let (watched, may_open) = (Arc::downgrade(&access), config.allow_unauthenticated);
    runtime.spawn(async move {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            let Some(watched) = watched.upgrade() else {
                break;
            };
            if !seen.has_changed() {
                continue;
            }
            // Also where it is of no use: it is looked at again when something of it has changed.
            seen = Seen::default();
            let file = path.display();
            match seen.access(&path) {
                Ok(other) if other.is_open() && !watched.is_open() && !may_open => {
                    warn!(%file, "the web configuration has changed and is not used: nobody would be asked any more who they are");
                }
                Ok(other) => {
                    watched.replace(&other);
                    info!(%file, "the web configuration has changed and holds");
                }
                Err(error) => {
                    let error = format!("{error:#}");
                    warn!(error, "the web configuration has changed and is not used");
                }
            }
        }
    });
    Ok(access)
}
