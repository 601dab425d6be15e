//! One simulated agent: a socket, MQTT 5 packets by rumqttc's codec, a window of unacknowledged messages.

use super::messages::Maker;
use super::{LoadOptions, Tally, identities, now};
use bytes::BytesMut;
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName};
use lapwing_shared::release::digest::{parse_digest, sha256};
use rumqttc::v5::mqttbytes::v5::{Connect, Filter, Packet, PingReq, PubAck, Publish, Subscribe};
use rumqttc::v5::mqttbytes::{Error, QoS};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval_at};
use tokio_rustls::TlsConnector;

/// Time without an acknowledgement after which a message is resent.
const RESEND: Duration = Duration::from_secs(10);
/// Keep-alive in the CONNECT packet, and interval of pings.
const KEEP_ALIVE_S: u16 = 60;
const PING: Duration = Duration::from_secs(20);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// State shared by all agents.
pub(crate) struct Shared {
    pub(crate) options: LoadOptions,
    pub(crate) tally: Tally,
    /// TLS of each agent; empty without.
    pub(crate) configs: Vec<Arc<ClientConfig>>,
    pub(crate) started: AtomicBool,
    /// Ends sending before its time.
    pub(crate) stop: AtomicBool,
    /// Ends the wait for acknowledgements.
    pub(crate) gave_up: AtomicBool,
    pub(crate) finished: AtomicBool,
    /// Messages that each agent should have sent by now, in millionths of a message.
    pub(crate) due: AtomicU64,
    /// How often all connections were ended.
    pub(crate) cut: watch::Sender<u64>,
}

impl Shared {
    /// Of agents that have not started.
    pub(crate) fn new(options: &LoadOptions) -> Self {
        Self {
            options: options.clone(),
            tally: Tally::default(),
            configs: Vec::new(),
            started: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            gave_up: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            due: AtomicU64::new(0),
            cut: watch::Sender::new(0),
        }
    }
}

/// See the module.
pub(crate) struct Agent {
    name: AgentName,
    id: u32,
    shared: Arc<Shared>,
    maker: Maker,
    seal: Option<SealKey>,
    /// Brokers tried so far, from the agent's first choice.
    tried: usize,
    next: u64,
    waiting: BTreeMap<u64, Instant>,
    packet: u16,
    /// Cuts after which it was counted as ready.
    ready: Option<u64>,
    /// Time of the last health report.
    reported: Instant,
    out: BytesMut,
}

impl Agent {
    pub(crate) fn new(id: u32, shared: Arc<Shared>) -> Self {
        let name = AgentName::try_from(format!("load-{id}").as_str()).unwrap_or_default();
        let LoadOptions { run, rows, alert_every, .. } = shared.options;
        let secret = shared.options.seal_secret.as_deref().and_then(parse_digest);
        let seal = secret.map(|secret| SealKey::derive(&secret, &sha256(name.as_bytes())));
        let maker = Maker::new(run, rows, alert_every, id);
        let (waiting, out) = (BTreeMap::new(), BytesMut::new());
        let (tried, reported) = (id as usize, now());
        Self { name, id, shared, maker, seal, tried, next: 1, waiting, packet: 0, ready: None, reported, out }
    }

    /// Runs until everything is sent and acknowledged, or until patience ends. Returns the agent's name and the highest
    /// number up to which every message is acknowledged.
    pub(crate) async fn run(mut self) -> (String, u64) {
        let patience = Duration::from_secs(self.shared.options.patience_seconds.into());
        let mut alive = now();
        while !self.is_done() && alive.elapsed() < patience {
            let before = self.waiting.len();
            let is_ok = self.session(&mut alive, patience).await.is_ok();
            self.tried += usize::from(!is_ok);
            if !is_ok || before == self.waiting.len() {
                tokio::time::sleep(Duration::from_millis(200 + u64::from(self.id % 100) * 10)).await;
            }
        }
        let up_to = self.waiting.first_key_value().map_or(self.next, |(number, _)| *number) - 1;
        (self.name.to_string(), up_to)
    }

