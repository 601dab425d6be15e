//! A group of real agents at one mosquitto, whose releases arrive in campaigns, and the trainers of a test.
//!
//! Campaigns take days, so the trainers' wall clock is ahead by what the test says ([`Fleet::pass`]); a trainer has the
//! offset from its start on. Agents have the real time: they compare the wall clock with nothing but the expiry of a rollout, which
//! is a month later. Their traffic has the trainers' time, because alerts have the time of their packets.

use super::gateway::Gateway;
use super::listener::{Listener, name};
use super::mosquitto::Mosquitto;
use super::releases::{GROUP, Release, Releases};
use super::trainer::Trainer;
use super::{Folder, path_text};
use lapwing_common::clock;
use lapwing_fleet::Release as StoredRelease;
use lapwing_fleet::campaign::{CampaignState, WaveState};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::topics::{release_topic, rollout_topic};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{KeyUse, SignedManifest};
use lapwing_shared::rollout::message::Rollout;
use lapwing_store::traits::StoredCampaign;
use lapwing_store::{StoreHandle, StoreUrl};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;
use std::time::Duration;

/// Longest wait for one state: `serve` decides and agents report every ten seconds, and a trial needs traffic.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the reader waits for another publication.
const QUIET: Duration = Duration::from_millis(200);

/// Paths of the programs: `lapwing-load`, whose subcommand `trainer` is the trainer, and `lapwing-demo`, whose subcommand
/// `agent` is the agent.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names of the fields document them")]
pub struct Programs {
    pub load: &'static str,
    pub demo: &'static str,
}

/// What of the newest campaign a test compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct CampaignStage {
    pub version: u64,
    pub state: CampaignState,
    /// Number, from 0, and state of its wave.
    pub wave: Option<(usize, WaveState)>,
}

/// See the module.
pub struct Fleet {
    /// Files of agents and trainers.
    pub folder: Folder,
    /// The broker.
    pub broker: Mosquitto,
    /// Makes releases.
    pub releases: Releases,
    /// The trainers' store.
    pub store: StoreHandle,
    /// The agents `gw-0`, `gw-1`, …
    pub gateways: Vec<Gateway>,
    programs: Programs,
    url: String,
    reader: Listener,
    /// Bodies of the rollouts that were published, by serial.
    rollouts: BTreeMap<u64, Vec<u8>>,
    /// Version on the topic of the whole group.
    base: u64,
    /// How far the trainers' wall clock is ahead, seconds.
    ahead_s: u64,
}

