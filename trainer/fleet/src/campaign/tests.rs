//! Campaigns step by step, over facts made by hand.

use super::facts::{AgentFacts, AgentStep, Facts, Progress};
use super::*;
use lapwing_shared::rollout::message::{Channel, PLACES, Rollout};
use lapwing_shared::rollout::place::Place;

const HOUR_S: u64 = 3_600;
const START_S: u64 = 1_700_000_000;

/// An agent that runs `running`, at the place of an arbitrary name.
pub(crate) fn agent(running: u64) -> AgentFacts {
    AgentFacts {
        place: Place::of(b"saltsalt", &"gw".try_into().unwrap()),
        channel: Channel::Normal,
        is_held: false,
        is_fit: true,
        last_seen_s: START_S,
        pair: 0,
        usual_per_day: 1.0,
        running,
        progress: None,
        rows: 10_000,
        anomalous: 100,
        drift_index: Some(0.05),
        cost_ratio: None,
        is_newly_degraded: false,
    }
}

/// A group in which agents follow the rollout at once and behave as `good` or not.
struct Fleet {
    agents: Vec<AgentFacts>,
    alerts: AlertHours,
    counts: Vec<AgentCount>,
    now_s: u64,
    /// Alerts of the new release relative to the old.
    alert_factor: u32,
}

impl Fleet {
    fn new(size: usize) -> Self {
        let mut agents = vec![agent(1); size];
        for (index, agent) in agents.iter_mut().enumerate() {
            agent.place = Place::of(b"saltsalt", &format!("gw-{index}").as_str().try_into().unwrap());
        }
        let counts = vec![AgentCount::default(); size];
        Self { agents, alerts: AlertHours::default(), counts, now_s: START_S, alert_factor: 1 }
    }

    fn campaign(&self) -> Campaign {
        Campaign::draft(terms(2), START_S).unwrap()
    }

    fn started(&self) -> Campaign {
        self.act(self.campaign(), Action::Submit, "ann").unwrap().campaign
    }

    fn facts(&self) -> Facts<'_> {
        Facts { agents: &self.agents, alerts: &self.alerts, reported: 0 }
    }

    fn act(&self, campaign: Campaign, action: Action, who: &str) -> Result<Outcome, ActionError> {
        campaign.act(action, who, &self.facts(), self.now_s)
    }

    /// Half an hour later: agents within the reach have confirmed.
    fn step(&mut self, campaign: Campaign) -> Outcome {
        self.now_s += HOUR_S / 2;
        let hour = self.now_s / HOUR_S;
        let is_full_hour = self.now_s % HOUR_S < HOUR_S / 2;
        for (index, agent) in self.agents.iter_mut().enumerate() {
            agent.last_seen_s = self.now_s;
            if u32::from(agent.place.place) < campaign.reach()[agent.channel as usize] && agent.progress.is_none() {
                agent.progress = Some(Progress { step: AgentStep::Confirmed, at_s: self.now_s });
                (agent.running, agent.cost_ratio) = (2, Some(1.0));
            }
            let is_wave = agent.running == 2;
            // Every agent has one alert a day, at its own hour.
            let is_due = is_full_hour && (hour + index as u64).is_multiple_of(24);
            let episodes = u32::from(is_due) * if is_wave { self.alert_factor } else { 1 };
            let online = if is_full_hour { 1.0 } else { 0.0 };
            let seen = AgentHour { episodes, online, usual_per_day: 1.0, budget_per_day: 1.0 };
            let arm = if is_wave { Arm::Wave } else { Arm::Control };
            self.alerts.add(hour, arm, &seen, &mut self.counts[index]);
        }
        campaign.step(&self.facts(), self.now_s)
    }

    /// Steps until the campaign is not running, for at most `hours`.
    fn run(&mut self, mut campaign: Campaign, hours: u64) -> (Campaign, Vec<Transition>) {
        let mut transitions = Vec::new();
        for _ in 0..2 * hours {
            let outcome = self.step(campaign);
            campaign = outcome.campaign;
            transitions.extend(outcome.transitions);
            if campaign.state() != CampaignState::Running {
                break;
            }
        }
        (campaign, transitions)
    }
}

