//! Random interleavings of rollouts, assignments, floors, power cuts and people's actions: what must hold for every agent after
//! every step.
//!
//! What an agent may run is computed here from the reach of its rollout and from what people withdrew, not with the functions
//! that agents use: a mistake in those must not excuse itself.

use super::home::{Conduct, Home, TrialOutcome};
use super::random::Random;
use crate::campaign::{
    AbortMode, Action, AgentFacts, AgentStep, AlertHours, Campaign, CampaignState, Effect, Facts, Outcome, Progress,
    Terms,
};
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::decide::Settings;
use lapwing_shared::rollout::message::{Channel, Rollout, WITHDRAWN};
use lapwing_shared::rollout::place::Place;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

const AGENTS: usize = 12;
const RUNS: u64 = 100;
const STEPS: u32 = 10_000;
/// Starts after which a release that crashes must be rolled back.
const STARTS: u8 = 3;

struct World {
    random: Random,
    homes: Vec<Home>,
    facts: Vec<AgentFacts>,
    alerts: AlertHours,
    campaign: Option<Campaign>,
    /// Everything that was ever published: any of it may arrive at any time.
    published: Vec<Arc<Rollout>>,
    /// Versions that people withdrew, and the serial of the rollout that said so first.
    withdrawn: Vec<(u64, u64)>,
    /// The same of each agent's assignments.
    assigned: Vec<Vec<Arc<Assignment>>>,
    /// Floor of each version that has one: at most what the group ran when it was made.
    floors: Rc<RefCell<HashMap<u64, u64>>>,
    /// Highest version that was ever made.
    made: u64,
    now_s: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        let first = Arc::new(Rollout { base: 1, ..lapwing_shared::rollout::testing::rollout(1, 1) });
        let home = |index: usize| {
            let channel = Channel::ALL[index % 3];
            let settings = Settings { channel, hold: index % 5 == 4, pin: None };
            let name = Name::try_from(format!("gw-{index}").as_str()).unwrap();
            let mut home = Home::new(name, "home".try_into().unwrap(), settings, 1);
            home.receive(&first);
            home
        };
        let homes: Vec<Home> = (0..AGENTS).map(home).collect();
        let mut world = Self {
            random: Random::new(seed),
            homes,
            facts: Vec::new(),
            alerts: AlertHours::default(),
            campaign: None,
            published: vec![first],
            withdrawn: Vec::new(),
            assigned: vec![Vec::new(); AGENTS],
            floors: Rc::default(),
            made: 1,
            now_s: 1_700_000_000,
        };
        world.refresh([0; 8]);
        world
    }

    /// What the trainer knows: the truth, in a random order of arrival, which the facts do not depend on.
    fn refresh(&mut self, salt: [u8; 8]) {
        let version = self.campaign.as_ref().map_or(0, Campaign::version);
        let facts = |home: &Home| AgentFacts {
            place: Place::of(&salt, &home.name),
            channel: home.in_force().channel,
            is_held: home.in_force().hold || home.in_force().pin.is_some(),
            running: home.running(),
            progress: (home.running() == version).then_some(Progress { step: AgentStep::Confirmed, at_s: self.now_s }),
            last_seen_s: self.now_s,
            ..crate::campaign::tests::agent(1)
        };
        self.facts = self.homes.iter().map(facts).collect();
    }

    fn newest(&self) -> &Arc<Rollout> {
        self.published.last().unwrap()
    }

    fn apply(&mut self, outcome: Outcome) {
        self.campaign = Some(outcome.campaign);
        for Effect::Publish(rollout) in outcome.effects {
            rollout.validate().unwrap();
            assert!(rollout.serial > self.newest().serial);
            self.published.push(Arc::new(rollout));
            // A crash after the transaction: the same bytes are published again.
            assert_eq!(**self.newest(), *self.campaign.as_ref().unwrap().rollout());
        }
    }

    fn act(&mut self, action: Action) {
        let Some(campaign) = self.campaign.clone() else { return };
        let facts = Facts { agents: &self.facts, alerts: &self.alerts, reported: 0 };
        if let Ok(outcome) = campaign.act(action, "ann", &facts, self.now_s) {
            self.apply(outcome);
            if action == Action::Abort(AbortMode::Withdraw) {
                self.withdrawn.push((self.campaign.as_ref().unwrap().version(), self.newest().serial));
            }
        }
    }

    fn start(&mut self) {
        self.act(Action::Supersede);
        self.made += 1 + self.random.below(2);
        let salt = self.random.bits().to_be_bytes();
        let rollout = (**self.newest()).clone();
        if self.random.chance(0.3) {
            self.floors.borrow_mut().insert(self.made, rollout.base);
        }
        let terms = Terms { version: self.made, plan: Default::default(), salt, made_by: "ann".into(), rollout };
        if let Ok(draft) = Campaign::draft(terms, self.now_s) {
            self.campaign = Some(draft);
            self.refresh(salt);
            self.act(Action::Submit);
        }
    }

    fn step(&mut self) {
        self.now_s += 1 + self.random.below(300);
        let agent = self.random.below(AGENTS as u64) as usize;
        match self.random.below(100) {
            0..34 => self.deliver(agent),
            34..36 => self.assign(agent),
            36..40 => self.deliver_assignment(agent),
            40..74 => self.advance(agent),
            74..80 => {
                let mut does = self.conduct();
                self.homes[agent].power_cut(self.now_s, &mut does);
            }
            80..86 => self.step_campaign(),
            86..88 => self.act(Action::Pause),
            88..91 => self.act(Action::Resume),
            91..93 => self.act(Action::Abort(AbortMode::Withdraw)),
            93 => self.act(Action::Abort(AbortMode::Stop)),
            94..97 => self.widen(),
            _ => self.start(),
        }
    }

    fn step_campaign(&mut self) {
        let Some(campaign) = self.campaign.clone() else { return };
        self.refresh(campaign.rollout().next.map_or([0; 8], |next| next.salt));
        let facts = Facts { agents: &self.facts, alerts: &self.alerts, reported: 0 };
        let outcome = campaign.step(&facts, self.now_s);
        self.apply(outcome);
    }

    /// A wave, or the end of the last one, as the gates would decide: the rollout that follows is published as it is.
    fn widen(&mut self) {
        let Some(campaign) = self.campaign.as_ref().filter(|campaign| campaign.state() == CampaignState::Running)
        else {
            return;
        };
        let mut rollout = campaign.rollout().clone();
        let Some(next) = &mut rollout.next else { return };
        next.reach = next.reach.map(|reach| (reach * 2 + 1_000).min(65_536));
        if self.random.chance(0.5) {
            (rollout.base, rollout.next) = (next.version, None);
        }
        rollout.serial += 1;
        let terms_rollout = rollout.clone();
        self.published.push(Arc::new(rollout));
        // The campaign continues from this rollout.
        self.act(Action::Supersede);
        self.campaign = None;
        assert_eq!(**self.newest(), terms_rollout);
    }

    /// The newest rollout, or any older one: late, twice, or after newer ones. Many never arrive.
    fn deliver(&mut self, agent: usize) {
        let last = self.published.len() - 1;
        let place = if self.random.chance(0.6) { last } else { self.random.below(last as u64 + 1) as usize };
        let before = self.homes[agent].newest.as_ref().map_or(0, |rollout| rollout.serial);
        let accepted = self.homes[agent].receive(&self.published[place]);
        assert_eq!(accepted, self.published[place].serial > before);
    }

    /// A new assignment, or the end of one.
    fn assign(&mut self, agent: usize) {
        let has = |random: &mut Random| random.chance(0.3);
        let assignment = Assignment {
            agent: self.homes[agent].name.clone(),
            serial: self.assigned[agent].last().map_or(1, |last| last.serial + 1 + self.random.below(3)),
            channel: has(&mut self.random).then(|| Channel::ALL[self.random.below(3) as usize]),
            // Also one that is not made yet.
            pin: has(&mut self.random).then(|| 1 + self.random.below(self.made)),
            hold: has(&mut self.random),
            ..Assignment::default()
        };
        assignment.validate().unwrap();
        self.assigned[agent].push(Arc::new(assignment));
    }

    /// The newest assignment, or any older one: late, twice, or after newer ones.
    fn deliver_assignment(&mut self, agent: usize) {
        let Some(last) = self.assigned[agent].len().checked_sub(1) else { return };
        let place = if self.random.chance(0.6) { last } else { self.random.below(last as u64 + 1) as usize };
        let home = &mut self.homes[agent];
        let before = home.assignment.as_ref().map_or(0, |assignment| assignment.serial);
        let accepted = home.assign(&self.assigned[agent][place]);
        assert_eq!(accepted, self.assigned[agent][place].serial > before);
        assert!(home.assignment.as_ref().is_some_and(|assignment| assignment.serial >= before));
        assert!(home.in_force().hold || !home.settings.hold, "a local hold stays");
    }

    fn conduct(&mut self) -> impl FnMut(u64) -> Conduct + use<> {
        let (mut random, floors) = (Random::new(self.random.bits()), Rc::clone(&self.floors));
        move |version| Conduct {
            floor: floors.borrow().get(&version).copied().unwrap_or(0),
            download_s: random.below(600),
            // Version 1 runs everywhere; some of the others are defective.
            has_defect: version > 1 && random.chance(0.05),
            trial_s: random.below(900),
            outcome: match random.below(20) {
                0 if version > 1 => TrialOutcome::Crash,
                1 if version > 1 => TrialOutcome::RollBack,
                _ => TrialOutcome::Confirm,
            },
        }
    }

    /// Whether the newest rollout of a home withdraws a version: its own list has the last ones.
    fn is_withdrawn(&self, home: &Home, version: u64) -> bool {
        let serial = home.newest.as_ref().unwrap().serial;
        let known = self.withdrawn.iter().rev().filter(|(_, since)| *since <= serial);
        known.take(WITHDRAWN).any(|(withdrawn, _)| *withdrawn == version)
    }

    fn advance(&mut self, agent: usize) {
        let mut does = self.conduct();
        let is_online = self.random.chance(0.8);
        self.homes[agent].advance(self.now_s, is_online, &mut does, &mut Vec::new());
        self.check_after_advance(agent);
    }

    /// An agent that has just looked at its newest rollout.
    fn check_after_advance(&self, agent: usize) {
        let home = &self.homes[agent];
        let rollout = home.newest.as_ref().unwrap();
        let running = home.running();
        if let Some(trial) = home.update.trial {
            let version = trial.release.version;
            assert!(!self.is_withdrawn(home, version), "{} tries the withdrawn version {version}", home.name);
            let allowed = allowed(home);
            assert!(version <= allowed, "{} tries {version}, its rollout allows {allowed}", home.name);
        }
        let could_restore = home.spare.is_some_and(|spare| spare.version == rollout.base);
        let is_withdrawn = self.is_withdrawn(home, running);
        assert!(!(is_withdrawn && could_restore), "{} runs {running}, could restore {}", home.name, rollout.base);
    }

    /// Every agent, after every step.
    fn check(&self, confirmed: &mut [u64]) {
        for (home, before) in self.homes.iter().zip(confirmed) {
            let running = home.running();
            assert!(running > 0 && home.in_use() > 0, "{} has no release", home.name);
            assert!(running <= self.made && home.update.highest_confirmed >= running);
            if running != *before {
                let is_withdrawn = self.is_withdrawn(home, running);
                assert!(!is_withdrawn, "{} went from {before} to the withdrawn {running}", home.name);
                assert!(running >= home.floor, "{} runs {running}, below its floor {}", home.name, home.floor);
                let allowed = allowed(home);
                assert!(running <= allowed, "{} confirmed {running}, its rollout allows {allowed}", home.name);
                *before = running;
            }
            assert_ne!(home.spare.map(|spare| spare.slot), home.update.confirmed.map(|release| release.slot));
            assert!(home.update.trial.is_none_or(|trial| trial.boots <= STARTS), "{:?}", home.update);
            let trial = home.update.trial.map(|trial| trial.release);
            let releases = home.update.confirmed.into_iter().chain(home.spare).chain(trial);
            releases.for_each(|release| assert!(home.holds(release), "{}: {release:?} is not whole", home.name));
        }
    }

    /// Adds agents with a floor, and serials of assignments.
    fn count(&self, floors: u64, assignments: u64) -> (u64, u64) {
        let with_floor = self.homes.iter().filter(|home| home.floor > 0).count() as u64;
        let serials = self.homes.iter().filter_map(|home| Some(home.assignment.as_ref()?.serial));
        (floors + with_floor, assignments + serials.sum::<u64>())
    }

    /// Everything arrives: agents converge.
    fn settle(&mut self) {
        let newest = Arc::clone(self.newest());
        for agent in 0..AGENTS {
            self.homes[agent].receive(&newest);
            for _ in 0..40 {
                self.now_s += 4_000;
                let mut good = |_| Conduct {
                    download_s: 1,
                    has_defect: false,
                    trial_s: 1,
                    outcome: TrialOutcome::Confirm,
                    floor: 0,
                };
                self.homes[agent].advance(self.now_s.min(newest.expires_s - 1), true, &mut good, &mut Vec::new());
            }
            let home = &self.homes[agent];
            assert!(home.update.trial.is_none(), "{:?}", home.update);
            let is_stuck = home.update.refused.is_some_and(|refused| refused.version == newest.base);
            let running = home.running();
            let is_withdrawn = newest.is_withdrawn(running) || self.is_withdrawn(home, running);
            assert!(is_stuck || !is_withdrawn, "{} runs the withdrawn {running}", home.name);
            let settings = home.in_force();
            let may_stay = settings.hold || settings.pin.is_some();
            assert!(is_stuck || may_stay || running >= newest.base, "{} runs {running}", home.name);
        }
    }
}

