//! Copies of a whole store, from and to an SQLite file.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use super::campaigns::{act, add, draft, save, step};
use super::segments::{START_S, messages, small, training};
use crate::testing::{self, Folder, alert, own_samples, problems, received, status, update};
use crate::{
    AgentFilter, AuditFilter, Classification, Compactor, Copied, CopyStep, Counter, EpisodeFilter, HeldRelease,
    HeldState, Label, Limits, Received, Release, StoreCopy, StoreError, StoreHandle, StoreUrl,
};
use lapwing_fleet::campaign::Action;
use lapwing_fleet::incident::IncidentAction;
use lapwing_fleet::{AssignedSettings, AssignmentChange};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{AlertState, Body, Health, Message, ReleaseHealth};
use lapwing_shared::rollout::message::Channel;
use std::path::{Path, PathBuf};

/// A store with rows in every table, and segments in `place`.
fn fill<T: TestStore>(test: &T, place: &Path) {
    let mut store = test.open(Limits::default());
    let handle = test.handle();
    handle.set_segments_place(place.to_str()).unwrap();
    handle.add_groups(&["home", "shop"]).unwrap();
    store.commit(&messages(), 5).unwrap();
    let age_s = super::segments::AGE_S;
    let mut compactor = Compactor::new(handle, small(40), "home");
    compactor.pass(START_S, &mut |_| true).unwrap();
    compactor.pass(START_S + age_s, &mut |_| true).unwrap();
    store.commit(&later_messages(), 2_000_000).unwrap();
    let handle = test.handle();
    handle.label("gw-1", 7, Label::Benign, "ann", 50).unwrap();
    handle.label("gw-2", 8, Label::Attack, "bob", 51).unwrap();
    let spans = handle.unclassified_episodes(1).unwrap();
    let class = Classification { class: "ddos".into(), probability: Some(0.25), rows: 3 };
    handle.set_classes(&[(spans[0].clone(), Some(class))], "model", 60).unwrap();
    handle.assign_group("gw-2", Some("shop"), "ann", 61).unwrap();
    let late = AssignedSettings { channel: Some(Channel::Late), pin: Some(2), ..AssignedSettings::default() };
    handle.assign("gw-2", AssignmentChange::Settings(late), 0, "ann", 62).unwrap().unwrap();
    handle.set_trained_rows("home", 7).unwrap();
    handle.request_retraining(Some("home"), "ann", 70).unwrap();
    handle.set_counter(Counter::ReleaseVersionFloor, 12).unwrap();
    let (group, file) = (String::from("home"), PathBuf::from("home-1.lwr"));
    let release = Release { group, version: 1, manifest_sha256: [1; 32], made_s: 9, file, reason: None };
    handle.add_release(&release, "serve", 9).unwrap();
    let held = HeldRelease {
        group: "home".into(),
        version: 2,
        made_s: 10,
        file: "home-2.held".into(),
        reason: "age".into(),
        findings: "limits\nrows".into(),
        state: HeldState::Waiting,
        who: None,
    };
    handle.hold_release(&held).unwrap();
    let campaign = add(&handle, &act(&draft(2, 7).campaign, Action::Submit, 72));
    save(&handle, &campaign, &step(&campaign.campaign, 73), 73);
    handle.forget_agent("gw-9", "ann", 71).unwrap();
    let incident = handle.raise_incident("gw-1", 7, "ann", 74).unwrap();
    handle.change_incident(incident, &IncidentAction::Note("a note".into()), "bob", 75).unwrap();
}

/// Rows in the journal, of this program's schema and of another one; update reports, gaps between numbers, an agent to
/// remove, and more agents and alerts than a page has.
fn later_messages() -> Vec<Received> {
    let many = (1..=600_u64).map(|agent| {
        let episode = agent.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        received(&format!("many-{agent}"), &alert(agent, 1, episode, AlertState::Opened, (agent, 2 * agent)))
    });
    let all: [(&str, Message); 10] = [
        ("gw-4", running()),
        ("gw-1", own_samples(1, 200, &[(90_000, false), (90_001, true)])),
        ("gw-3", testing::samples(9, 300, &[(7, false)])),
        ("gw-3", testing::samples(u64::MAX, 5, &[(8, false)])),
        ("gw-1", update(1, 201)),
        ("gw-1", update(1, 204)),
        ("gw-4", status(3)),
        ("gw-4", alert(3, 1, u64::MAX, AlertState::Opened, (100, 200))),
        ("gw-4", alert(3, 2, 11, AlertState::Closed, (1_700_000_000, 1_700_000_100))),
        ("gw-9", own_samples(1, 1, &[(1, false)])),
    ];
    all.iter().map(|(agent, message)| received(agent, message)).chain(many).collect()
}