    fn is_done(&self) -> bool {
        self.shared.finished.load(Ordering::Relaxed)
            && (self.waiting.is_empty() || self.shared.gave_up.load(Ordering::Relaxed))
    }

    /// One connection, until it is lost or everything is done.
    async fn session(&mut self, alive: &mut Instant, patience: Duration) -> Result<(), Error> {
        let broken = |_| Error::InsufficientBytes(0);
        let brokers = &self.shared.options.brokers;
        let stream = TcpStream::connect(brokers[self.tried % brokers.len()]).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        let mut stream = self.secured(stream).await.map_err(broken)?;
        self.shared.tally.connections.fetch_add(1, Ordering::Relaxed);
        self.hello()?;
        // Unacknowledged messages of an earlier connection are resent at once.
        self.waiting.values_mut().for_each(|at| *at -= RESEND);
        let mut input = BytesMut::with_capacity(8 * 1024);
        let mut bursts = self.bursts();
        let mut pinged = now();
        let mut cut = self.shared.cut.subscribe();
        while !self.is_done() && alive.elapsed() < patience {
            if !self.out.is_empty() {
                stream.write_all(&self.out).await.map_err(broken)?;
                stream.flush().await.map_err(broken)?;
                self.out.clear();
            }
            tokio::select! {
                read = stream.read_buf(&mut input) => {
                    if read.map_err(broken)? == 0 {
                        return Err(Error::InsufficientBytes(0));
                    }
                    if self.read(&mut input)? {
                        *alive = now();
                    }
                }
                Ok(()) = cut.changed() => {
                    return Err(Error::InsufficientBytes(0));
                }
                _ = bursts.tick() => {
                    if pinged.elapsed() >= PING {
                        pinged = now();
                        Packet::PingReq(PingReq).write(&mut self.out, None)?;
                    }
                    self.send_health()?;
                    self.send_due()?;
                    if !self.shared.finished.load(Ordering::Relaxed) && self.waiting.is_empty() {
                        *alive = now();
                    }
                }
            }
        }
        Ok(())
    }