impl Fleet {
    /// A group of agents without a release, at a broker without a trainer; `url` is that of an empty store.
    pub fn start(name: &str, programs: Programs, agents: usize, plan: &str, url: &str) -> Self {
        let folder = Folder::new(name);
        let broker = Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None);
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        let url = if url.is_empty() { path_text(&folder, "store.sqlite") } else { url.to_owned() };
        write_settings(&folder, &broker, (&url, plan), agents);
        lapwing_store::Store::open(StoreUrl::from(std::path::Path::new(&url)), lapwing_store::Limits::default())
            .unwrap()
            .close()
            .unwrap();
        let store = StoreHandle::open(StoreUrl::from(std::path::Path::new(&url))).unwrap();
        let topics = [release_topic(&self::name(GROUP)), rollout_topic(&self::name(GROUP))];
        let reader = Listener::new(&broker, "reader", &topics.each_ref().map(|topic| topic.as_str()));
        fs::create_dir(folder.join("releases")).unwrap();
        let gateway = |number| {
            let mut program = Command::new(programs.demo);
            program.arg("agent");
            let (agent, config) = (format!("gw-{number}"), path_text(&folder, &format!("agent-{number}.toml")));
            Gateway::start(program, &["--agent", &agent, "--mqtt", &broker.url(), "--config", &config])
        };
        let gateways = (0..agents).map(gateway).collect();
        let rollouts = BTreeMap::new();
        Self { folder, broker, releases, store, gateways, programs, url, reader, rollouts, base: 0, ahead_s: 0 }
    }

    /// The trainers' wall clock.
    pub fn now_s(&self) -> u64 {
        clock::now_s() + self.ahead_s
    }

    /// Sets the clock of trainers that start from now on ahead.
    pub fn pass(&mut self, seconds: u64) {
        self.ahead_s += seconds;
    }

    /// The trainer with a subcommand and the configuration.
    pub fn trainer(&self, command: &[&str]) -> Command {
        let mut program = Command::new(self.programs.load);
        program.env("LAPWING_CLOCK_AHEAD_S", self.ahead_s.to_string()).arg("trainer").args(command);
        program.arg("--config").arg(self.folder.join("trainer.toml"));
        program
    }

    /// `lapwing-trainer serve` with these options.
    pub fn serve(&self, options: &[&str]) -> Trainer {
        Trainer::start(&mut self.trainer(&[&["serve", "--log", "warn"], options].concat()))
    }

    /// `lapwing-trainer rollout`.
    ///
    /// # Panics
    /// When it fails.
    pub fn rollout(&self, words: &[&str]) {
        let output = self.trainer(&[&["rollout"], words].concat()).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}");
    }

    /// Writes the file of a release and adds it to the store.
    pub fn add(&self, release: &Release) {
        self.write(release);
        self.list(release);
    }

    /// Writes the file of a release.
    pub fn write(&self, release: &Release) {
        fs::write(self.file(release.manifest.version), &release.file).unwrap();
    }

    /// Adds a release to the store, whether or not it has a file.
    pub fn list(&self, release: &Release) {
        let (version, made_s) = (release.manifest.version, self.now_s());
        let (group, file) = (GROUP.into(), self.file(version));
        let line = StoredRelease { group, version, manifest_sha256: [0; 32], made_s, file, reason: None };
        self.store.add_release(&line, "test", made_s).unwrap();
    }

    fn file(&self, version: u64) -> std::path::PathBuf {
        self.folder.join(format!("releases/{GROUP}-{version}.lwr"))
    }

    /// URL of the store.
    pub fn store_url(&self) -> &str {
        &self.url
    }

    /// The newest campaign.
    pub fn newest_campaign(&self) -> Option<StoredCampaign> {
        self.store.campaigns(Some(GROUP), 1).unwrap().pop()
    }

    /// Where the newest campaign is.
    pub fn campaign(&self) -> Option<CampaignStage> {
        let campaign = self.newest_campaign()?.campaign;
        let wave = campaign.wave().map(|wave| (wave.number, wave.state));
        Some(CampaignStage { version: campaign.version(), state: campaign.state(), wave })
    }

    /// Whether the newest campaign is in this state.
    pub fn is_in(&self, version: u64, state: CampaignState) -> bool {
        self.campaign().is_some_and(|campaign| (campaign.version, campaign.state) == (version, state))
    }

    /// Whether the newest campaign runs this wave, which is in this state.
    pub fn is_at(&self, version: u64, wave: usize, state: WaveState) -> bool {
        let running = CampaignStage { version, state: CampaignState::Running, wave: Some((wave, state)) };
        self.campaign() == Some(running)
    }

    /// Agents whose newest report about a version is this step.
    pub fn at_step(&self, version: u64, step: &str) -> Vec<usize> {
        let reports = self.store.campaign_agents(GROUP, version, 0).unwrap();
        let own = reports.iter().filter(|report| report.step == step);
        own.map(|report| report.name.strip_prefix("gw-").unwrap().parse().unwrap()).collect()
    }

    /// Number of agents that report a version as confirmed and in use.
    pub fn on(&self, version: u64) -> usize {
        let agents = self.store.group_agents(GROUP).unwrap();
        agents.iter().filter(|agent| agent.status.release == version && !agent.status.on_trial).count()
    }

    /// Number of agents whose health says that they run a version, have a rollout, and have seen this many packets with it.
    pub fn with_packets(&self, version: u64, packets: u64) -> usize {
        let health = self.store.release_health(GROUP).unwrap();
        let own = health.iter().map(|row| row.release).filter(|own| own.version == version && own.serial > 0);
        own.filter(|own| own.packets >= packets).count()
    }

    /// Plays traffic of the present to these agents.
    pub fn play(&mut self, agents: &[usize]) {
        let now_s = self.now_s();
        agents.iter().for_each(|agent| self.gateways[*agent].play_at(now_s));
    }

    /// Reads what is published until `is_reached`. Agents that try a release get traffic until then.
    ///
    /// # Panics
    /// After two minutes, with `what` was expected.
    pub fn until(&mut self, what: &str, is_reached: impl Fn(&Self) -> bool) {
        let deadline = clock::after(PATIENCE);
        loop {
            self.read();
            if is_reached(self) {
                return;
            }
            let state = (self.campaign(), [1, 2, 3].map(|version| self.on(version)), self.rollouts.keys().last());
            assert!(clock::monotonic() < deadline, "{what}: {state:?}");
            let tried: BTreeSet<usize> =
                [1, 2, 3].into_iter().flat_map(|version| self.at_step(version, "trial")).collect();
            self.play(&tried.into_iter().collect::<Vec<_>>());
        }
    }

    /// Reads what has been published.
    ///
    /// # Panics
    /// When two rollouts have the same serial and differ.
    pub fn read(&mut self) {
        while let Ok(message) = self.reader.received.recv_timeout(QUIET) {
            let payload = message.payload.to_vec();
            let signed = SignedManifest::decode(&payload).unwrap();
            if message.topic.ends_with(b"/rollout") {
                let rollout = Rollout::decode(signed.manifest).unwrap();
                let before = self.rollouts.insert(rollout.serial, payload.clone());
                assert!(before.is_none_or(|before| before == payload), "two rollouts with serial {}", rollout.serial);
            } else {
                self.base = Manifest::decode(signed.manifest).unwrap().version;
            }
        }
    }

    /// Version on the topic of the whole group.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The rollout with the highest serial of those that were published.
    pub fn newest(&self) -> Rollout {
        let payload = self.rollouts.last_key_value().unwrap().1;
        Rollout::decode(SignedManifest::decode(payload).unwrap().manifest).unwrap()
    }

    /// Serials of the rollouts that were published, in order.
    pub fn serials(&self) -> Vec<u64> {
        self.rollouts.keys().copied().collect()
    }

    /// Serial of the newest rollout of the store.
    pub fn stored_serial(&self) -> u64 {
        self.store.newest_rollout(GROUP).unwrap().map_or(0, |newest| newest.serial)
    }
}

