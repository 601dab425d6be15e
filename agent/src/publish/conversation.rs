//! One connection: packets of the broker → session, and the session's actions → packets.

use super::in_flight::{Asked, InFlight};
use super::mqtt::decode::{BrokerLimits, ConnAck, Incoming, ProtocolError};
use super::mqtt::encode;
use super::mqtt::reason::is_refusal;
use super::mqtt::socket::Ended;
use super::refusals::Refusals;
use super::session::{Action, Session};
use crate::clock;
use crate::disk::Disk;
use crate::report::SharedReport;
use crate::update::engine::EngineFactory;
use tokio::sync::mpsc;

/// Keep-alive, seconds, unless the broker requires a shorter one.
pub(super) const KEEP_ALIVE_S: u16 = 30;
/// Time in which the broker must answer a request, milliseconds: longer than the outbox waits before it sends again.
const ANSWER_MS: u64 = 90_000;
/// Limit on actions that wait for the socket.
const ACTIONS: usize = 1024;

/// The state of one connection.
pub(super) struct Conversation {
    to_socket: mpsc::Sender<Vec<u8>>,
    in_flight: InFlight,
    limits: BrokerLimits,
    refusals: Refusals,
    report: SharedReport,
    /// An action that did not fit into the socket's queue.
    pending: Option<Action>,
    keep_alive_ms: u64,
    /// When the broker accepted the connection, milliseconds.
    accepted_ms: Option<u64>,
    pinged_ms: u64,
    received_ms: u64,
}

impl Conversation {
    /// A connection that is being made; `to_socket` takes packets.
    pub(super) fn new(to_socket: mpsc::Sender<Vec<u8>>, report: SharedReport, now_ms: u64) -> Self {
        Self {
            to_socket,
            in_flight: InFlight::new(u16::MAX),
            limits: BrokerLimits::default(),
            refusals: Refusals::new(report.clone()),
            report,
            pending: None,
            keep_alive_ms: u64::from(KEEP_ALIVE_S) * 1000,
            accepted_ms: None,
            pinged_ms: now_ms,
            received_ms: now_ms,
        }
    }

    /// When the broker accepted the connection, milliseconds.
    pub(super) fn accepted_ms(&self) -> Option<u64> {
        self.accepted_ms
    }

    /// What the broker supports.
    pub(super) fn limits(&self) -> BrokerLimits {
        self.limits
    }

    /// A packet arrived.
    ///
    /// # Errors
    /// [`Ended::Protocol`] for an answer without a request.
    pub(super) fn receive<D: Disk, F: EngineFactory>(
        &mut self,
        packet: Incoming,
        session: &mut Session<D, F>,
        now_ms: u64,
    ) -> Result<(), Ended> {
        self.received_ms = now_ms;
        match packet {
            Incoming::ConnAck(ack) => self.accepted(&ack, session, now_ms),
            Incoming::Publish { topic, payload, .. } => {
                session.message(&topic, &payload, now_ms, clock::at_least_s());
            }
            Incoming::PubAck { identifier, reason } => match self.in_flight.take(identifier) {
                Some(Asked::Publish { id, topic }) if is_refusal(reason) => {
                    self.refusals.publication(&topic, reason, now_ms);
                    id.into_iter().for_each(|id| session.refused(id, now_ms));
                }
                Some(Asked::Publish { id, topic }) => {
                    self.refusals.accepted(&topic);
                    id.into_iter().for_each(|id| session.delivered(id, now_ms));
                }
                _ => return Err(Ended::Protocol(ProtocolError::Unsolicited(identifier))),
            },
            Incoming::SubAck { identifier, reason } => match self.in_flight.take(identifier) {
                Some(Asked::Subscribe(filter)) if is_refusal(reason) => {
                    self.refusals.subscription(&filter, reason, now_ms);
                    session.subscription_refused(&filter, now_ms);
                }
                Some(Asked::Subscribe(filter)) => self.refusals.accepted(&filter),
                _ => return Err(Ended::Protocol(ProtocolError::Unsolicited(identifier))),
            },
            Incoming::UnsubAck { identifier } => match self.in_flight.take(identifier) {
                Some(Asked::Unsubscribe) => {}
                _ => return Err(Ended::Protocol(ProtocolError::Unsolicited(identifier))),
            },
            // The socket's task turns a DISCONNECT into the end of the connection.
            Incoming::PingResp | Incoming::Disconnect(_) => {}
        }
        Ok(())
    }

