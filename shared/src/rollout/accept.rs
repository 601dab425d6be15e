//! Signed rollout or assignment → the agent's newest one, by the keys that its root document or its configuration names.

use super::assignment::{Assignment, open_assignment};
use super::message::{Rollout, RolloutError};
use super::signed::{RolloutKeys, open_with_key};
use crate::release::manifest::Name;
use crate::release::root::{Grant, Purpose, RootDocument};
use crate::release::signature::TrustedKeys;
use ed25519_dalek::VerifyingKey;

/// Who may sign rollouts for an agent.
#[derive(Clone, Copy, Debug)]
pub struct RolloutTerms<'a> {
    /// The newest root document; its keys replace `keys`.
    pub root: Option<&'a RootDocument>,
    /// Keys of the configuration.
    pub keys: &'a TrustedKeys,
    /// The agent's group.
    pub group: &'a Name,
}

impl RolloutTerms<'_> {
    fn is_granted(&self, grant: &Grant) -> bool {
        grant.purpose == Purpose::Rollout && grant.group.as_ref().is_none_or(|group| group == self.group)
    }

    /// Whether any key may sign rollouts for this agent.
    pub fn has_key(&self) -> bool {
        match self.root {
            Some(root) => root.keys.iter().any(|grant| self.is_granted(grant)),
            None => self.keys.iter().any(|key| key.group().is_none_or(|group| group == self.group)),
        }
    }

    /// Checks what the root document says of the key, for a new message that names no version above `found`.
    fn check_grant(&self, key: &Name, found: u64, now_s: Option<u64>) -> Result<(), RolloutError> {
        let Some((root, grant)) = self.root.and_then(|root| Some((root, root.grant(key)?))) else { return Ok(()) };
        let ended = |until_s: &u64| *until_s != 0 && now_s.is_some_and(|now_s| now_s >= *until_s);
        if let Some(until_s) = [grant.until_s, root.expires_s].into_iter().find(ended) {
            return Err(RolloutError::KeyEnded { until_s });
        }
        let ceiling = grant.ceiling;
        if ceiling != 0 && found > ceiling { Err(RolloutError::AboveCeiling { found, ceiling }) } else { Ok(()) }
    }
}

impl RolloutKeys for RolloutTerms<'_> {
    fn rollout_key(&self, name: &Name) -> Option<VerifyingKey> {
        let public = match self.root {
            Some(root) => root.grant(name).filter(|grant| self.is_granted(grant))?.public,
            None => {
                let key = self.keys.iter().find(|key| key.id() == name)?;
                key.group().is_none_or(|group| group == self.group).then(|| key.public())?
            }
        };
        VerifyingKey::from_bytes(&public).ok().filter(|key| !key.is_weak())
    }
}

/// Checks a rollout that arrived. `None`: it is the newest one again. A rollout that has expired is accepted: it may withdraw
/// a release.
///
/// # Errors
/// [`RolloutError`]; the newest rollout stays.
#[inline]
pub fn accept(
    bytes: &[u8],
    terms: &RolloutTerms<'_>,
    newest: Option<&Rollout>,
    now_s: Option<u64>,
) -> Result<Option<Rollout>, RolloutError> {
    let (rollout, key) = open_with_key(bytes, terms, terms.group)?;
    if !rollout.replaces(newest)? {
        return Ok(None);
    }
    terms.check_grant(&key, rollout.highest(), now_s)?;
    Ok(Some(rollout))
}

