//! Events of the MQTT client → deliveries for the collector, on a thread of its own.

use super::pauses::Pauses;
use crate::broker::COLLECTED;
use crate::counts::Counts;
use crate::kept::Kept;
use crate::link::{Delivery, Receipt};
use crate::link_state::LinkState;
use lapwing_common::clock;
use lapwing_shared::messages::topics::{Kind, Topic, agents_filter};
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Packet, PubAck, PubAckReason, Publish, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, EventLoop};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

/// Interval between two warnings about another trainer, and between two about a broker that stays unreachable.
const WARNING_INTERVAL: Duration = Duration::from_secs(600);

/// Runs the client's event loop on its own thread; never waits for the store.
pub(super) struct Driver {
    pub(super) client: AsyncClient,
    pub(super) events: EventLoop,
    pub(super) queue: SyncSender<Delivery>,
    pub(super) state: Arc<LinkState>,
    pub(super) counts: Arc<Counts>,
    pub(super) share: String,
    pub(super) collects: bool,
    pub(super) kept: Arc<Kept>,
    pub(super) pauses: Pauses,
    /// Last warning about another trainer.
    pub(super) warned: Option<Instant>,
    /// Last warning that the broker is unreachable.
    pub(super) unreachable: Option<Instant>,
    /// A refused publication was logged on this connection.
    pub(super) refusal_logged: bool,
}

impl Driver {
    pub(super) async fn run(mut self) {
        loop {
            match self.events.poll().await {
                Ok(Event::Incoming(Packet::ConnAck(ack))) => self.connected(ack.session_present),
                Ok(Event::Incoming(Packet::Publish(publish))) => match self.deliver(publish) {
                    Ok(()) => {}
                    Err(TrySendError::Disconnected(_)) => return,
                    // Above the receive maximum: disconnect, so that the broker redelivers.
                    Err(TrySendError::Full(_)) => {
                        self.events.clean();
                        self.state.disconnected();
                    }
                },
                Ok(Event::Incoming(Packet::PubAck(ack))) => self.answered(&ack),
                Ok(Event::Incoming(Packet::SubAck(ack))) => self.subscribed(&ack.return_codes),
                Ok(_) => {}
                Err(error) => {
                    let pause = self.ended(&error, clock::monotonic());
                    tokio::time::sleep(pause + pause.mul_f64(fastrand::f64())).await;
                }
            }
        }
    }

    /// The connection failed or ended: returns the pause before the next attempt. A broker that stays unreachable is
    /// logged once per interval.
    fn ended(&mut self, error: &ConnectionError, now: Instant) -> Duration {
        let was_connected = self.state.disconnected();
        let is_other = self.state.failed(error.to_string());
        if was_connected || is_other || self.unreachable.is_none_or(|at| now.duration_since(at) >= WARNING_INTERVAL) {
            self.unreachable = Some(now);
            tracing::warn!(broker = self.state.broker(), %error, "no connection to the broker, retrying");
        }
        self.pauses.ended(now)
    }

    fn answered(&mut self, ack: &PubAck) {
        self.state.answered();
        if is_refused(ack.reason) {
            self.refused(ack.reason);
        }
    }

    fn connected(&mut self, has_session: bool) {
        let is_first = self.state.connections.get() == 0;
        self.pauses.connected(clock::monotonic());
        self.unreachable = None;
        if !has_session {
            self.state.forgotten();
        }
        self.state.connected();
        self.refusal_logged = false;
        self.counts.connections.add(1);
        tracing::info!(broker = self.state.broker(), "connected to the broker");
        if self.collects {
            self.subscribe(is_first && has_session);
        }
    }

