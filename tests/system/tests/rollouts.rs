//! Campaigns with the real programs: `serve`, mosquitto and twenty agents. A release that every agent refuses stops in the
//! first wave, a good one reaches the whole group in three, and `serve` is killed in every state.
//!
//! Time is real, so the plan has waves that are decided by the installation only; the last one, which needs days of traffic, is
//! ended by its operator. Campaigns in virtual time are tested in the trainer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_common::clock;
use lapwing_fleet::Release as StoredRelease;
use lapwing_fleet::campaign::CampaignState;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::topics::{release_topic, rollout_topic};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{KeyUse, SignedManifest};
use lapwing_shared::rollout::message::Rollout;
use lapwing_store::{Limits, Store, StoreHandle};
use lapwing_system_tests::stage::Folder;
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::listener::{Listener, name};
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::releases::{GROUP, Release, Releases};
use lapwing_system_tests::stage::trainer::Trainer;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Smallest group whose plan has all its waves.
const AGENTS: usize = 20;
/// Agents of the second wave.
const SECOND: usize = 10;
/// Longest wait for one state: `serve` decides every ten seconds, and an agent's trial needs traffic.
const PATIENCE: Duration = Duration::from_secs(120);
/// All rows of the test's releases have the same score, and CPU time depends on the other tests, so the limits are wide.
const PLAN: &str = "spread-s = 0
control-percent = 0.0
[[waves]]
percent = 0.0
agents = 2
confirmed-percent = 100
soak-hours = 0
gates = \"install\"
[[waves]]
percent = 50.0
confirmed-percent = 100
soak-hours = 0
gates = \"install\"
[[waves]]
percent = 100.0
[limits]
alerts-ratio = 100.0
blind-fail-percent = 0.0
drift-index = 1000.0
cost-fail-ratio = 1000.0
";

struct Site {
    folder: Folder,
    _broker: Mosquitto,
    releases: Releases,
    store: StoreHandle,
    trainer: Trainer,
    gateways: Vec<Gateway>,
    reader: Listener,
    /// Bodies of the rollouts that were published, by serial.
    rollouts: BTreeMap<u64, Vec<u8>>,
    /// Version on the topic of the whole group.
    base: u64,
}

fn text(path: PathBuf) -> String {
    path.to_str().unwrap().to_owned()
}

fn write_settings(folder: &Folder, broker: &Mosquitto) {
    let path = |name: &str| text(folder.join(name));
    let key = ReleaseKey::from_secret("rollout-1", &[5; 32]).unwrap();
    key.save(&folder.join("rollout.key"), &folder.join("rollout.pub"), KeyUse::Any, None).unwrap();
    fs::write(folder.join("plan.toml"), PLAN).unwrap();
    let trainer = format!(
        "[store]\npath = '{}'\n[broker]\nurl = '{}'\n[collect]\nacknowledge-every = '50ms'\n[retrain]\ngroup = '{GROUP}'\n\
         releases = '{}'\n[rollout]\nkey = '{}'\nplan = '{}'\n",
        path("store.sqlite"),
        broker.url(),
        path("releases"),
        path("rollout.key"),
        path("plan.toml")
    );
    fs::write(folder.join("trainer.toml"), trainer).unwrap();
    for number in 0..AGENTS {
        let agent = format!(
            "[update]\nstate-dir = '{}'\nkeys = ['{}']\nrollout-keys = ['{}']\n",
            path(&format!("state-{number}")),
            path("test.pub"),
            path("rollout.pub")
        );
        fs::write(folder.join(format!("agent-{number}.toml")), agent).unwrap();
    }
}

fn program(command: &str) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    program.args(["trainer", command]);
    program
}

fn serve(folder: &Folder) -> Trainer {
    Trainer::start(program("serve").args(["--log", "info", "--config"]).arg(folder.join("trainer.toml")))
}

impl Site {
    /// With release 1 for the whole group. `None` if mosquitto is not installed.
    fn start() -> Option<Self> {
        mosquitto()?;
        let folder = Folder::new("rollouts");
        let broker = Mosquitto::start(folder.path(), "allow_anonymous true\npersistence false\n", None);
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        write_settings(&folder, &broker);
        Store::open(folder.join("store.sqlite"), Limits::default()).unwrap().close().unwrap();
        let store = StoreHandle::open(folder.join("store.sqlite")).unwrap();
        let topics = [release_topic(&name(GROUP)), rollout_topic(&name(GROUP))];
        let reader = Listener::new(&broker, "reader", &topics.each_ref().map(|topic| topic.as_str()));
        fs::create_dir(folder.join("releases")).unwrap();
        add(&folder, &store, &releases.release(1));
        let (trainer, rollouts) = (serve(&folder), BTreeMap::new());
        let gateways = (0..AGENTS).map(|number| gateway(&folder, &broker, number)).collect();
        Some(Self { folder, _broker: broker, releases, store, trainer, gateways, reader, rollouts, base: 0 })
    }

