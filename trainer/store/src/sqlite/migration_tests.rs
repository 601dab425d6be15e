//! Stores of every earlier version → the same pages, training rows and queue as a new store with the same messages.

use super::old_store::{OLD_VERSIONS, Verdict, write_old_store};
use crate::testing::{Folder, SCHEMA, agents_by_name, alert, received, samples, status, update};
use crate::*;
use lapwing_shared::messages::{AlertState, Body, Health, Message};
use lapwing_shared::verdict::alert::NO_HOST;

const NOW_S: u64 = 5;

/// Messages of three agents: open, closed and interleaved episodes, one with a class of the agent's, a test alert, an alert
/// about a whole site, rows within and outside of episodes, and updates.
fn messages() -> Vec<Received> {
    let named = |mut message: Message| {
        let Body::Alert(alert) = &mut message.body else { unreachable!() };
        alert.resembles = Some("port-scan".try_into().unwrap());
        message
    };
    let mut of_site = alert(1, 9, 80, AlertState::Opened, (2_000, 2_001));
    let mut test = alert(1, 10, 81, AlertState::Closed, (90_000, 90_000));
    let (Body::Alert(site), Body::Alert(tested)) = (&mut of_site.body, &mut test.body) else { unreachable!() };
    site.host = NO_HOST;
    tested.limit_nats = 0.0;
    let health =
        Message { run: 1, number: 0, sent_s: 0, body: Body::Health(Health { uptime_s: 9, ..Health::default() }) };
    vec![
        received("gw-1", &status(1)),
        received("gw-1", &health),
        received("gw-1", &alert(1, 1, 77, AlertState::Opened, (1_000, 1_010))),
        received("gw-1", &named(alert(1, 2, 78, AlertState::Opened, (1_100, 1_101)))),
        received("gw-2", &alert(1, 1, 77, AlertState::Updated, (1_000, 1_200))),
        received("gw-1", &samples(1, 3, &[(1_005, true), (1_006, false), (5_000, true)])),
        received("gw-1", &alert(1, 4, 77, AlertState::Updated, (1_000, 1_070))),
        received("gw-1", &alert(1, 5, 77, AlertState::Closed, (1_000, 1_500))),
        received("gw-2", &samples(1, 2, &[(9_000, false), (20_000, true)])),
        received("gw-1", &update(1, 6)),
        received("gw-3", &update(7, 1)),
        received("gw-3", &alert(7, 2, 1, AlertState::Opened, (100_000, 100_001))),
        received("gw-1", &of_site),
        received("gw-1", &test),
        // A gap, so that the numbers beyond it are in the file, too.
        received("gw-3", &samples(7, 9, &[(100_001, true), (100_002, false)])),
    ]
}

fn verdicts(version: usize) -> Vec<Verdict> {
    let class = (version >= 2).then(|| Classification { class: "flood".into(), probability: Some(0.75), rows: 8 });
    let unknown = (version >= 2).then(|| Classification { class: UNKNOWN_CLASS.into(), probability: None, rows: 0 });
    vec![
        Verdict { agent: "gw-1".into(), episode: 77, label: Some(Label::Benign), class },
        Verdict { agent: "gw-1".into(), episode: 78, label: None, class: unknown },
        Verdict { agent: "gw-2".into(), episode: 77, label: Some(Label::Attack), class: None },
    ]
}

/// A new store with the same messages and verdicts.
fn new_store(folder: &Folder, version: usize) -> Store {
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    store.commit(&messages(), NOW_S).unwrap();
    let handle = store.handle().unwrap();
    let spans = handle.unclassified_episodes(99).unwrap();
    for Verdict { agent, episode, label, class } in verdicts(version) {
        if let Some(label) = label {
            handle.label(&agent, episode, label, "operator", NOW_S).unwrap();
        }
        let span = spans.iter().find(|span| span.agent_name == agent && span.episode == episode);
        if let (Some(span), Some(class)) = (span, class) {
            handle.set_classes(&[(span.clone(), Some(class))], "model", NOW_S).unwrap();
        }
    }
    store
}

