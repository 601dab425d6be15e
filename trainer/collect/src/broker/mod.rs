//! Agents' MQTT 5 connections → the collector's link in the same process: the embedded broker.
//!
//! It has what agents need: QoS 0 and 1 from clients, QoS 0 to them, retained statuses and releases, last wills. A client
//! may publish on the topics of the agent that its client identifier names, and nowhere else. It has neither passwords
//! nor TLS, so the identifier proves nothing: it listens on the loopback unless the operator allows more.
//!
//! It stores nothing on disk: agents keep their messages until the collector acknowledges them, and the server publishes
//! releases again at startup. If the collector cannot keep up, the broker refuses publications and counts them as
//! overrun, and the agents resend them. [`BrokerLimits`] bounds every queue and table; `docs/adr/0015-own-broker.md` has
//! the reasons for not using a general broker.

mod connection;
mod encode;
mod filter;
mod hub;
mod input;
mod message;
mod open_files;
mod packet;
mod places;
mod properties;
mod reader;
mod retained;
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
use lapwing_shared::messages::topics::Kind;
use message::Message;
use places::Places;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// Topics of agents' messages that the collector reads.
pub(super) const COLLECTED: [Kind; 6] =
    [Kind::Status, Kind::Alert, Kind::Sample, Kind::Health, Kind::Update, Kind::Identity];
/// Threads that serve connections.
const THREADS: usize = 2;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// Pause after a failed accept, most often because no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);

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
        }
    }
}

/// Starts the broker on an address (port 0 chooses a free port); returns the collector's link and the actual address.
/// The broker ends when the link is dropped.
///
/// # Errors
/// When the address is in use or a thread cannot be started.
pub fn start(listen: SocketAddr, limits: BrokerLimits, counts: Arc<Counts>) -> Result<(Link, SocketAddr), LinkError> {
    let failed = |error: io::Error| LinkError::Listen { address: listen.to_string(), reason: error.to_string() };
    let limits = BrokerLimits { connections: open_files::connections(limits.connections), ..limits };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("broker")
        .enable_all()
        .build()
        .map_err(failed)?;
    let listener = bind(&runtime, listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let (hub, deliveries) = Hub::new(limits, counts);
    let (running, stopped) = oneshot::channel::<()>();
    let serving = Arc::clone(&hub);
    let run = move || {
        runtime.block_on(async {
            tokio::select! {
                () = accept(listener, serving) => (),
                // The sender is dropped with the link.
                _ = stopped => (),
            }
        });
        runtime.shutdown_background();
    };
    thread::Builder::new().name("broker".into()).spawn(run).map_err(failed)?;
    let running = Arc::new(running);
    let outlet = || Box::new(HubOutlet { hub: Arc::clone(&hub), _running: Arc::clone(&running) });
    let inlet = Box::new(HubInlet { deliveries, _running: Arc::clone(&running) });
    let state = Arc::new(LinkState::embedded(address));
    let ends = Ends { inlet, outlet: outlet(), state: Arc::clone(&state) };
    Ok((Link { ends, releases: Releases { outlet: outlet(), state }, renewals: outlet() }, address))
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

/// Accepts connections. A panic of one of them ends that connection only.
async fn accept(listener: TcpListener, hub: Arc<Hub>) {
    let places = Arc::new(Places::default());
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => match places.take(peer.ip(), &hub.limits) {
                Some(place) => drop(tokio::spawn(connection::serve(Arc::clone(&hub), stream, place))),
                None => hub.counts.connections_refused.add(1),
            },
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                hub.counts.accept_failures.add(1);
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
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