/// Checks an assignment that arrived. `None`: it is the newest one again.
///
/// # Errors
/// [`RolloutError`]; the newest assignment stays.
#[inline]
pub fn accept_assignment(
    bytes: &[u8],
    terms: &RolloutTerms<'_>,
    agent: &Name,
    newest: Option<&Assignment>,
    now_s: Option<u64>,
) -> Result<Option<Assignment>, RolloutError> {
    let (assignment, key) = open_assignment(bytes, terms, agent)?;
    if !assignment.replaces(newest)? {
        return Ok(None);
    }
    terms.check_grant(&key, assignment.pin.unwrap_or(0), now_s)?;
    Ok(Some(assignment))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::{grant, root, trusted};
    use crate::rollout::testing::{assignment, rollout, signed_assignment, signed_rollout};

    fn name(text: &str) -> Name {
        text.try_into().unwrap()
    }

    fn granted(change: impl FnOnce(&mut Grant)) -> RootDocument {
        let mut own = Grant { purpose: Purpose::Rollout, ..grant("r1", 5) };
        change(&mut own);
        let mut document = root(1);
        document.keys.push(own).unwrap();
        document
    }

    fn by_root(document: &RootDocument, now_s: u64) -> Result<Option<Rollout>, RolloutError> {
        let (keys, group) = (trusted("r1", 6), name("home"));
        let terms = RolloutTerms { root: Some(document), keys: &keys, group: &group };
        assert_eq!(terms.has_key(), terms.rollout_key(&name("r1")).is_some());
        accept(&signed_rollout(&rollout(7, 3), 5), &terms, None, Some(now_s))
    }

    #[test]
    fn the_root_document_determines_key_group_end_and_ceiling() {
        let now_s = 1_700_000_100;
        assert_eq!(by_root(&granted(|_| {}), now_s), Ok(Some(rollout(7, 3))));
        assert_eq!(
            by_root(&granted(|g| (g.group, g.ceiling) = (Some(name("home")), 3)), now_s),
            Ok(Some(rollout(7, 3)))
        );
        let unknown = Err(RolloutError::UnknownKey(name("r1")));
        assert_eq!(by_root(&granted(|g| g.purpose = Purpose::Release), now_s), unknown);
        assert_eq!(by_root(&granted(|g| g.group = Some(name("work"))), now_s), unknown);
        assert_eq!(by_root(&root(1), now_s), unknown, "keys of the configuration do not count beside a root document");
        assert_eq!(by_root(&granted(|g| g.until_s = now_s), now_s), Err(RolloutError::KeyEnded { until_s: now_s }));
        assert!(by_root(&granted(|g| g.until_s = now_s), now_s - 1).is_ok());
        let ended = RootDocument { expires_s: now_s, ..granted(|_| {}) };
        assert_eq!(by_root(&ended, now_s), Err(RolloutError::KeyEnded { until_s: now_s }));
        let above = RolloutError::AboveCeiling { found: 3, ceiling: 2 };
        assert_eq!(by_root(&granted(|g| g.ceiling = 2), now_s), Err(above));
    }

    #[test]
    fn without_a_root_document_the_keys_of_the_configuration_sign() {
        let (keys, group) = (trusted("r1", 5), name("home"));
        let terms = RolloutTerms { root: None, keys: &keys, group: &group };
        let bytes = signed_rollout(&rollout(7, 3), 5);
        assert_eq!(accept(&bytes, &terms, None, None), Ok(Some(rollout(7, 3))));
        assert_eq!(accept(&bytes, &terms, Some(&rollout(7, 3)), None), Ok(None));
        let stale = Err(RolloutError::Stale { found: 7, newest: 8 });
        assert_eq!(accept(&bytes, &terms, Some(&rollout(8, 3)), None), stale);
        let none = RolloutTerms { keys: &TrustedKeys::default(), ..terms };
        assert!(terms.has_key() && !none.has_key() && accept(&bytes, &none, None, None).is_err());
    }

    #[test]
    fn an_assignment_needs_the_same_keys_and_a_pin_within_their_ceiling() {
        let (keys, group, agent) = (trusted("r1", 6), name("home"), name("gw-1"));
        let by = |document: &RootDocument, assignment: &Assignment, newest| {
            let terms = RolloutTerms { root: Some(document), keys: &keys, group: &group };
            accept_assignment(&signed_assignment(assignment, 5), &terms, &agent, newest, Some(1_700_000_100))
        };
        let pinned = Assignment { pin: Some(3), ..assignment(7) };
        assert_eq!(by(&granted(|_| {}), &pinned, None), Ok(Some(pinned.clone())));
        assert_eq!(by(&granted(|_| {}), &pinned, Some(&pinned)), Ok(None));
        let stale = RolloutError::Stale { found: 7, newest: 7 };
        assert_eq!(by(&granted(|_| {}), &assignment(7), Some(&pinned)), Err(stale));
        let above = RolloutError::AboveCeiling { found: 3, ceiling: 2 };
        assert_eq!(by(&granted(|g| g.ceiling = 2), &pinned, None), Err(above));
        assert!(by(&granted(|g| g.ceiling = 2), &assignment(7), None).is_ok());
        let unknown = Err(RolloutError::UnknownKey(name("r1")));
        assert_eq!(by(&granted(|g| g.group = Some(name("work"))), &pinned, None), unknown);
        assert!(by(&granted(|g| g.until_s = 1_700_000_100), &pinned, None).is_err());
    }
}
