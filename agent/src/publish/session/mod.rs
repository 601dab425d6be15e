//! The agent's side of the protocol: events in, actions out; no socket, no clock.
//!
//! A release comes as: signed manifest (checked) → chunks, one subscribed at a time (assembled) → digest, engine and
//! golden vectors → slot on disk → trial. A release that arrives during a trial waits for its end; the newest wins.
//! What fails for a reason in the release is refused for good; what fails for a reason in this gateway (a full disk,
//! chunks that do not come) is tried again at the next connection.

mod update;

use super::{FromPipeline, ToPipeline, json};
use crate::outbox::{Delivery, MessageId, Outbox};
use crate::output::alerts::to_json;
use crate::update::disk::Disk;
use crate::update::engine::{EngineFactory, InstalledRelease};
use crate::update::store::Store;
use heapless::String as Fixed;
use lapwing_shared::messages::topics::{Kind, Topic, agent_topic, release_topic};
use lapwing_shared::messages::{Acknowledgement, AgentName, Body, MESSAGE_BYTES, Message, Status, Update, UpdateStep};
use lapwing_shared::release::accept::Verified;
use lapwing_shared::release::download::Download;
use lapwing_shared::release::manifest::ArtifactForm;
use std::collections::VecDeque;

/// A chunk that did not come after this is asked for again, milliseconds.
pub const CHUNK_WAIT_MS: u64 = 30_000;
/// How often a chunk is asked for before the download waits for the next connection.
pub const CHUNK_ASKS: u8 = 5;
/// The journal is written this often at most, milliseconds.
pub const FLUSH_MS: u64 = 2_000;

/// What the socket side is to do, in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Subscribe at QoS 1.
    Subscribe(String),
    /// Unsubscribe.
    Unsubscribe(String),
    /// Publish.
    Publish {
        /// Topic.
        topic: String,
        /// Payload.
        payload: Vec<u8>,
        /// QoS 1, else 0.
        acknowledged: bool,
        /// Retained by the broker.
        retain: bool,
        /// Outbox entry that the broker's word is about.
        id: Option<MessageId>,
    },
}

/// The release that the person at the gateway named: used where the fleet has none that passes its trial.
pub struct Fallback<E> {
    /// Its version.
    pub version: u64,
    /// Makes it anew, or says why that is not possible.
    pub build: Box<dyn Fn() -> Result<InstalledRelease<E>, String> + Send>,
}

struct Fetch {
    verified: Verified,
    signed: Vec<u8>,
    download: Download,
    buffer: Vec<u8>,
    asked_ms: u64,
    asks: u8,
}

/// The session.
pub struct Session<D, F: EngineFactory> {
    agent: AgentName,
    delivery: Delivery,
    engines: F,
    store: Store<D>,
    outbox: Outbox<D>,
    connected: bool,
    fetch: Option<Fetch>,
    waiting: Option<Vec<u8>>,
    actions: VecDeque<Action>,
    installs: VecDeque<ToPipeline<F::Engine>>,
    in_use: (u64, bool),
    fallback: Option<Fallback<F::Engine>>,
    /// A release whose trial passed while the disk did not take that.
    passed: Option<u64>,
    flushed_ms: u64,
    disk_fails: bool,
}