    /// Subscribes to agents' messages; `has_old` if the broker may have subscriptions of an earlier version.
    fn subscribe(&self, has_old: bool) {
        let filter = |kind: Kind| {
            let plain = agents_filter(kind);
            let path = match kind {
                Kind::Status => plain.to_string(),
                _ => format!("$share/lapwing-collectors-{}-{}/{plain}", self.share, kind.as_str()),
            };
            Filter::new(path, QoS::AtLeastOnce)
        };
        // Acknowledgements of other trainers; not this one's own.
        let mut acknowledgements = Filter::new(agents_filter(Kind::Ack).as_str(), QoS::AtMostOnce);
        acknowledgements.nolocal = true;
        let filters = COLLECTED.map(filter).into_iter().chain([acknowledgements]);
        if let Err(error) = self.client.try_subscribe_many(filters) {
            tracing::error!(%error, "cannot subscribe");
        }
        // Share names of earlier versions, which the broker may have kept in the session.
        let shared = COLLECTED.into_iter().filter(|kind| *kind != Kind::Status && has_old);
        for kind in shared {
            let filter = format!("$share/lapwing-collectors-{}/{}", kind.as_str(), agents_filter(kind));
            drop(self.client.try_unsubscribe(filter));
        }
    }

    /// Logs the first refusal of a connection: a release consists of many publications.
    fn refused(&mut self, reason: PubAckReason) {
        self.state.refusals.add(1);
        if !std::mem::replace(&mut self.refusal_logged, true) {
            tracing::warn!(
                broker = self.state.broker(),
                ?reason,
                "the broker refused a publication; check its access list, see docs/mqtt.md"
            );
        }
    }

    fn subscribed(&self, codes: &[SubscribeReasonCode]) {
        let refused = codes.iter().find(|code| !matches!(code, SubscribeReasonCode::Success(_)));
        if let Some(reason) = refused {
            tracing::error!(
                broker = self.state.broker(),
                ?reason,
                "the broker refused a subscription; check its access list, see docs/mqtt.md"
            );
        }
    }

    /// Handles messages that are not for the collector: releases, assignments and acknowledgements.
    fn observe(&mut self, topic: &str, payload: &[u8]) -> bool {
        match Topic::parse(topic) {
            Some(Topic::Root(_)) => self.kept.returned_root(topic, payload),
            Some(
                Topic::Release(_)
                | Topic::Manifest(..)
                | Topic::Rollout(_)
                | Topic::Chunk(..)
                | Topic::Agent(_, Kind::Assignment),
            ) => self.kept.returned(topic, payload),
            Some(Topic::Agent(agent, Kind::Ack)) => {
                self.counts.foreign_acknowledgements.add(1);
                let now = clock::monotonic();
                if self.warned.is_none_or(|at| now.duration_since(at) >= WARNING_INTERVAL) {
                    self.warned = Some(now);
                    tracing::warn!(
                        agent = agent.as_str(),
                        broker = self.state.broker(),
                        "another trainer acknowledges messages of the same agents at this broker; with another broker.share \
                         both store all messages, with the same one each stores a part"
                    );
                }
            }
            _ => return false,
        }
        true
    }

    fn deliver(&mut self, publish: Publish) -> Result<(), TrySendError<Delivery>> {
        let topic = String::from_utf8_lossy(&publish.topic).into_owned();
        if publish.qos == QoS::AtMostOnce && self.observe(&topic, &publish.payload) {
            return Ok(());
        }
        let connection = self.state.connections.get();
        let needs_confirmation = publish.qos != QoS::AtMostOnce;
        let receipt = needs_confirmation.then_some(Receipt { packet: publish.pkid, connection });
        let sent = self.queue.try_send(Delivery { topic, payload: publish.payload.to_vec(), receipt });
        match sent {
            // QoS 0 may be lost; the agent sends its next health message soon.
            Err(TrySendError::Full(_)) if !needs_confirmation => {
                self.counts.overrun.add(1);
                Ok(())
            }
            other => other,
        }
    }
}

fn is_refused(reason: PubAckReason) -> bool {
    !matches!(reason, PubAckReason::Success | PubAckReason::NoMatchingSubscribers)
}
