//! Serials that agents report → rollouts that they accept.
//!
//! An agent rejects a rollout whose serial is not above that of its own. After an older store was restored, agents have
//! rollouts that the store does not know, so the next one skips their serials.

use super::state::{Effect, Outcome};

/// Serials that a rollout may skip. Agents report the serial that they have, and one that lies must not use up all numbers.
const SERIALS: u64 = 1 << 32;
/// Shortest time between two rollouts that are published only because of what agents report, seconds: one that lies must not
/// cause a publication in every step.
const REISSUE_S: u64 = 600;

/// The serial that agents report, as far as it may be that of a rollout after `serial`; otherwise 0.
pub(super) fn credible(reported: u64, serial: u64) -> u64 {
    if reported <= serial.saturating_add(SERIALS) { reported } else { 0 }
}

impl Outcome {
    /// Publishes the rollout again if agents have a newer one.
    pub(super) fn reissue(&mut self, reported: u64, now_s: u64) {
        let rollout = &self.campaign.rollout;
        let is_behind = credible(reported, rollout.serial) > rollout.serial;
        // Also with a clock that was set back.
        if is_behind && self.effects.is_empty() && now_s.abs_diff(rollout.issued_s) >= REISSUE_S {
            self.publish(now_s);
        }
    }

    /// Gives the rollout that is published a serial above those that agents report.
    pub(super) fn rise_above(&mut self, reported: u64, now_s: u64) {
        let rollout = &mut self.campaign.rollout;
        let highest = credible(reported, rollout.serial);
        if self.effects.is_empty() || highest < rollout.serial {
            return;
        }
        let stored = rollout.serial.saturating_sub(1);
        rollout.serial = highest.saturating_add(1);
        self.effects = vec![Effect::Publish(rollout.clone())];
        self.note(now_s, None, format!("agents have rollout {highest}, the store had {stored}; was it restored?"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{agent, draft};
    use super::super::{AbortMode, Action, AlertHours, Campaign, CampaignState, Effect, Facts, Outcome};
    use super::*;

    /// A campaign whose rollout has serial 8, and the time of its last step.
    fn running() -> (Campaign, u64) {
        let (draft, now_s) = (draft(), draft().stepped_s());
        let started = with(0, |facts| draft.act(Action::Submit, "ann", facts, now_s).unwrap());
        (started.campaign, now_s)
    }

    fn with<T>(reported: u64, work: impl FnOnce(&Facts<'_>) -> T) -> T {
        let agents = vec![agent(1); 30];
        work(&Facts { agents: &agents, alerts: &AlertHours::default(), reported })
    }

    fn step(campaign: &Campaign, reported: u64, now_s: u64) -> Outcome {
        with(reported, |facts| campaign.clone().step(facts, now_s))
    }

    fn serial(outcome: &Outcome) -> Option<u64> {
        let serial = outcome.effects.iter().map(|Effect::Publish(rollout)| rollout.serial).next();
        assert!(serial.is_none_or(|serial| serial == outcome.campaign.rollout().serial));
        serial
    }

    #[test]
    fn an_open_campaign_publishes_again_above_the_rollouts_that_agents_have() {
        let (campaign, now_s) = running();
        assert_eq!(campaign.rollout().serial, 8);
        assert_eq!(serial(&step(&campaign, 8, now_s + REISSUE_S)), None, "agents have the store's rollout");
        let outcome = step(&campaign, 41, now_s + REISSUE_S);
        assert_eq!(serial(&outcome), Some(42));
        assert_eq!(outcome.campaign.rollout().next, campaign.rollout().next, "nothing else changes");
        assert_eq!(outcome.transitions[0].why, "agents have rollout 41, the store had 8; was it restored?");
        assert_eq!(outcome.transitions[0].state, CampaignState::Running);
        assert_eq!(serial(&step(&outcome.campaign, 42, now_s + 2 * REISSUE_S)), None, "once is enough");
    }

    #[test]
    fn what_a_person_does_in_a_restored_store_reaches_the_agents() {
        let (campaign, now_s) = running();
        let act = |reported, action| {
            serial(&with(reported, |facts| campaign.clone().act(action, "ann", facts, now_s).unwrap()))
        };
        assert_eq!((act(8, Action::Pause), act(41, Action::Pause)), (Some(9), Some(42)));
        assert_eq!(act(9, Action::Abort(AbortMode::Withdraw)), Some(10), "agents have another rollout 9");
        assert_eq!(act(41, Action::Supersede), None, "the next campaign publishes");
    }

    #[test]
    fn an_agent_that_lies_causes_few_publications_and_uses_up_no_numbers() {
        let (campaign, now_s) = running();
        assert_eq!(serial(&step(&campaign, u64::MAX, now_s + REISSUE_S)), None);
        assert_eq!(serial(&step(&campaign, 41, now_s + REISSUE_S - 1)), None);
        let mut now_s = now_s + REISSUE_S;
        let mut campaign = step(&campaign, 41, now_s).campaign;
        let mut published = 0;
        for _ in 0..360 {
            now_s += 10;
            let outcome = step(&campaign, campaign.rollout().serial + 1, now_s);
            published += outcome.effects.len();
            campaign = outcome.campaign;
        }
        assert_eq!(published, 6, "in an hour");
    }
}
