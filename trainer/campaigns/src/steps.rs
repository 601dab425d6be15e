//! The open campaign of a group → its next state, by time or by a person, stored if no other process changed it.

use crate::agents::Scope;
use crate::error::ChangeError;
use crate::facts::OwnedFacts;
use crate::facts_reader::FactsReader;
use lapwing_fleet::campaign::{Action, Outcome};
use lapwing_store::StoreHandle;
use lapwing_store::traits::{Saved, StoredCampaign};

/// Attempts to store a change: another process changes the same campaign at most once in a while.
const ATTEMPTS: usize = 2;

/// What the facts of a stored campaign depend on.
pub fn scope_of(stored: &StoredCampaign) -> Scope {
    let campaign = &stored.campaign;
    Scope { version: campaign.version(), base: campaign.base(), salt: campaign.salt(), since_s: stored.made_s }
}

/// Advances the open campaign of a group to `now_s`; `None` without one. `serve` calls this every few seconds, with the same
/// reader.
///
/// # Errors
/// [`ChangeError`].
pub fn advance(
    handle: &StoreHandle,
    reader: &mut FactsReader,
    group: &str,
    now_s: u64,
) -> Result<Option<Outcome>, ChangeError> {
    let change = |stored: &StoredCampaign, facts: &OwnedFacts| Ok(stored.campaign.clone().step(&facts.facts(), now_s));
    change_open(handle, reader, (group, now_s), &change)
}

/// Applies a person's action to the open campaign of a group.
///
/// # Errors
/// [`ChangeError`].
pub fn act(handle: &StoreHandle, group: &str, action: Action, who: &str, now_s: u64) -> Result<Outcome, ChangeError> {
    let change = |stored: &StoredCampaign, facts: &OwnedFacts| {
        Ok(stored.campaign.clone().act(action, who, &facts.facts(), now_s)?)
    };
    let changed = change_open(handle, &mut FactsReader::default(), (group, now_s), &change)?;
    changed.ok_or_else(|| ChangeError::None { group: group.to_owned() })
}

type Change<'a> = dyn Fn(&StoredCampaign, &OwnedFacts) -> Result<Outcome, ChangeError> + 'a;

fn change_open(
    handle: &StoreHandle,
    reader: &mut FactsReader,
    (group, now_s): (&str, u64),
    change: &Change<'_>,
) -> Result<Option<Outcome>, ChangeError> {
    for _ in 0..ATTEMPTS {
        let Some(stored) = handle.open_campaign(group)? else { return Ok(None) };
        let facts = reader.load(handle, &scope_of(&stored), group, now_s)?;
        let outcome = change(&stored, &facts)?;
        if let Saved::Stored(_) = handle.save_campaign(stored.change(&outcome), now_s)? {
            return Ok(Some(outcome));
        }
    }
    Err(ChangeError::Changed { group: group.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NEXT, Stage};
    use crate::{Order, start};
    use lapwing_fleet::campaign::{CampaignState, Plan};
    use std::cell::Cell;

    /// A stage with a campaign, and a change that another process interrupts this number of times.
    fn interrupted(times: u32) -> Result<Option<Outcome>, ChangeError> {
        let stage = Stage::new(20, 1_800_000_000);
        let order =
            Order { group: "home", version: NEXT, plan: Plan::default(), who: "ann", supersede: false, findings: &[] };
        start(&stage.handle, &order, stage.now_s).unwrap();
        let left = Cell::new(times);
        let change = |stored: &StoredCampaign, facts: &OwnedFacts| {
            if left.get() > 0 {
                left.set(left.get() - 1);
                let is_paused = stored.campaign.state() == CampaignState::Paused;
                let action = if is_paused { Action::Resume } else { Action::Pause };
                act(&stage.handle, "home", action, "bob", stage.now_s)?;
            }
            Ok(stored.campaign.clone().step(&facts.facts(), stage.now_s))
        };
        change_open(&stage.handle, &mut FactsReader::default(), ("home", stage.now_s), &change)
    }

    #[test]
    fn a_change_begins_again_after_that_of_another_process() {
        let outcome = interrupted(1).unwrap().unwrap();
        assert_eq!(outcome.campaign.state(), CampaignState::Paused, "the other change is not lost");
    }

    #[test]
    fn a_change_that_is_interrupted_twice_fails() {
        let error = interrupted(2).unwrap_err().to_string();
        assert!(error.contains("another process changed the campaign of group home"), "{error}");
    }
}
