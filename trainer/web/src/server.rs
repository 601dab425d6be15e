//! Router → HTTP server with a connection cap, idle timeouts and a maximum connection lifetime.
//!
//! Browsers leave connections open, and anyone who reaches the port can open some: the limits keep file descriptors free
//! for the collector.

use super::access::Peer;
use super::addresses::{AddressPlace, Addresses};
use super::counters::{HttpCounts, count};
use super::tls::WebTls;
use super::{Site, router};
use axum::Router;
use axum::http::header::ALLOW;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// Threads that read the store and run the model.
const THREADS: usize = 4;
/// Pause after a failed accept.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// Longest head of a request, bytes, including its path.
pub(crate) const HEAD_BYTES: usize = 16 << 10;
/// Most header lines of a request.
pub(crate) const HEADERS: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Concurrent connections; further ones wait in the listen queue.
    pub(crate) connections: usize,
    /// Concurrent connections from one address; further ones are closed. Unlimited on the loopback.
    pub(crate) address_connections: usize,
    /// A connection ends when a read or a write makes no progress for this time. While a response is sent, the read for
    /// the next request waits too: a response takes less.
    pub(crate) idle: Duration,
    /// A connection ends after this time, even if it is in use.
    pub(crate) lifetime: Duration,
    /// Time to receive the head of a request, from the end of the previous response.
    pub(crate) head: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            connections: 128,
            address_connections: 16,
            idle: Duration::from_secs(60),
            lifetime: Duration::from_secs(300),
            head: Duration::from_secs(10),
        }
    }
}

/// The HTTP server cannot run.
#[derive(Debug, thiserror::Error)]
#[error("HTTP on {address}: {source}")]
#[expect(missing_docs, reason = "the messages document the fields")]
pub struct ServerError {
    pub address: SocketAddr,
    pub source: io::Error,
}

/// A running server with its own threads.
pub struct WebServer {
    /// Address that it listens on.
    pub address: SocketAddr,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebServer {
    /// Starts listening; port 0 takes a free port.
    ///
    /// # Errors
    /// When it cannot listen on the address or start its threads.
    pub fn start(site: Site, address: SocketAddr) -> Result<Self, ServerError> {
        Self::with_limits(site, address, ConnectionLimits::default())
    }

    pub(crate) fn with_limits(site: Site, address: SocketAddr, limits: ConnectionLimits) -> Result<Self, ServerError> {
        let failed = |source| ServerError { address, source };
        check_exposure(&site, address).map_err(failed)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS)
            .thread_name("http")
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let what = if site.store.is_some() { "dashboard and HTTP API listen" } else { "HTTP API listens" };
        let counts = Arc::new(HttpCounts::default());
        let tls = site.tls.clone();
        let app = router(site, address, Arc::clone(&counts));
        let (shutdown, requested) = oneshot::channel();
        let run =
            move || runtime.block_on(serve(listener, limits, (app, tls, counts), async move { drop(requested.await) }));
        let thread = std::thread::Builder::new().name("http-api".into()).spawn(run).map_err(failed)?;
        tracing::info!(%address, "{what}");
        Ok(Self { address, shutdown: Some(shutdown), thread: Some(thread) })
    }

    /// Stops accepting connections, finishes requests in progress, and ends.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(mut self) -> Result<(), ServerError> {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        let address = self.address;
        let panicked = |_| ServerError { address, source: io::Error::other("the thread panicked") };
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(panicked)
    }
}

/// Passwords and sessions do not travel in plain text: without TLS, only this machine reaches the server, or a proxy.
fn check_exposure(site: &Site, address: SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() || site.tls.is_some() || !site.login.trusted_proxies.is_empty() {
        return Ok(());
    }
    let message = "without TLS, the web page listens on the loopback only; set http.tls = \"authority\", or http.tls-cert and \
                   http.tls-key, or name the proxy that ends TLS in http.trusted-proxies";
    Err(io::Error::new(io::ErrorKind::PermissionDenied, message))
}

