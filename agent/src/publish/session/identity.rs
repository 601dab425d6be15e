//! The certificate of an enrolled agent: requests for the next one, and responses.

use super::{Action, Session};
use crate::clock;
use crate::disk::Disk;
use crate::identity::{Identity, Keeper};
use crate::update::engine::EngineFactory;
use lapwing_shared::messages::topics::{Kind, agent_topic};

impl<D: Disk, F: EngineFactory> Session<D, F> {
    /// Of an enrolled agent.
    #[must_use]
    pub(crate) fn with_keeper(mut self, keeper: Option<Keeper>) -> Self {
        self.keeper = keeper;
        self
    }

    /// The identity, if the agent is enrolled.
    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.keeper.as_ref().map(Keeper::identity)
    }

    /// Whether the connection has another certificate than the identity.
    pub(crate) fn has_new_identity(&self) -> bool {
        self.has_new_identity
    }

    /// The identity to connect with from now on, once after each change.
    pub(crate) fn new_identity(&mut self) -> Option<&Identity> {
        let is_new = std::mem::take(&mut self.has_new_identity);
        self.identity().filter(|_| is_new)
    }

    /// A broker has accepted the newest certificate.
    pub(crate) fn confirm_identity(&mut self) {
        let Some(keeper) = &mut self.keeper else { return };
        if let Err(error) = keeper.confirm() {
            tracing::warn!(%error, "the last certificate stays");
        }
    }

    pub(super) fn subscribe_to_certificates(&mut self) {
        if self.keeper.is_some() {
            self.actions.push_back(Action::Subscribe(agent_topic(&self.agent, Kind::IdentitySet).to_string()));
        }
    }

    /// Asks for the next certificate when it is due, and uses one that another program has written.
    pub(super) fn renew(&mut self, now_ms: u64, now_s: Option<u64>) {
        let Some(keeper) = &mut self.keeper else { return };
        if keeper.look(now_ms) {
            self.has_new_identity = true;
            let key = keeper.identity().enrolled.seal.clone();
            self.use_seal_key(key);
        }
        let Some(keeper) = self.keeper.as_mut().filter(|_| self.connected) else { return };
        let Some(payload) = keeper.request(now_ms, now_s) else { return };
        tracing::info!("asking for the next certificate");
        let topic = agent_topic(&self.agent, Kind::Identity).to_string();
        self.actions.push_back(Action::Publish { topic, payload, acknowledged: true, retain: false, id: None });
    }

    pub(super) fn take_certificate(&mut self, payload: &[u8], now_ms: u64) {
        let Some(keeper) = &mut self.keeper else { return };
        match keeper.take(payload) {
            Ok(()) => {
                clock::passed(keeper.identity().enrolled.issued_s);
                self.has_new_identity = true;
            }
            Err(error) => {
                if let Some(suppressed) = self.invalid_certificates.allow(now_ms) {
                    tracing::warn!(%error, suppressed, "rejected a certificate");
                }
            }
        }
    }
}
