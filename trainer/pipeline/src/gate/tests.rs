//! Releases of honest and of hostile agents, made as `serve` makes them.

use super::replay::replay;
use super::sealed::attacks;
use super::{Attack, Change, GateReport, Opened, Strength, attack_row};
use crate::make::Pipeline;
use crate::order::{Guard, MadeRelease, Order, ReleaseMaker};
use crate::release::build::sign_held;
use crate::release::keys::ReleaseKey;
use crate::release::read;
use crate::testing::Mixture;
use crate::train::TrainConfig;
use fastrand::Rng;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::messages::{ALERT_ROWS, AlertState, Body, RowHosts};
use lapwing_shared::release::signature::KeyUse;
use lapwing_shared::rollout::testing::rollout;
use lapwing_shared::units::{Address, Timestamp};
use lapwing_store::testing::{Folder, alert, name, received, status};
use lapwing_store::{Label, Limits, Release, Store, TrainingRow, Unlabelled};

const ROWS: usize = 1_500;

/// Rows of one agent, one per 20 s, of four hosts.
fn rows(agent: i64, features: Vec<FeatureVector>) -> Vec<TrainingRow> {
    let row = |(index, features): (usize, FeatureVector)| TrainingRow {
        agent,
        at: Timestamp::from_secs(20 * index as u64),
        features,
        score: None,
        flows: 1.0,
        hosts: RowHosts { source: 1 + index as u32 % 4, target: 0 },
        suspect: false,
        place: (index as u64, 0),
    };
    features.into_iter().enumerate().map(row).collect()
}

/// Rows of a scan: one anomalous flow, repeated with little variation.
fn scan(mixture: &Mixture, count: usize, seed: u64) -> Vec<FeatureVector> {
    let mut rng = Rng::with_seed(seed);
    let flow = mixture.mixed_rows(1, 7)[0];
    (0..count).map(|_| flow.map(|value| value * (0.99 + 0.02 * rng.f32()))).collect()
}

/// The scan as an operator labelled it, by one host.
fn attack(mixture: &Mixture) -> Attack {
    let (scanner, target) = (Address::from_v4([10, 0, 0, 1]), Address::from_v4([233, 252, 0, 1]));
    let row = |(second, features)| attack_row(Timestamp::from_secs(second), scanner, target, features);
    let rows = (1_000_000..).zip(scan(mixture, 30, 77)).map(row).collect();
    Attack { name: "episode 7 of gw-1".into(), rows }
}

struct Maker {
    folder: Folder,
    mixture: Mixture,
}

impl Maker {
    fn new() -> Self {
        let folder = Folder::new();
        ReleaseKey::generate("site")
            .unwrap()
            .save(&folder.path().join("key"), &folder.path().join("pub"), KeyUse::Any, None)
            .unwrap();
        Self { folder, mixture: Mixture::new(1) }
    }

    fn make(&self, version: u64, rows: Vec<TrainingRow>, guard: Guard) -> MadeRelease {
        let key = self.folder.path().join("key");
        let (created_s, expires_s, unlabelled) = (1_700_000_000, 1_800_000_000, Unlabelled::default());
        let order = Order {
            group: name("home"),
            version,
            created_s,
            expires_s,
            floor: 0,
            seed: 3,
            key: Some(key),
            unlabelled,
            guard,
        };
        let config = TrainConfig { epochs: 12, batch_rows: 64, ..TrainConfig::default() };
        Pipeline { config }.make(&order, rows, &mut |_| ()).unwrap()
    }

    /// Rows of two honest agents.
    fn honest(&self, seed: u64) -> Vec<TrainingRow> {
        [rows(1, self.mixture.rows(ROWS, seed)), rows(2, self.mixture.rows(ROWS, seed + 1))].concat()
    }

    fn guard(&self, previous: &MadeRelease) -> Guard {
        let labelled = vec![attack(&self.mixture)];
        Guard { previous: Some(previous.file.clone()), labelled, ..Guard::default() }
    }
}

fn labelled(gate: &GateReport) -> (Option<usize>, usize) {
    (gate.labelled.before, gate.labelled.now)
}