/// A report of a release and of degraded coverage.
fn running() -> Message {
    let release = ReleaseHealth { version: 3, rows: 9, serial: 7, ..ReleaseHealth::default() };
    let body = Body::Health(Health { coverage_degraded: true, release, ..Health::default() });
    Message { run: 3, number: 0, sent_s: 0, body }
}

/// What pages, commands, training and classification read.
fn contents(handle: &StoreHandle) -> Vec<String> {
    let mut counts = handle.agent_counts().unwrap();
    counts.sort_by_key(|count| format!("{count:?}"));
    let filter = EpisodeFilter { limit: 100, ..EpisodeFilter::default() };
    let by_start = EpisodeFilter { from_s: Some(0), ..filter.clone() };
    let (episodes, open) = (handle.episodes(&filter).unwrap(), EpisodeFilter { open: Some(true), ..filter });
    let messages = |number| handle.episode("gw-1", number, 9).unwrap();
    let batches = |schema| handle.sample_batches(schema, 0, u64::MAX >> 1, 99).unwrap();
    let spans = handle.unclassified_episodes(99).unwrap();
    let classified = |span| handle.episode_rows(span, &schema_id()).unwrap();
    vec![
        format!("{:?}", handle.id().unwrap()),
        format!("{:?}", handle.agents().unwrap()),
        format!("{:?}", handle.agent_page(&AgentFilter { limit: 99, ..AgentFilter::default() }).unwrap()),
        format!("{counts:?}"),
        format!("{episodes:?}"),
        format!("{:?}", handle.episodes(&by_start).unwrap()),
        format!("{:?}", handle.episodes(&open).unwrap()),
        format!("{:?}", messages(7)),
        format!("{:?}", handle.opened_by_day(0..=99_999, None).unwrap()),
        format!("{:?}", handle.updates_of("gw-1", 9).unwrap()),
        format!("{:?}", handle.group_rows().unwrap()),
        format!("{:?}", handle.agents_of_group("shop").unwrap()),
        format!("{:?}", handle.all_releases(9).unwrap()),
        format!("{:?}", handle.held_releases("home", 9).unwrap()),
        format!("{:?}", handle.job_state(1).unwrap()),
        format!("{:?}", handle.message_counts().unwrap()),
        format!("{:?}", handle.newest_batch().unwrap()),
        format!("{:?}", handle.segments(None).unwrap()),
        format!("{:?} {:?}", batches(&schema_id()), batches(&testing::SCHEMA)),
        format!("{spans:?} {:?}", spans.iter().map(classified).collect::<Vec<_>>()),
        format!("{:?}", handle.labelled_attacks(9).unwrap()),
        format!("{:?}", handle.audit(&AuditFilter { limit: 99, ..AuditFilter::default() }).unwrap()),
        format!("{:?}", training(handle)),
        format!(
            "{:?}",
            [Counter::ReleaseVersionFloor, Counter::AgentsForgotten].map(|one| handle.counter(one).unwrap())
        ),
        format!("{:?}", [Counter::SampleRowsStored, Counter::SegmentChanges].map(|one| handle.counter(one).unwrap())),
        format!("{:?}", handle.campaigns(None, 9).unwrap()),
        format!("{:?} {:?}", handle.transitions(1, 9).unwrap(), handle.gate_results(1, 99).unwrap()),
        format!("{:?} {:?}", handle.newest_rollout("home").unwrap(), handle.release_health("home").unwrap()),
        format!("{:?}", handle.assignments(0, 9).unwrap()),
        format!("{:?} {:?}", handle.incident(1).unwrap(), handle.incident_members(1, 9).unwrap()),
        format!("{:?} {:?}", handle.incident_notes(1).unwrap(), handle.join_queue(false, 99, u64::MAX >> 20).unwrap()),
    ]
}

fn same(one: &StoreHandle, other: &StoreHandle) {
    for (one, other) in contents(one).into_iter().zip(contents(other)) {
        assert_eq!(one, other);
    }
    assert_eq!((problems(one), problems(other)), (Vec::new(), Vec::new()));
}

