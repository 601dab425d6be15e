//! A store with a group whose agents follow rollouts, in virtual time, for tests.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking; names say what it does")]

use lapwing_fleet::HeldRelease;
use lapwing_fleet::campaign::{ROWS_PER_DAY, Standing};
use lapwing_shared::messages::{AlertState, Body, DeviceHealth, Health, Message, ReleaseHealth, Update, UpdateStep};
use lapwing_shared::release::accept::Refusal;
use lapwing_shared::release::manifest::Name;
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::rollout::place::Place;
use lapwing_store::testing::{Folder, alert, received, status};
use lapwing_store::{Limits, Received, Release, Store, StoreHandle};

pub const HOUR_S: u64 = 3_600;
pub const DAY_S: u64 = 24 * HOUR_S;
/// The release that the group runs, and the one of campaigns.
pub const BASE: u64 = 3;
pub const NEXT: u64 = 4;

/// How an agent behaves on the new release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduct {
    Good,
    /// Refuses it because of a defect.
    Refuses,
    /// Calls no row anomalous.
    Blind,
    /// Has an alert every hour.
    Alerts,
}

/// One agent.
pub struct Agent {
    pub name: String,
    pub release: ReleaseHealth,
    pub device: DeviceHealth,
    pub is_online: bool,
    number: u64,
    running: u64,
    refused: u64,
    rng: u64,
}

/// See the module. Group `home` has releases 3, which it runs, and 4.
pub struct Stage {
    pub folder: Folder,
    pub handle: StoreHandle,
    pub now_s: u64,
    pub agents: Vec<Agent>,
    pub conduct: Conduct,
    store: Store,
}

impl Stage {
    /// A group of `agents` agents, known for 15 days, with about one alert in two days each.
    pub fn new(agents: usize, now_s: u64) -> Self {
        let folder = Folder::new();
        let store = Store::open(folder.store(), Limits::default()).unwrap();
        let handle = store.handle().unwrap();
        let agent = |index: usize| Agent {
            name: format!("gw-{index}"),
            release: ReleaseHealth { version: BASE, serial: 1, ..ReleaseHealth::default() },
            device: DeviceHealth::default(),
            is_online: true,
            number: 0,
            running: BASE,
            refused: 0,
            rng: index as u64,
        };
        let agents = (0..agents).map(agent).collect();
        let mut stage = Self { folder, handle, now_s, agents, conduct: Conduct::Good, store };
        stage.add_release(BASE);
        stage.add_release(NEXT);
        stage.set_rollout(BASE);
        stage.now_s -= 15 * DAY_S;
        for _ in 0..15 * 4 {
            stage.pass(6);
        }
        stage
    }

    pub fn add_release(&self, version: u64) {
        let release = Release {
            group: "home".into(),
            version,
            manifest_sha256: [version as u8; 32],
            made_s: self.now_s - HOUR_S,
            file: format!("home-{version}.lwr").into(),
            reason: Some("20000 new feature rows".into()),
        };
        self.handle.add_release(&release, "serve", self.now_s - HOUR_S).unwrap();
    }

    pub fn hold(&self, held: &HeldRelease) {
        self.handle.hold_release(held).unwrap();
    }

    /// The group's first rollout.
    fn set_rollout(&self, base: u64) {
        let standing =
            Standing { agents: self.agents.len() as u64, rows_per_day: ROWS_PER_DAY, reported: 0, now_s: self.now_s };
        let rollout = standing.first("home".try_into().unwrap(), base, 0);
        assert!(self.handle.add_rollout(&rollout).unwrap());
    }

    pub fn rollout(&self) -> Rollout {
        self.handle.newest_rollout("home").unwrap().unwrap().rollout().unwrap()
    }

    /// Path of the store.
    pub fn store(&self) -> String {
        self.folder.store().to_str().unwrap().to_owned()
    }

    pub fn commit(&mut self, messages: &[Received]) {
        self.store.commit(messages, self.now_s).unwrap();
    }

    /// An hour later: agents have followed the newest rollout and reported. Use [`super::advance`] afterwards.
    pub fn hour(&mut self) {
        self.pass(1);
    }

    /// Some hours later, in which agents reported once.
    fn pass(&mut self, hours: u64) {
        let (rollout, conduct) = (self.rollout(), self.conduct);
        self.now_s += hours * HOUR_S;
        let now_s = self.now_s;
        let online = self.agents.iter_mut().filter(|agent| agent.is_online);
        let messages: Vec<Received> = online.flat_map(|agent| agent.report(&rollout, conduct, hours, now_s)).collect();
        self.commit(&messages);
    }
}

impl Agent {
    /// A step of the update, with the next number.
    pub fn step(&mut self, version: u64, step: UpdateStep) -> Received {
        self.number += 1;
        let body = Body::Update(Update { release: version, step });
        received(&self.name, &Message { run: 1, number: self.number, sent_s: 0, body })
    }

    fn wants(&self, rollout: &Rollout) -> u64 {
        let name: Name = self.name.as_str().try_into().unwrap();
        let reached = rollout
            .next
            .filter(|next| u32::from(Place::of(&next.salt, &name).place) < next.reach_of(self.release.channel));
        match reached {
            Some(next) if !self.release.is_held && self.refused != next.version => next.version,
            _ if self.running < rollout.base || rollout.is_withdrawn(self.running) => rollout.base,
            _ => self.running,
        }
    }

    fn report(&mut self, rollout: &Rollout, conduct: Conduct, hours: u64, now_s: u64) -> Vec<Received> {
        let mut messages = Vec::new();
        let wanted = self.wants(rollout);
        let is_bad = |conduct_on_next| wanted == NEXT && conduct == conduct_on_next;
        if wanted != self.running && is_bad(Conduct::Refuses) {
            let reason = Refusal::Schema.to_string();
            messages.push(self.step(wanted, UpdateStep::Refused(heapless::String::try_from(&*reason).unwrap())));
            self.refused = wanted;
        } else if wanted != self.running {
            messages.push(self.step(wanted, UpdateStep::Confirmed));
            self.running = wanted;
            self.release = ReleaseHealth { version: wanted, ..ReleaseHealth::default() };
        }
        self.release.serial = rollout.serial;
        self.count_rows(is_bad(Conduct::Blind));
        self.rng = self.rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        if (self.rng >> 33).is_multiple_of(48 / hours) || is_bad(Conduct::Alerts) {
            self.number += 1;
            let span_s = (now_s - HOUR_S / 2, now_s - HOUR_S / 2 + 60);
            messages.push(received(&self.name, &alert(1, self.number, self.number, AlertState::Closed, span_s)));
        }
        let mut status = status(1);
        if let Body::Status(status) = &mut status.body {
            status.release = self.running;
        }
        let health = Health { release: self.release, device: self.device.clone(), ..Health::default() };
        let health = Message { run: 1, number: 0, sent_s: 0, body: Body::Health(health) };
        messages.extend([received(&self.name, &status), received(&self.name, &health)]);
        messages
    }

    /// 1,280 rows, as a calibrated release has them.
    fn count_rows(&mut self, is_blind: bool) {
        let calibrated = [640, 320, 160, 80, 40, 20, 10, 10];
        for (sum, count) in self.release.surprise.iter_mut().zip(calibrated) {
            *sum += count;
        }
        self.release.rows += 1_280;
        self.release.anomalous += if is_blind { 0 } else { 13 };
        (self.release.cpu_ms, self.release.packets) = (self.release.cpu_ms + 500, self.release.packets + 50_000);
    }
}