fn write_settings(folder: &Folder, broker: &Mosquitto, (url, plan): (&str, &str), agents: usize) {
    let path = |name: &str| path_text(folder, name);
    let key = ReleaseKey::from_secret("rollout-1", &[5; 32]).unwrap();
    key.save(&folder.join("rollout.key"), &folder.join("rollout.pub"), KeyUse::Any, None).unwrap();
    fs::write(folder.join("plan.toml"), plan).unwrap();
    let trainer = format!(
        "[store]\npath = '{url}'\n[broker]\nurl = '{}'\n[collect]\nacknowledge-every = '50ms'\n[retrain]\ngroup = '{GROUP}'\n\
         releases = '{}'\n[rollout]\nkey = '{}'\nplan = '{}'\n",
        broker.url(),
        path("releases"),
        path("rollout.key"),
        path("plan.toml")
    );
    fs::write(folder.join("trainer.toml"), trainer).unwrap();
    for number in 0..agents {
        let agent = format!(
            "[update]\nstate-dir = '{}'\nkeys = ['{}']\nrollout-keys = ['{}']\n[status]\nsocket = ''\n",
            path(&format!("state-{number}")),
            path("test.pub"),
            path("rollout.pub")
        );
        fs::write(folder.join(format!("agent-{number}.toml")), agent).unwrap();
    }
}
