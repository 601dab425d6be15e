//! The embedded broker: rumqttd on one TCP address, MQTT 5 only, and the collector's link inside the process.
//!
//! It keeps nothing on disk: what it held is gone with the process, so agents keep their messages until the collector's
//! acknowledgement, and releases are published again at start-up. It knows neither passwords nor TLS; a network that is
//! not trusted wants a real broker. All logs are bounded in bytes: a collector that cannot keep up loses the oldest
//! publications here, counted as overrun, and the agents send them again.
//!
//! rumqttd gives the log of each agent's acknowledgements 330 KiB of address space and replaces it every 20
//! acknowledgements, so [`crate::allocator::settle`] belongs to every program that runs it for long.

use super::counts::Counts;
use super::link::{Delivery, Inlet, Link, LinkError, Outlet, Receipt};
use crate::clock;
use lapwing_shared::messages::topics::{Kind, ROOT, agents_filter};
use rumqttd::local::{LinkError as RouterError, LinkRx, LinkTx};
use rumqttd::protocol::{Packet, Publish};
use rumqttd::{Broker, Config, ConnectionSettings, Notification, RouterConfig, SegmentConfig, ServerSettings};
use std::collections::HashMap;
use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

/// Kinds of agents' messages that the collector reads.
pub(super) const KINDS: [Kind; 5] = [Kind::Status, Kind::Alert, Kind::Sample, Kind::Health, Kind::Update];

/// Limits of the embedded broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokerLimits {
    /// Connections at once; further ones are closed.
    pub connections: usize,
    /// Largest MQTT packet, bytes.
    pub packet_bytes: usize,
    /// Sample batches that are held until the collector has read them, bytes of topic and payload; of the other kinds
    /// less is held, see `held`. The router's own records come on top, about 400 bytes a publication.
    pub held_bytes: usize,
    /// Time that a new connection has for its CONNECT, milliseconds.
    pub connect_ms: u16,
}

impl Default for BrokerLimits {
    fn default() -> Self {
        Self { connections: 10_000, packet_bytes: 66 * 1024, held_bytes: 32 * 1024 * 1024, connect_ms: 5_000 }
    }
}

/// Parts that a bounded log is made of; it drops one at a time. Many small ones leave the allocator fewer holes.
const PARTS: usize = 16;
/// Publications that the router hands to one reader at once.
const HANDED: u64 = 200;
/// Packets read from one connection before they are routed.
const READ_AHEAD: usize = 100;
/// How long the listener may take to come up.
const START_TRIES: u32 = 400;
const START_PAUSE: Duration = Duration::from_millis(5);

/// Starts the broker on an address (port 0 takes a free one) and gives the collector's link and the true address.
///
/// # Errors
/// When the address is taken or the threads cannot be started.
pub fn start(listen: SocketAddr, limits: BrokerLimits, counts: Arc<Counts>) -> Result<(Link, SocketAddr), LinkError> {
    let refused = |error: std::io::Error| LinkError::Listen { address: listen.to_string(), reason: error.to_string() };
    // rumqttd only logs when it cannot listen, so the address is tried first.
    let listen = TcpListener::bind(listen).and_then(|probe| probe.local_addr()).map_err(refused)?;
    let mut broker = Broker::new(config(listen, limits));
    let (mut tx, rx) = broker.link("lapwing-collector").map_err(ended)?;
    for kind in KINDS {
        tx.subscribe(agents_filter(kind).as_str()).map_err(ended)?;
    }
    let (releases, releases_rx) = broker.link("lapwing-releases").map_err(ended)?;
    let spawned = thread::Builder::new().name("broker".into()).spawn(move || {
        if let Err(error) = broker.start() {
            tracing::error!(%error, "the embedded broker has ended");
        }
    });
    spawned.map_err(refused)?;
    await_listener(listen)?;
    let inlet = RouterInlet { rx, read: HashMap::new(), counts };
    let link = Link {
        inlet: Box::new(inlet),
        outlet: Box::new(RouterOutlet { tx, _rx: None }),
        releases: Box::new(RouterOutlet { tx: releases, _rx: Some(releases_rx) }),
    };
    Ok((link, listen))
}

/// Bytes of one kind that are held. A publication keeps the whole buffer alive that it was read into (10 KiB or more,
/// shared with its neighbours), so rare kinds are given little.
fn held(kind: Kind, limits: BrokerLimits) -> usize {
    let share = match kind {
        Kind::Sample => 1,
        Kind::Alert => 8,
        _ => 32,
    };
    (limits.held_bytes / share).max(PARTS * 4 * 1024)
}

