//! One simulated agent: a socket, MQTT 5 packets by rumqttc's codec, a window of unacknowledged messages.

use super::messages::Maker;
use super::{LoadOptions, Tally, now};
use bytes::BytesMut;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName};
use rumqttc::v5::mqttbytes::v5::{Connect, Filter, Packet, PingReq, PubAck, Publish, Subscribe};
use rumqttc::v5::mqttbytes::{Error, QoS};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Interval, MissedTickBehavior, interval_at};

/// After so long without an acknowledgement a message is sent again.
const REPEAT: Duration = Duration::from_secs(10);
/// Keep-alive that is announced, and how often a ping goes out.
const KEEP_ALIVE_S: u16 = 60;
const PING: Duration = Duration::from_secs(20);

/// What all agents share.
pub(crate) struct Shared {
    pub(crate) options: LoadOptions,
    pub(crate) tally: Tally,
    pub(crate) started: AtomicBool,
    pub(crate) finished: AtomicBool,
    /// Messages that each agent should have sent by now, in millionths.
    pub(crate) due: AtomicU64,
}

/// See the module.
pub(crate) struct Agent {
    name: AgentName,
    id: u32,
    shared: Arc<Shared>,
    maker: Maker,
    next: u64,
    waiting: BTreeMap<u64, Instant>,
    packet: u16,
    ready: bool,
    out: BytesMut,
}

impl Agent {
    pub(crate) fn new(id: u32, shared: Arc<Shared>) -> Self {
        let name = AgentName::try_from(format!("load-{id}").as_str()).unwrap_or_default();
        let maker = Maker::new(&shared.options, id);
        let (waiting, out) = (BTreeMap::new(), BytesMut::new());
        Self { name, id, shared, maker, next: 1, waiting, packet: 0, ready: false, out }
    }

    /// Works until everything is sent and acknowledged, or patience ends; gives name and last number acknowledged
    /// with all before it.
    pub(crate) async fn run(mut self) -> (String, u64) {
        let patience = Duration::from_secs(self.shared.options.patience_seconds.into());
        let mut alive = now();
        while !self.is_done() && alive.elapsed() < patience {
            let before = self.waiting.len();
            let had = self.session(&mut alive, patience).await.is_ok();
            if !had || before == self.waiting.len() {
                tokio::time::sleep(Duration::from_millis(200 + u64::from(self.id % 100) * 10)).await;
            }
        }
        let up_to = self.waiting.first_key_value().map_or(self.next, |(number, _)| *number) - 1;
        (self.name.to_string(), up_to)
    }

    fn is_done(&self) -> bool {
        self.shared.finished.load(Ordering::Relaxed) && self.waiting.is_empty()
    }

    /// One connection, until it breaks or everything is done.
    async fn session(&mut self, alive: &mut Instant, patience: Duration) -> Result<(), Error> {
        let broken = |_| Error::InsufficientBytes(0);
        let mut stream = TcpStream::connect(self.shared.options.broker).await.map_err(broken)?;
        stream.set_nodelay(true).map_err(broken)?;
        self.shared.tally.connections.fetch_add(1, Ordering::Relaxed);
        self.hello()?;
        // Unacknowledged messages of an earlier connection go out again at once.
        self.waiting.values_mut().for_each(|at| *at -= REPEAT);
        let mut input = BytesMut::with_capacity(8 * 1024);
        let mut looks = self.looks();
        let mut pinged = now();
        while !self.is_done() && alive.elapsed() < patience {
            if !self.out.is_empty() {
                stream.write_all(&self.out).await.map_err(broken)?;
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
                _ = looks.tick() => {
                    if pinged.elapsed() >= PING {
                        pinged = now();
                        Packet::PingReq(PingReq).write(&mut self.out, None)?;
                    }
                    self.send_due()?;
                    if !self.shared.finished.load(Ordering::Relaxed) && self.waiting.is_empty() {
                        *alive = now();
                    }
                }
            }
        }
        Ok(())
    }

    /// Looks that are spread over agents, so that they do not all send at once.
    fn looks(&self) -> Interval {
        let look = Duration::from_millis(self.shared.options.look_ms.max(1));
        let share = look.mul_f64(f64::from(self.id) / f64::from(self.shared.options.agents));
        let mut looks = interval_at(tokio::time::Instant::now() + share, look);
        looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        looks
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

    /// Reads every whole packet; true when an acknowledgement was among them.
    fn read(&mut self, input: &mut BytesMut) -> Result<bool, Error> {
        let mut heard = false;
        loop {
            match Packet::read(input, None) {
                Ok(Packet::Publish(publish)) => {
                    Packet::PubAck(PubAck::new(publish.pkid, None)).write(&mut self.out, None)?;
                    heard = true;
                    self.acknowledged(&publish.payload);
                }
                Ok(Packet::SubAck(_)) => {
                    if !std::mem::replace(&mut self.ready, true) {
                        self.shared.tally.ready.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(Packet::Disconnect(_)) => return Err(Error::InsufficientBytes(0)),
                Ok(_) => {}
                Err(Error::InsufficientBytes(_)) => return Ok(heard),
                Err(error) => return Err(error),
            }
        }
    }

    fn acknowledged(&mut self, payload: &[u8]) {
        let Ok(told) = Acknowledgement::decode(payload) else { return };
        let before = self.waiting.len();
        if told.run == self.shared.options.run {
            self.waiting = self.waiting.split_off(&(told.up_to + 1));
            self.waiting.retain(|number, _| !told.also.contains(number));
        }
        self.shared.tally.acknowledged.fetch_add((before - self.waiting.len()) as u64, Ordering::Relaxed);
    }

    /// Writes what is due, as far as the window allows, and what was not acknowledged for too long.
    fn send_due(&mut self) -> Result<(), Error> {
        let at = now();
        let late: Vec<u64> =
            self.waiting.iter().filter(|(_, sent)| at - **sent >= REPEAT).map(|(number, _)| *number).collect();
        for number in late {
            self.send(number)?;
            self.shared.tally.repeated.fetch_add(1, Ordering::Relaxed);
        }
        if self.shared.started.load(Ordering::Relaxed) && !self.shared.finished.load(Ordering::Relaxed) {
            let due = self.shared.due.load(Ordering::Relaxed) / 1_000_000;
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
        let mut publish = Publish::new(topic.as_str(), QoS::AtLeastOnce, payload.to_vec(), None);
        self.packet = self.packet.checked_add(1).unwrap_or(1);
        publish.pkid = self.packet;
        Packet::Publish(publish).write(&mut self.out, None)?;
        self.waiting.insert(number, now());
        Ok(())
    }
}