#[test]
fn an_agent_that_sends_attacks_as_ordinary_rows_gets_no_release_signed() {
    let maker = Maker::new();
    let first = maker.make(1, maker.honest(10), Guard::default());
    assert!(!first.held, "without a previous release there is nothing to compare with");
    let again = maker.make(2, maker.honest(20), maker.guard(&first));
    assert_eq!((labelled(&again.gate), again.held), ((Some(1), 1), false), "{:?}", again.gate.findings);
    let mut poisoned = maker.honest(20);
    poisoned.retain(|row| row.agent == 1);
    poisoned.extend(rows(2, scan(&maker.mixture, ROWS, 30)));
    let held = maker.make(2, poisoned, maker.guard(&first));
    assert_eq!((labelled(&held.gate), held.held), ((Some(1), 0), true), "{:?}", held.gate.findings);
    let findings = held.gate.findings.join("\n");
    assert!(findings.contains("detects 0 of 1 labelled attacks, misses episode 7 of gw-1"), "{findings}");
    assert!(read(&held.file).is_err(), "readers of releases accept it");
    let key = ReleaseKey::load(&maker.folder.path().join("key")).unwrap();
    let signed = sign_held(&held.file, &key, None).unwrap();
    assert_eq!(read(&signed).unwrap().1.version, 2);
    let last = held.file.len() - 1;
    let mut damaged = held.file.clone();
    damaged[last] ^= 1;
    assert!(sign_held(&damaged, &key, None).is_err());
    assert!(sign_held(&signed, &key, None).is_err(), "it is signed already");
    let shares: Vec<_> = held.shares.iter().map(|share| (share.agent, share.given, share.used)).collect();
    assert_eq!(shares, [(1, ROWS, ROWS), (2, ROWS, ROWS)]);
}

/// An attack of the project's captures whose rows an agent sends as ordinary ones.
#[test]
fn a_release_that_is_blind_for_one_sealed_attack_is_held_back() {
    let maker = Maker::new();
    let first = maker.make(1, maker.honest(10), Guard::default());
    let opened = Opened::read(&first.file).unwrap().unwrap();
    let is_detected = |attack: &Attack| opened.detector().strength(attack).unwrap().is_detected();
    let known = attacks().into_iter().find(|attack| attack.rows.len() >= 20 && is_detected(attack)).unwrap();
    let sent = (0..ROWS).map(|index| known.rows[index % known.rows.len()].features).collect();
    let mut poisoned = maker.honest(20);
    poisoned.retain(|row| row.agent == 1);
    poisoned.extend(rows(2, sent));
    let guard = Guard { previous: Some(first.file.clone()), ..Guard::default() };
    let made = maker.make(2, poisoned, guard);
    let findings = made.gate.findings.join("\n");
    assert!(made.held && made.gate.sealed.lost.contains(&known.name), "{findings}");
    assert!(findings.contains(" sealed attacks, misses "), "{findings}");
    assert!(read(&made.file).is_err(), "readers of releases accept it");
}

#[test]
fn a_replay_compares_a_release_with_the_one_that_the_group_runs() {
    let maker = Maker::new();
    let first = maker.make(1, maker.honest(10), Guard::default());
    let mut poisoned = maker.honest(20);
    poisoned.retain(|row| row.agent == 1);
    poisoned.extend(rows(2, scan(&maker.mixture, ROWS, 30)));
    // Without a labelled attack, nothing shows that it is blind for one.
    let second = maker.make(2, poisoned, Guard { hold: false, previous: Some(first.file.clone()), ..Guard::default() });
    let mut store = Store::open(maker.folder.store(), Limits::default()).unwrap();
    let handle = store.handle().unwrap();
    for (version, made) in [(1, &first), (2, &second)] {
        let file = maker.folder.path().join(format!("home-{version}.lwr"));
        std::fs::write(&file, &made.file).unwrap();
        let reason = Some("rows".into());
        let release = Release { group: "home".into(), version, manifest_sha256: [0; 32], made_s: 1, file, reason };
        handle.add_release(&release, "serve", 1).unwrap();
    }
    assert_eq!(replay(&handle, "home", 2).unwrap(), None, "the group has no rollout");
    assert!(handle.add_rollout(&rollout(1, 1)).unwrap());
    let mut messages = vec![received("gw-1", &status(1))];
    for (number, rows) in (1..).zip(attack(&maker.mixture).rows.chunks(ALERT_ROWS)) {
        let mut message = alert(1, number, 7, AlertState::Opened, (10, 20));
        let Body::Alert(content) = &mut message.body else { unreachable!() };
        content.rows.extend(rows.iter().map(|row| row.features));
        messages.push(received("gw-1", &message));
    }
    store.commit(&messages, 5).unwrap();
    let before = replay(&handle, "home", 2).unwrap().unwrap();
    assert_eq!((before.previous, before.labelled.attacks), (Some(1), 0));
    handle.label("gw-1", 7, Label::Attack, "an operator", 6).unwrap();
    let after = replay(&handle, "home", 2).unwrap().unwrap();
    assert_eq!((after.labelled.attacks, after.labelled.before, after.labelled.now), (1, Some(1), 0), "{after:?}");
    assert!(after.findings.iter().any(|finding| finding.contains("misses episode 7 of gw-1")), "{after:?}");
    std::fs::remove_file(maker.folder.path().join("home-2.lwr")).unwrap();
    assert!(replay(&handle, "home", 2).unwrap_err().to_string().contains("home-2.lwr"));
}

