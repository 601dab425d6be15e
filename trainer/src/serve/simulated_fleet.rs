//! A fleet in virtual time: the parts of `serve` that decide and publish, a broker in memory, and agents that follow what it
//! publishes.

use super::campaigns::Campaigns;
use super::publish::Publisher;
use super::publishing::Publishing;
use super::testing::{FakeBroker, broker, link, release};
use super::tests::config;
use super::*;
use lapwing_common::clock;
use lapwing_fleet::Release;
use lapwing_fleet::campaign::CampaignState;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::{Body, DeviceHealth, Health, Message, ReleaseHealth, Update, UpdateStep};
use lapwing_shared::release::manifest::{Manifest, Name};
use lapwing_shared::release::refusal_text;
use lapwing_shared::release::signature::{KeyUse, SignedManifest};
use lapwing_shared::rollout::decide::{Settings, wanted};
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::rollout::signed;
use lapwing_store::testing::{Folder, name, received, status};
use lapwing_store::{Limits, Received, Store};
use std::sync::Mutex;

pub(super) const HOUR_S: u64 = 3_600;
pub(super) const DAY_S: u64 = 86_400;
/// Time of one step of a test.
pub(super) const STEP_S: u64 = HOUR_S / 2;
/// Rows that an agent scores in a step.
const ROWS: u64 = 1_000;
pub(super) const ROLLOUT: &str = "lapwing/v1/group/home/rollout";
pub(super) const RELEASE: &str = "lapwing/v1/group/home/release";

/// How release 2 behaves.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Behaviour {
    Good,
    /// It finds nothing anomalous.
    Blind,
    /// Every agent refuses it.
    Defect,
}

pub(super) struct Gateway {
    name: Name,
    pub(super) running: u64,
    rows: u64,
    pub(super) serial: u64,
    number: u64,
    pub(super) refused: u64,
    pub(super) device: DeviceHealth,
}

impl Gateway {
    fn new(number: usize) -> Self {
        let name = name(&format!("gw-{number}"));
        Self { name, running: 1, rows: 0, serial: 0, number: 0, refused: 0, device: DeviceHealth::default() }
    }

    fn sent(&self, number: u64, body: Body) -> Received {
        received(&self.name, &Message { run: 1, number, sent_s: 0, body })
    }

    fn update(&mut self, release: u64, step: UpdateStep) -> Received {
        self.number += 1;
        self.sent(self.number, Body::Update(Update { release, step }))
    }

    fn report(&mut self, behaviour: Behaviour) -> [Received; 2] {
        self.rows += ROWS;
        let is_blind = behaviour == Behaviour::Blind && self.running == 2;
        let release = ReleaseHealth {
            version: self.running,
            rows: self.rows,
            anomalous: if is_blind { 0 } else { self.rows / 100 },
            surprise: std::array::from_fn(|bin| (self.rows >> (bin + 1).min(7)) as u32),
            cpu_ms: self.rows,
            packets: self.rows * 100,
            serial: self.serial,
            ..ReleaseHealth::default()
        };
        let Body::Status(mut online) = status(1).body else { unreachable!() };
        online.release = self.running;
        let health = Health { release, device: self.device.clone(), clock_set: true, ..Health::default() };
        [self.sent(0, Body::Status(online)), self.sent(0, Body::Health(health))]
    }

    /// What an agent does when it receives a rollout.
    fn follow(&mut self, rollout: &Rollout, behaviour: Behaviour) -> Vec<Received> {
        self.serial = rollout.serial;
        let wanted = wanted(rollout, &self.name, Settings::default());
        let goes_back = rollout.is_withdrawn(self.running);
        if !goes_back && (wanted <= self.running || wanted == self.refused) {
            return Vec::new();
        }
        let version = if goes_back { rollout.base } else { wanted };
        if behaviour == Behaviour::Defect && version == 2 {
            self.refused = 2;
            let reason = refusal_text::GOLDEN.try_into().unwrap();
            return vec![self.update(version, UpdateStep::Refused(reason))];
        }
        (self.running, self.rows) = (version, 0);
        [UpdateStep::Downloading, UpdateStep::Trial, UpdateStep::Confirmed]
            .map(|step| self.update(version, step))
            .into()
    }
}

/// The parts of `serve` that decide and publish: what ends with its process.
struct Process {
    campaigns: Campaigns,
    publishing: Publishing,
}

pub(super) struct Fleet {
    pub(super) folder: Folder,
    pub(super) config: Config,
    store: Store,
    pub(super) handle: StoreHandle,
    pub(super) broker: Arc<Mutex<FakeBroker>>,
    state: Arc<LinkState>,
    pub(super) counts: Counts,
    process: Process,
    pub(super) now: Moment,
    pub(super) agents: Vec<Gateway>,
    behaviour: Behaviour,
}

pub(super) fn key() -> ReleaseKey {
    ReleaseKey::from_secret("rollout-1", &[5; 32]).unwrap()
}

fn process(config: &Config, broker: &Arc<Mutex<FakeBroker>>, state: &Arc<LinkState>) -> Process {
    let mut publishing = Publishing::new(Publisher::new(vec![link(broker, state)]), config);
    publishing.restart();
    Process { campaigns: Campaigns::new(config).unwrap(), publishing }
}

impl Fleet {
    /// Agents that have run release 1 for more than a week.
    pub(super) fn new(agents: usize, behaviour: Behaviour) -> Self {
        let mut fleet = Self::without_releases(agents, behaviour);
        fleet.report();
        fleet.wait(8 * DAY_S);
        fleet.add_release(1);
        fleet
    }

