//! Campaigns with the real programs: `serve`, mosquitto and fifty agents. A good release reaches the whole group in three waves,
//! one that raises too many alerts stops by itself in the second, and `serve` is killed in every state.
//!
//! Campaigns take days: the clock of each `serve` is set ahead of the one before ([`Fleet::pass`]), by less than the hour after
//! which a campaign pauses because its trainer was not available. Many simulated campaigns are tested in the trainer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_fleet::campaign::CampaignState::{Aborted, Aborting, Completed, Paused, Running, Waiting};
use lapwing_fleet::campaign::WaveState::{Delivering, Soaking};
use lapwing_system_tests::stage::fleet::{Fleet, Programs};
use lapwing_system_tests::stage::mosquitto::mosquitto;
use lapwing_system_tests::stage::releases::GROUP;
use lapwing_system_tests::stage::trainer::Trainer;
use std::ops::{Deref, DerefMut};

const AGENTS: usize = 50;
/// Agents of the first wave.
const PILOTS: usize = 2;
/// Agents of the first two waves.
const SECOND: usize = 25;
/// Packets on either release without which an agent's CPU times are not compared, and plays that have as many.
const PACKETS: u64 = 20_000;
const PLAYS: usize = 11;
const HOUR_S: u64 = 3_600;
/// Less than the hour after which a campaign pauses.
const STEP_S: u64 = 3_000;
/// All rows of the test's releases have the same score, and CPU time depends on the other tests, so these limits are wide. The
/// alerts gate has its usual ratio, but larger errors: it decides within hours instead of days.
const PLAN: &str = "approval = true
spread-s = 0
control-percent = 0.0
[[waves]]
percent = 0.0
agents = 2
confirmed-percent = 100
soak-hours = 0
gates = \"install\"
[[waves]]
percent = 50.0
confirmed-percent = 80
soak-hours = 1
[[waves]]
percent = 100.0
confirmed-percent = 90
soak-hours = 1
[limits]
alerts-miss = 0.2
alerts-agent-days = 0.5
blind-fail-percent = 0.0
blind-pass-percent = 0.0
drift-index = 1000.0
cost-fail-ratio = 1000.0
cost-pass-ratio = 1000.0
";

/// The fleet and its `serve`.
struct Scene {
    fleet: Fleet,
    trainer: Trainer,
}

impl Deref for Scene {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl DerefMut for Scene {
    fn deref_mut(&mut self) -> &mut Fleet {
        &mut self.fleet
    }
}

impl Scene {
    /// Every agent runs release 1, and has seen enough traffic for all gates.
    fn start() -> Self {
        let programs = Programs { load: env!("CARGO_BIN_EXE_lapwing-load"), demo: env!("CARGO_BIN_EXE_lapwing-demo") };
        let fleet = Fleet::start("rollouts", programs, AGENTS, PLAN, "");
        fleet.add(&fleet.releases.quiet(1));
        let trainer = fleet.serve(&[]);
        let mut scene = Self { fleet, trainer };
        // An agent counts packets from its first report about a release on.
        scene.until("release 1 on every agent", |fleet| fleet.with_packets(1, 0) == AGENTS);
        let all: Vec<usize> = (0..AGENTS).collect();
        (0..PLAYS).for_each(|_| scene.play(&all));
        scene.until("traffic on every agent", |fleet| fleet.with_packets(1, PACKETS) == AGENTS);
        scene
    }

    /// Ends `serve` as a power failure would, and starts it again, `later_s` later by its clock.
    fn kill(&mut self, later_s: u64) {
        self.trainer.kill();
        self.pass(later_s);
        let now_s = self.now_s();
        self.trainer = self.serve(&[]);
        self.until("a step after the restart", |fleet| {
            let newest = fleet.newest_campaign().map(|newest| newest.campaign);
            newest.is_none_or(|campaign| campaign.state().is_final() || campaign.stepped_s() >= now_s)
        });
    }

    /// The campaign of a release, which waits for approval, also if `serve` is killed meanwhile.
    fn waiting(&mut self, version: u64) {
        let serial = self.stored_serial();
        // A start is the quickest way to the next look at the releases.
        self.kill(0);
        self.until("a campaign that waits", |fleet| fleet.is_in(version, Waiting));
        self.kill(0);
        assert!(self.is_in(version, Waiting) && self.stored_serial() == serial, "{:?}", self.campaign());
    }

    /// The second wave confirms; `serve` is killed while the first one tries the release.
    fn second_wave_soaks(&mut self, version: u64) {
        self.until("a trial", |fleet| !fleet.at_step(version, "trial").is_empty());
        self.kill(0);
        self.until("the second wave", |fleet| fleet.is_at(version, 1, Delivering) || fleet.is_at(version, 1, Soaking));
        assert!(self.on(version) <= SECOND, "{}", self.on(version));
        if version == 2 {
            self.pause(version);
        }
        self.until("soak of the second wave", |fleet| fleet.is_at(version, 1, Soaking));
        self.kill(0);
        assert!(self.is_at(version, 1, Soaking), "{:?}", self.campaign());
    }