#[test]
fn a_gate_that_only_reports_signs_in_spite_of_its_findings() {
    let maker = Maker::new();
    let first = maker.make(1, maker.honest(10), Guard::default());
    let wider = |row: TrainingRow| TrainingRow { features: row.features.map(|value| value * 4.0), ..row };
    let rows: Vec<TrainingRow> = maker.honest(20).into_iter().map(wider).collect();
    let made = maker.make(2, rows, Guard { hold: false, ..maker.guard(&first) });
    let findings = made.gate.findings.join("\n");
    assert!(findings.contains("feature ranges change more than 2-fold: ") && findings.contains(" more"), "{findings}");
    assert!(!made.held && read(&made.file).is_ok());
    assert!(made.card.unwrap().html.contains("feature ranges change"));
}

#[test]
fn an_agent_with_one_row_does_not_prevent_a_release() {
    let maker = Maker::new();
    let rows = [rows(1, maker.mixture.rows(ROWS, 10)), rows(2, maker.mixture.rows(1, 11))].concat();
    let made = maker.make(1, rows, Guard::default());
    let shares: Vec<_> = made.shares.iter().map(|share| (share.agent, share.given, share.used)).collect();
    assert_eq!(shares, [(1, ROWS, ROWS), (2, 1, 1)]);
    assert!(read(&made.file).unwrap().1.origin.rows > 1_000);
}

#[test]
fn only_attacks_near_the_limit_may_be_missed_without_an_operator() {
    let change = |previous, reference, now| Change::of(Strength(previous), Strength(reference), Strength(now));
    for (previous, reference, now, expected) in [
        (4.0, 4.0, 1.0, Change::None),
        (0.9, 0.9, 0.25, Change::None),
        (1.2, 1.35, 0.9, Change::Narrow),
        (1.2, 0.0, 0.8, Change::Narrow),
        (1.2, 1.2, 0.65, Change::Lost),
        (1.5, 1.2, 0.9, Change::Lost),
        (0.9, 1.75, 0.9, Change::Lost),
    ] {
        assert_eq!(change(previous, reference, now), expected, "{previous}, {reference} → {now}");
    }
}

#[test]
fn an_attack_that_weakens_in_small_steps_is_compared_with_the_reference() {
    let maker = Maker::new();
    let strong = maker.make(1, maker.honest(10), Guard::default());
    let mut poisoned = maker.honest(20);
    poisoned.retain(|row| row.agent == 1);
    poisoned.extend(rows(2, scan(&maker.mixture, ROWS, 30)));
    let weak = maker.make(2, poisoned.clone(), Guard { hold: false, ..maker.guard(&strong) });
    let alone = maker.make(3, poisoned.clone(), maker.guard(&weak));
    assert!(alone.gate.labelled.lost.is_empty(), "the previous release misses it, too: {:?}", alone.gate);
    let reference = Guard { reference: Some(strong.file), ..maker.guard(&weak) };
    let compared = maker.make(3, poisoned, reference);
    assert_eq!(
        (compared.gate.labelled.lost.as_slice(), compared.held),
        (["episode 7 of gw-1".into()].as_slice(), true)
    );
}