    /// Ends the process as a power failure would, and starts it again.
    fn kill(&mut self) {
        self.trainer.kill();
        self.trainer = serve(&self.folder);
    }

    /// Number of agents that use a version and have accepted a rollout.
    fn on(&self, version: u64) -> usize {
        let health = self.store.release_health(GROUP).unwrap();
        health.iter().filter(|row| row.release.version == version && row.release.serial > 0).count()
    }

    fn campaign(&self) -> Option<(u64, CampaignState, Option<usize>)> {
        let newest = self.store.campaigns(Some(GROUP), 1).unwrap().into_iter().next()?;
        let wave = newest.campaign.wave().map(|wave| wave.number);
        Some((newest.campaign.version(), newest.campaign.state(), wave))
    }

    /// Plays traffic to every agent, and reads what is published, until `is_reached`.
    fn until(&mut self, what: &str, is_reached: impl Fn(&Self) -> bool) {
        let deadline = clock::after(PATIENCE);
        while !is_reached(self) {
            let state = (self.campaign(), self.on(1), self.on(2), self.on(3));
            assert!(clock::monotonic() < deadline, "{what}: {state:?}");
            self.gateways.iter_mut().for_each(Gateway::play);
            self.read();
        }
    }

    fn read(&mut self) {
        while let Ok(message) = self.reader.received.recv_timeout(Duration::from_millis(500)) {
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

    fn newest(&self) -> Rollout {
        let payload = self.rollouts.last_key_value().unwrap().1;
        Rollout::decode(SignedManifest::decode(payload).unwrap().manifest).unwrap()
    }
}

fn gateway(folder: &Folder, broker: &Mosquitto, number: usize) -> Gateway {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
    program.arg("agent");
    let (agent, config) = (format!("gw-{number}"), text(folder.join(format!("agent-{number}.toml"))));
    Gateway::start(program, &["--agent", &agent, "--mqtt", &broker.url(), "--config", &config])
}

fn add(folder: &Folder, store: &StoreHandle, release: &Release) {
    let version = release.manifest.version;
    let file = folder.join(format!("releases/{GROUP}-{version}.lwr"));
    fs::write(&file, &release.file).unwrap();
    let (group, made_s) = (GROUP.into(), clock::now_s());
    let line = StoredRelease { group, version, manifest_sha256: [0; 32], made_s, file, reason: None };
    store.add_release(&line, "test", made_s).unwrap();
}

#[test]
fn a_bad_release_stops_in_its_first_wave_and_a_good_one_reaches_the_group_though_serve_is_killed_in_every_state() {
    let Some(mut site) = Site::start() else { return lapwing_skips::skip("mosquitto is not installed") };
    site.until("release 1 on every agent", |site| site.on(1) == AGENTS);
    assert_eq!((site.newest().serial, site.newest().base, site.base), (1, 1, 1));
    let bad = site.releases.defective(2);
    add(&site.folder, &site.store, &bad);
    site.kill();
    site.until("campaign of release 2", |site| site.campaign().is_some_and(|(version, ..)| version == 2));
    site.kill();
    site.until("release 2 withdrawn", |site| {
        site.campaign().is_some_and(|(_, state, _)| state == CampaignState::Aborted)
    });
    site.kill();
    site.until("rollout without release 2", |site| site.newest().is_withdrawn(2));
    let reports = site.store.campaign_agents(GROUP, 2, 0).unwrap();
    assert!(reports.len() <= 2 && site.on(1) == AGENTS, "{reports:?}");
    assert_eq!((site.newest().serial, site.base), (3, 1), "one to begin, one to withdraw");

    let good = site.releases.release(3);
    add(&site.folder, &site.store, &good);
    for wave in 0..3 {
        let is_there = |site: &Site| site.campaign().is_some_and(|(version, _, at)| version == 3 && at == Some(wave));
        site.until(&format!("wave {wave} of release 3"), is_there);
        if wave == 0 {
            assert!(site.on(3) <= 2, "{}", site.on(3));
        } else if wave == 1 {
            assert!(site.on(3) <= SECOND, "{}", site.on(3));
        }
        site.kill();
    }
    site.until("release 3 on every agent", |site| site.on(3) == AGENTS);
    assert_eq!((site.newest().serial, site.newest().base, site.base), (6, 1, 1), "one rollout for each wave");
    let abort =
        program("rollout").args(["abort", "--withdraw", "--config"]).arg(site.folder.join("trainer.toml")).output();
    let abort = abort.unwrap();
    assert!(abort.status.success(), "{abort:?}");
    site.kill();
    site.until("every agent back on release 1", |site| site.on(1) == AGENTS);
    site.until("the end of the campaign", |site| site.campaign().is_some_and(|(_, state, _)| state.is_final()));
    assert_eq!((site.newest().serial, site.base), (7, 1));
    site.trainer.assert_running();
}
