//! The enrolment port: TLS connections → certificates of agents. It also answers what running agents ask over MQTT.
//!
//! A connection has one request and one response, each after its length (2 bytes). Connections, their time, their bytes
//! and failed attempts of an address are limited, and each limit has a counter.

mod answer;
mod attempts;
mod counts;
mod places;
mod renewals;
mod warnings;
#[cfg(test)]
mod tests;

pub use answer::Grants;
pub use counts::{PortCount, PortCounts};

use super::authority::Authority;
use super::error::AuthorityError;
use super::issue::Issued;
use answer::{Outcome, Registrar};
use attempts::Attempts;
use counts::count;
use lapwing_common::clock;
use lapwing_shared::enrolment::{
    BINDING_LABEL, Binding, EnrolmentResponse, MESSAGE_BYTES_LIMIT, REQUEST_BYTES_LIMIT, Refusal, frame_length,
};
use lapwing_store::StoreHandle;
use places::Places;
use rustls::ServerConfig;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use warnings::Warnings;

/// Concurrent connections; further ones wait in the listen queue.
const CONNECTIONS: usize = 64;
/// Time for a connection from its beginning to its end.
const LIFETIME: Duration = Duration::from_secs(20);
/// Threads that use the store.
const THREADS: usize = 2;
/// Pause after a failed accept.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// The port renews its own certificate this time before the end.
const RENEW_S: u64 = 30 * 86_400;

/// The port cannot run.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum PortError {
    /// It cannot listen.
    #[error("enrolment port {address}: {source}; choose another with enrolment.listen")]
    Listen { address: SocketAddr, source: io::Error },
    /// It has no certificate.
    #[error("enrolment port: {0}")]
    Authority(#[from] AuthorityError),
    /// TLS rejects the certificate.
    #[error("enrolment port: {0}")]
    Tls(#[from] rustls::Error),
}

/// A running port with its own threads.
pub struct EnrolmentPort {
    /// Address that it listens on.
    pub address: SocketAddr,
    /// Its counters.
    pub counts: Arc<PortCounts>,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EnrolmentPort {
    /// Starts listening; port 0 takes a free port. `names` are the host names and addresses by which agents reach the port.
    ///
    /// # Errors
    /// When it cannot listen on the address, or a name is invalid.
    pub fn start(
        authority: Authority,
        store: StoreHandle,
        grants: Grants,
        names: Vec<String>,
        address: SocketAddr,
    ) -> Result<Self, PortError> {
        let failed = |source| PortError::Listen { address, source };
        let counts = Arc::new(PortCounts::default());
        let registrar = Arc::new(Mutex::new(Registrar::new(authority, store, grants)));
        let tls = Tls::new(Arc::clone(&registrar), names)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS)
            .thread_name("enrolment")
            .enable_all()
            .build()
            .map_err(failed)?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (shutdown, requested) = oneshot::channel();
        let port = Port {
            registrar,
            attempts: Arc::default(),
            warnings: Arc::default(),
            places: Places::default(),
            counts: Arc::clone(&counts),
        };
        let run = move || {
            runtime.block_on(async {
                tokio::spawn(renewals::run(Arc::clone(&port.registrar), Arc::clone(&port.counts)));
                serve(listener, tls, port, async move { drop(requested.await) }).await;
            });
        };
        let thread = std::thread::Builder::new().name("enrolment-port".into()).spawn(run).map_err(failed)?;
        tracing::info!(%address, "enrolment port listens");
        Ok(Self { address, counts, shutdown: Some(shutdown), thread: Some(thread) })
    }

    /// Stops accepting connections and ends those in progress.
    ///
    /// # Errors
    /// When its thread panicked.
    pub fn stop(mut self) -> Result<(), PortError> {
        if let Some(shutdown) = self.shutdown.take() {
            let _ = shutdown.send(());
        }
        let address = self.address;
        let panicked = |_| PortError::Listen { address, source: io::Error::other("the thread panicked") };
        self.thread.take().map_or(Ok(()), JoinHandle::join).map_err(panicked)
    }
}

/// The port's certificate, renewed while it runs.
struct Tls {
    registrar: Arc<Mutex<Registrar>>,
    names: Vec<String>,
    acceptor: TlsAcceptor,
    until_s: u64,
}

impl Tls {
    fn new(registrar: Arc<Mutex<Registrar>>, names: Vec<String>) -> Result<Self, PortError> {
        let (acceptor, until_s) = Self::issue(&registrar, &names, clock::now_s())?;
        Ok(Self { registrar, names, acceptor, until_s })
    }

    fn issue(registrar: &Mutex<Registrar>, names: &[String], now_s: u64) -> Result<(TlsAcceptor, u64), PortError> {
        let registrar = registrar.lock().unwrap_or_else(PoisonError::into_inner);
        let Issued { chain, key, until_s } = registrar.authority().issue_server(names, now_s)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        Ok((TlsAcceptor::from(Arc::new(config)), until_s))
    }

    /// The acceptor of a connection that begins at `now_s`.
    fn acceptor(&mut self, now_s: u64) -> TlsAcceptor {
        if now_s.saturating_add(RENEW_S) >= self.until_s {
            match Self::issue(&self.registrar, &self.names, now_s) {
                Ok((acceptor, until_s)) => (self.acceptor, self.until_s) = (acceptor, until_s),
                Err(error) => tracing::error!(%error, "cannot renew the enrolment port's certificate"),
            }
        }
        self.acceptor.clone()
    }
}

/// What every connection uses.
#[derive(Clone)]
struct Port {
    registrar: Arc<Mutex<Registrar>>,
    attempts: Arc<Mutex<Attempts>>,
    warnings: Arc<Warnings>,
    places: Places,
    counts: Arc<PortCounts>,
}

async fn serve(listener: TcpListener, mut tls: Tls, port: Port, shutdown: impl Future<Output = ()>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, peer, permit) = tokio::select! {
            accepted = accept(&listener, &permits) => accepted,
            () = &mut shutdown => return,
        };
        count(&port.counts.connections);
        let Some(place) = port.places.take(peer) else {
            count(&port.counts.limited);
            continue;
        };
        let (acceptor, port) = (tls.acceptor(clock::now_s()), port.clone());
        tokio::spawn(async move {
            let counts = Arc::clone(&port.counts);
            match timeout(LIFETIME, port.connection(acceptor, stream, peer)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "enrolment connection failed");
                    count(&counts.broken);
                }
                Err(_) => count(&counts.broken),
            }
            drop((place, permit));
        });
    }
}

