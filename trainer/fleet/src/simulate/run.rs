//! Scenario and seed → what the campaign does to the homes.

use super::agent::{Agent, conduct, set_usual_rates};
use super::home::Report;
use super::network::{Event, Queue, TICK_S};
use super::random::Random;
use super::scenario::{ReleaseKind, Scenario};
use crate::campaign::{
    Action, AgentCount, AgentFacts, AgentHour, AgentStep, AlertHours, Arm, Campaign, CampaignState, Effect, Facts,
    Outcome, Progress, Terms, WaveState, choose_salt, telemetry_budget,
};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::rollout::place::Place;
use std::sync::Arc;

/// Versions before and in the campaign.
pub(super) const OLD: u64 = 1;
pub(super) const NEW: u64 = 2;
/// A Tuesday at noon, seconds since the epoch.
pub(super) const START_S: u64 = 1_700_000_000 / 86_400 * 86_400 + 43_200;
const HOUR_S: u64 = 3_600;
/// End of a simulation, days.
const DAYS: u64 = 45;
/// Attacks on the fleet per day; each lasts two hours and multiplies the alerts of a part of the homes.
const ATTACKS_PER_DAY: f64 = 0.5;
const ATTACKED_HOMES: f64 = 0.3;
const ATTACK_FACTOR: f64 = 5.0;
/// Agents whose coverage becomes degraded, per day.
const DEGRADED_PER_DAY: f64 = 0.003;
const POWER_CUTS_PER_DAY: f64 = 0.02;
/// False-alert budget of every home.
const BUDGET_PER_DAY: f64 = 1.0;
/// CPU time of a slow release.
const SLOW_FACTOR: f64 = 2.5;

/// Numbers at the end of an hour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Hours since the start.
    pub hour: f64,
    /// Agents that have begun to download the release.
    pub touched: u32,
    /// Agents that run it.
    pub running: u32,
}

/// The result of one simulation.
#[derive(Clone, Debug, PartialEq)]
pub struct RunResult {
    /// State of the campaign at the end.
    pub state: CampaignState,
    /// Why it ended.
    pub why: String,
    /// Agents that began to download the release.
    pub touched: u32,
    /// Of them before the campaign stopped.
    pub touched_before_stop: u32,
    /// Hours until it stopped, paused or completed.
    pub hours: f64,
    /// Hours of soak among them.
    pub soak_hours: f64,
    /// Rollouts published.
    pub publications: u64,
    /// Agents that ran a withdrawn release at the end.
    pub not_back: u32,
    /// Progress by hour.
    pub samples: Vec<Sample>,
}

struct World<'a> {
    scenario: &'a Scenario,
    random: Random,
    agents: Vec<Agent>,
    facts: Vec<AgentFacts>,
    alerts: AlertHours,
    queue: Queue,
    campaign: Campaign,
    newest: Arc<Rollout>,
    now_s: u64,
    attack_until_s: u64,
    result: RunResult,
}

/// Simulates one campaign.
///
/// # Errors
/// If the plan is invalid.
pub fn simulate(scenario: &Scenario, seed: u64) -> Result<RunResult, String> {
    let mut world = World::new(scenario, seed)?;
    let first = world.campaign.clone().act(Action::Submit, "simulation", &world.facts(), START_S);
    world.apply(first.map_err(|error| error.to_string())?);
    while world.now_s < START_S + DAYS * 86_400 && world.tick() {}
    Ok(world.finish())
}

