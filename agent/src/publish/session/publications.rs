//! Outbox, status and packet limit → what to publish; and what the broker refused.

use super::{Action, SUBSCRIBE_MS, Session};
use crate::disk::Disk;
use crate::outbox::MessageId;
use crate::output::alerts::to_json;
use crate::publish::json;
use crate::publish::mqtt::encode::publish_overhead;
use crate::update::engine::EngineFactory;
use lapwing_shared::messages::topics::{Kind, Topic, agent_topic};
use lapwing_shared::messages::{Body, MESSAGE_BYTES, Message, Status};
use lapwing_shared::release::manifest::ArtifactForm;

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Topic and payload of the retained status; with `online` false, of the last will. Where an agent changes the broker,
    /// the trainer finds the newer of two statuses by the time.
    pub(crate) fn status(&self, online: bool) -> Option<(String, Vec<u8>)> {
        let body = Body::Status(self.status_body(online));
        let message = Message { run: self.outbox.run(), number: 0, sent_s: self.now_s, body };
        let payload = message.encode(&mut vec![0; MESSAGE_BYTES]).ok()?.to_vec();
        let topic = agent_topic(&self.agent, Kind::Status);
        let payload = self.sealed(Kind::Status, &topic, payload);
        Some((topic.to_string(), payload))
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

    /// Longest payload without a seal that the broker accepts on any topic of this agent, bytes.
    pub(super) fn payload_limit(&self) -> usize {
        let longest = Kind::ALL.map(|kind| publish_overhead(&agent_topic(&self.agent, kind)));
        self.packet_bytes.saturating_sub(longest.into_iter().max().unwrap_or(0) + self.seal_bytes())
    }

    pub(super) fn publish_status(&mut self) {
        let Some((topic, payload)) = self.status(true).filter(|_| self.connected) else { return };
        let json = json::status(&self.status_body(true)).into_bytes();
        let json_topic = agent_topic(&self.agent, Kind::StatusJson).to_string();
        for (topic, payload) in [(topic, payload), (json_topic, json)] {
            self.publish(Action::Publish { topic, payload, acknowledged: true, retain: true, id: None });
        }
    }

    /// Moves messages that are due from the outbox to the actions.
    pub(super) fn send(&mut self, now_ms: u64) {
        while self.connected {
            let Some(outgoing) = self.outbox.next_to_send(now_ms) else { return };
            let kind = match &outgoing.message.body {
                Body::Alert(alert) => {
                    let (topic, json) = (agent_topic(&self.agent, Kind::AlertJson), to_json(alert));
                    self.publish_message(topic.to_string(), json.into_bytes(), None);
                    Kind::Alert
                }
                Body::Samples(_) => Kind::Sample,
                Body::Health(_) => Kind::Health,
                Body::Status(_) => Kind::Status,
                Body::Update(_) => Kind::Update,
            };
            let id = Some(outgoing.id).filter(|(_, number)| *number > 0);
            let topic = agent_topic(&self.agent, kind);
            let payload = self.sealed(kind, &topic, outgoing.payload);
            self.publish_message(topic.to_string(), payload, id);
        }
    }

    /// The broker refused a message: it stays in the outbox.
    pub(crate) fn refused(&mut self, id: MessageId, now_ms: u64) {
        self.outbox.refused(id, now_ms);
    }

    /// The broker refused a subscription. Chunks have their own repetition.
    pub(crate) fn subscription_refused(&mut self, filter: &str, now_ms: u64) {
        if !matches!(Topic::parse(filter), Some(Topic::Chunk(..))) {
            self.refused.retain(|(refused, _)| refused != filter);
            self.refused.push((filter.to_owned(), now_ms + SUBSCRIBE_MS));
        }
    }

    pub(super) fn subscribe_again(&mut self, now_ms: u64) {
        if self.connected {
            let due = self.refused.extract_if(.., |(_, due_ms)| now_ms >= *due_ms);
            self.actions.extend(due.map(|(filter, _)| Action::Subscribe(filter)));
        }
    }

    fn publish_message(&mut self, topic: String, payload: Vec<u8>, id: Option<MessageId>) {
        self.publish(Action::Publish { topic, payload, acknowledged: id.is_some(), retain: false, id });
    }

    /// Leaves out and counts what the broker would close the connection for. The outbox sees to its own messages.
    fn publish(&mut self, action: Action) {
        match &action {
            Action::Publish { topic, payload, id: None, .. }
                if publish_overhead(topic) + payload.len() > self.packet_bytes =>
            {
                self.left_out += 1;
            }
            _ => self.actions.push_back(action),
        }
    }
}
