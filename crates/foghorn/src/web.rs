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

/// A configuration with the bytes of every file that it was made of.
struct Read {
    config: WebConfig,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

fn read(path: &Path) -> anyhow::Result<Read> {
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text = String::from_utf8(bytes.clone())
        .with_context(|| format!("{} is no text", path.display()))?;
    let config: WebConfig =
        serde_saphyr::from_str(&text).with_context(|| path.display().to_string())?;
    let files = BTreeMap::from([(path.to_owned(), bytes)]);
    Ok(Read { config, files })
}

impl Read {
    /// Hands the configuration, and its files' contents, to whoever makes something of them. Paths are
    /// relative to the configuration, as in Prometheus.
    fn put<T, E>(
        &mut self,
        path: &Path,
        make: impl FnOnce(&WebConfig, &dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Result<T, E>,
    ) -> Result<T, E> {
        let base = path.parent().unwrap_or(Path::new("."));
        let seen = Mutex::new(BTreeMap::new());
        let made = make(&self.config, &|file| {
            let file = base.join(file);
            let bytes = std::fs::read(&file)?;
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.insert(file, bytes.clone());
            Ok(bytes)
        });
        self.files
            .extend(seen.into_inner().unwrap_or_else(PoisonError::into_inner));
        made
    }

    /// Whether some file is not what it was.
    fn has_changed(&self) -> bool {
        let mut files = self.files.iter();
        files.any(|(path, bytes)| std::fs::read(path).ok().as_ref() != Some(bytes))
    }
}

/// Who may come in by HTTP, as the file says that the config names, now and whenever it changes.
pub(crate) fn access(
    config: &HttpConfig,
    beside: impl Fn(&Path) -> PathBuf,
    runtime: &tokio::runtime::Runtime,
) -> anyhow::Result<Arc<Access>> {
    let Some(path) = config.web_config_file.as_deref().map(beside) else {
        return Ok(Arc::new(Access::open()));
    };
    let mut known = read(&path)?;
    let access = known.put(&path, |config, files| Access::of(config, files));
    let access = Arc::new(access.with_context(|| path.display().to_string())?);
    let (watched, listen) = (Arc::clone(&access), config.clone());
    runtime.spawn(async move {
        let mut looks = tokio::time::interval(LOOK);
        loop {
            looks.tick().await;
            if !known.has_changed() {
                continue;
            }
            match again(&path, &watched, &listen) {
                Ok(read) => {
                    info!(file = %path.display(), "the web configuration has changed and holds");
                    known = read;
                }
                Err(error) => {
                    warn!(
                        error = format!("{error:#}"),
                        "the web configuration has changed and is not used"
                    );
                    // Until it changes again.
                    known.files.iter_mut().for_each(|(path, bytes)| {
                        *bytes = std::fs::read(path).unwrap_or_default();
                    });
                }
            }
        }
    });
    Ok(access)
}

fn again(path: &Path, access: &Access, config: &HttpConfig) -> anyhow::Result<Read> {
    let mut known = read(path)?;
    // What may be open to others stays closed to strangers.
    let probe = known.put(path, |config, files| Access::of(config, files))?;
    anyhow::ensure!(
        !probe.is_open() || access.is_open() || config.allow_unauthenticated,
        "nobody would be asked any more who they are"
    );
    known.put(path, |config, files| access.replace(config, files))?;
    Ok(known)
}