fn config(listen: SocketAddr, limits: BrokerLimits) -> Config {
    let segment = |bytes: usize| SegmentConfig { max_segment_size: bytes / PARTS, max_segment_count: PARTS };
    let mut custom: HashMap<String, SegmentConfig> = HashMap::new();
    for kind in KINDS {
        custom.insert(agents_filter(kind).to_string(), segment(held(kind, limits)));
    }
    // One log for each agent that listens for acknowledgements: as small as it can be, since what is lost is asked again.
    let smallest = SegmentConfig { max_segment_size: 1024, max_segment_count: 2 };
    custom.insert(agents_filter(Kind::Ack).to_string(), smallest);
    custom.insert(format!("{ROOT}/group/+/release"), segment(256 * 1024));
    let connections = ConnectionSettings {
        connection_timeout_ms: limits.connect_ms,
        max_payload_size: limits.packet_bytes,
        max_inflight_count: READ_AHEAD,
        auth: None,
        external_auth: None,
        dynamic_filters: false,
    };
    let server = ServerSettings { name: "lapwing".into(), listen, tls: None, next_connection_delay_ms: 0, connections };
    Config {
        router: RouterConfig {
            max_connections: limits.connections,
            max_outgoing_packet_count: HANDED,
            max_segment_size: 256 * 1024,
            max_segment_count: 4,
            custom_segment: Some(custom),
            ..RouterConfig::default()
        },
        v5: Some(HashMap::from([("lapwing".into(), server)])),
        ..Config::default()
    }
}

fn await_listener(listen: SocketAddr) -> Result<(), LinkError> {
    let mut address = listen;
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    for _ in 0..START_TRIES {
        if TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok() {
            return Ok(());
        }
        thread::sleep(START_PAUSE);
    }
    Err(LinkError::Listen { address: listen.to_string(), reason: "the embedded broker does not answer".into() })
}

fn ended(error: RouterError) -> LinkError {
    LinkError::Ended { reason: error.to_string() }
}

/// Reads the router's log inside the process; the router waits for the reader, so its queue is short.
struct RouterInlet {
    rx: LinkRx,
    /// Next offset expected in the log of each kind, by the last level of the topic.
    read: HashMap<String, u64>,
    counts: Arc<Counts>,
}

impl Inlet for RouterInlet {
    fn next(&mut self, span: Duration) -> Result<Option<Delivery>, LinkError> {
        let deadline = clock::after(span);
        loop {
            match self.rx.recv_deadline(deadline) {
                Ok(Some(Notification::Forward(forward))) => {
                    let topic = String::from_utf8_lossy(&forward.publish.topic).into_owned();
                    if let Some((_, offset)) = forward.cursor {
                        self.note(&topic, offset);
                    }
                    // Copied, so that the router's read buffers are freed.
                    let payload = forward.publish.payload.to_vec();
                    return Ok(Some(Delivery { topic, payload, receipt: None }));
                }
                Ok(Some(Notification::Unschedule)) => self.rx.ready().map_err(ended)?,
                Ok(_) => {}
                Err(RouterError::RecvTimeout(_)) if clock::monotonic() >= deadline => return Ok(None),
                Err(error) => return Err(ended(error)),
            }
        }
    }
}

impl RouterInlet {
    /// Counts what the log dropped between two deliveries of one kind.
    fn note(&mut self, topic: &str, offset: u64) {
        let kind = topic.rsplit('/').next().unwrap_or_default();
        match self.read.get_mut(kind) {
            Some(expected) => {
                self.counts.overrun.add(offset.saturating_sub(*expected));
                *expected = offset + 1;
            }
            None => drop(self.read.insert(kind.to_owned(), offset + 1)),
        }
    }
}

struct RouterOutlet {
    tx: LinkTx,
    /// Kept, so that the router does not see the link closed.
    _rx: Option<LinkRx>,
}

impl Outlet for RouterOutlet {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        let publish = Publish::new(topic.as_bytes().to_vec(), payload, retain);
        // The future of `send` never waits: it blocks in the router's bounded queue, which the router always drains.
        let mut sent = pin!(self.tx.send(Packet::Publish(publish, None)));
        match sent.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result.map(drop).map_err(ended),
            Poll::Pending => Err(LinkError::Full),
        }
    }

    fn confirm(&mut self, _receipts: &[Receipt]) -> Result<(), LinkError> {
        Ok(())
    }
}