fn text(reason: &str) -> Fixed<160> {
    let mut short = Fixed::new();
    reason.chars().try_for_each(|character| short.push(character)).unwrap_or_default();
    short
}

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Loads the release in use; take it with [`Session::next_install`].
    pub fn start(agent: AgentName, delivery: Delivery, engines: F, store: Store<D>, outbox: Outbox<D>) -> Self {
        let mut session = Self {
            agent,
            delivery,
            engines,
            store,
            outbox,
            connected: false,
            fetch: None,
            waiting: None,
            actions: VecDeque::new(),
            installs: VecDeque::new(),
            in_use: (0, false),
            fallback: None,
            passed: None,
            flushed_ms: 0,
            disk_fails: false,
        };
        let booted = session.store.boot(&session.engines);
        for error in &booted.errors {
            tracing::warn!(%error, "release store");
        }
        if let Some((version, reason)) = booted.rolled_back {
            session.report(version, UpdateStep::RolledBack(text(&reason)));
        }
        if let Some(release) = booted.release {
            session.install(ToPipeline::Install(release));
        }
        session
    }

    /// The packet side scores with this release already, unless a newer one is on the disk.
    #[must_use]
    pub fn with_fallback(mut self, fallback: Option<Fallback<F::Engine>>) -> Self {
        if let (Some(fallback), 0) = (&fallback, self.in_use.0) {
            self.in_use = (fallback.version, false);
        }
        self.fallback = fallback;
        self
    }

    /// The next thing for the socket side.
    pub fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The next thing for the packet side.
    pub fn next_install(&mut self) -> Option<ToPipeline<F::Engine>> {
        self.installs.pop_front()
    }

    /// What could not be handed over: first in line again, unless a newer one has taken its place.
    pub fn return_install(&mut self, install: ToPipeline<F::Engine>) {
        if self.installs.is_empty() {
            self.installs.push_front(install);
        }
    }

    /// Version in use (0 without one), and whether it is on trial.
    pub fn in_use(&self) -> (u64, bool) {
        self.in_use
    }

    /// Counters of the outbox.
    pub fn outbox(&self) -> &Outbox<D> {
        &self.outbox
    }

    /// The status, as retained and (with `online` false) as the last will: topic and payload.
    pub fn status(&self, online: bool) -> Option<(String, Vec<u8>)> {
        let body = Body::Status(self.status_body(online));
        let message = Message { run: self.outbox.run(), number: 0, sent_s: 0, body };
        let payload = message.encode(&mut vec![0; MESSAGE_BYTES]).ok()?.to_vec();
        Some((agent_topic(&self.agent, Kind::Status).to_string(), payload))
    }

    fn status_body(&self, online: bool) -> Status {
        let terms = self.store.terms();
        let engine = match terms.form {
            ArtifactForm::Onnx => "tract",
            ArtifactForm::Int8 => "int8",
        };
        Status {
            online,
            group: terms.group.clone(),
            agent_version: env!("CARGO_PKG_VERSION").try_into().unwrap_or_default(),
            engine: engine.try_into().unwrap_or_default(),
            release: self.in_use.0,
            on_trial: self.in_use.1,
            schema: terms.schema,
        }
    }

    /// The broker took us.
    pub fn connected(&mut self, now_ms: u64) {
        self.connected = true;
        self.actions.clear();
        self.actions.push_back(Action::Subscribe(agent_topic(&self.agent, Kind::Ack).to_string()));
        self.actions.push_back(Action::Subscribe(release_topic(&self.store.terms().group).to_string()));
        self.publish_status();
        self.ask_chunk(now_ms);
        self.send(now_ms);
    }

    /// The connection is gone.
    pub fn disconnected(&mut self) {
        self.connected = false;
        self.actions.clear();
        self.outbox.disconnected();
        if let Some(fetch) = &mut self.fetch {
            fetch.asks = 0;
        }
    }

    /// The broker has a message of ours.
    pub fn delivered(&mut self, id: MessageId, now_ms: u64) {
        if self.delivery == Delivery::Broker {
            self.outbox.delivered(id);
            self.send(now_ms);
        }
    }

    /// A message came. `now_s` is the wall clock where it is set.
    pub fn message(&mut self, topic: &str, payload: &[u8], now_ms: u64, now_s: Option<u64>) {
        match Topic::parse(topic) {
            Some(Topic::Agent(agent, Kind::Ack)) if agent == self.agent => match Acknowledgement::decode(payload) {
                Ok(ack) => self.outbox.acknowledged(&ack),
                Err(error) => tracing::warn!(%error, "acknowledgement"),
            },
            Some(Topic::Release(group)) if group == self.store.terms().group => self.release(payload, now_ms, now_s),
            Some(Topic::Chunk(sha256, number)) => self.chunk(&sha256, number, payload, now_ms),
            _ => tracing::debug!(topic, "message on a topic that is not ours"),
        }
        self.send(now_ms);
    }

    /// Something from the packet side.
    pub fn from_pipeline(&mut self, said: FromPipeline, now_ms: u64, now_s: Option<u64>) {
        let body = match said {
            FromPipeline::Alert(alert) => Body::Alert(alert),
            FromPipeline::Samples(samples) => Body::Samples(samples),
            FromPipeline::Health(mut health) => {
                let counts = self.outbox.counts();
                health.outbox_dropped_alerts = counts.dropped_alerts;
                health.outbox_dropped_telemetry = counts.dropped_telemetry;
                health.outbox_waiting = counts.waiting;
                Body::Health(health)
            }
            FromPipeline::ClockSet(shift, now_s) => {
                let mended = self.outbox.mend(shift, now_s);
                tracing::info!(mended, "the clock was set; alerts that wait have their times now");
                return self.send(now_ms);
            }
            FromPipeline::TrialVerdict(version, verdict) => {
                self.verdict(version, verdict);
                self.resume(now_ms, now_s);
                return self.send(now_ms);
            }
        };
        self.push(body, now_s);
        self.send(now_ms);
    }

    /// Time goes on; call about once a second. `now_s` as for [`Session::message`].
    pub fn tick(&mut self, now_ms: u64, now_s: Option<u64>) {
        if now_ms.saturating_sub(self.flushed_ms) >= FLUSH_MS {
            self.flushed_ms = now_ms;
            self.write_disk(Outbox::flush);
            self.resume(now_ms, now_s);
        }
        let late = |fetch: &Fetch| now_ms.saturating_sub(fetch.asked_ms) >= CHUNK_WAIT_MS && fetch.asks < CHUNK_ASKS;
        if self.fetch.as_ref().is_some_and(late) {
            self.leave_chunk();
            self.ask_chunk(now_ms);
        }
        self.send(now_ms);
    }

    /// The agent ends: what waits goes to the journal.
    pub fn finish(&mut self) {
        self.write_disk(Outbox::finish);
    }

    /// Everything that is not on the disk yet. A disk that fails does so again and again: the first failure is told, and
    /// the end of it.
    fn write_disk(&mut self, outbox: fn(&mut Outbox<D>) -> Option<std::io::Error>) {
        let saved = self.store.retry_save().err().map(|error| error.to_string());
        let confirmed = self.confirm_passed().err().map(|error| error.to_string());
        let journal = |error| format!("cannot write the outbox to the state folder: {error}; messages wait in memory");
        let failure = saved.or(confirmed).or(outbox(&mut self.outbox).map(journal));
        match &failure {
            Some(error) if !self.disk_fails => tracing::warn!(%error, "state folder; it is tried again"),
            None if self.disk_fails => tracing::info!("the state folder can be written again"),
            _ => {}
        }
        self.disk_fails = failure.is_some();
    }

    fn push(&mut self, body: Body, now_s: Option<u64>) {
        if let Err(error) = self.outbox.push(body, now_s.unwrap_or(0)) {
            tracing::warn!(%error, "message not sent");
        }
    }

    fn report(&mut self, release: u64, step: UpdateStep) {
        tracing::info!(release, ?step, "update");
        self.push(Body::Update(Update { release, step }), None);
    }

    fn refuse(&mut self, release: u64, reason: &str) {
        self.report(release, UpdateStep::Refused(text(reason)));
    }

    fn publish_status(&mut self) {
        let Some((topic, payload)) = self.status(true).filter(|_| self.connected) else { return };
        let json = json::status(&self.status_body(true)).to_string().into_bytes();
        let json_topic = agent_topic(&self.agent, Kind::StatusJson).to_string();
        for (topic, payload) in [(topic, payload), (json_topic, json)] {
            self.actions.push_back(Action::Publish { topic, payload, acknowledged: true, retain: true, id: None });
        }
    }

    /// Moves what the outbox allows to the socket side.
    fn send(&mut self, now_ms: u64) {
        while self.connected {
            let Some(outgoing) = self.outbox.next_to_send(now_ms) else { return };
            let kind = match &outgoing.message.body {
                Body::Alert(alert) => {
                    let (topic, json) = (agent_topic(&self.agent, Kind::AlertJson), to_json(alert));
                    self.publish(topic.to_string(), json.into_bytes(), None);
                    Kind::Alert
                }
                Body::Samples(_) => Kind::Sample,
                Body::Health(_) => Kind::Health,
                Body::Status(_) => Kind::Status,
                Body::Update(_) => Kind::Update,
            };
            let id = Some(outgoing.id).filter(|(_, number)| *number > 0);
            self.publish(agent_topic(&self.agent, kind).to_string(), outgoing.payload, id);
        }
    }

    fn publish(&mut self, topic: String, payload: Vec<u8>, id: Option<MessageId>) {
        self.actions.push_back(Action::Publish { topic, payload, acknowledged: id.is_some(), retain: false, id });
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "day_tests.rs"]
mod day_tests;
