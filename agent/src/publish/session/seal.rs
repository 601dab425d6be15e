//! The key that agent and trainer share → sealed messages, and acknowledgements that the trainer has sealed.

use super::Session;
use crate::config::SealScope;
use crate::disk::Disk;
use crate::update::engine::EngineFactory;
use lapwing_shared::messages::sealed::{SEAL_BYTES, SealKey};
use lapwing_shared::messages::topics::Kind;
use lapwing_shared::messages::{Acknowledgement, MessageError};

/// The agent's key.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    pub(crate) key: SealKey,
    pub(crate) scope: SealScope,
}

impl Seal {
    fn seals(&self) -> bool {
        self.scope == SealScope::All
    }
}

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Seals messages and accepts sealed acknowledgements only, if the agent has a key.
    #[must_use]
    pub(crate) fn with_seal(self, seal: Option<Seal>) -> Self {
        Self { seal, ..self }
    }

    /// The identity has another key: that of messages from now on.
    pub(super) fn use_seal_key(&mut self, key: Option<SealKey>) {
        if let (Some(seal), Some(key)) = (&mut self.seal, key) {
            seal.key = key;
        }
    }

    /// Acknowledgements that were rejected.
    pub(crate) fn rejected_acks(&self) -> u64 {
        self.rejected_acks
    }

    /// Bytes that a message becomes longer by.
    pub(super) fn seal_bytes(&self) -> usize {
        self.seal.as_ref().filter(|seal| seal.seals()).map_or(0, |_| SEAL_BYTES)
    }

    /// The payload as it is sent. A status is sealed in any case.
    pub(super) fn sealed(&self, kind: Kind, topic: &str, mut payload: Vec<u8>) -> Vec<u8> {
        if let Some(seal) = self.seal.as_ref().filter(|seal| seal.seals() || kind == Kind::Status) {
            let head = seal.key.seal(topic, &payload);
            payload.splice(..0, head);
        }
        payload
    }

    /// A message on the topic for acknowledgements: whoever can publish there cannot make an agent that has a key forget
    /// a message.
    pub(super) fn acknowledgement(&mut self, topic: &str, payload: &[u8], now_ms: u64) {
        let opened = self.seal.as_ref().map_or(Ok(payload), |seal| seal.key.open(topic, payload));
        let wrong = |_| MessageError::Field { field: "seal", expected: "the trainer's" };
        match opened.map_err(wrong).and_then(Acknowledgement::decode) {
            Ok(ack) => self.outbox.acknowledged(&ack),
            Err(error) => {
                self.rejected_acks += 1;
                if let Some(suppressed) = self.invalid_acks.allow(now_ms) {
                    tracing::warn!(%error, suppressed, "acknowledgement rejected");
                }
            }
        }
    }
}
