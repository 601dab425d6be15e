//! Message of an agent → its payload, if the agent may send and its seal is right; and the seals of acknowledgements.
//!
//! An agent with a certificate has a key. Its messages count only with the seal of this key: who can publish on its topics,
//! as the broker's operator can, forges nothing. Agents without an identity have no key; the broker's login is all that
//! protects them.

use super::roster::{Enrolled, Roster};
use lapwing_fleet::IdentityState;
use lapwing_shared::messages::sealed::{SEAL_BYTES, SEALED, SealError, SealKey, SealSecret};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Agents whose keys are remembered. Above it, all are forgotten and derived again.
const KEYS: usize = 40_000;

/// What to do with messages without a seal of an agent that has a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unsealed {
    /// Neither store nor acknowledge them.
    #[default]
    Refuse,
    /// Store them: while agents change to certificates, or if they seal nothing. Wrong seals are refused nevertheless.
    Accept,
}

/// Why a message is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// The agent is revoked.
    Revoked,
    /// The agent has a key, and the message no seal.
    Unsealed,
    /// The seal is wrong.
    Forged,
    /// It has a seal, and the agent no key.
    Unknown,
}

impl Refused {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "the agent is revoked",
            Self::Unsealed => "no seal, although the agent has a key; restart it after its enrolment",
            Self::Forged => "wrong seal: not from this agent, or it has another key since",
            Self::Unknown => "sealed, but the agent is not enrolled in this store",
        }
    }

    /// The roster may not know the agent's newest key yet.
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::Forged | Self::Unknown)
    }
}

/// An agent's keys, of the present secret and of the previous one.
struct Keys {
    fingerprint: [u8; 32],
    secrets: Vec<SealSecret>,
    keys: Vec<SealKey>,
    /// The one with which the agent last sealed a message.
    used: Option<usize>,
}

/// Checks and makes seals, for all links.
pub(super) struct Seals {
    roster: Arc<Roster>,
    unsealed: Unsealed,
    keys: Mutex<HashMap<String, Keys>>,
}

impl Seals {
    pub(super) fn new(roster: Arc<Roster>, unsealed: Unsealed) -> Self {
        Self { roster, unsealed, keys: Mutex::default() }
    }

    /// Takes the seal off a message.
    pub(super) fn open(&self, agent: &str, topic: &str, payload: &mut Vec<u8>) -> Result<(), Refused> {
        let enrolled = self.roster.enrolled(agent);
        if is_revoked(enrolled) {
            return Err(Refused::Revoked);
        }
        let Some(enrolled) = enrolled.filter(|enrolled| self.has_key(enrolled)) else {
            return if payload.first() == Some(&SEALED) { Err(Refused::Unknown) } else { Ok(()) };
        };
        match self.opened_by(agent, &enrolled, topic, payload) {
            Ok(()) => {
                payload.drain(..SEAL_BYTES);
                Ok(())
            }
            Err(SealError::Wrong) => Err(Refused::Forged),
            Err(SealError::Missing) if self.unsealed == Unsealed::Accept => Ok(()),
            Err(SealError::Missing) => Err(Refused::Unsealed),
        }
    }

    /// Notes which of its keys an agent used.
    fn opened_by(&self, agent: &str, enrolled: &Enrolled, topic: &str, payload: &[u8]) -> Result<(), SealError> {
        self.with_keys(agent, enrolled, |keys| {
            let mut result = Err(SealError::Wrong);
            for (index, key) in keys.keys.iter().enumerate() {
                result = key.open(topic, payload).map(drop);
                if result.is_ok() {
                    keys.used = Some(index);
                    break;
                }
            }
            result
        })
    }

    /// Payloads to publish on the topic of an agent's acknowledgements: sealed if it has a key. If it has not shown which
    /// of two keys it has, one payload for each; and one without a seal, if it may be an agent that has not read its key yet.
    pub(super) fn seal(&self, agent: &str, topic: &str, payload: Vec<u8>) -> Vec<Vec<u8>> {
        let enrolled = self.roster.enrolled(agent);
        if is_revoked(enrolled) {
            return Vec::new();
        }
        let Some(enrolled) = enrolled.filter(|enrolled| self.has_key(enrolled)) else { return vec![payload] };
        let sealed = |key: &SealKey| [&key.seal(topic, &payload)[..], &payload].concat();
        self.with_keys(agent, &enrolled, |keys| match keys.used.and_then(|used| keys.keys.get(used)) {
            Some(key) => vec![sealed(key)],
            None => {
                let plain = (self.unsealed == Unsealed::Accept).then(|| payload.clone());
                keys.keys.iter().map(sealed).chain(plain).collect()
            }
        })
    }

    /// Certificates come with a key. An agent that waits has none yet.
    fn has_key(&self, enrolled: &Enrolled) -> bool {
        enrolled.state == IdentityState::Accepted && enrolled.issued > 0 && !self.roster.seal_secrets().is_empty()
    }

    fn with_keys<T>(&self, agent: &str, enrolled: &Enrolled, work: impl FnOnce(&mut Keys) -> T) -> T {
        let mut all = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let secrets = self.roster.seal_secrets();
        if !all.contains_key(agent) && all.len() >= KEYS {
            all.clear();
        }
        let derive = || Keys {
            fingerprint: enrolled.fingerprint,
            keys: secrets.iter().map(|secret| SealKey::derive(secret, &enrolled.fingerprint)).collect(),
            secrets: secrets.to_vec(),
            used: None,
        };
        let keys = all.entry(agent.to_owned()).or_insert_with(derive);
        if keys.fingerprint != enrolled.fingerprint || keys.secrets != *secrets {
            *keys = derive();
        }
        work(keys)
    }
}

fn is_revoked(enrolled: Option<Enrolled>) -> bool {
    enrolled.is_some_and(|enrolled| enrolled.state == IdentityState::Revoked)
}

#[cfg(test)]
#[path = "seal_tests.rs"]
mod tests;
