//! Events → actions: the agent's side of the protocol, without a socket or a clock.
//!
//! A release arrives in steps: signed manifest (checked) → chunks, subscribed one at a time (assembled) → digest, engine
//! and golden vectors → slot on disk → trial. A release that arrives during a trial waits for its end; the newest wins.
//! A release that is at fault itself is rejected for good. A wrong chunk is a fault of the way here, and a full disk one of
//! this gateway: the download is repeated after a wait that doubles ([`retry`]). Missing chunks are requested again at the
//! next connection.

mod action;
mod identity;
mod publications;
mod retry;
mod rollout;
mod root;
mod saving;
pub(crate) mod seal;
mod update;

pub(crate) use action::Action;

use super::rate::{Limit, Recent};
use super::{FromPipeline, ToPipeline};
use crate::disk::Disk;
use crate::identity::Keeper;
use crate::outbox::{Delivery, MessageId, Outbox};
use crate::update::engine::{EngineFactory, InstalledRelease};
use crate::update::store::{RolledBack, Store};
use heapless::String as Fixed;
use lapwing_shared::messages::topics::{Kind, Topic, agent_topic, release_topic, root_topic};
use lapwing_shared::messages::{AgentName, Body, Update, UpdateStep};
use lapwing_shared::release::accept::{Terms, Verified};
use lapwing_shared::release::download::Download;
use retry::Retry;
use rollout::{ASSIGNMENT, ROLLOUT, Steering};
use seal::Seal;
use std::collections::VecDeque;

/// Time after which a missing chunk is requested again, milliseconds.
pub(crate) const CHUNK_WAIT_MS: u64 = 30_000;
/// Requests for one chunk before the download waits for the next connection.
pub(crate) const CHUNK_ASKS: u8 = 5;
/// Shortest interval between two writes of the journal, milliseconds.
pub(crate) const FLUSH_MS: u64 = 2_000;
/// Time after which a refused subscription is requested again, milliseconds.
pub(crate) const SUBSCRIBE_MS: u64 = 60_000;

/// The configured release, used if no release of the group is confirmed.
pub(crate) struct Fallback<E> {
    pub(crate) version: u64,
    pub(crate) build: Box<dyn Fn() -> Result<InstalledRelease<E>, String> + Send>,
}

/// A release that is being downloaded.
struct Fetch {
    verified: Verified,
    signed: Vec<u8>,
    download: Download,
    buffer: Vec<u8>,
    asked_ms: u64,
    asks: u8,
}

pub(crate) struct Session<D, F: EngineFactory> {
    agent: AgentName,
    delivery: Delivery,
    engines: F,
    store: Store<D>,
    outbox: Outbox<D>,
    connected: bool,
    fetch: Option<Fetch>,
    /// The newest release that arrived during a trial: version and signed manifest.
    waiting: Option<(u64, Vec<u8>)>,
    /// A release whose download failed.
    retry: Option<Retry>,
    /// Subscriptions that the broker refused, and when to repeat them, milliseconds.
    refused: Vec<(String, u64)>,
    /// Largest packet that the broker accepts, bytes.
    packet_bytes: usize,
    /// JSON, status and health messages that were left out because the broker's limit is too small for them.
    left_out: u64,
    /// Manifests that were rejected.
    rejected: u64,
    /// Chains of root documents that were rejected.
    rejected_roots: u64,
    /// Manifests without a valid signature that were reported lately, by the digest of the payload.
    forged: Recent,
    /// Other manifests that were reported lately.
    reported: Recent,
    /// `None` without an identity.
    seal: Option<Seal>,
    /// Acknowledgements that were rejected.
    rejected_acks: u64,
    invalid_acks: Limit,
    restarts: Limit,
    actions: VecDeque<Action>,
    installs: VecDeque<ToPipeline<F::Engine>>,
    in_use: (u64, bool),
    fallback: Option<Fallback<F::Engine>>,
    /// A release whose trial passed, but whose confirmation could not be stored.
    passed: Option<u64>,
    flushed_ms: u64,
    /// The wall clock at the last tick, seconds; 0 while it is not set.
    now_s: u64,
    disk_fails: bool,
    /// Of an enrolled agent.
    keeper: Option<Keeper>,
    /// The keeper has another certificate than the connection.
    has_new_identity: bool,
    invalid_certificates: Limit,
    /// Rollouts and settings.
    steering: Steering,
}

