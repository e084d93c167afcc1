//! The HTTP door, from when it opens until its address is free again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use foghorn_engine::View;
use foghorn_http::{Access, Api, HttpConfig, Server};
use foghorn_runtime::{Metrics, clock};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::sync::oneshot;
use tracing::error;

/// An HTTP server that runs until it is dropped.
pub(crate) struct Serving {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

/// So long at most answers that are under way are waited for.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

impl Serving {
    pub(crate) fn open(
        config: HttpConfig,
        api: Api,
        access: Arc<Access>,
        runtime: &tokio::runtime::Runtime,
    ) -> anyhow::Result<Self> {
        let server = runtime.block_on(Server::bind(config, api, access))?;
        let address = server.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let task = runtime.spawn(async move {
            let stopped = async move {
                // An error says that nobody can stop it any more: that stops it too.
                let _gone = stopped.await;
            };
            if let Err(error) = server.serve(stopped).await {
                error!(%error, "the HTTP server failed");
            }
        });
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops, and waits until the address is free.
    pub(crate) fn stop_and_wait(self, runtime: &tokio::runtime::Runtime) {
        // An error says that it has stopped by itself.
        let _gone = self.stop.send(());
        runtime.block_on(async {
            let mut task = self.task;
            let ended = tokio::time::timeout(LAST_ANSWERS, &mut task).await;
            if ended.is_err() {
                task.abort();
                // It has ended, one way or the other.
                let _aborted = task.await;
            }
        });
    }
}

/// An API over a read model alone, for `foghorn demo --serve`.
pub(crate) struct ViewApi {
    runtime: tokio::runtime::Runtime,
    serving: Serving,
}

/// Starts an API over a read model.
pub(crate) fn api_of_view(listen: &str, view: &Arc<View>) -> anyhow::Result<ViewApi> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let metrics = Metrics::new()?;
    let api = Api::new(Arc::clone(view), metrics.registry().clone(), clock::wall);
    api.readiness.set_ready();
    let config = HttpConfig {
        listen: listen.to_owned(),
        // A scripted outage is nobody's secret.
        allow_unauthenticated: true,
        ..HttpConfig::default()
    };
    let serving = Serving::open(config, api, Arc::new(Access::open()), &runtime)?;
    Ok(ViewApi { runtime, serving })
}

impl ViewApi {
    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.serving.address
    }

    /// Serves until SIGINT or SIGTERM.
    pub(crate) fn wait_for_signal(self) {
        if let Ok(mut signals) = Signals::new([SIGTERM, SIGINT]) {
            let _signal = signals.forever().next();
        }
        self.serving.stop_and_wait(&self.runtime);
        self.runtime.shutdown_timeout(Duration::from_secs(1));
    }
}
