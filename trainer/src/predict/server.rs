//! The HTTP API on a socket, until it is told to end.

use super::api::{ApiLimits, router};
use super::model::{Model, ModelError};
use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Threads that judge batches.
const THREADS: usize = 2;

/// Why the API does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The socket.
    #[error("HTTP API on {address}: {source}")]
    Socket {
        /// Where it should listen.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// An API that runs on threads of its own.
pub struct ApiServer {
    /// Where it listens.
    pub address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<(), std::io::Error>>>,
}

impl ApiServer {
    /// Loads the model and listens; port 0 takes a free one.
    ///
    /// # Errors
    /// A model that cannot be used, or an address that cannot be listened on.
    pub fn start(model: &Path, address: SocketAddr, limits: ApiLimits) -> Result<Self, ServerError> {
        Self::with_model(Arc::new(Model::load(model)?), address, limits)
    }

    /// As [`Self::start`], with a model that is loaded already.
    ///
    /// # Errors
    /// An address that cannot be listened on.
    pub fn with_model(model: Arc<Model>, address: SocketAddr, limits: ApiLimits) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Socket { address, source };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (end, ended) = oneshot::channel();
        let run = move || runtime.block_on(serve(listener, model, limits, async move { drop(ended.await) }));
        let thread = std::thread::Builder::new().name("http-api".into()).spawn(run).map_err(failed)?;
        tracing::info!(%address, "HTTP API listens");
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
        ended.map_err(|source| ServerError::Socket { address, source })
    }
}

async fn serve(
    listener: TcpListener,
    model: Arc<Model>,
    limits: ApiLimits,
    end: impl Future<Output = ()> + Send + 'static,
) -> Result<(), std::io::Error> {
    axum::serve(listener, router(model, limits)).with_graceful_shutdown(end).await
}

/// Runs the API alone, until SIGTERM or SIGINT. `ready` hears the address.
///
/// # Errors
/// As [`ApiServer::start`].
pub fn run(model: &Path, address: SocketAddr, ready: impl FnOnce(SocketAddr)) -> Result<(), ServerError> {
    let failed = |source| ServerError::Socket { address, source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let server = ApiServer::start(model, address, ApiLimits::default())?;
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