fn text(reason: &str) -> Fixed<160> {
    let mut short = Fixed::new();
    reason.chars().try_for_each(|character| short.push(character)).unwrap_or_default();
    short
}

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Loads the release in use, for [`Session::next_install`].
    pub(crate) fn start(agent: AgentName, delivery: Delivery, engines: F, store: Store<D>, outbox: Outbox<D>) -> Self {
        let mut session = Self {
            agent,
            delivery,
            engines,
            store,
            outbox,
            connected: false,
            fetch: None,
            waiting: None,
            retry: None,
            refused: Vec::new(),
            packet_bytes: usize::MAX,
            left_out: 0,
            rejected: 0,
            rejected_roots: 0,
            forged: Recent::default(),
            reported: Recent::default(),
            seal: None,
            rejected_acks: 0,
            invalid_acks: Limit::default(),
            restarts: Limit::default(),
            actions: VecDeque::new(),
            installs: VecDeque::new(),
            in_use: (0, false),
            fallback: None,
            passed: None,
            flushed_ms: 0,
            now_s: 0,
            disk_fails: false,
            keeper: None,
            has_new_identity: false,
            invalid_certificates: Limit::default(),
            steering: Steering::default(),
        };
        let booted = session.store.boot(&session.engines);
        for error in &booted.errors {
            tracing::warn!(%error, "cannot load a stored release");
        }
        if let Some(RolledBack { version, reason }) = booted.rolled_back {
            session.report(version, UpdateStep::RolledBack(text(&reason)));
        }
        if let Some(release) = booted.release {
            session.install(ToPipeline::Install(release));
        }
        if let Some(incumbent) = session.store.load_incumbent(&session.engines) {
            // The release on trial follows it at once.
            session.installs.push_front(ToPipeline::Install(incumbent));
        }
        session
    }

    /// The pipeline already scores with this release, unless a newer one is on the disk.
    #[must_use]
    pub(crate) fn with_fallback(mut self, fallback: Option<Fallback<F::Engine>>) -> Self {
        if let (Some(fallback), 0) = (&fallback, self.in_use.0) {
            self.in_use = (fallback.version, false);
        }
        self.fallback = fallback;
        self
    }

    /// The next action for the client.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// Number of actions that wait for the client.
    pub(crate) fn waiting_actions(&self) -> usize {
        self.actions.len()
    }

    /// The agent's name.
    pub(crate) fn agent(&self) -> &AgentName {
        &self.agent
    }

    /// Messages left out because they exceed the broker's limit: the outbox's, and those that are not in it.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out + self.outbox.counts().left_out
    }

    /// Manifests that were rejected.
    pub(crate) fn rejected_manifests(&self) -> u64 {
        self.rejected
    }

    /// The next message for the pipeline.
    pub(crate) fn next_install(&mut self) -> Option<ToPipeline<F::Engine>> {
        self.installs.pop_front()
    }

    /// Puts back a message that the pipeline could not take, unless a newer one replaces it.
    pub(crate) fn return_install(&mut self, install: ToPipeline<F::Engine>) {
        if self.installs.is_empty() {
            self.installs.push_front(install);
        }
    }

    /// Version in use (0 without one), and whether it is on trial.
    pub(crate) fn in_use(&self) -> (u64, bool) {
        self.in_use
    }

    pub(crate) fn outbox(&self) -> &Outbox<D> {
        &self.outbox
    }

    /// The connection is established, without a limit on packets.
    #[cfg(test)]
    pub(crate) fn connected(&mut self, now_ms: u64) {
        self.connected_within(None, now_ms);
    }

    /// The connection is established; the broker accepts packets of at most `packet_bytes`.
    pub(crate) fn connected_within(&mut self, packet_bytes: Option<u32>, now_ms: u64) {
        self.packet_bytes = packet_bytes.map_or(usize::MAX, |bytes| bytes as usize);
        self.outbox.set_payload_limit(self.payload_limit());
        self.connected = true;
        self.refused.clear();
        self.actions.clear();
        self.actions.push_back(Action::Subscribe(agent_topic(&self.agent, Kind::Ack).to_string()));
        let Terms { group, root, .. } = self.store.terms();
        // Before the release, whose key may be new.
        self.actions.extend(root.iter().map(|_| Action::Subscribe(root_topic(group).to_string())));
        let release = release_topic(group).to_string();
        self.subscribe_to_rollouts();
        self.actions.push_back(Action::Subscribe(release));
        self.subscribe_to_certificates();
        self.publish_status();
        self.ask_chunk(now_ms);
        self.steer(now_ms);
        self.send(now_ms);
    }

    /// The connection is lost.
    pub(crate) fn disconnected(&mut self) {
        self.connected = false;
        self.actions.clear();
        self.outbox.disconnected();
        if let Some(fetch) = &mut self.fetch {
            fetch.asks = 0;
        }
    }

    /// The broker has confirmed a message.
    pub(crate) fn delivered(&mut self, id: MessageId, now_ms: u64) {
        if self.delivery == Delivery::Broker {
            self.outbox.delivered(id);
            self.send(now_ms);
        }
    }

    /// A message arrived. `now_s` is the wall clock, if it is set.
    pub(crate) fn message(&mut self, topic: &str, payload: &[u8], now_ms: u64, now_s: Option<u64>) {
        match Topic::parse(topic) {
            Some(Topic::Agent(agent, Kind::Ack)) if agent == self.agent => {
                self.acknowledgement(topic, payload, now_ms);
            }
            Some(Topic::Agent(agent, Kind::IdentitySet)) if agent == self.agent => {
                self.take_certificate(payload, now_ms);
            }
            // With a rollout, it is for agents that do not know rollouts.
            Some(Topic::Release(group)) if group == self.store.terms().group => {
                if self.rollout().is_none() {
                    self.release(payload, now_ms, now_s);
                }
            }
            Some(Topic::Manifest(group, version)) if group == self.store.terms().group && self.wants(version) => {
                self.release(payload, now_ms, now_s);
            }
            Some(Topic::Rollout(group)) if group == self.store.terms().group => {
                self.take_signed(ROLLOUT, payload, now_ms, now_s);
            }
            Some(Topic::Agent(agent, Kind::Assignment)) if agent == self.agent => {
                self.take_signed(ASSIGNMENT, payload, now_ms, now_s);
            }
            Some(Topic::Root(group)) if group == self.store.terms().group => self.root_chain(payload, now_ms, now_s),
            Some(Topic::Chunk(sha256, number)) => self.chunk(&sha256, number, payload, now_ms),
            _ => tracing::debug!(topic, "ignoring a message on an unexpected topic"),
        }
        self.send(now_ms);
    }

    /// A message from the pipeline.
    pub(crate) fn handle_pipeline(&mut self, message: FromPipeline, now_ms: u64, now_s: Option<u64>) {
        let body = match message {
            FromPipeline::Alert(alert) => Body::Alert(alert),
            FromPipeline::Samples(samples) => Body::Samples(samples),
            FromPipeline::Health(mut health) => {
                let counts = self.outbox.counts();
                health.outbox_dropped_alerts = counts.dropped_alerts;
                health.outbox_dropped_telemetry = counts.dropped_telemetry;
                health.outbox_waiting = counts.waiting;
                health.detector.rejected_acknowledgements = self.rejected_acks;
                self.complete_health(&mut health);
                Body::Health(health)
            }
            FromPipeline::ClockSet { shift_ns, now_s } => {
                let corrected = self.outbox.correct_times(shift_ns, now_s);
                tracing::info!(corrected, "the clock was set; times of waiting alerts corrected");
                return self.send(now_ms);
            }
            FromPipeline::TrialVerdict { version, verdict } => {
                self.verdict(version, verdict);
                self.resume(now_ms, now_s);
                self.steer(now_ms);
                return self.send(now_ms);
            }
            FromPipeline::Settings(change, answer) => {
                // A client that has left needs no answer.
                let _ = answer.try_send(self.change_settings(change, now_ms));
                return self.send(now_ms);
            }
        };
        self.push(body, now_s);
        self.send(now_ms);
    }

    /// Does what is due; call about once a second. `now_s` as for [`Session::message`].
    pub(crate) fn tick(&mut self, now_ms: u64, now_s: Option<u64>) {
        self.now_s = now_s.unwrap_or(self.now_s);
        if now_ms.saturating_sub(self.flushed_ms) >= FLUSH_MS {
            self.flushed_ms = now_ms;
            self.write_disk(Outbox::flush, now_ms);
            self.resume(now_ms, now_s);
            self.steer(now_ms);
        }
        self.subscribe_again(now_ms);
        self.renew(now_ms, now_s);
        let is_overdue =
            |fetch: &Fetch| now_ms.saturating_sub(fetch.asked_ms) >= CHUNK_WAIT_MS && fetch.asks < CHUNK_ASKS;
        if self.fetch.as_ref().is_some_and(is_overdue) {
            self.leave_chunk();
            self.ask_chunk(now_ms);
        }
        self.send(now_ms);
    }

    fn push(&mut self, body: Body, now_s: Option<u64>) {
        if let Err(error) = self.outbox.push(body, now_s.unwrap_or(0)) {
            tracing::warn!(%error, "invalid message not sent");
        }
    }

    fn report(&mut self, release: u64, step: UpdateStep) {
        tracing::info!(release, ?step, "update");
        self.push(Body::Update(Update { release, step }), None);
    }

    fn refuse(&mut self, release: u64, reason: &str) {
        self.report(release, UpdateStep::Refused(text(reason)));
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "day_tests.rs"]
mod day_tests;

#[cfg(test)]
#[path = "abuse_tests.rs"]
mod abuse_tests;

#[cfg(test)]
#[path = "seal_tests.rs"]
mod seal_tests;
