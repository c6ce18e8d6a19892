//! What `up` and `run` have in common: HTTP and worker side by side, until a signal or an error ends both.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{
    CliError,
    connect::{self, Backend, Work},
};
use crate::{
    client::{StoreClient, TopicClient},
    config::Config,
    http::{self, App, status::Status},
    topology::{ProcessorKind, Topology},
};

/// How long an end may take after a signal; then the process exits whatever still runs.
const END_WITHIN: Duration = Duration::from_millis(4_500);
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Everything bound and opened, nothing running yet.
pub struct Serving {
    pub address: SocketAddr,
    pub topics: Arc<dyn TopicClient>,
    pub store: Arc<dyn StoreClient>,
    pub shutdown: watch::Receiver<bool>,
    down: watch::Sender<bool>,
    listener: TcpListener,
    app: App,
    work: Work,
}

/// Takes the address, before anything is made that would be in vain without it.
pub async fn listen(config: &Config) -> Result<TcpListener, CliError> {
    let address = config.http.listen;
    TcpListener::bind(address).await.map_err(|error| {
        let message = format!(
            "cannot listen on {address}: {error}; is a heartline running there already? \
                               Stop it, or choose another address with --listen"
        );
        CliError::unavailable(message)
    })
}

impl Serving {
    pub fn prepare(
        config: Config,
        topology: Arc<Topology>,
        processors: Vec<ProcessorKind>,
        backend: Backend,
        listener: TcpListener,
    ) -> Result<Self, CliError> {
        let address = listener.local_addr().unwrap_or(config.http.listen);
        let (topics, store) = backend.clients()?;
        let (down, shutdown) = watch::channel(false);
        let status = Status::expecting(&processors);
        let app = App::new(topics.clone(), store.clone(), topology.clone(), status.clone(), shutdown.clone())
            .with_token(config.http.token.clone())
            .with_metrics(recorder()?);
        let work = Work { backend, topology, processors, config, status, shutdown: shutdown.clone() };
        Ok(Self { address, topics, store, shutdown, down, listener, app, work })
    }

    /// Runs until SIGINT, SIGTERM, or the first error.
    pub async fn run(self) -> Result<(), CliError> {
        let terminate = signal(SignalKind::terminate());
        let mut terminate =
            terminate.map_err(|error| CliError::internal(format!("cannot wait for signals: {error}")))?;
        let serve = async {
            http::server::serve(self.listener, self.app).await;
            Ok(())
        };
        let both = async { tokio::try_join!(serve, connect::work(self.work)).map(|((), ())| ()) };
        tokio::pin!(both);
        tokio::select! {
            ended = &mut both => return ended,
            _ = tokio::signal::ctrl_c() => tracing::info!("interrupted; ending"),
            _ = terminate.recv() => tracing::info!("asked to terminate; ending"),
        }
        // Nobody listening means that everything has ended already.
        let _ = self.down.send(true);
        match tokio::time::timeout(END_WITHIN, both).await {
            Ok(ended) => ended,
            Err(_) => {
                tracing::warn!("the end took too long; what was under way will be found aborted");
                Ok(())
            }
        }
    }
}

/// The process's metrics, kept small by regular upkeep.
fn recorder() -> Result<Option<PrometheusHandle>, CliError> {
    let handle = PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| CliError::internal(format!("cannot collect metrics: {error}")))?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            upkeep.run_upkeep();
        }
    });
    Ok(Some(handle))
}