/// The highest version that the newest rollout of a home allows.
fn allowed(home: &Home) -> u64 {
    let (rollout, settings) = (home.newest.as_ref().unwrap(), home.in_force());
    if let Some(pin) = settings.pin.filter(|pin| !rollout.is_withdrawn(*pin)) {
        return pin.max(rollout.base);
    }
    let is_reached = |place: Place, reach: [u32; 3]| u32::from(place.place) < reach[settings.channel as usize];
    let next = rollout.next.filter(|next| is_reached(Place::of(&next.salt, &home.name), next.reach));
    next.map_or(rollout.base, |next| next.version)
}

#[test]
fn no_interleaving_leaves_an_agent_on_a_withdrawn_or_without_a_working_release() {
    let (mut changes, mut floors, mut assignments) = (0, 0, 0);
    for seed in 0..RUNS {
        let mut world = World::new(seed);
        let mut confirmed = vec![1; AGENTS];
        for _ in 0..STEPS {
            let before = confirmed.clone();
            world.step();
            world.check(&mut confirmed);
            changes += usize::from(before != confirmed);
        }
        world.settle();
        (floors, assignments) = world.count(floors, assignments);
        assert!(world.published.len() > 200, "{} rollouts", world.published.len());
    }
    assert!(floors > RUNS && assignments > 10 * RUNS, "{floors} floors, {assignments} assignments");
    assert!(changes > 5_000, "only {changes} releases were confirmed or restored: the test does not exercise much");
}