/// Everything that pages and lists show.
fn pages(handle: &StoreHandle) -> String {
    let base = EpisodeFilter { limit: 2, ..EpisodeFilter::default() };
    let agent = |name: &str| EpisodeFilter { agent: Some(name.into()), ..base.clone() };
    let kind = |kind: &str| EpisodeFilter { kind: Some(kind.into()), ..base.clone() };
    let open = |open| EpisodeFilter { open: Some(open), ..base.clone() };
    let since = EpisodeFilter { from_s: Some(1_050), to_s: Some(99_999), ..base.clone() };
    let filters = [
        base.clone(),
        agent("gw-1"),
        agent("gw-2"),
        kind("flood"),
        kind("port-scan"),
        kind("unknown"),
        open(true),
        open(false),
        since,
    ];
    let mut text = String::new();
    for filter in filters {
        text += &format!("{filter:?}\n");
        let mut before = None;
        loop {
            let page = handle.episodes(&EpisodeFilter { before, ..filter.clone() }).unwrap();
            text += &format!("{:#?}\n", page.episodes);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    for (name, episode) in [("gw-1", 77), ("gw-1", 78), ("gw-1", 80), ("gw-2", 77), ("gw-3", 1), ("gw-3", 2)] {
        text += &format!("{:#?}\n", handle.episode(name, episode, 50).unwrap());
    }
    for name in ["gw-1", "gw-2", "gw-3"] {
        text += &format!("{:#?}\n{:?}\n", handle.updates_of(name, 9).unwrap(), handle.newest_day(Some(name)).unwrap());
        text += &format!("{:?}\n", handle.opened_by_day(0..=1, Some(name)).unwrap());
    }
    text += &format!("{:#?}\n{:?}\n", agents_by_name(handle), handle.message_counts().unwrap());
    let mut counts: Vec<_> = handle.agent_counts().unwrap();
    counts.sort_by_key(|count| (count.state, count.group.clone()));
    text += &format!("{counts:?}\n");
    text += &format!("{:?}\n{:?}\n", handle.newest_day(None).unwrap(), handle.opened_by_day(0..=1, None).unwrap());
    text += &format!("{:?}\n", handle.alerts(&AlertFilter { unlabelled: true, limit: 99, agent: None }).unwrap());
    text
}

/// Everything that training reads.
fn training(handle: &StoreHandle) -> String {
    let mut rows = handle.training_rows(&SCHEMA).unwrap();
    let read: Vec<_> = rows.by_ref().map(Result::unwrap).collect();
    let attacks: Vec<_> = handle.labelled_attacks(9).unwrap().iter().map(|span| span.episode).collect();
    format!("{read:#?}\n{:#?}\n{:?}\n{attacks:?}", rows.summary(), handle.unlabelled().unwrap())
}

#[test]
fn a_store_of_every_earlier_version_gives_the_pages_and_rows_of_a_new_one() {
    for version in OLD_VERSIONS {
        let (old, new) = (Folder::new(), Folder::new());
        write_old_store(&old.store(), version, &messages(), NOW_S.cast_signed(), &verdicts(version), [0, 0]);
        let expected = new_store(&new, version).handle().unwrap();
        let migrated = Store::open(old.store(), Limits::default()).unwrap();
        let handle = migrated.handle().unwrap();
        assert_eq!(pages(&handle), pages(&expected), "version {version}");
        assert_eq!(training(&handle), training(&expected), "version {version}");
    }
}

#[test]
fn a_migrated_store_continues_to_acknowledge_and_to_refuse_duplicates() {
    for version in OLD_VERSIONS {
        let folder = Folder::new();
        write_old_store(&folder.store(), version, &messages(), NOW_S.cast_signed(), &verdicts(version), [0, 0]);
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        assert_eq!(store.handle().unwrap().agents_of_group("home").unwrap().len(), 1, "by its stored status");
        let done = store.commit(&messages(), 6).unwrap();
        assert_eq!((done.stored, done.duplicates), (2, 13), "version {version}: status and health have no number");
        let closed = received("gw-3", &alert(7, 10, 1, AlertState::Closed, (100_000, 100_200)));
        store.commit(&[closed], 7).unwrap();
        let handle = store.handle().unwrap();
        assert!(!handle.episode("gw-3", 1, 1).unwrap().unwrap().0.record.is_open());
        assert!(handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records.is_empty());
        handle.label("gw-3", 1, Label::Attack, "ann", 8).unwrap();
        let check = handle.check_audit(None).unwrap();
        assert_eq!((check.entries, check.problems), (1, vec![]), "version {version}");
        let open: Vec<_> = agents_by_name(&handle).iter().map(|row| row.open_alerts).collect();
        assert_eq!(open, [2, 1, 0], "version {version}");
    }
}

#[test]
fn the_classifier_continues_where_it_stopped_before_the_migration() {
    let queue = |classified| {
        let folder = Folder::new();
        write_old_store(&folder.store(), 4, &messages(), NOW_S.cast_signed(), &verdicts(4), classified);
        let handle = StoreHandle::open(folder.store()).unwrap();
        let spans = handle.unclassified_episodes(99).unwrap();
        spans.into_iter().map(|span| (span.agent_name, span.episode)).collect::<Vec<_>>()
    };
    let of =
        |pairs: &[(&str, u64)]| pairs.iter().map(|(name, episode)| (name.to_string(), *episode)).collect::<Vec<_>>();
    assert_eq!(queue([0, 0]), of(&[("gw-1", 77), ("gw-1", 78), ("gw-2", 77), ("gw-3", 1), ("gw-1", 81)]));
    assert_eq!(queue([2, 3]), of(&[("gw-1", 77), ("gw-2", 77), ("gw-3", 1), ("gw-1", 81)]), "newer messages");
    assert_eq!(queue([8, 0]), of(&[("gw-1", 77), ("gw-1", 78), ("gw-3", 1)]), "newer rows that overlap");
    assert_eq!(queue([8, 3]), of(&[]));
}

#[test]
fn a_store_restored_from_an_old_backup_is_migrated_by_commands_as_well() {
    let folder = Folder::new();
    write_old_store(&folder.store(), 3, &messages(), NOW_S.cast_signed(), &verdicts(3), [0, 0]);
    StoreHandle::open(folder.store()).unwrap().label("gw-1", 78, Label::Benign, "operator", 6).unwrap();
    let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
    let labelled = handle.episode("gw-1", 78, 1).unwrap().unwrap().0;
    assert_eq!((labelled.label, labelled.labelled_by.as_deref()), (Some(Label::Benign), Some("operator")));
}
