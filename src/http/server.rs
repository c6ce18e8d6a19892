//! Connections: taken, served, and none held open by somebody who says nothing.

use std::time::Duration;

use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use tokio::net::TcpListener;

use super::{App, router};

/// How long the head of a request may take from the answer before it, or from the connection, and its body
/// from its head.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// How long requests may go on after a shutdown began.
const DRAIN_WITHIN: Duration = Duration::from_secs(3);

/// Serves until `shutdown` turns true, then ends what is open within a few seconds.
pub async fn serve(mut listener: TcpListener, app: App) {
    let mut shutdown = app.shutdown.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(app.request_within);
    let (service, open) = (TowerToHyperService::new(router(app)), GracefulShutdown::new());
    let accept = async {
        loop {
            // This one waits while the process has no file to spare, where the listener's own would fail.
            let (stream, _) = Listener::accept(&mut listener).await;
            let connection = http.serve_connection(TokioIo::new(stream), service.clone());
            // How it ends is its client's matter.
            tokio::spawn(open.watch(connection));
        }
    };
    tokio::select! {
        () = accept => {}
        // A sender that is gone means the same: nobody is left to say it.
        _ = shutdown.wait_for(|down| *down) => {}
    }
    drop(listener);
    // What goes on for longer is ended with the process.
    let _ = tokio::time::timeout(DRAIN_WITHIN, open.shutdown()).await;
}