    /// The files of three releases, of which the store knows none.
    pub(super) fn with_lost_store(agents: usize) -> Self {
        let fleet = Self::without_releases(agents, Behaviour::Good);
        let releases = ReleaseDir::new(&fleet.config.retrain.releases, "home");
        (1..=3).for_each(|version| drop(releases.write(version, &release(version)).unwrap()));
        fleet
    }

    fn without_releases(agents: usize, behaviour: Behaviour) -> Self {
        let folder = Folder::new();
        let mut config = config(&folder);
        config.rollout.key = Some(folder.path().join("rollout.key"));
        let secret = folder.path().join("rollout.key");
        key().save(&secret, &folder.path().join("rollout.pub"), KeyUse::Any, None).unwrap();
        let store = Store::open(folder.store(), Limits::default()).unwrap();
        let (handle, broker) = (StoreHandle::open(folder.store()).unwrap(), broker());
        let state = Arc::new(LinkState::new("mqtt://b"));
        state.connected();
        let now = Moment { wall_s: 1_750_000_000 - 8 * DAY_S, monotonic: clock::monotonic() };
        let agents = (0..agents).map(Gateway::new).collect();
        let process = process(&config, &broker, &state);
        let counts = Counts::default();
        Self { folder, config, store, handle, broker, state, counts, process, now, agents, behaviour }
    }

    pub(super) fn wait(&mut self, seconds: u64) {
        self.now.wall_s += seconds;
        self.now.monotonic += Duration::from_secs(seconds);
    }

    pub(super) fn add_release(&self, version: u64) {
        let releases = ReleaseDir::new(&self.config.retrain.releases, "home");
        let file = releases.write(version, &release(version)).unwrap();
        let made_s = self.now.wall_s;
        let release = Release { group: "home".into(), version, manifest_sha256: [0; 32], made_s, file, reason: None };
        self.handle.add_release(&release, "serve", made_s).unwrap();
    }

    fn commit(&mut self, messages: &[Received]) {
        self.store.commit(messages, self.now.wall_s).unwrap();
    }

    pub(super) fn report(&mut self) {
        let behaviour = self.behaviour;
        let messages: Vec<_> = self.agents.iter_mut().flat_map(|agent| agent.report(behaviour)).collect();
        self.commit(&messages);
    }

    /// A report of one agent about an update.
    pub(super) fn send_update(&mut self, agent: usize, release: u64, step: UpdateStep) {
        let update = self.agents[agent].update(release, step);
        self.commit(&[update]);
    }

    pub(super) fn decide(&mut self) {
        self.process.campaigns.pass(&self.handle, &self.counts, self.now).unwrap();
    }

    /// Several passes: the publisher also checks what the broker has.
    pub(super) fn publish(&mut self) {
        for second in [0, 1, 12, 13, 14] {
            let now = Moment { monotonic: self.now.monotonic + Duration::from_secs(second), ..self.now };
            self.process.publishing.pass(&self.handle, &self.counts, now).unwrap();
        }
    }

    pub(super) fn restart(&mut self) {
        self.process = process(&self.config, &self.broker, &self.state);
    }

    /// The rollout at the broker, if agents accept it.
    pub(super) fn rollout(&self) -> Option<Rollout> {
        let bytes = self.broker.lock().unwrap().retained.get(ROLLOUT).cloned()?;
        let public = key().public().unwrap();
        let keys = (public.id().clone(), ed25519_dalek::VerifyingKey::from_bytes(&public.public()).unwrap());
        Some(signed::open(&bytes, &keys, &name("home")).unwrap())
    }

    /// Topics of everything that was published, in order.
    pub(super) fn published(&self) -> Vec<String> {
        self.broker.lock().unwrap().published.clone()
    }

    pub(super) fn follow(&mut self) {
        let Some(rollout) = self.rollout() else { return };
        let behaviour = self.behaviour;
        let messages: Vec<_> = self.agents.iter_mut().flat_map(|agent| agent.follow(&rollout, behaviour)).collect();
        self.commit(&messages);
    }

    /// Half an hour.
    pub(super) fn step(&mut self) {
        self.wait(STEP_S);
        self.report();
        self.decide();
        self.publish();
        self.follow();
    }

    /// Steps until `is_done`, for at most `days`.
    pub(super) fn until(&mut self, days: u64, is_done: impl Fn(&Self) -> bool) {
        for _ in 0..days * DAY_S / STEP_S {
            self.step();
            if is_done(self) {
                return;
            }
        }
        panic!("not within {days} days: {:?} {:#?}", self.problems(), self.reasons());
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.process.campaigns.problems().chain(self.process.publishing.problems()).map(|found| found.problem).collect()
    }

    /// Version whose manifest a topic has.
    pub(super) fn version_on(&self, topic: &str) -> Option<u64> {
        let signed = self.broker.lock().unwrap().retained.get(topic).cloned()?;
        Some(Manifest::decode(SignedManifest::decode(&signed).unwrap().manifest).unwrap().version)
    }

    pub(super) fn on(&self, version: u64) -> usize {
        self.agents.iter().filter(|agent| agent.running == version).count()
    }

    pub(super) fn campaign_state(&self) -> Option<CampaignState> {
        self.handle.campaigns(Some("home"), 1).unwrap().first().map(|stored| stored.campaign.state())
    }

    /// Reasons of every transition of the newest campaign, oldest first.
    pub(super) fn reasons(&self) -> Vec<String> {
        let Some(newest) = self.handle.campaigns(Some("home"), 1).unwrap().into_iter().next() else { return vec![] };
        let transitions = self.handle.transitions(newest.id, 99).unwrap();
        transitions.into_iter().rev().map(|transition| transition.why).collect()
    }
}