    fn pause(&mut self, version: u64) {
        self.rollout(&["pause"]);
        self.kill(0);
        assert!(self.is_in(version, Paused), "{:?}", self.campaign());
        let serial = self.stored_serial();
        self.until("a rollout that reaches no agent", |fleet| fleet.newest().serial == serial);
        assert_eq!(self.newest().next.unwrap().reach, [0; 3]);
        self.rollout(&["resume"]);
        self.until("a rollout that reaches the wave again", |fleet| fleet.newest().serial == serial + 1);
        // A paused group is looked at once a minute.
        self.kill(0);
    }

    /// Lets hours pass until a wave of agents without alerts has been observed.
    fn hours_pass(&mut self) {
        (0..3).for_each(|_| self.kill(STEP_S));
    }
}

#[test]
fn a_good_release_completes_and_a_bad_one_stops_by_itself_though_serve_is_killed_in_every_state() {
    if mosquitto().is_none() {
        return lapwing_skips::skip("mosquitto is not installed");
    }
    let mut scene = Scene::start();
    assert_eq!((scene.serials(), scene.newest().base, scene.base()), (vec![1], 1, 1));
    good(&mut scene);
    bad(&mut scene);
    assert_eq!(scene.serials(), (1..=10).collect::<Vec<_>>(), "one rollout for each change");
    scene.trainer.assert_running();
}

fn good(scene: &mut Scene) {
    let release = scene.releases.quiet(2);
    // Without its file, `serve` stores the first rollout of the campaign and cannot publish it.
    scene.list(&release);
    scene.waiting(2);
    scene.rollout(&["approve", "--who", "bob"]);
    assert!(scene.is_in(2, Running) && scene.stored_serial() == 2, "{:?}", scene.campaign());
    scene.kill(0);
    assert_eq!((scene.serials(), scene.stored_serial()), (vec![1], 2), "stored, not published");
    scene.trainer.kill();
    scene.write(&release);
    scene.kill(0);
    scene.until("the stored rollout", |fleet| fleet.newest().serial == 2);
    scene.second_wave_soaks(2);
    let measured: Vec<usize> = scene.at_step(2, "confirmed").into_iter().take(5).collect();
    scene.hours_pass();
    scene.until("reports of the second wave", |fleet| fleet.with_packets(2, 0) >= measured.len());
    (0..PLAYS).for_each(|_| scene.play(&measured));
    scene.until("the last wave", |fleet| fleet.is_at(2, 2, Delivering) || fleet.is_at(2, 2, Soaking));
    scene.kill(0);
    assert_eq!((scene.newest().base, scene.base()), (1, 1), "others follow when it has completed");
    scene.until("soak of the last wave", |fleet| fleet.is_at(2, 2, Soaking));
    scene.hours_pass();
    scene.until("the end of the campaign", |fleet| fleet.is_in(2, Completed));
    scene.kill(0);
    scene.until("release 2 on every agent", |fleet| fleet.on(2) == AGENTS && fleet.base() == 2);
    let rollout = scene.newest();
    assert_eq!((rollout.serial, rollout.base, rollout.next), (7, 2, None));
}

fn bad(scene: &mut Scene) {
    // The hour in which an agent confirms does not count, so the alerts of its trial must not reach into the next one.
    let rest_s = HOUR_S - scene.now_s() % HOUR_S;
    scene.pass(rest_s);
    let release = scene.releases.release(3);
    scene.add(&release);
    scene.waiting(3);
    scene.rollout(&["approve", "--who", "bob"]);
    scene.second_wave_soaks(3);
    (0..2).for_each(|_| scene.kill(STEP_S));
    let on_it = scene.at_step(3, "confirmed");
    (0..2).for_each(|_| scene.play(&on_it));
    scene.until("a failed gate", |fleet| fleet.is_in(3, Aborting));
    scene.kill(0);
    scene.until("the withdrawal", |fleet| fleet.newest().is_withdrawn(3));
    scene.until("every agent back on release 2", |fleet| fleet.on(2) == AGENTS);
    scene.until("the end of the campaign", |fleet| fleet.is_in(3, Aborted));
    scene.kill(0);
    assert_eq!((scene.newest().serial, scene.base()), (10, 2));
    let changes = scene.store.transitions(scene.newest_campaign().unwrap().id, 9).unwrap();
    let why: Vec<&str> = changes.iter().map(|change| change.why.as_str()).take(2).collect();
    assert!(why[0] == "every agent is back" && why[1].starts_with("alerts failed"), "{why:?}");
    let reached = scene.store.campaign_agents(GROUP, 3, 0).unwrap().len();
    assert!((PILOTS..=SECOND).contains(&reached), "{reached} agents");
}