/// Accepts connections until `shutdown`, then waits for requests in progress, but for idle connections at most as long
/// as the head of a request may take.
async fn serve(
    listener: TcpListener,
    limits: ConnectionLimits,
    (app, tls, counts): (Router, Option<Arc<WebTls>>, Arc<HttpCounts>),
    shutdown: impl Future<Output = ()>,
) {
    let permits = Arc::new(Semaphore::new(limits.connections));
    let addresses = Addresses::new(limits.address_connections);
    let (ending, ended) = watch::channel(());
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, places) = tokio::select! {
            accepted = accept(&listener, &permits, &addresses, &counts) => accepted,
            () = &mut shutdown => break,
        };
        let acceptor = tls.as_ref().map(|tls| tls.acceptor());
        let connection = serve_connection(stream, limits, (app.clone(), acceptor), ended.clone());
        let counts = Arc::clone(&counts);
        tokio::spawn(async move {
            match connection.await {
                End::Served => {}
                End::Cut => count(&counts.cut),
                End::Broken => count(&counts.broken),
            }
            drop(places);
        });
    }
    drop((listener, ended));
    let _ = ending.send(());
    // Every connection has a receiver.
    ending.closed().await;
}

/// What a connection uses until it ends.
type Places = (Option<OwnedSemaphorePermit>, AddressPlace);

/// The next connection, once the number of connections permits one. Closes those of crowded addresses.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    addresses: &Arc<Addresses>,
    counts: &HttpCounts,
) -> (TcpStream, Places) {
    // It fails only on a closed semaphore; this one is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                if let Some(place) = addresses.take(peer.ip()) {
                    count(&counts.connections);
                    return (stream, (permit, place));
                }
                count(&counts.refused);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Probably out of file descriptors.
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

/// How a connection ended.
#[derive(Clone, Copy)]
enum End {
    Served,
    /// By a limit on time.
    Cut,
    /// With another error.
    Broken,
}

async fn serve_connection(
    stream: TcpStream,
    limits: ConnectionLimits,
    (app, acceptor): (Router, Option<TlsAcceptor>),
    shutdown: watch::Receiver<()>,
) -> End {
    // A connection that has ended meanwhile has no address.
    let Ok(address) = stream.peer_addr() else { return End::Broken };
    let mut stream = TimeoutStream::new(stream);
    stream.set_read_timeout(Some(limits.idle));
    stream.set_write_timeout(Some(limits.idle));
    let (stream, peer) = (Box::pin(stream), Peer { address, is_tls: acceptor.is_some() });
    let Some(acceptor) = acceptor else { return serve_stream(stream, peer, limits, app, shutdown).await };
    match timeout(limits.head, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_stream(stream, peer, limits, app, shutdown).await,
        Ok(Err(_)) => End::Broken,
        Err(_) => End::Cut,
    }
}

/// Removes the list of methods from all but the answer to a wrong method: the router also adds it to the refusal of an unknown
/// caller, who would learn which routes there are.
fn without_methods(mut response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().remove(ALLOW);
    }
    response
}

async fn serve_stream(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    limits: ConnectionLimits,
    app: Router,
    mut shutdown: watch::Receiver<()>,
) -> End {
    let app = TowerToHyperService::new(app);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let answer = app.call(request);
        async move { answer.await.map(without_methods) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    let connection = http.serve_connection(TokioIo::new(stream), service);
    let served = async {
        let mut connection = pin!(connection);
        tokio::select! {
            result = connection.as_mut() => return result,
            _ = shutdown.changed() => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    };
    // Errors and timeouts of a connection concern its client only.
    match timeout(limits.lifetime, served).await {
        Ok(Ok(())) => End::Served,
        Ok(Err(error)) if error.is_timeout() || is_idle(&error) => End::Cut,
        Ok(Err(_)) => End::Broken,
        Err(_) => End::Cut,
    }
}

/// True if a read or a write made no progress for the idle time.
fn is_idle(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

/// Serves until SIGTERM or SIGINT; calls `ready` with the address.
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
        Ok::<(), io::Error>(())
    });
    server.stop()?;
    waited.map_err(failed)
}
