//! An embedded broker at which a test acts as trainer: it receives messages, offers releases, and acknowledges.

use super::PATIENCE;
use super::releases::Release;
use lapwing_collect::broker::{self, BrokerLimits};
use lapwing_collect::{Counts, Link};
use lapwing_common::clock;
use lapwing_shared::messages::topics::{Kind, Topic, agent_topic, manifest_topic, release_topic, rollout_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName, Body, MESSAGE_BYTES, Message, UpdateStep};
use lapwing_shared::rollout::message::Rollout;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Run and number of a message.
pub type Id = (u64, u64);

/// Broker and trainer.
pub struct Station {
    link: Link,
    address: SocketAddr,
    /// Alerts to leave unacknowledged, as if the trainer had not stored them.
    unacknowledged_limit: usize,
    unacknowledged: Vec<Id>,
    received: BTreeSet<Id>,
}

impl Station {
    /// A broker on a free port. The first `unacknowledged_limit` alerts are not acknowledged until
    /// [`Station::acknowledge_all`].
    pub fn start(unacknowledged_limit: usize) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let (link, address) = broker::start(listen, BrokerLimits::default(), Arc::new(Counts::default())).unwrap();
        Self { link, address, unacknowledged_limit, unacknowledged: Vec::new(), received: BTreeSet::new() }
    }

    /// URL for an agent's `--mqtt`.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Alerts that were received but not acknowledged.
    pub fn unacknowledged(&self) -> &[Id] {
        &self.unacknowledged
    }

    /// Message numbers of a run that were never received, below the highest received one.
    pub fn missing(&self, run: u64) -> Vec<u64> {
        let numbers: BTreeSet<u64> = self.received.range((run, 0)..=(run, u64::MAX)).map(|id| id.1).collect();
        (1..numbers.last().copied().unwrap_or(0)).filter(|number| !numbers.contains(number)).collect()
    }

    /// Acknowledges every message from now on.
    pub fn acknowledge_all(&mut self) {
        self.unacknowledged_limit = 0;
    }

    /// Publishes a release without its last `missing` chunks.
    pub fn offer(&mut self, release: &Release, missing: usize) {
        self.offer_on(&release_topic(&release.manifest.group), release, missing);
    }

    /// The same, with the manifest on the topic of its version.
    pub fn offer_version(&mut self, release: &Release) {
        self.offer_on(&manifest_topic(&release.manifest.group, release.manifest.version), release, 0);
    }

    fn offer_on(&mut self, topic: &str, release: &Release, missing: usize) {
        let chunks = release.chunks();
        let published = chunks.len() - missing;
        for (topic, chunk) in chunks.into_iter().take(published) {
            self.link.releases.outlet.publish(&topic, chunk, true).unwrap();
        }
        self.link.releases.outlet.publish(topic, release.signed(), true).unwrap();
    }

    /// Publishes a signed rollout.
    pub fn roll_out(&mut self, rollout: &Rollout, signed: Vec<u8>) {
        self.link.releases.outlet.publish(&rollout_topic(&rollout.group), signed, true).unwrap();
    }

    /// Publishes a signed assignment.
    pub fn assign(&mut self, agent: &AgentName, signed: Vec<u8>) {
        self.link.releases.outlet.publish(&agent_topic(agent, Kind::Assignment), signed, true).unwrap();
    }

    /// The next message for which `matches` is true. Answers every message received meanwhile.
    ///
    /// # Panics
    /// After [`PATIENCE`], with `what` was expected and what came instead.
    pub fn until(&mut self, what: &str, mut matches: impl FnMut(&Message) -> bool) -> Message {
        let end = clock::after(PATIENCE);
        let mut others = Vec::new();
        while clock::monotonic() < end {
            let Some(delivery) = self.link.ends.inlet.next(Duration::from_secs(1)).unwrap() else { continue };
            let Some(Topic::Agent(agent, kind)) = Topic::parse(&delivery.topic) else { continue };
            let Ok(message) = Message::decode(&delivery.payload) else { continue };
            self.answer(&agent, &message);
            if matches(&message) {
                return message;
            }
            match message.body {
                Body::Update(update) => others.push(format!("{update:?}")),
                _ => others.push(kind.as_str().to_owned()),
            }
        }
        panic!("no {what} within {} s; received instead: {others:?}", PATIENCE.as_secs());
    }

    /// Waits until an agent reports this step of an update.
    pub fn until_step(&mut self, release: u64, step: &UpdateStep) -> Message {
        let is_step = |message: &Message| matches!(&message.body, Body::Update(update) if update.release == release && update.step == *step);
        self.until(&format!("{step:?} of release {release}"), is_step)
    }

    /// Waits until an agent of a later run is online; returns its release, whether that is on trial, and its run.
    pub fn until_online(&mut self, after_run: u64) -> (u64, bool, u64) {
        let online = |message: &Message| matches!(&message.body, Body::Status(status) if status.online);
        let message = self.until("agent online", |message| online(message) && message.run > after_run);
        match message.body {
            Body::Status(status) => (status.release, status.on_trial, message.run),
            _ => unreachable!("only a status is waited for"),
        }
    }

    fn answer(&mut self, agent: &AgentName, message: &Message) {
        let id = (message.run, message.number);
        if message.number == 0 {
            return;
        }
        self.received.insert(id);
        let is_alert = matches!(message.body, Body::Alert(_));
        if is_alert && self.unacknowledged.len() < self.unacknowledged_limit && !self.unacknowledged.contains(&id) {
            self.unacknowledged.push(id);
        }
        if self.unacknowledged_limit > 0 && self.unacknowledged.contains(&id) {
            return;
        }
        let also = [message.number].into_iter().collect();
        let acknowledgement = Acknowledgement { run: message.run, up_to: 0, also };
        let payload = acknowledgement.encode(&mut vec![0; MESSAGE_BYTES]).unwrap().to_vec();
        self.link.ends.outlet.publish(&agent_topic(agent, Kind::Ack), payload, false).unwrap();
    }
}