impl<'a> World<'a> {
    fn new(scenario: &'a Scenario, seed: u64) -> Result<Self, String> {
        let mut random = Random::new(seed);
        let group = Name::try_from("home").map_err(|_| "invalid group")?;
        let mut agents: Vec<Agent> =
            (0..scenario.agents as usize).map(|index| Agent::draw(index, scenario, &group, &mut random)).collect();
        set_usual_rates(&mut agents, &mut random);
        let mut facts: Vec<AgentFacts> = agents.iter().map(|agent| agent.facts(&mut random)).collect();
        let salt = salt(scenario, seed, &agents, &mut facts);
        let rollout = Rollout {
            group,
            serial: 1,
            base: OLD,
            next: None,
            withdrawn: Default::default(),
            withdrawn_below: 0,
            spread_s: 0,
            budget: telemetry_budget(2_000_000, scenario.agents.into()),
            issued_s: START_S,
            expires_s: START_S + 30 * 86_400,
        };
        let newest = Arc::new(rollout.clone());
        let plan = scenario.plan.clone();
        let terms = Terms { version: NEW, plan, salt, made_by: "simulation".into(), rollout };
        let campaign = Campaign::draft(terms, START_S).map_err(|error| error.to_string())?;
        let result = RunResult {
            state: CampaignState::Draft,
            why: String::new(),
            touched: 0,
            touched_before_stop: 0,
            hours: 0.0,
            soak_hours: 0.0,
            publications: 0,
            not_back: 0,
            samples: Vec::new(),
        };
        let (alerts, queue) = (AlertHours::default(), Queue::default());
        let (now_s, attack_until_s) = (START_S, 0);
        let mut world =
            Self { scenario, random, agents, facts, alerts, queue, campaign, newest, now_s, attack_until_s, result };
        world.schedule();
        Ok(world)
    }

    fn schedule(&mut self) {
        for (index, agent) in self.agents.iter_mut().enumerate() {
            agent.home.receive(&self.newest);
            let changes_s = START_S + agent.traits.changes_in_s(agent.is_online, START_S, &mut self.random);
            self.queue.add(START_S, changes_s, index, Event::Toggle);
            let cut_s = START_S + self.random.exponential(86_400.0 / POWER_CUTS_PER_DAY) as u64;
            self.queue.add(START_S, cut_s, index, Event::PowerCut);
        }
    }

