//! Arbitrary topics and payloads → the collector and its store, which store or count each, and still acknowledge what a
//! real agent sends.
//!
//! An input is the length of the topic (1 byte), the topic, and the payload.

use super::Target;
use crate::load::messages::Maker;
use lapwing_collect::{Collector, Counts, Delivery, Ends, Inlet, LinkError, LinkState, Options, Outlet, Receipt};
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName, Body, Health, MESSAGE_BYTES, Message};
use lapwing_store::{Limits, Store};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::Duration;

/// Deliveries that wait for the collector.
const QUEUE: usize = 256;
/// Patience for the acknowledgement of a real agent's alert.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Run number of the real agent.
const RUN: u64 = 1;

struct Feed(Receiver<Delivery>);

impl Inlet for Feed {
    fn next(&mut self, timeout: Duration) -> Result<Option<Delivery>, LinkError> {
        match self.0.recv_timeout(timeout) {
            Ok(delivery) => Ok(Some(delivery)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(LinkError::Ended { reason: "the target has stopped".into() }),
        }
    }
}

struct Sink(Sender<(String, Vec<u8>)>);

impl Outlet for Sink {
    fn publish(&mut self, topic: &str, payload: Vec<u8>, _retain: bool) -> Result<(), LinkError> {
        self.0.send((topic.into(), payload)).map_err(|_| LinkError::Full)
    }

    fn confirm(&mut self, _receipts: &[Receipt]) -> Result<(), LinkError> {
        Ok(())
    }
}

/// A running collector, and a real agent.
pub(super) struct Intake {
    feed: SyncSender<Delivery>,
    published: Receiver<(String, Vec<u8>)>,
    collector: Collector,
    sent: u64,
    agent: AgentName,
    maker: Maker,
    number: u64,
}

impl Intake {
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        // Small enough that every limit is reached.
        let limits = Limits {
            sample_bytes: 16 << 20,
            sample_rows: 50_000,
            alerts: 5_000,
            updates: 1_000,
            agents: 500,
            age_s: None,
        };
        let store = Store::open(folder.join("store.sqlite"), limits).map_err(|error| error.to_string())?;
        let (feed, deliveries) = sync_channel(QUEUE);
        let (publications, published) = channel();
        let options = Options { acknowledge_every: Duration::from_millis(20), ..Options::default() };
        let (inlet, outlet) = (Box::new(Feed(deliveries)), Box::new(Sink(publications)));
        let state = Arc::new(LinkState::new("fuzz"));
        let shared = (Arc::new(Counts::default()), Arc::default());
        let collector = Collector::start(vec![Ends { inlet, outlet, state }], store, options, shared);
        let collector = collector.map_err(|error| error.to_string())?;
        let agent = AgentName::try_from("real").map_err(|_| "an agent's name")?;
        let maker = Maker::new(RUN, 1, 1, 7);
        let mut target = Self { feed, published, collector, sent: 0, agent, maker, number: 0 };
        // The real agent is known before made-up ones fill the table.
        target.check()?;
        Ok(target)
    }

    fn send(&mut self, topic: &str, payload: Vec<u8>) -> Result<(), String> {
        self.sent += 1;
        let delivery = Delivery { topic: topic.into(), payload, receipt: None };
        self.feed.send(delivery).map_err(|_| "the collector has stopped".into())
    }
}

fn input(topic: &str, payload: &[u8]) -> Vec<u8> {
    [&[topic.len() as u8], topic.as_bytes(), payload].concat()
}

impl Target for Intake {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let mut seeds = super::corpus("intake");
        let (mut samples, mut alerts) = (Maker::new(1, 2, u64::MAX, 1), Maker::new(3, 1, 1, 2));
        for (name, number) in [("gw-1", 1), ("gw-2", 300), ("gw-3", u64::MAX)] {
            let Ok(agent) = AgentName::try_from(name) else { continue };
            for maker in [&mut samples, &mut alerts] {
                let (kind, payload) = maker.make(number);
                seeds.push(input(&agent_topic(&agent, kind), payload));
            }
            let message = Message { run: 1, number: 0, sent_s: 0, body: Body::Health(Health::default()) };
            let mut room = vec![0; MESSAGE_BYTES];
            let payload = message.encode(&mut room).unwrap_or_default();
            seeds.push(input(&agent_topic(&agent, Kind::Health), payload));
            for payload in super::corpus("message") {
                seeds.push(input(&agent_topic(&agent, Kind::Status), &payload));
            }
        }
        seeds
    }

    fn pieces(&self) -> &'static [&'static [u8]] {
        &[
            b"lapwing/v1/agent/",
            b"/alert",
            b"/sample",
            b"/health",
            b"/status",
            b"/update",
            b"/ack",
            b"/json",
            b"+",
            b"#",
            b"$share/",
            b"..",
            b"\0",
            b"\xc3\xa9",
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x80\x80\x01",
            b"\x7f",
            b"\0\0\xc0\x7f",
            b"\0\0\x80\xff",
            b"\xff\xff\x7f\x7f",
            b"a",
            b"zz",
        ]
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let Some((length, rest)) = input.split_first() else { return Ok(()) };
        let (topic, payload) = rest.split_at(rest.len().min(usize::from(*length)));
        self.send(&String::from_utf8_lossy(topic), payload.to_vec())
    }

    fn check(&mut self) -> Result<(), String> {
        self.number += 1;
        let (kind, payload) = self.maker.make(self.number);
        let (topic, payload) = (agent_topic(&self.agent, kind), payload.to_vec());
        self.send(&topic, payload)?;
        let own = agent_topic(&self.agent, Kind::Ack);
        loop {
            let received = self.published.recv_timeout(TIMEOUT);
            let (topic, payload) = received.map_err(|_| format!("alert {} was not acknowledged", self.number))?;
            let acknowledgement = Acknowledgement::decode(&payload).map_err(|error| error.to_string())?;
            if *topic == *own && acknowledgement.covers(RUN, self.number) {
                break;
            }
        }
        let read = self.collector.counts().received.get();
        let counted = read == self.sent && !self.collector.has_ended();
        if counted { Ok(()) } else { Err(format!("the collector counted {read} of {} publications", self.sent)) }
    }

    fn stop(self: Box<Self>) -> Result<(), String> {
        self.collector.stop().map_err(|error| error.to_string())
    }
}