    fn accepted<D: Disk, F: EngineFactory>(&mut self, ack: &ConnAck, session: &mut Session<D, F>, now_ms: u64) {
        tracing::info!(agent = %session.agent(), broker = self.report.edit().broker_url, "connected to the broker");
        self.report.set_connection("connected");
        (self.limits, self.accepted_ms) = (ack.limits, Some(now_ms));
        self.in_flight = InFlight::new(ack.limits.receive_maximum);
        if let Some(seconds) = ack.keep_alive_s.filter(|seconds| (1..KEEP_ALIVE_S).contains(seconds)) {
            self.keep_alive_ms = u64::from(seconds) * 1000;
        }
        if !ack.limits.acknowledges {
            self.refusals.unsupported("QoS 1", "this broker confirms no delivery", now_ms);
        }
        if !ack.limits.retains {
            self.refusals.unsupported("retained messages", "this broker cannot distribute releases", now_ms);
        }
        session.connected_within(ack.limits.packet_bytes, now_ms);
    }

    /// Sends a PINGREQ when one is due; call about once a second.
    ///
    /// # Errors
    /// When the broker is silent, or does not answer or read.
    pub(super) fn tick<D: Disk, F: EngineFactory>(
        &mut self,
        session: &Session<D, F>,
        now_ms: u64,
    ) -> Result<(), Ended> {
        if self.accepted_ms.is_none() {
            return Ok(());
        }
        let silent_ms = now_ms.saturating_sub(self.received_ms);
        if silent_ms >= self.keep_alive_ms * 2 {
            return Err(Ended::Silent(silent_ms));
        }
        let unanswered_ms = self.in_flight.oldest_ms().map_or(0, |asked_ms| now_ms.saturating_sub(asked_ms));
        if unanswered_ms >= ANSWER_MS {
            return Err(Ended::Unanswered(unanswered_ms));
        }
        if session.waiting_actions() > ACTIONS {
            return Err(Ended::Unread(session.waiting_actions()));
        }
        // Before three quarters of the time have passed, since ticks and packets are late at times.
        if now_ms.saturating_sub(self.pinged_ms) >= self.keep_alive_ms * 3 / 4
            && self.to_socket.try_send(encode::pingreq()).is_ok()
        {
            self.pinged_ms = now_ms;
        }
        Ok(())
    }

    /// Moves actions to the socket's queue.
    pub(super) fn request<D: Disk, F: EngineFactory>(&mut self, session: &mut Session<D, F>, now_ms: u64) {
        while let Some(action) = self.pending.take().or_else(|| session.next_action()) {
            if !self.queue(&action, now_ms) {
                self.pending = Some(action);
                return;
            }
        }
    }

    /// False if there is no room now.
    fn queue(&mut self, action: &Action, now_ms: u64) -> bool {
        let Ok(permit) = self.to_socket.try_reserve() else { return false };
        let asked = match action {
            Action::Subscribe(filter) => Some(Asked::Subscribe(filter.clone())),
            Action::Unsubscribe(_) => Some(Asked::Unsubscribe),
            Action::Publish { topic, id, acknowledged, .. } => {
                (*acknowledged && self.limits.acknowledges).then(|| Asked::Publish { id: *id, topic: topic.clone() })
            }
        };
        let is_publication = matches!(asked, Some(Asked::Publish { .. }));
        if asked.is_some() && !self.in_flight.has_room(is_publication) {
            return false;
        }
        let identifier = asked.map(|asked| self.in_flight.add(asked, now_ms));
        permit.send(match (action, identifier) {
            (Action::Subscribe(filter), identifier) => encode::subscribe(filter, identifier.unwrap_or(1)),
            (Action::Unsubscribe(filter), identifier) => encode::unsubscribe(filter, identifier.unwrap_or(1)),
            (Action::Publish { topic, payload, retain, .. }, identifier) => {
                encode::publish(topic, payload, *retain && self.limits.retains, identifier)
            }
        });
        true
    }

    /// Waits until the socket has taken every packet.
    pub(super) async fn drained(&self) {
        let _ = self.to_socket.reserve_many(self.to_socket.max_capacity()).await;
    }
}

#[cfg(test)]
#[path = "conversation_tests.rs"]
mod tests;