type Accepted = (TcpStream, IpAddr, Option<OwnedSemaphorePermit>);

/// The next connection, once the number of connections permits one.
async fn accept(listener: &TcpListener, permits: &Arc<Semaphore>) -> Accepted {
    // It fails only on a closed semaphore; this one is never closed.
    let permit = Arc::clone(permits).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer.ip(), permit),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            // Probably out of file descriptors.
            Err(error) => {
                tracing::warn!(%error, "cannot accept an enrolment connection");
                sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

impl Port {
    /// One request and its response.
    async fn connection(self, acceptor: TlsAcceptor, stream: TcpStream, peer: IpAddr) -> io::Result<()> {
        let mut stream = acceptor.accept(stream).await?;
        let (_, connection) = stream.get_ref();
        let binding =
            connection.export_keying_material(Binding::default(), BINDING_LABEL, None).map_err(io::Error::other)?;
        let request = read(&mut stream).await?;
        let response = match self.wait_s(peer) {
            Some(retry_after_s) => {
                count(&self.counts.limited);
                EnrolmentResponse::Refused(Refusal::TooMany { retry_after_s })
            }
            None => self.answer(request, binding, peer).await?,
        };
        write(&mut stream, &response).await
    }

    /// Seconds until an address may try again.
    fn wait_s(&self, peer: IpAddr) -> Option<u32> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner).wait_s(peer, clock::monotonic())
    }

    async fn answer(&self, request: Vec<u8>, binding: Binding, peer: IpAddr) -> io::Result<EnrolmentResponse> {
        let registrar = Arc::clone(&self.registrar);
        let answer = move || {
            let registrar = registrar.lock().unwrap_or_else(PoisonError::into_inner);
            registrar.answer(&request, &binding, clock::now_s())
        };
        let (response, outcome) = tokio::task::spawn_blocking(answer).await.map_err(io::Error::other)?;
        if matches!(outcome, Outcome::Unproven) {
            let now = clock::monotonic();
            let failed = self.attempts.lock().unwrap_or_else(PoisonError::into_inner).failed(peer, now);
            if let Some((attempts, unlogged)) = failed.and_then(|attempts| Some((attempts, self.warnings.allow(now)?)))
            {
                tracing::warn!(%peer, attempts, unlogged, "enrolment requests without a valid proof");
            }
        }
        count(self.counts.of(outcome));
        Ok(response)
    }
}

async fn read(stream: &mut TlsStream<TcpStream>) -> io::Result<Vec<u8>> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await?;
    let length = frame_length(head, REQUEST_BYTES_LIMIT);
    let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the request is too long"))?;
    let mut request = vec![0; length];
    stream.read_exact(&mut request).await?;
    Ok(request)
}

async fn write(stream: &mut TlsStream<TcpStream>, response: &EnrolmentResponse) -> io::Result<()> {
    let mut room = vec![0; MESSAGE_BYTES_LIMIT];
    let body = response.encode(&mut room).map_err(io::Error::other)?;
    let length = u16::try_from(body.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(body).await?;
    stream.shutdown().await
}
