//! A person's decision about the open campaign of a group → its effect beforehand, and the changed campaign.

use crate::error::ChangeError;
use crate::facts::load;
use crate::steps::{act, scope_of};
use lapwing_fleet::SILENT_S;
use lapwing_fleet::campaign::{AbortMode, Action, CampaignState, Outcome};
use lapwing_store::StoreHandle;
use lapwing_store::traits::StoredCampaign;

/// What a person decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// No other agent begins.
    Pause,
    /// A paused campaign continues.
    Resume,
    /// A campaign that waits begins.
    Approve,
    /// A campaign that waits ends.
    Refuse,
    /// It ends; agents keep the release.
    Stop,
    /// It ends; agents go back.
    Withdraw,
}

impl Decision {
    /// Every decision.
    pub const ALL: [Self; 6] = [Self::Pause, Self::Resume, Self::Approve, Self::Refuse, Self::Stop, Self::Withdraw];

    /// Its name in forms and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Refuse => "refuse",
            Self::Stop => "stop",
            Self::Withdraw => "withdraw",
        }
    }

    /// What the campaign does. Ending one that has not begun is refusing it: there is nothing to stop.
    const fn action(self, state: CampaignState) -> Action {
        match (self, state) {
            (Self::Stop | Self::Withdraw, CampaignState::Draft | CampaignState::Waiting) | (Self::Refuse, _) => {
                Action::Refuse
            }
            (Self::Pause, _) => Action::Pause,
            (Self::Resume, _) => Action::Resume,
            (Self::Approve, _) => Action::Approve,
            (Self::Stop, _) => Action::Abort(AbortMode::Stop),
            (Self::Withdraw, _) => Action::Abort(AbortMode::Withdraw),
        }
    }
}

/// What a decision is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Number of the campaign.
    pub id: i64,
    /// Its revision: a decision is about this one.
    pub revision: u64,
    /// Its release.
    pub version: u64,
    /// The release that agents go back to.
    pub base: u64,
    /// Its state.
    pub state: CampaignState,
    /// Agents that run its release.
    pub running: usize,
    /// Those of them that are offline.
    pub offline: usize,
}

/// A number of agents with its noun.
pub fn agents(count: usize) -> String {
    if count == 1 { "1 agent".into() } else { format!("{count} agents") }
}

impl Reach {
    fn of(handle: &StoreHandle, group: &str, stored: &StoredCampaign, now_s: u64) -> Result<Self, ChangeError> {
        let campaign = &stored.campaign;
        let facts = load(handle, &scope_of(stored), group, now_s)?;
        let running = facts.agents.iter().filter(|agent| agent.running == campaign.version());
        let silent_s: Vec<u64> = running.map(|agent| now_s.saturating_sub(agent.last_seen_s)).collect();
        Ok(Self {
            id: stored.id,
            revision: stored.revision,
            version: campaign.version(),
            base: campaign.base(),
            state: campaign.state(),
            running: silent_s.len(),
            offline: silent_s.into_iter().filter(|silent_s| *silent_s > SILENT_S).count(),
        })
    }

    /// What a decision would do, in a sentence.
    pub fn effect(&self, decision: Decision) -> String {
        let Self { version, base, running, offline, .. } = self;
        let on = agents(*running);
        match decision {
            Decision::Pause => format!("No other agent begins. {on} on release {version} keep it."),
            Decision::Resume => "The campaign continues; its wave gets its whole time again.".into(),
            Decision::Approve => format!("The campaign begins: release {version} reaches the first wave."),
            Decision::Refuse => format!("The campaign ends before release {version} reaches an agent."),
            Decision::Stop => {
                format!("The campaign ends. {on} on release {version} keep it; no other agent installs it.")
            }
            Decision::Withdraw => {
                format!("The campaign ends. {on} go back to release {base}; {offline} of them when they return.")
            }
        }
    }
}