    fn facts(&self) -> Facts<'_> {
        Facts { agents: &self.facts, alerts: &self.alerts, reported: 0 }
    }

    /// One step of time. Returns whether the simulation goes on.
    fn tick(&mut self) -> bool {
        self.now_s += TICK_S;
        for (index, event) in self.queue.due(self.now_s) {
            self.event(index, event);
        }
        if self.now_s.is_multiple_of(HOUR_S) {
            self.hour();
        }
        let is_running = self.campaign.state() == CampaignState::Running;
        if is_running || self.now_s.is_multiple_of(HOUR_S) {
            let outcome = self.campaign.clone().step(&self.facts(), self.now_s);
            self.apply(outcome);
        }
        if is_running && self.campaign.wave().is_some_and(|wave| wave.state == WaveState::Soaking) {
            self.result.soak_hours += TICK_S as f64 / 3_600.0;
        }
        let state = self.campaign.state();
        !state.is_final() && state != CampaignState::Paused
    }

    /// Stores the campaign, then publishes.
    fn apply(&mut self, outcome: Outcome) {
        let was_running = self.campaign.state() == CampaignState::Running;
        self.campaign = outcome.campaign;
        if was_running && self.campaign.state() != CampaignState::Running {
            self.result.hours = (self.now_s - START_S) as f64 / 3_600.0;
            self.result.touched_before_stop = self.result.touched;
            self.result.why = outcome.transitions.last().map(|change| change.why.clone()).unwrap_or_default();
        }
        for Effect::Publish(rollout) in outcome.effects {
            self.result.publications += 1;
            self.newest = Arc::new(rollout);
            for (index, _) in self.agents.iter().enumerate().filter(|(_, agent)| agent.is_online) {
                self.queue.send(self.now_s, index, &self.newest, self.scenario.loss, &mut self.random);
            }
        }
    }

    fn event(&mut self, index: usize, event: Event) {
        let (now_s, newest) = (self.now_s, Arc::clone(&self.newest));
        let Some(agent) = self.agents.get_mut(index) else { return };
        match event {
            Event::Rollout(rollout) if agent.is_online => {
                if agent.home.receive(&rollout) {
                    self.advance(index);
                }
            }
            Event::Rollout(_) => {}
            Event::Report(report) => self.report(index, &report),
            Event::Wake => {
                agent.wake_s = None;
                self.advance(index);
            }
            Event::Toggle => {
                agent.is_online = !agent.is_online;
                let changes_s = now_s + agent.traits.changes_in_s(agent.is_online, now_s, &mut self.random);
                self.queue.add(now_s, changes_s, index, Event::Toggle);
                if agent.is_online {
                    // The broker sends the retained rollout.
                    agent.home.receive(&newest);
                    self.advance(index);
                }
            }
            Event::PowerCut => {
                let (traits, random) = (agent.traits, &mut self.random);
                let report =
                    agent.home.power_cut(now_s, &mut |version| conduct(self.scenario, &traits, random, version));
                agent.outbox.extend(report);
                let cut_s = now_s + self.random.exponential(86_400.0 / POWER_CUTS_PER_DAY) as u64;
                self.queue.add(now_s, cut_s, index, Event::PowerCut);
                self.advance(index);
            }
        }
    }

    /// Lets a home do what is due, sends its reports, and schedules its next step.
    fn advance(&mut self, index: usize) {
        let Some(agent) = self.agents.get_mut(index) else { return };
        let (traits, random) = (agent.traits, &mut self.random);
        let mut does = |version| conduct(self.scenario, &traits, random, version);
        agent.home.advance(self.now_s, agent.is_online, &mut does, &mut agent.outbox);
        let took_step = agent.outbox.iter().any(|report| report.step.is_some_and(|(version, _)| version == NEW));
        if took_step && !agent.is_touched {
            agent.is_touched = true;
            self.result.touched += 1;
        }
        if agent.is_online {
            for report in std::mem::take(&mut agent.outbox) {
                self.queue.report(self.now_s, index, report, self.scenario.loss, &mut self.random);
            }
        }
        let wakes_s = agent.home.wakes_s().filter(|wakes_s| *wakes_s > self.now_s);
        if let Some(wakes_s) = wakes_s.filter(|wakes_s| agent.wake_s.is_none_or(|planned| *wakes_s < planned)) {
            agent.wake_s = Some(wakes_s);
            self.queue.add(self.now_s, wakes_s, index, Event::Wake);
        }
    }

    /// The trainer receives a report. Older ones than the newest are ignored.
    fn report(&mut self, index: usize, report: &Report) {
        let (Some(agent), Some(facts)) = (self.agents.get_mut(index), self.facts.get_mut(index)) else { return };
        if report.number <= agent.reported {
            return;
        }
        agent.reported = report.number;
        facts.last_seen_s = self.now_s;
        if facts.running != report.running {
            facts.running = report.running;
            (facts.rows, facts.anomalous, facts.is_newly_degraded) = (0, 0, false);
            agent.count = AgentCount::default();
            facts.cost_ratio = None;
        }
        facts.progress = match report.step {
            Some((NEW, step)) => Some(Progress { step, at_s: self.now_s }),
            _ => facts.progress.filter(|progress| {
                !matches!(progress.step, AgentStep::Downloading | AgentStep::Verified | AgentStep::Trial)
            }),
        };
    }

    /// Alerts, rows and health of the last hour.
    fn hour(&mut self) {
        let (hour, of_day) = (self.now_s / HOUR_S - 1, self.now_s / HOUR_S % 24);
        if self.random.chance(ATTACKS_PER_DAY / 24.0) {
            self.attack_until_s = self.now_s + 2 * HOUR_S;
        }
        let is_attack = self.now_s < self.attack_until_s;
        let daylight = 1.0 + 0.5 * ((of_day as f64 - 14.0) / 24.0 * std::f64::consts::TAU).cos();
        let mut running = 0;
        for (agent, facts) in self.agents.iter_mut().zip(&mut self.facts) {
            running += u32::from(agent.home.running() == NEW);
            if of_day == 0 {
                agent.mood = self.random.gamma(4);
            }
            if agent.is_online {
                facts.last_seen_s = self.now_s;
                let attack = if is_attack && self.random.chance(ATTACKED_HOMES) { ATTACK_FACTOR } else { 1.0 };
                let factor = self.scenario.factor(agent.home.in_use()) * attack * daylight * agent.mood;
                let episodes = self.random.poisson(agent.traits.alerts_per_day / 24.0 * factor);
                let usual_per_day = agent.usual_per_day;
                let seen = AgentHour { episodes, online: 1.0, usual_per_day, budget_per_day: BUDGET_PER_DAY };
                let arm = if facts.running == NEW { Arm::Wave } else { Arm::Control };
                self.alerts.add(hour, arm, &seen, &mut agent.count);
                facts.is_newly_degraded |= self.random.chance(DEGRADED_PER_DAY / 24.0);
                if arm == Arm::Wave {
                    let is_blind = self.scenario.release == ReleaseKind::Blind;
                    let share = if is_blind { agent.traits.anomalous / 20.0 } else { agent.traits.anomalous };
                    let rows = self.random.poisson(agent.traits.rows_per_hour * daylight);
                    facts.rows += rows;
                    facts.anomalous += self.random.poisson(f64::from(rows) * share).min(rows);
                    let factor = if self.scenario.release == ReleaseKind::Slow { SLOW_FACTOR } else { 1.0 };
                    facts.cost_ratio = Some(self.random.log_normal(factor, 0.1) as f32);
                }
            }
        }
        let hour = (self.now_s - START_S) as f64 / 3_600.0;
        self.result.samples.push(Sample { hour, touched: self.result.touched, running });
    }

    fn finish(mut self) -> RunResult {
        self.result.state = self.campaign.state();
        let is_withdrawn = |agent: &&Agent| self.campaign.rollout().is_withdrawn(agent.home.in_use());
        self.result.not_back = u32::try_from(self.agents.iter().filter(is_withdrawn).count()).unwrap_or(u32::MAX);
        self.result
    }
}

