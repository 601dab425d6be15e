//! Listening sockets → connections, with or without TLS.
//!
//! Handshakes run on a thread of their own, a limited number at once, so that ten thousand agents that connect again do not
//! delay those that are connected.

use super::connection::{self, Streams};
use super::hub::Hub;
use super::owner::Peer;
use super::places::{Place, Places};
use super::tls::{BrokerTls, Certificate};
use lapwing_common::clock;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

/// Pause after a failed accept, most often because no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(500);
/// Concurrent TLS handshakes; further connections wait to be accepted.
const HANDSHAKES: usize = 256;
/// Interval of looking for stalled connections while all handshakes are in use.
const STALL_CHECK: Duration = Duration::from_millis(50);
/// A connection without CONNECT may be closed after this time, if handshakes wait for its place.
const STALLED: Duration = Duration::from_secs(2);

/// Accepts connections without TLS. A panic of one of them ends that connection only.
pub(super) async fn plain(listener: TcpListener, hub: Arc<Hub>, places: Arc<Places>) {
    loop {
        let (stream, address) = accept(&listener, &hub).await;
        let Some(place) = take(&places, &hub, address) else { continue };
        let (read, write) = stream.into_split();
        let streams = Streams { read: Box::new(read), write: Box::new(write) };
        let deadline = deadline(&hub);
        drop(tokio::spawn(connection::serve(Arc::clone(&hub), streams, (place, Peer::Unproven), deadline)));
    }
}

/// Accepts connections with TLS; `handshakes` runs the handshakes.
pub(super) async fn with_tls(
    listener: &TcpListener,
    (hub, places): (Arc<Hub>, Arc<Places>),
    tls: Arc<BrokerTls>,
    handshakes: Handle,
) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES));
    let connections = Handle::current();
    loop {
        let Some(slot) = slot(&slots, &places).await else { return };
        let (stream, address) = accept(listener, &hub).await;
        let Some(place) = take(&places, &hub, address) else { continue };
        let (hub, acceptor, connections) = (Arc::clone(&hub), TlsAcceptor::from(tls.config()), connections.clone());
        drop(handshakes.spawn(async move {
            let deadline = deadline(&hub);
            if let Some((streams, peer, place)) = handshake(&hub, stream, place, (acceptor, deadline)).await {
                connections.spawn(connection::serve(hub, streams, (place, peer), deadline));
            }
            drop(slot);
        }));
    }
}

/// Room for a handshake. Without it, stalled connections are closed.
async fn slot(slots: &Arc<Semaphore>, places: &Places) -> Option<OwnedSemaphorePermit> {
    loop {
        match timeout(STALL_CHECK, Arc::clone(slots).acquire_owned()).await {
            Ok(slot) => return slot.ok(),
            Err(_) => places.evict_older(clock::monotonic(), STALLED),
        }
    }
}

async fn handshake(
    hub: &Hub,
    stream: TcpStream,
    place: Place,
    (acceptor, deadline): (TlsAcceptor, Instant),
) -> Option<(Streams, Peer, Place)> {
    let accepted = tokio::select! {
        accepted = timeout_at(deadline, acceptor.accept(stream)) => accepted,
        () = place.evicted() => {
            hub.counts.idle_closed.add(1);
            return None;
        }
    };
    let failed = |reason: &dyn std::fmt::Display| {
        hub.counts.handshakes_failed.add(1);
        tracing::debug!(%reason, "TLS handshake failed");
    };
    match accepted {
        Ok(Ok(stream)) => {
            let Some(certificate) = Certificate::of(stream.get_ref().1) else {
                failed(&"the certificate's subject is not one common name");
                return None;
            };
            let (read, write) = tokio::io::split(stream);
            let streams = Streams { read: Box::new(read), write: Box::new(write) };
            Some((streams, Peer::Proven(certificate), place))
        }
        Ok(Err(error)) => {
            failed(&error);
            None
        }
        Err(_) => {
            hub.counts.idle_closed.add(1);
            None
        }
    }
}

/// End of the time for handshake and CONNECT.
fn deadline(hub: &Hub) -> Instant {
    Instant::from_std(clock::after(Duration::from_millis(hub.limits.connect_ms.into())))
}

/// A place for a connection; without one it is counted, and closed.
fn take(places: &Arc<Places>, hub: &Hub, address: SocketAddr) -> Option<Place> {
    let place = places.take(address.ip(), &hub.limits, clock::monotonic());
    if place.is_none() {
        hub.counts.connections_refused.add(1);
    }
    place
}

/// The next connection.
async fn accept(listener: &TcpListener, hub: &Hub) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, address)) => {
                // Acknowledgements are small and must not wait for others.
                let _ = stream.set_nodelay(true);
                return (stream, address);
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                hub.counts.accept_failures.add(1);
                tracing::debug!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}