/// What decisions about the open campaign of a group would be about.
///
/// # Errors
/// [`ChangeError`], also without an open campaign.
pub fn reach(handle: &StoreHandle, group: &str, now_s: u64) -> Result<Reach, ChangeError> {
    Reach::of(handle, group, &open(handle, group)?, now_s)
}

fn open(handle: &StoreHandle, group: &str) -> Result<StoredCampaign, ChangeError> {
    handle.open_campaign(group)?.ok_or_else(|| ChangeError::None { group: group.into() })
}

/// Carries out a decision; returns what it was about, and the outcome. With `shown`, only about this campaign in this
/// revision: the one that the person saw.
///
/// # Errors
/// [`ChangeError`].
pub fn decide(
    handle: &StoreHandle,
    (group, decision): (&str, Decision),
    shown: Option<(i64, u64)>,
    who: &str,
    now_s: u64,
) -> Result<(Reach, Outcome), ChangeError> {
    let stored = open(handle, group)?;
    if shown.is_some_and(|shown| shown != (stored.id, stored.revision)) {
        return Err(ChangeError::Changed { group: group.to_owned() });
    }
    let reach = Reach::of(handle, group, &stored, now_s)?;
    let outcome = act(handle, group, decision.action(reach.state), who, now_s)?;
    Ok((reach, outcome))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{NEXT, Stage};
    use crate::{Order, start};
    use lapwing_fleet::campaign::Plan;

    fn stage(approval: bool) -> Stage {
        let stage = Stage::new(20, 1_800_000_000);
        let plan = Plan { approval, ..Plan::default() };
        let order = Order { group: "home", version: NEXT, plan, who: "ann (page)", supersede: false, findings: &[] };
        start(&stage.handle, &order, stage.now_s).unwrap();
        stage
    }

    #[test]
    fn a_decision_is_carried_out_about_the_campaign_that_was_shown() {
        let stage = stage(false);
        let decide = |decision, shown| decide(&stage.handle, ("home", decision), shown, "bob (page)", stage.now_s);
        let first = reach(&stage.handle, "home", stage.now_s).unwrap();
        assert_eq!((first.version, first.state, first.running), (NEXT, CampaignState::Running, 0));
        let shown = Some((first.id, first.revision));
        assert_eq!(decide(Decision::Pause, shown).unwrap().1.campaign.state(), CampaignState::Paused);
        let error = decide(Decision::Withdraw, shown).unwrap_err().to_string();
        assert!(error.contains("another process changed the campaign"), "{error}");
        assert_eq!(decide(Decision::Resume, None).unwrap().1.campaign.state(), CampaignState::Running);
        decide(Decision::Withdraw, None).unwrap();
        assert!(decide(Decision::Resume, None).is_err());
    }

    #[test]
    fn another_person_approves_whatever_the_way() {
        let stage = stage(true);
        let decide = |decision, who| decide(&stage.handle, ("home", decision), None, who, stage.now_s);
        for same in ["ann", "ann (token 3)", "Ann (page)"] {
            let error = decide(Decision::Approve, same).unwrap_err().to_string();
            assert!(error.contains("another person"), "{error}");
        }
        assert_eq!(decide(Decision::Approve, "bob (page)").unwrap().1.campaign.state(), CampaignState::Running);
    }

    #[test]
    fn a_campaign_that_has_not_begun_is_refused_and_effects_name_the_releases() {
        let stage = stage(true);
        let about = reach(&stage.handle, "home", stage.now_s).unwrap();
        assert!(
            about.effect(Decision::Withdraw).contains("go back to release 3"),
            "{}",
            about.effect(Decision::Withdraw)
        );
        for decision in Decision::ALL {
            assert!(about.effect(decision).ends_with('.'), "{decision:?}");
        }
        let (_, outcome) = decide(&stage.handle, ("home", Decision::Stop), None, "bob", stage.now_s).unwrap();
        assert_eq!(outcome.campaign.state(), CampaignState::Refused);
        assert!(reach(&stage.handle, "home", stage.now_s).unwrap_err().to_string().contains("no open campaign"));
    }
}
