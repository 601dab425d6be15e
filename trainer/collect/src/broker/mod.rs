//! Agents' MQTT 5 connections → the collector's link in the same process: the embedded broker.
//!
//! It has what agents need: QoS 0 and 1 from clients, QoS 0 to them, retained statuses and releases, last wills. A client
//! may publish on the topics of its agent, and nowhere else. With TLS, that is the agent that its certificate names. Without
//! TLS it is the one that the client identifier names, which proves nothing: that port is on the loopback unless the operator
//! allows more.
//!
//! It stores nothing on disk: agents keep their messages until the collector acknowledges them, and the server publishes
//! releases again at startup. If the collector cannot keep up, the broker refuses publications and counts them as
//! overrun, and the agents resend them. [`BrokerLimits`] bounds every queue and table; `docs/adr/0015-own-broker.md` has
//! the reasons for not using a general broker.

mod accept;
mod connection;
mod encode;
mod filter;
mod hub;
mod input;
mod message;
mod open_files;
mod owner;
mod packet;
mod places;
mod properties;
mod rates;
mod reader;
mod retained;
mod tls;
#[cfg(test)]
mod packet_tests;
#[cfg(test)]
mod raw_client;
#[cfg(test)]
mod tests;

use super::counts::Counts;
use super::link::{Delivery, Ends, Inlet, Link, LinkError, Outlet, Receipt, Releases};
use super::link_state::LinkState;
use hub::{Hub, Queued};
use lapwing_common::clock;
use lapwing_shared::messages::topics::Kind;
use message::Message;
use owner::Admission;
use places::Places;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;
pub use tls::{BrokerTls, Credentials, TlsListener};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Topics of agents' messages that the collector reads.
pub(super) const COLLECTED: [Kind; 6] =
    [Kind::Status, Kind::Alert, Kind::Sample, Kind::Health, Kind::Update, Kind::Identity];
/// Threads that serve connections.
const THREADS: usize = 2;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Interval of looking at the sessions of agents whose certificates may have ended.
const SESSION_CHECK: Duration = Duration::from_secs(60);

/// Limits of the embedded broker. Clients fill everything here; what exceeds a limit is refused and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Concurrent connections; further ones are closed.
    pub connections: usize,
    /// Concurrent connections from one address, or from one /64 network of IPv6; unlimited on the loopback.
    pub address_connections: usize,
    /// Largest MQTT packet, bytes.
    pub packet_bytes: usize,
    /// Publications queued for the collector, bytes of topic and payload.
    pub held_bytes: usize,
    /// Timeout for the CONNECT packet of a new connection, milliseconds.
    pub connect_ms: u16,
    /// Filters of one client.
    pub filters: usize,
    /// Filters with wildcards of all clients: each publication is compared with all of them.
    pub wildcards: usize,
    /// Retained messages of all agents, bytes.
    pub retained_bytes: usize,
    /// Publications queued for one client, bytes.
    pub client_bytes: usize,
    /// Publications queued for all clients, bytes.
    pub clients_bytes: usize,
    /// Packets per second of one identity with a certificate, on average; a client above it is read more slowly.
    pub agent_packets: u32,
    /// KiB per second of one identity.
    pub agent_kib: u32,
    /// Packets per second from one address, or from one /64 network of IPv6; unlimited on the loopback.
    pub address_packets: u32,
    /// KiB per second from one address.
    pub address_kib: u32,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            address_connections: 1_000,
            packet_bytes: 66 * 1024,
            held_bytes: 32 * 1024 * 1024,
            connect_ms: 5_000,
            filters: 32,
            wildcards: 256,
            retained_bytes: 32 * 1024 * 1024,
            client_bytes: 1024 * 1024,
            clients_bytes: 64 * 1024 * 1024,
            agent_packets: 100,
            agent_kib: 256,
            address_packets: 10_000,
            address_kib: 16 * 1024,
        }
    }
}

/// Where the broker listens.
pub struct Listeners {
    /// Address of the port without TLS.
    pub plain: SocketAddr,
    /// The port for clients with certificates.
    pub tls: Option<TlsListener>,
}

/// Actual addresses of [`Listeners`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Without TLS.
    pub plain: SocketAddr,
    /// With TLS.
    pub tls: Option<SocketAddr>,
}

/// Starts the broker without TLS on an address (port 0 chooses a free port), see [`start_listeners`].
///
/// # Errors
/// As [`start_listeners`].
pub fn start(listen: SocketAddr, limits: BrokerLimits, counts: Arc<Counts>) -> Result<(Link, SocketAddr), LinkError> {
    let listeners = Listeners { plain: listen, tls: None };
    start_listeners(listeners, limits, counts).map(|(link, addresses)| (link, addresses.plain))
}

