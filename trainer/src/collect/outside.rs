//! An outside broker: rumqttc's MQTT 5 client on a thread of its own.
//!
//! Deliveries are confirmed (PUBACK) only after the store's commit, in the order of arrival, and the session is kept by
//! the broker: what a collector had not confirmed is delivered again. The broker may have [`RECEIVE_MAXIMUM`]
//! unconfirmed deliveries under way, which is also the room of the queue: that is the backpressure.
//! Status is read by every collector; the rest through shared subscriptions (MQTT 5 §4.8.2), so that several collectors
//! share the work. Each kind has a share name of its own, because some brokers keep one position for each name.

use super::broker::KINDS;
use super::counts::Counts;
use super::link::{Delivery, Inlet, Link, LinkError, Outlet, Receipt};
use lapwing_shared::messages::broker_url::BrokerUrl;
use lapwing_shared::messages::topics::{Kind, agents_filter};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, Publish};
use rumqttc::v5::{AsyncClient, ClientError, Event, EventLoop, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Unconfirmed deliveries that the broker may have under way (MQTT 5 §3.1.2.11.3).
pub const RECEIVE_MAXIMUM: u16 = 2_048;
/// Further room of the queue, for deliveries of quality 0.
const SLACK: usize = 1_024;
/// Requests that wait for the network.
const REQUESTS: usize = 2 * RECEIVE_MAXIMUM as usize;
/// How long the broker keeps the session of a collector that is away, seconds.
const SESSION_S: u32 = 24 * 3600;
/// Largest MQTT packet, bytes.
const PACKET_BYTES: u32 = 66 * 1024;
/// First and longest pause before connecting again.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];

/// How to reach the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outside {
    /// `mqtt://[user:password@]host[:port]`, or `mqtts://` for TLS.
    pub url: String,
    /// MQTT client identifier, one of its own for each collector.
    pub client: String,
    /// PEM file with the authority that the broker's certificate must come from; without one, those that the
    /// system trusts.
    pub authority: Option<PathBuf>,
}

