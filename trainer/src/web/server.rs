//! The HTTP side on a socket, until it is told to end.

use super::limited::Limited;
use super::{Site, router};
use std::future::Future;
use std::net::SocketAddr;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Threads that judge batches and read the store.
const THREADS: usize = 4;

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
    thread: Option<JoinHandle<Result<(), std::io::Error>>>,
}

impl WebServer {
    /// Listens; port 0 takes a free one.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn start(site: Site, address: SocketAddr) -> Result<Self, ServerError> {
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
        let run = move || runtime.block_on(serve(listener, site, address, async move { drop(ended.await) }));
        let thread = std::thread::Builder::new().name("http-api".into()).spawn(run).map_err(failed)?;
        let what = if dashboard { "dashboard and HTTP API listen" } else { "HTTP API listens" };
        tracing::info!(%address, "{what}");
        Ok(Self { address, end: Some(end), thread: Some(thread) })
    }

    /// Takes no more connections, answers those under way, and ends.
    ///
    /// # Errors
    /// What the socket said at the end.
    pub fn stop(mut self) -> Result<(), ServerError> {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        let address = self.address;
        let lost = || std::io::Error::other("the thread panicked");
        let ended = self.thread.take().map_or(Ok(Ok(())), JoinHandle::join).unwrap_or_else(|_| Err(lost()));
        ended.map_err(|source| ServerError { address, source })
    }
}

async fn serve(
    listener: TcpListener,
    site: Site,
    address: SocketAddr,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), std::io::Error> {
    axum::serve(Limited::new(listener), router(site, address)).with_graceful_shutdown(end).await
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