fn copy(from: &StoreUrl, to: &StoreUrl, place: &Path) -> Result<Copied, StoreError> {
    Ok(StoreCopy::open(from, to, place.to_str())?.run(&mut |_| true)?.unwrap())
}

pub fn a_copy_and_a_copy_of_it_have_the_same_pages_labels_and_training_rows<T: TestStore>() {
    let (source, file, back, places) = (T::new(), Folder::new(), T::new(), Folder::new());
    let place = |name: &str| places.path().join(name);
    fill(&source, &place("source"));
    let before = contents(&source.handle());
    let done = copy(&source.url(), &file.url(), &place("file")).unwrap();
    assert!(done.rows > 2_400 && done.segments >= 6 && !done.was_complete, "{done:?}");
    same(&source.handle(), &file.handle());
    let again = copy(&source.url(), &file.url(), &place("file")).unwrap();
    assert_eq!(again, Copied { was_complete: true, ..done }, "a complete copy is only compared");
    let elsewhere = copy(&source.url(), &file.url(), &place("elsewhere")).unwrap_err().to_string();
    assert!(elsewhere.contains("with its segments in"), "{elsewhere}");
    assert_eq!(copy(&file.url(), &back.url(), &place("back")).unwrap(), done);
    same(&file.handle(), &back.handle());
    assert_eq!(contents(&source.handle()), before, "the source stays as it was");
    // The copy continues: it knows what it has, and new rows get higher numbers than the old ones.
    for test in [&back as &dyn Continues, &file] {
        test.continues(contents(&source.handle())[16].parse().unwrap());
    }
}

/// A copy in use.
trait Continues {
    fn continues(&self, newest_batch: u64);
}

impl<T: TestStore> Continues for T {
    fn continues(&self, newest_batch: u64) {
        let mut store = self.open(Limits::default());
        let all: Vec<Received> = messages().into_iter().chain(later_messages()).collect();
        let own: Vec<Received> = all.into_iter().filter(|message| message.agent.as_str() != "gw-9").collect();
        let repeated = own.iter().filter(|message| message.is_acknowledged()).count() as u64;
        let done = store.commit(&own, 3_000_000).unwrap();
        assert_eq!((done.duplicates, done.sample_rows), (repeated, 0), "{done:?}");
        let new = [
            received("gw-1", &own_samples(1, 400, &[(95_000, false)])),
            received("gw-5", &alert(1, 1, 5, AlertState::Opened, (100, 200))),
            received("gw-1", &alert(1, 401, 7, AlertState::Opened, (100, 99_000))),
            received("gw-1", &update(1, 402)),
        ];
        assert_eq!(store.commit(&new, 3_000_001).unwrap().stored, 4);
        let handle = self.handle();
        assert!(handle.newest_batch().unwrap() > newest_batch);
        assert_eq!(handle.request_retraining(Some("shop"), "ann", 80).unwrap(), 2);
        let mut compactor = Compactor::new(self.handle(), small(40), "home");
        compactor.pass(3 * START_S, &mut |_| true).unwrap();
        compactor.pass(3 * START_S + super::segments::AGE_S, &mut |_| true).unwrap();
        assert_eq!(handle.journal(&schema_id()).unwrap(), []);
        assert_eq!(problems(&handle), Vec::<String>::new());
    }
}

pub fn a_copy_that_is_stopped_after_any_step_continues_without_doubling<T: TestStore>() {
    let (source, places) = (T::new(), Folder::new());
    fill(&source, &places.path().join("source"));
    // Both directions; a copy waits for the disk, so not after every step.
    let stride = if T::SEVERAL_WRITERS { 7 } else { 3 };
    let stopped = stop_and_continue::<Folder>(&source.url(), 0, stride);
    assert!(stopped * stride > 40, "{stopped} runs");
    if T::SEVERAL_WRITERS {
        let file = Folder::new();
        copy(&source.url(), &file.url(), &places.path().join("file")).unwrap();
        stop_and_continue::<T>(&file.url(), 3, stride);
    }
}