/// Starts the client; it connects, and connects again, by itself.
///
/// # Errors
/// When the URL or the certificates are wrong.
pub fn start(outside: &Outside, counts: Arc<Counts>) -> Result<Link, LinkError> {
    let options = options(outside)?;
    let (client, events) = AsyncClient::new(options, REQUESTS);
    let (queue, deliveries) = sync_channel(usize::from(RECEIVE_MAXIMUM) + SLACK);
    let connection = Arc::new(AtomicU64::new(0));
    let driver = Driver {
        client: client.clone(),
        events,
        queue,
        connection: Arc::clone(&connection),
        counts,
        url: outside.url.clone(),
    };
    let failed = |error: std::io::Error| LinkError::Ended { reason: error.to_string() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    thread::Builder::new().name("mqtt".into()).spawn(move || runtime.block_on(driver.run())).map_err(failed)?;
    let outlet = || {
        Box::new(ClientOutlet { client: client.clone(), unsent: VecDeque::new(), connection: Arc::clone(&connection) })
    };
    Ok(Link { inlet: Box::new(QueueInlet { deliveries }), outlet: outlet(), releases: outlet() })
}

fn options(outside: &Outside) -> Result<MqttOptions, LinkError> {
    let url: BrokerUrl = outside.url.parse()?;
    let mut options = MqttOptions::new(&outside.client, url.host.as_str(), url.port);
    options.set_keep_alive(Duration::from_secs(20));
    options.set_clean_start(false);
    options.set_manual_acks(true);
    options.set_session_expiry_interval(Some(SESSION_S));
    options.set_receive_maximum(Some(RECEIVE_MAXIMUM));
    options.set_max_packet_size(Some(PACKET_BYTES));
    if let Some((user, password)) = &url.login {
        options.set_credentials(user.as_str(), password.as_str());
    }
    if url.tls {
        options.set_transport(Transport::tls_with_config(tls_config(outside)?));
    }
    Ok(options)
}

fn tls_config(outside: &Outside) -> Result<TlsConfiguration, LinkError> {
    let place = outside.authority.as_ref().map_or("the system's".into(), |path| path.display().to_string());
    let wrong = |reason: String| LinkError::Certificates { path: place.clone(), reason };
    let mut roots = rustls::RootCertStore::empty();
    match &outside.authority {
        Some(path) => {
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
                roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
            }
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        return Err(wrong("there is none".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConfiguration::Rustls(Arc::new(config)))
}

/// Turns the client's wheel on its own thread; never waits for the store.
struct Driver {
    client: AsyncClient,
    events: EventLoop,
    queue: SyncSender<Delivery>,
    connection: Arc<AtomicU64>,
    counts: Arc<Counts>,
    url: String,
}

impl Driver {
    async fn run(mut self) {
        let mut pause = PAUSES[0];
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(_))) => {
                    pause = PAUSES[0];
                    self.connected();
                }
                Ok(Event::Incoming(Packet::Publish(publish))) => match self.deliver(publish) {
                    Ok(()) => {}
                    Err(TrySendError::Disconnected(_)) => return,
                    // More than the receive maximum: closing makes the broker deliver it again.
                    Err(TrySendError::Full(_)) => self.events.clean(),
                },
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(broker = host_of(&self.url), %error, "no connection to the broker, trying again");
                    tokio::time::sleep(pause + pause.mul_f64(fastrand::f64())).await;
                    pause = (pause * 2).min(PAUSES[1]);
                }
            }
        }
    }

    fn connected(&self) {
        self.connection.fetch_add(1, Ordering::Relaxed);
        self.counts.connections.add(1);
        tracing::info!(broker = host_of(&self.url), "connected to the broker");
        let filter = |kind: Kind| {
            let plain = agents_filter(kind);
            let path = match kind {
                Kind::Status => plain.to_string(),
                _ => format!("$share/lapwing-collectors-{}/{plain}", kind.as_str()),
            };
            Filter::new(path, QoS::AtLeastOnce)
        };
        if let Err(error) = self.client.try_subscribe_many(KINDS.map(filter)) {
            tracing::error!(%error, "cannot subscribe");
        }
    }

    fn deliver(&self, publish: Publish) -> Result<(), TrySendError<Delivery>> {
        let connection = self.connection.load(Ordering::Relaxed);
        let confirmed = publish.qos != QoS::AtMostOnce;
        let receipt = confirmed.then_some(Receipt { packet: publish.pkid, connection });
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        let sent = self.queue.try_send(Delivery { topic, payload: publish.payload.to_vec(), receipt });
        match sent {
            // Quality 0 promises nothing; the agent tells its newest health again soon.
            Err(TrySendError::Full(_)) if !confirmed => {
                self.counts.overrun.add(1);
                Ok(())
            }
            other => other,
        }
    }
}

/// The URL without its login, for logs.
fn host_of(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, place)| place)
}

struct QueueInlet {
    deliveries: Receiver<Delivery>,
}

impl Inlet for QueueInlet {
    fn next(&mut self, span: Duration) -> Result<Option<Delivery>, LinkError> {
        match self.deliveries.recv_timeout(span) {
            Ok(delivery) => Ok(Some(delivery)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(LinkError::Ended { reason: "the client's thread ended".into() }),
        }
    }
}

struct ClientOutlet {
    client: AsyncClient,
    /// Confirmations that found the requests full; never more than the receive maximum.
    unsent: VecDeque<Receipt>,
    connection: Arc<AtomicU64>,
}

impl Outlet for ClientOutlet {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, retain: bool) -> Result<(), LinkError> {
        let quality = if retain { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        self.client.try_publish(topic, quality, retain, payload).map_err(refused)
    }

    fn confirm(&mut self, receipts: &[Receipt]) -> Result<(), LinkError> {
        let connection = self.connection.load(Ordering::Relaxed);
        self.unsent.extend(receipts);
        // The broker delivers again what another connection left unconfirmed.
        self.unsent.retain(|receipt| receipt.connection == connection);
        while let Some(receipt) = self.unsent.front() {
            let publish = Publish { pkid: receipt.packet, qos: QoS::AtLeastOnce, ..Publish::default() };
            match self.client.try_ack(&publish).map_err(refused) {
                Ok(()) => drop(self.unsent.pop_front()),
                Err(LinkError::Full) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

fn refused(error: ClientError) -> LinkError {
    match error {
        ClientError::TryRequest(_) => LinkError::Full,
        other => LinkError::Ended { reason: other.to_string() },
    }
}
