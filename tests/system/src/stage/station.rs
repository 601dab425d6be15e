//! An embedded broker, at which a test plays the trainer: it hears agents, offers releases, and acknowledges.

use super::PATIENCE;
use super::releases::Release;
use lapwing_shared::messages::topics::{Kind, Topic, agent_topic, release_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName, Body, MESSAGE_BYTES, Message, UpdateStep};
use lapwing_trainer::clock;
use lapwing_trainer::collect::broker::{self, BrokerLimits};
use lapwing_trainer::collect::{Counts, Link};
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
    /// Alerts that are not acknowledged at first, as if the trainer had not stored them.
    withhold: usize,
    withheld: Vec<Id>,
    heard: BTreeSet<Id>,
}

impl Station {
    /// A broker on a free port. The first `withhold` alerts are not acknowledged until [`Station::relent`].
    pub fn start(withhold: usize) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let (link, address) = broker::start(listen, BrokerLimits::default(), Arc::new(Counts::default())).unwrap();
        Self { link, address, withhold, withheld: Vec::new(), heard: BTreeSet::new() }
    }

    /// As an agent's `--mqtt`.
    pub fn url(&self) -> String {
        format!("mqtt://{}", self.address)
    }

    /// Alerts that were withheld so far.
    pub fn withheld(&self) -> &[Id] {
        &self.withheld
    }

    /// Numbers of a run that were never heard, below the highest that was.
    pub fn missing(&self, run: u64) -> Vec<u64> {
        let numbers: BTreeSet<u64> = self.heard.range((run, 0)..=(run, u64::MAX)).map(|id| id.1).collect();
        (1..numbers.last().copied().unwrap_or(0)).filter(|number| !numbers.contains(number)).collect()
    }

    /// From now on every message is acknowledged.
    pub fn relent(&mut self) {
        self.withhold = 0;
    }

    /// Publishes a release, its last chunks left out where asked.
    pub fn offer(&mut self, release: &Release, without_last: usize) {
        let chunks = release.chunks();
        let given = chunks.len() - without_last;
        for (topic, chunk) in chunks.into_iter().take(given) {
            self.link.releases.publish(&topic, chunk, true).unwrap();
        }
        let topic = release_topic(&release.manifest.group);
        self.link.releases.publish(&topic, release.signed(), true).unwrap();
    }

    /// The next message that `wanted` takes; every one on the way is acknowledged, or withheld.
    ///
    /// # Panics
    /// After [`PATIENCE`], with what was waited for and what came instead.
    pub fn until(&mut self, what: &str, mut wanted: impl FnMut(&Message) -> bool) -> Message {
        let end = clock::after(PATIENCE);
        let mut others = Vec::new();
        while clock::monotonic() < end {
            let Some(delivery) = self.link.inlet.next(Duration::from_secs(1)).unwrap() else { continue };
            let Some(Topic::Agent(agent, kind)) = Topic::parse(&delivery.topic) else { continue };
            let Ok(message) = Message::decode(&delivery.payload) else { continue };
            self.answer(&agent, &message);
            if wanted(&message) {
                return message;
            }
            match message.body {
                Body::Update(update) => others.push(format!("{update:?}")),
                _ => others.push(kind.as_str().to_owned()),
            }
        }
        panic!("waited {} s in vain for: {what}; came instead: {others:?}", PATIENCE.as_secs());
    }

    /// Waits for a step of an update.
    pub fn until_step(&mut self, release: u64, step: &UpdateStep) -> Message {
        let wanted = |message: &Message| matches!(&message.body, Body::Update(update) if update.release == release && update.step == *step);
        self.until(&format!("{step:?} of release {release}"), wanted)
    }

    /// Waits until an agent of a later run is online: release in use, whether on trial, and its run.
    pub fn until_online(&mut self, after_run: u64) -> (u64, bool, u64) {
        let online = |message: &Message| matches!(&message.body, Body::Status(status) if status.online);
        let message = self.until("an agent online", |message| online(message) && message.run > after_run);
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
        self.heard.insert(id);
        let is_alert = matches!(message.body, Body::Alert(_));
        if is_alert && self.withheld.len() < self.withhold && !self.withheld.contains(&id) {
            self.withheld.push(id);
        }
        if self.withhold > 0 && self.withheld.contains(&id) {
            return;
        }
        let also = [message.number].into_iter().collect();
        let word = Acknowledgement { run: message.run, up_to: 0, also };
        let payload = word.encode(&mut vec![0; MESSAGE_BYTES]).unwrap().to_vec();
        self.link.outlet.publish(&agent_topic(agent, Kind::Ack), payload, false).unwrap();
    }
}