/// Copies to a new store each time, stopped after a later step each time, and continued; returns how many were stopped.
fn stop_and_continue<T: TestStore>(source: &StoreUrl, first: usize, stride: usize) -> usize {
    let original = || StoreHandle::open(source).unwrap();
    for (stopped, stop_at) in (first..).step_by(stride).enumerate() {
        let (target, place) = (T::new(), Folder::new());
        let place = place.path().join("rows");
        let open = || StoreCopy::open(source, &target.url(), place.to_str()).unwrap();
        let mut steps = 0;
        let mut go_on = |_: CopyStep| {
            steps += 1;
            steps <= stop_at
        };
        if open().run(&mut go_on).unwrap().is_some() {
            return stopped;
        }
        for error in [
            StoreHandle::open(target.url()).err().unwrap(),
            StoreHandle::open_reading(target.url()).err().unwrap(),
            crate::Store::open(target.url(), Limits::default()).err().unwrap(),
        ] {
            assert!(matches!(error, StoreError::Unfinished { .. }), "stopped after step {stop_at}: {error}");
        }
        assert!(open().run(&mut |_| true).unwrap().is_some());
        same(&original(), &target.handle());
    }
    0
}

pub fn a_store_that_was_used_between_two_runs_is_not_copied_silently<T: TestStore>() {
    let (source, file, places) = (T::new(), Folder::new(), Folder::new());
    fill(&source, &places.path().join("source"));
    let place = places.path().join("rows");
    let mut go_on = |step: CopyStep| !matches!(step, CopyStep::Rows { table: "episodes", .. });
    let open = || StoreCopy::open(&source.url(), &file.url(), place.to_str()).unwrap();
    assert!(open().run(&mut go_on).unwrap().is_none());
    source.handle().label("gw-4", 11, Label::Benign, "eve", 90).unwrap();
    let error = open().run(&mut |_| true).unwrap_err().to_string();
    assert!(error.contains("table episodes") && error.contains("was used after the copy began"), "{error}");
    assert!(StoreHandle::open(file.url()).is_err(), "it stays unusable");
}

pub fn stores_in_use_and_targets_with_data_are_refused<T: TestStore>() {
    let (source, file, places) = (T::new(), Folder::new(), Folder::new());
    let (here, place) = (places.path().join("source"), places.path().join("rows"));
    fill(&source, &here);
    let refused = |from: &StoreUrl, to: &StoreUrl, place: &Path| {
        copy(from, to, place).map(|done| format!("{done:?}")).unwrap_err().to_string()
    };
    let store = source.open(Limits::default());
    let error = refused(&source.url(), &file.url(), &place);
    assert!(error.contains("in use"), "{error}");
    drop(store);
    let error = refused(&source.url(), &source.url(), &place);
    assert!(error.contains("the same store"), "{error}");
    let error = refused(&source.url(), &file.url(), &here);
    assert!(error.contains("the same place of segments"), "{error}");
    std::fs::create_dir(&place).unwrap();
    std::fs::write(place.join("segment-1-0123456789abcdef.parquet"), b"rows").unwrap();
    let error = refused(&source.url(), &file.url(), &place);
    assert!(error.contains("has segments of another store; choose another folder"), "{error}");
    std::fs::remove_dir_all(&place).unwrap();
    // Both stores are locked while they are copied.
    let copying = StoreCopy::open(&source.url(), &file.url(), place.to_str()).unwrap();
    assert!(crate::Store::open(source.url(), Limits::default()).is_err());
    assert!(crate::Store::open(file.url(), Limits::default()).is_err());
    drop(copying);
    let other = Folder::new();
    fill(&other, &places.path().join("other"));
    let error = refused(&other.url(), &file.url(), &place);
    assert!(error.contains("a part of another store"), "{error}");
    let error = refused(&source.url(), &other.url(), &place);
    assert!(error.contains("rows in counters; copy to a new file"), "{error}");
    drop(source.open(Limits::default()));
}

pub fn a_lost_segment_stops_a_copy_before_its_rows_are_listed<T: TestStore>() {
    let (source, file, places) = (T::new(), Folder::new(), Folder::new());
    let (here, place) = (places.path().join("source"), places.path().join("rows"));
    fill(&source, &here);
    let lost = source.handle().segments(None).unwrap()[3].segment.file.clone();
    let bytes = std::fs::read(here.join(&lost)).unwrap();
    std::fs::write(here.join(&lost), &bytes[1..]).unwrap();
    let error = copy(&source.url(), &file.url(), &place).unwrap_err().to_string();
    assert!(error.contains(&lost) && error.contains("SHA-256"), "{error}");
    std::fs::write(here.join(&lost), &bytes).unwrap();
    copy(&source.url(), &file.url(), &place).unwrap();
    same(&source.handle(), &file.handle());
}