/// Starts the broker; returns the collector's link and the actual addresses. The broker ends when the link is dropped.
///
/// # Errors
/// When an address is in use or a thread cannot be started.
pub fn start_listeners(
    listeners: Listeners,
    limits: BrokerLimits,
    counts: Arc<Counts>,
) -> Result<(Link, Addresses), LinkError> {
    let Listeners { plain, tls } = listeners;
    let failed = |listen: SocketAddr| {
        move |error: io::Error| LinkError::Listen { address: listen.to_string(), reason: error.to_string() }
    };
    let limits = BrokerLimits { connections: open_files::connections(limits.connections), ..limits };
    let runtime = runtime("broker", THREADS).map_err(failed(plain))?;
    let listener = bind(&runtime, plain).map_err(failed(plain))?;
    let mut addresses = Addresses { plain: listener.local_addr().map_err(failed(plain))?, tls: None };
    let (mut admission, mut secure) = (Admission::default(), None);
    if let Some(TlsListener { listen, tls, roster, readers }) = tls {
        let listener = bind(&runtime, listen).map_err(failed(listen))?;
        addresses.tls = Some(listener.local_addr().map_err(failed(listen))?);
        secure = Some((listener, tls, self::runtime("broker-tls", 1).map_err(failed(listen))?));
        admission = Admission { roster, readers };
    }
    let (hub, deliveries) = Hub::new(limits, counts, admission);
    let (running, stopped) = oneshot::channel::<()>();
    let serving = Arc::clone(&hub);
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = serve(listener, secure.as_ref(), serving) => (),
                // The sender is dropped with the link.
                _ = stopped => (),
            }
        });
        runtime.shutdown_background();
        if let Some((.., handshakes)) = secure {
            handshakes.shutdown_background();
        }
    };
    thread::Builder::new().name("broker".into()).spawn(run).map_err(failed(plain))?;
    let running = Arc::new(running);
    let outlet = || Box::new(HubOutlet { hub: Arc::clone(&hub), _running: Arc::clone(&running) });
    let inlet = Box::new(HubInlet { deliveries, _running: Arc::clone(&running) });
    let state = Arc::new(LinkState::embedded(addresses.plain, addresses.tls));
    let ends = Ends { inlet, outlet: outlet(), state: Arc::clone(&state) };
    Ok((Link { ends, releases: Releases { outlet: outlet(), state }, renewals: outlet() }, addresses))
}

fn runtime(name: &str, threads: usize) -> io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).thread_name(name).enable_all().build()
}

/// A socket for TLS, its credentials, and what runs its handshakes.
type Secure = (TcpListener, Arc<BrokerTls>, Runtime);

/// Accepts connections on both ports, and closes those of agents that are no longer admitted.
async fn serve(listener: TcpListener, secure: Option<&Secure>, hub: Arc<Hub>) {
    let places = Arc::new(Places::default());
    let plain = accept::plain(listener, Arc::clone(&hub), Arc::clone(&places));
    let Some((listener, tls, handshakes)) = secure else { return plain.await };
    let with_tls = accept::with_tls(listener, (Arc::clone(&hub), places), Arc::clone(tls), handshakes.handle().clone());
    tokio::join!(plain, with_tls, close_refused(hub));
}

/// Looks at every session when an identity has changed, and from time to time: certificates end.
async fn close_refused(hub: Arc<Hub>) {
    let mut changes = hub.admission.roster.changes();
    loop {
        // The roster lives as long as the hub.
        let _ = timeout(SESSION_CHECK, changes.changed()).await;
        hub.close_refused(clock::now_s(), None);
    }
}

/// Also works where another runtime blocks on the caller.
fn bind(runtime: &Runtime, listen: SocketAddr) -> io::Result<TcpListener> {
    let _context = runtime.enter();
    let socket = if listen.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server need not wait for connections of the last one.
    socket.set_reuseaddr(true)?;
    socket.bind(listen)?;
    socket.listen(BACKLOG)
}

/// Reads the broker's queue for the collector.
struct HubInlet {
    deliveries: Receiver<Queued>,
    _running: Arc<oneshot::Sender<()>>,
}

impl Inlet for HubInlet {
    fn next(&mut self, timeout: Duration) -> Result<Option<Delivery>, LinkError> {
        match self.deliveries.recv_timeout(timeout) {
            Ok(queued) => Ok(Some(queued.delivery)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(LinkError::Ended { reason: "the embedded broker has stopped".into() })
            }
        }
    }
}

struct HubOutlet {
    hub: Arc<Hub>,
    _running: Arc<oneshot::Sender<()>>,
}

impl Outlet for HubOutlet {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        self.hub.publish_own(Message { topic: topic.to_owned(), payload }, retain);
        Ok(())
    }

    fn confirm(&mut self, _receipts: &[Receipt]) -> Result<(), LinkError> {
        Ok(())
    }
}