fn salt(scenario: &Scenario, seed: u64, agents: &[Agent], facts: &mut [AgentFacts]) -> [u8; 8] {
    let sizes = scenario.plan.sizes(scenario.agents);
    let canary = sizes.iter().find(|size| size.plan.gates == crate::campaign::Gates::All).or(sizes.first()).copied();
    let Some(canary) = canary else { return [0; 8] };
    choose_salt(seed, facts, &canary, &mut |salt, facts| {
        for (facts, agent) in facts.iter_mut().zip(agents) {
            facts.place = Place::of(salt, &agent.home.name);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(agents: u32, release: ReleaseKind, seeds: u64) -> Vec<RunResult> {
        let scenario = Scenario::new(agents, release);
        (0..seeds).map(|seed| simulate(&scenario, seed).unwrap()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_campaign() {
        let scenario = Scenario::new(100, ReleaseKind::Good);
        assert_eq!(simulate(&scenario, 3), simulate(&scenario, 3));
        assert_ne!(simulate(&scenario, 3), simulate(&scenario, 4));
    }

    #[test]
    fn most_good_releases_complete_and_bad_ones_reach_a_small_part() {
        let good = results(100, ReleaseKind::Good, 12);
        let completed = good.iter().filter(|run| run.state == CampaignState::Completed).count();
        assert!(completed >= 11, "{good:#?}");
        for (release, limit) in [
            (ReleaseKind::BadAlerts, 5),
            (ReleaseKind::Blind, 5),
            (ReleaseKind::Refusing, 2),
            (ReleaseKind::Crashing, 2),
            (ReleaseKind::Slow, 5),
        ] {
            for run in results(100, release, 6) {
                assert!(run.touched <= limit, "{release:?}: {} of 100, {}", run.touched, run.why);
                assert_eq!(run.state, CampaignState::Aborted, "{release:?}: {}", run.why);
            }
        }
    }

    #[test]
    fn a_wave_takes_one_publication_for_any_number_of_agents() {
        let run = &results(2_000, ReleaseKind::Good, 1)[0];
        // Five waves and the completion.
        assert_eq!((run.state, run.publications), (CampaignState::Completed, 6), "{}", run.why);
        assert!(run.samples.last().unwrap().running > 1_600);
    }
}