fn terms(version: u64) -> Terms {
    let rollout = lapwing_shared::rollout::testing::rollout(7, 1);
    Terms { version, plan: Plan::default(), salt: *b"saltsalt", made_by: "ann".into(), rollout }
}

/// A campaign that was not submitted.
pub(crate) fn draft() -> Campaign {
    Campaign::draft(terms(2), START_S).unwrap()
}

fn published(outcome: &Outcome) -> &Rollout {
    match &outcome.effects[..] {
        [Effect::Publish(rollout)] => rollout,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_good_release_passes_every_wave_and_becomes_the_base() {
    let mut fleet = Fleet::new(100);
    let start = fleet.act(fleet.campaign(), Action::Submit, "ann").unwrap();
    assert_eq!((published(&start).serial, published(&start).base), (8, 1));
    let (campaign, transitions) = fleet.run(start.campaign, 24 * 14);
    assert_eq!(campaign.state(), CampaignState::Completed, "{transitions:#?}");
    assert_eq!((campaign.rollout().base, campaign.rollout().next), (2, None));
    let waves = transitions.iter().filter(|change| change.why == "wave begins").count();
    assert_eq!(waves, 3);
    // Start, three more waves and the end: five publications for 100 agents.
    assert_eq!(campaign.rollout().serial, 7 + 5);
    let hours = (fleet.now_s - START_S) / HOUR_S;
    assert!((38..60).contains(&hours), "{hours}");
    let controls = fleet.agents.iter().filter(|agent| agent.running == 1).count();
    assert!((1..=12).contains(&controls), "{controls}");
}

#[test]
fn four_times_the_alerts_stop_a_campaign_in_its_canary_and_withdraw_the_release() {
    let mut fleet = Fleet::new(100);
    fleet.alert_factor = 4;
    let (campaign, transitions) = fleet.run(fleet.started(), 24 * 7);
    let last = transitions.last().unwrap();
    assert!(last.why.starts_with("alerts failed: "), "{last:?}");
    assert_eq!((campaign.state(), last.wave), (CampaignState::Aborting, Some((1, WaveState::Failed))));
    assert!(campaign.rollout().is_withdrawn(2) && campaign.rollout().next.is_none());
    // Agents go back; then the campaign has ended.
    let mut outcome = campaign.step(&fleet.facts(), fleet.now_s + 60);
    assert_eq!(outcome.campaign.state(), CampaignState::Aborting);
    fleet.agents.iter_mut().for_each(|agent| (agent.running, agent.progress) = (1, None));
    outcome = outcome.campaign.step(&fleet.facts(), fleet.now_s + 120);
    assert_eq!(outcome.transitions[0].why, "every agent is back");
    assert_eq!(outcome.campaign.state(), CampaignState::Aborted);
}

#[test]
fn agents_that_do_not_return_are_counted_after_a_week() {
    let mut fleet = Fleet::new(100);
    let campaign = fleet.started();
    let campaign = fleet.step(campaign).campaign;
    let outcome = fleet.act(campaign, Action::Abort(AbortMode::Withdraw), "bob").unwrap();
    let at_s = fleet.now_s + 7 * 24 * HOUR_S;
    assert!(outcome.campaign.clone().step(&fleet.facts(), at_s - 1).transitions.is_empty());
    let end = outcome.campaign.step(&fleet.facts(), at_s);
    assert_eq!(end.transitions[0].why, "2 agents are not back");
}

#[test]
fn a_stopped_campaign_leaves_the_release_where_it_is() {
    let fleet = Fleet::new(100);
    let outcome = fleet.act(fleet.started(), Action::Abort(AbortMode::Stop), "bob").unwrap();
    assert_eq!(outcome.campaign.state(), CampaignState::Aborted);
    let rollout = published(&outcome);
    assert!(rollout.next.is_none() && !rollout.is_withdrawn(2) && rollout.serial == 9);
    assert_eq!(outcome.transitions[0].who.as_deref(), Some("bob"));
}

#[test]
fn a_pause_reaches_no_agent_and_resuming_reaches_the_same_again() {
    let fleet = Fleet::new(100);
    let started = fleet.started();
    let reach = started.reach();
    let paused = fleet.act(started, Action::Pause, "bob").unwrap();
    assert_eq!(published(&paused).next.unwrap().reach, [0; 3]);
    let still = paused.campaign.step(&fleet.facts(), fleet.now_s + 900 * HOUR_S / 2);
    assert_eq!(still.campaign.state(), CampaignState::Paused);
    assert_eq!(published(&still).serial, 10, "renewed after half of its validity");
    let resumed = fleet.act(still.campaign, Action::Resume, "bob").unwrap();
    assert_eq!((published(&resumed).next.unwrap().reach, resumed.campaign.reach()), (reach, reach));
    assert!(resumed.campaign.wave().unwrap().deadline_s > fleet.now_s);
}

#[test]
fn a_trainer_that_was_away_pauses_the_campaign() {
    let fleet = Fleet::new(100);
    let outcome = fleet.started().step(&fleet.facts(), START_S + 2 * HOUR_S);
    assert_eq!(outcome.campaign.state(), CampaignState::Paused);
    assert_eq!(outcome.transitions[0].why, "the trainer was not available for 120 minutes");
}

#[test]
fn an_undecided_wave_pauses_at_its_deadline_and_says_what_is_missing() {
    let mut fleet = Fleet::new(100);
    fleet.agents.iter_mut().for_each(|agent| (agent.rows, agent.anomalous) = (10, 0));
    let (campaign, transitions) = fleet.run(fleet.started(), 24 * 10);
    let last = transitions.last().unwrap();
    assert_eq!((campaign.state(), last.wave), (CampaignState::Paused, Some((1, WaveState::Undecided))));
    assert_eq!(last.why, "undecided at the deadline: blindness: 50 of 5000 rows");
}

#[test]
fn an_approval_needs_another_person() {
    let fleet = Fleet::new(20);
    let plan = Plan { approval: true, ..Plan::default() };
    let draft = Campaign::draft(Terms { plan, ..terms(2) }, START_S).unwrap();
    let waiting = fleet.act(draft, Action::Submit, "ann").unwrap();
    assert!(waiting.effects.is_empty() && waiting.campaign.state() == CampaignState::Waiting);
    let own = fleet.act(waiting.campaign.clone(), Action::Approve, "ann");
    assert_eq!(own, Err(ActionError::OwnCampaign));
    let approved = fleet.act(waiting.campaign.clone(), Action::Approve, "bob").unwrap();
    assert_eq!(approved.campaign.state(), CampaignState::Running);
    assert_eq!((approved.campaign.made_by(), approved.campaign.approved_by()), ("ann", Some("bob")));
    let refused = fleet.act(waiting.campaign, Action::Refuse, "bob").unwrap();
    assert!(refused.campaign.state() == CampaignState::Refused && refused.effects.is_empty());
}

#[test]
fn the_rollout_is_renewed_while_a_campaign_waits_for_approval() {
    let fleet = Fleet::new(20);
    let draft =
        Campaign::draft(Terms { plan: Plan { approval: true, ..Plan::default() }, ..terms(2) }, START_S).unwrap();
    let waiting = fleet.act(draft, Action::Submit, "ann").unwrap().campaign;
    let issued_s = waiting.rollout().issued_s;
    let half_s = 15 * 24 * HOUR_S;
    assert!(waiting.clone().step(&fleet.facts(), issued_s + half_s - 1).effects.is_empty());
    let renewed = waiting.step(&fleet.facts(), issued_s + half_s);
    assert_eq!((renewed.campaign.state(), published(&renewed).next), (CampaignState::Waiting, None));
}

#[test]
fn actions_that_the_state_does_not_allow_are_errors() {
    use CampaignState::{Aborted, Completed, Draft, Paused, Refused, Superseded};
    let fleet = Fleet::new(20);
    let all = [Action::Submit, Action::Approve, Action::Refuse, Action::Pause, Action::Resume, Action::Supersede];
    for state in [Completed, Aborted, Superseded, Refused] {
        for action in all.into_iter().chain([Action::Abort(AbortMode::Stop)]) {
            let campaign = Campaign { state, ..fleet.campaign() };
            assert_eq!(fleet.act(campaign, action, "bob"), Err(ActionError::State(state)));
        }
    }
    assert_eq!(fleet.act(fleet.campaign(), Action::Pause, "bob"), Err(ActionError::State(Draft)));
    let paused = Campaign { state: Paused, ..fleet.campaign() };
    assert_eq!(fleet.act(paused, Action::Pause, "bob"), Err(ActionError::State(Paused)));
}

#[test]
fn a_draft_needs_a_version_above_the_group_s_and_all_withdrawn_ones() {
    let refused = |change: fn(&mut Terms)| {
        let mut terms = terms(2);
        change(&mut terms);
        Campaign::draft(terms, START_S).unwrap_err()
    };
    assert!(matches!(refused(|terms| terms.version = 1), ActionError::Version { version: 1, .. }));
    assert!(matches!(refused(|terms| terms.rollout.withdraw(2)), ActionError::Version { .. }));
    assert!(matches!(refused(|terms| terms.rollout.withdraw(3)), ActionError::Version { version: 2, .. }));
    assert!(matches!(refused(|terms| terms.plan.waves.clear()), ActionError::Invalid(_)));
}

#[test]
fn a_step_is_repeatable_and_a_crash_before_publishing_loses_nothing() {
    let mut fleet = Fleet::new(100);
    let campaign = fleet.started();
    fleet.step(campaign.clone());
    let at_s = fleet.now_s;
    let (one, two) = (campaign.clone().step(&fleet.facts(), at_s), campaign.step(&fleet.facts(), at_s));
    assert_eq!(one, two);
    assert_eq!(published(&one), one.campaign.rollout(), "what a restart publishes again");
    one.campaign.rollout().validate().unwrap();
}

#[test]
fn a_superseding_campaign_continues_from_the_rollout_of_the_first() {
    let mut fleet = Fleet::new(100);
    let campaign = fleet.step(fleet.started()).campaign;
    let old = fleet.act(campaign, Action::Supersede, "ann").unwrap();
    assert!(old.effects.is_empty(), "the new campaign publishes");
    let terms = Terms { rollout: old.campaign.rollout().clone(), ..terms(3) };
    let new = fleet.act(Campaign::draft(terms, fleet.now_s).unwrap(), Action::Submit, "ann").unwrap();
    let (before, after) = (old.campaign.rollout(), published(&new));
    assert!(after.serial > before.serial && after.next.unwrap().version == 3 && after.base == 1);
}

#[test]
fn fleets_of_a_few_agents_update_one_first_and_need_more_days() {
    for size in [1, 2, 5, 20] {
        let mut fleet = Fleet::new(size);
        let (campaign, transitions) = fleet.run(fleet.started(), 24 * 14);
        assert_eq!(campaign.state(), CampaignState::Completed, "{size}: {transitions:#?}");
        let days = (fleet.now_s - START_S) / (24 * HOUR_S);
        assert!(days >= if size < 20 { 3 } else { 1 }, "{size}: {days}");
        if size < 20 {
            assert_eq!(campaign.wave().unwrap().reach, [PLACES; 3], "no agent is left as a control");
        }
    }
}