    /// The connection with TLS, if this agent has a certificate.
    async fn secured(&self, stream: TcpStream) -> io::Result<Box<dyn Stream>> {
        let Some(config) = self.shared.configs.get(self.id as usize) else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(identities::HOST).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(Arc::clone(config)).connect(name, stream).await?))
    }

    /// Times to send at, spread so that not all agents send at once.
    fn bursts(&self) -> Interval {
        let interval = Duration::from_millis(self.shared.options.look_ms.max(1));
        let offset = interval.mul_f64(f64::from(self.id) / f64::from(self.shared.options.agents));
        let mut bursts = interval_at(tokio::time::Instant::now() + offset, interval);
        bursts.set_missed_tick_behavior(MissedTickBehavior::Skip);
        bursts
    }

    fn hello(&mut self) -> Result<(), Error> {
        self.out.clear();
        let connect =
            Connect { keep_alive: KEEP_ALIVE_S, client_id: self.name.to_string(), clean_start: true, properties: None };
        Packet::Connect(connect, None, None).write(&mut self.out, None)?;
        let filter = Filter::new(agent_topic(&self.name, Kind::Ack).as_str(), QoS::AtLeastOnce);
        let mut subscribe = Subscribe::new(filter, None);
        subscribe.pkid = 1;
        Packet::Subscribe(subscribe).write(&mut self.out, None)?;
        Ok(())
    }

    /// Reads every complete packet; true if one of them is an acknowledgement.
    fn read(&mut self, input: &mut BytesMut) -> Result<bool, Error> {
        let mut acknowledged = false;
        loop {
            match Packet::read(input, None) {
                Ok(Packet::Publish(publish)) => {
                    if publish.qos == QoS::AtLeastOnce {
                        Packet::PubAck(PubAck::new(publish.pkid, None)).write(&mut self.out, None)?;
                    }
                    acknowledged = true;
                    self.acknowledged(&publish.payload);
                }
                Ok(Packet::SubAck(_)) => {
                    let cuts = Some(*self.shared.cut.borrow());
                    if std::mem::replace(&mut self.ready, cuts) != cuts {
                        self.shared.tally.ready.fetch_add(1, Ordering::Relaxed);
                        self.shared.tally.changed.notify_one();
                    }
                }
                Ok(Packet::Disconnect(_)) => return Err(Error::InsufficientBytes(0)),
                Ok(_) => {}
                Err(Error::InsufficientBytes(_)) => return Ok(acknowledged),
                Err(error) => return Err(error),
            }
        }
    }

    fn acknowledged(&mut self, payload: &[u8]) {
        let topic = agent_topic(&self.name, Kind::Ack);
        let opened = self.seal.as_ref().map_or(Ok(payload), |seal| seal.open(&topic, payload));
        let Some(acknowledgement) = opened.ok().and_then(|payload| Acknowledgement::decode(payload).ok()) else {
            return;
        };
        let before = self.waiting.len();
        if acknowledgement.run == self.shared.options.run {
            self.waiting = self.waiting.split_off(&(acknowledgement.up_to + 1));
            self.waiting.retain(|number, _| !acknowledgement.also.contains(number));
        }
        self.shared.tally.acknowledged.fetch_add((before - self.waiting.len()) as u64, Ordering::Relaxed);
    }

    /// Sends a health report if it is time.
    fn send_health(&mut self) -> Result<(), Error> {
        let every = Duration::from_secs(self.shared.options.health_every_s.into());
        if every.is_zero() || self.reported.elapsed() < every {
            return Ok(());
        }
        self.reported = now();
        let topic = agent_topic(&self.name, Kind::Health);
        let publish = Publish::new(
            topic.as_str(),
            QoS::AtMostOnce,
            sealed(self.seal.as_ref(), &topic, self.maker.health()),
            None,
        );
        Packet::Publish(publish).write(&mut self.out, None)?;
        self.shared.tally.health.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Resends overdue messages, then sends new ones up to the rate and the window.
    fn send_due(&mut self) -> Result<(), Error> {
        let at = now();
        let overdue: Vec<u64> =
            self.waiting.iter().filter(|(_, sent)| at - **sent >= RESEND).map(|(number, _)| *number).collect();
        for number in overdue {
            self.send(number)?;
            self.shared.tally.repeated.fetch_add(1, Ordering::Relaxed);
        }
        if self.shared.started.load(Ordering::Relaxed) && !self.shared.finished.load(Ordering::Relaxed) {
            // At low rates, agents take turns.
            let turn = u64::from(self.id) * 1_000_000 / u64::from(self.shared.options.agents.max(1));
            let due = (self.shared.due.load(Ordering::Relaxed) + turn) / 1_000_000;
            while self.next <= due && self.waiting.len() < self.shared.options.window {
                self.send(self.next)?;
                self.next += 1;
                self.shared.tally.sent.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn send(&mut self, number: u64) -> Result<(), Error> {
        let (kind, payload) = self.maker.make(number);
        let topic = agent_topic(&self.name, kind);
        let mut publish =
            Publish::new(topic.as_str(), QoS::AtLeastOnce, sealed(self.seal.as_ref(), &topic, payload), None);
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        publish.pkid = self.packet;
        Packet::Publish(publish).write(&mut self.out, None)?;
        self.waiting.insert(number, now());
        Ok(())
    }
}

fn sealed(seal: Option<&SealKey>, topic: &str, payload: &[u8]) -> Vec<u8> {
    match seal {
        Some(seal) => [&seal.seal(topic, payload)[..], payload].concat(),
        None => payload.to_vec(),
    }
}
