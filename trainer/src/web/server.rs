//! The HTTP side on a socket, until it is told to end.

use super::limited::{Connection, Limited, Places};
use super::{Site, router};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

/// Threads that judge batches and read the store.
const THREADS: usize = 4;
/// Longest head of a request, bytes, its address included.
pub(super) const HEAD_BYTES: usize = 16 << 10;
/// Most header lines of a request.
pub(super) const HEADERS: usize = 64;

/// Why the HTTP side does not run.
#[derive(Debug, thiserror::Error)]
#[error("HTTP on {address}: {source}")]
pub struct ServerError {
    /// Where it should listen.
    pub address: SocketAddr,
    /// What the system said.
    pub source: std::io::Error,
}

/// A server that runs on threads of its own.
pub struct WebServer {
    /// Where it listens.
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn start(site: Site, address: SocketAddr) -> Result<Self, ServerError> {
        Self::with_places(site, address, Places::default())
    }

    pub(super) fn with_places(site: Site, address: SocketAddr, places: Places) -> Result<Self, ServerError> {
        let failed = |source| ServerError { address, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let dashboard = site.store.is_some();
        let (end, ended) = oneshot::channel();
        let listener = Limited::new(listener, places);
        let run = move || runtime.block_on(serve(listener, site, address, async move { drop(ended.await) }));
        let thread = std::thread::Builder::new().name("http-api".into()).spawn(run).map_err(failed)?;
        let what = if dashboard { "dashboard and HTTP API listen" } else { "HTTP API listens" };
        tracing::info!(%address, "{what}");
        Ok(Self { address, end: Some(end), thread: Some(thread) })
    }

    /// Takes no more connections, answers those under way, and ends.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(mut self) -> Result<(), ServerError> {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        let address = self.address;
        let lost = |_| ServerError { address, source: std::io::Error::other("the thread panicked") };
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(lost)
    }
}

/// Takes connections until `end`; then requests under way are answered, and no connection is waited for longer than a
/// head may take to come.
async fn serve(listener: Limited, site: Site, address: SocketAddr, end: impl Future<Output = ()>) {
    let app = router(site, address);
    let (ending, ended) = watch::channel(());
    let mut end = pin!(end);
    loop {
        let connection = tokio::select! {
            connection = listener.accept() => connection,
            () = &mut end => break,
        };
        tokio::spawn(converse(connection, listener.places, app.clone(), ended.clone()));
    }
    drop((listener, ended));
    let _ = ending.send(());
    // Every conversation holds a receiver.
    ending.closed().await;
}

async fn converse(connection: Connection, places: Places, app: Router, mut ended: watch::Receiver<()>) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(places.head).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let mut served = pin!(http.serve_connection(TokioIo::new(connection), TowerToHyperService::new(app)));
    // How a connection failed is its client's business.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = ended.changed() => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// Runs it alone, until SIGTERM or SIGINT. `ready` hears the address.
///
/// # Errors
/// As [`WebServer::start`].
pub fn run(site: Site, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<(), ServerError> {
    let failed = |source| ServerError { address, source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let server = WebServer::start(site, address)?;
    ready(server.address);
    let waited = runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        tokio::select! {
            _ = term.recv() => (),
            _ = int.recv() => (),
        }
        Ok::<(), std::io::Error>(())
    });
    server.stop()?;
    waited.map_err(failed)
}
