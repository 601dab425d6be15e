//! Incidents: the joiner's queue, joins, and what people do.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use super::campaigns::{add, draft};
use crate::testing::{alert, received, status};
use crate::traits::{IncidentFilter, QueuedEpisode, SavedJoins};
use crate::{AuditFilter, Classification, Counter, Label, Limits, Received, Store, StoreError, StoreHandle};
use lapwing_fleet::incident::{
    ACCEPTS_S, Incident, IncidentAction, IncidentState, Joiner, Joins, Membership, QUIET_S, Severity, Verdict,
};
use lapwing_shared::messages::{AlertState, Body, Message, Peer, Reason, Update, UpdateStep};
use lapwing_shared::units::Address;

const NOW_S: u64 = 1_700_000_000;

/// An alert of a host with the outside peer 203.0.113.`peer`, or without peers if that is 0.
pub fn attack(agent: &str, number: u64, episode: u64, peer: u8, since_s: u64) -> Received {
    let mut message = alert(1, number, episode, AlertState::Opened, (since_s, since_s + 10));
    let Body::Alert(content) = &mut message.body else { unreachable!() };
    let reason = |feature| Reason { feature, value: 9.0, normal_low: 1.0, normal_high: 2.0, share_permille: 400 };
    content.reasons = [reason(3), reason(7)].into_iter().collect();
    let peer = Some(peer).filter(|peer| *peer > 0).map(|peer| Address::from_v4([203, 0, 113, peer]));
    content.peers = peer.into_iter().map(|address| Peer { address, flows: 9 }).collect();
    received(agent, &message)
}

/// What `serve` does, without the usual rates.
fn joins(handle: &StoreHandle, queued: &[QueuedEpisode], now_s: u64) -> Joins {
    let incidents = handle.joinable_incidents(now_s - 2 * ACCEPTS_S).unwrap();
    let mut joiner = Joiner { incidents, ..Joiner::default() };
    for one in queued {
        let cause = one.sighting.cause.clone();
        joiner.candidates.insert(cause.clone(), handle.join_candidates(&cause, 0, 100, now_s).unwrap());
    }
    joiner.join(queued.iter().map(|one| one.sighting.clone()).collect())
}

pub(super) fn join(handle: &StoreHandle, now_s: u64) -> SavedJoins {
    let queued = handle.join_queue(false, 100, now_s).unwrap();
    handle.save_joins(&joins(handle, &queued, now_s), &queued, 0, now_s).unwrap()
}

fn queue(handle: &StoreHandle) -> Vec<String> {
    let queued = handle.join_queue(false, 100, NOW_S).unwrap();
    queued.iter().map(|one| format!("{}/{}", one.sighting.agent, one.sighting.episode)).collect()
}

/// A store in which two sites have an incident, number 1, and a third one an alert of its own.
fn with_incident<T: TestStore>(folder: &T) -> (Store, StoreHandle) {
    let mut store = folder.open(Limits::default());
    let batch =
        [attack("a", 1, 71, 7, NOW_S), attack("b", 1, 72, 8, NOW_S + 60), attack("c", 1, 73, 9, NOW_S - 90_000)];
    store.commit(&[&batch[..], &[received("a", &status(1))]].concat(), NOW_S + 70).unwrap();
    let handle = folder.handle();
    assert_eq!(join(&handle, NOW_S + 80), SavedJoins { incidents: 1, episodes: 2 });
    (store, handle)
}

fn incident(handle: &StoreHandle, id: i64) -> Incident {
    handle.incident(id).unwrap().unwrap()
}

pub fn new_and_changed_episodes_wait_for_the_joiner<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[attack("a", 1, 71, 7, NOW_S)], NOW_S).unwrap();
    let handle = folder.handle();
    assert_eq!(queue(&handle), ["a/71"]);
    assert!(handle.join_queue(true, 9, NOW_S).unwrap().is_empty(), "it waits for the classifier");
    let stale = handle.join_queue(false, 9, NOW_S).unwrap();
    handle.label("a", 71, Label::Attack, "ann", NOW_S).unwrap();
    handle.save_joins(&Joins::default(), &stale, 3, NOW_S).unwrap();
    assert_eq!(queue(&handle), ["a/71"], "it has changed since it was read");
    let queued = handle.join_queue(false, 9, NOW_S).unwrap();
    assert_eq!(queued[0].sighting.severity, Severity::High, "labelled");
    join(&handle, NOW_S);
    assert!(queue(&handle).is_empty());
    let spans = handle.unclassified_episodes(9).unwrap();
    let class = Classification { class: "flood".into(), probability: Some(0.75), rows: 8 };
    handle.set_classes(&[(spans[0].clone(), Some(class))], "model", NOW_S).unwrap();
    let queued = handle.join_queue(true, 9, NOW_S).unwrap();
    assert_eq!(queued[0].sighting.cause.as_str(), "flood");
    join(&handle, NOW_S);
    store.commit(&[attack("a", 2, 71, 7, NOW_S)], NOW_S).unwrap();
    assert_eq!(queue(&handle), ["a/71"], "a new message");
    assert_eq!(handle.counter(Counter::IncidentCandidatesSkipped).unwrap(), 3);
}

pub fn a_join_is_stored_with_its_sentence_and_read_on_every_page<T: TestStore>() {
    let folder = T::new();
    let (_store, handle) = with_incident(&folder);
    let one = incident(&handle, 1);
    assert_eq!((one.state, one.sites, one.episodes, one.severity), (IncidentState::Open, 2, 2, Severity::Medium));
    assert_eq!((one.first_s, one.last_s, one.active_s, one.made_s), (NOW_S, NOW_S + 70, NOW_S + 80, NOW_S + 80));
    assert_eq!((one.group.as_str(), one.again_of), ("home", None));
    let members = handle.incident_members(1, 9).unwrap();
    let names: Vec<(&str, u64)> = members.iter().map(|one| (one.agent.as_str(), one.episode)).collect();
    assert_eq!(names, [("b", 72), ("a", 71)]);
    let why = "One of 2 sites with the same cause and an outside peer in 203.0.113.0/24, here 203.0.113.8.";
    assert_eq!((members[0].why.as_str(), members[0].joined_by.as_str(), members[0].is_pinned), (why, "serve", false));
    assert_eq!((members[0].host.as_str(), members[0].is_open, members[0].at_s), ("10.0.0.9", true, NOW_S + 80));
    let sites: Vec<(String, u64)> =
        handle.incident_sites(1, 9).unwrap().into_iter().map(|site| (site.agent, site.episodes)).collect();
    assert_eq!(sites, [("a".to_owned(), 1), ("b".to_owned(), 1)]);
    assert_eq!(handle.incident_of("b", 72).unwrap().unwrap(), one);
    assert_eq!((handle.incident_of("c", 73).unwrap(), handle.incident(2).unwrap()), (None, None));
    let page = |filter: IncidentFilter| handle.incidents(&IncidentFilter { limit: 9, ..filter }).unwrap().len();
    let base = IncidentFilter::default;
    assert_eq!(page(base()), 1);
    assert_eq!(page(IncidentFilter { state: Some(IncidentState::Open), ..base() }), 1);
    assert_eq!(page(IncidentFilter { state: Some(IncidentState::Quiet), ..base() }), 0);
    assert_eq!(page(IncidentFilter { group: Some("home".into()), severity: Some(Severity::Low), ..base() }), 1);
    assert_eq!(page(IncidentFilter { group: Some("sho\0p".into()), ..base() }), 0);
    assert_eq!(page(IncidentFilter { severity: Some(Severity::High), ..base() }), 0);
    assert_eq!(page(IncidentFilter { before: Some(1), ..base() }), 0);
    assert_eq!(page(IncidentFilter { unseen: true, ..base() }), 1);
    handle.settle_incidents(NOW_S + 80 + QUIET_S).unwrap();
    assert_eq!(page(IncidentFilter { unseen: true, ..base() }), 1, "it is quiet, and no operator has seen it");
    handle.change_incident(1, &IncidentAction::See, "ann", NOW_S).unwrap();
    assert_eq!(page(IncidentFilter { unseen: true, ..base() }), 0);
    assert_eq!(handle.incident_counts().unwrap()[2], (IncidentState::Quiet, 1));
    let campaign = add(&handle, &draft(2, 7)).id;
    let of = |version| handle.campaign_of_release("home", version).unwrap();
    assert_eq!((of(2), of(3)), (Some(campaign), None));
    let cause = one.cause;
    assert_eq!(handle.episodes_with_cause(&cause, NOW_S, NOW_S + 60).unwrap(), 1);
    assert_eq!(handle.episodes_with_cause(&cause, 0, u64::MAX).unwrap(), 3);
}

pub fn an_episode_joins_one_incident_whoever_is_first<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[attack("a", 1, 71, 7, NOW_S), attack("b", 1, 72, 8, NOW_S)], NOW_S).unwrap();
    let (handle, other) = (folder.handle(), folder.handle());
    let queued = handle.join_queue(false, 9, NOW_S).unwrap();
    let late = joins(&handle, &queued, NOW_S);
    // A process that has lost its lease decided the same, and a person raised one of the episodes.
    let raised = other.raise_incident("a", 71, "ann", NOW_S).unwrap();
    assert_eq!(join(&other, NOW_S), SavedJoins::default());
    assert_eq!(handle.save_joins(&late, &queued, 0, NOW_S).unwrap(), SavedJoins::default());
    assert_eq!(incident(&handle, raised).episodes, 1);
    assert_eq!(handle.incidents(&IncidentFilter { limit: 9, ..IncidentFilter::default() }).unwrap().len(), 1);
    assert_eq!(handle.incident_of("b", 72).unwrap(), None);
}

pub fn an_incident_is_quiet_after_a_day_wakes_and_returns_after_a_week<T: TestStore>() {
    let folder = T::new();
    let (mut store, handle) = with_incident(&folder);
    handle.change_incident(1, &IncidentAction::See, "ann", NOW_S + 90).unwrap();
    handle.settle_incidents(NOW_S + 79 + QUIET_S).unwrap();
    assert_eq!(incident(&handle, 1).state, IncidentState::Seen);
    handle.settle_incidents(NOW_S + 80 + QUIET_S).unwrap();
    assert_eq!(incident(&handle, 1).state, IncidentState::Quiet);
    let later_s = NOW_S + 3 * QUIET_S;
    store.commit(&[attack("d", 1, 74, 9, later_s)], later_s).unwrap();
    assert_eq!(join(&handle, later_s), SavedJoins { incidents: 0, episodes: 1 });
    let woken = incident(&handle, 1);
    assert_eq!((woken.state, woken.sites, woken.active_s), (IncidentState::Seen, 3, later_s));
    assert_eq!(woken.seen_by.as_deref(), Some("ann"));
    let week_s = NOW_S + ACCEPTS_S + 1;
    store.commit(&[attack("d", 2, 75, 9, week_s), attack("e", 1, 76, 9, week_s)], week_s).unwrap();
    assert_eq!(join(&handle, week_s), SavedJoins { incidents: 1, episodes: 2 });
    assert_eq!(incident(&handle, 2).again_of, Some(1));
}

pub fn people_see_assign_note_resolve_and_reopen_incidents<T: TestStore>() {
    let folder = T::new();
    let (_store, handle) = with_incident(&folder);
    let act = |action: IncidentAction| handle.change_incident(1, &action, "ann", NOW_S + 100);
    assert_eq!(act(IncidentAction::Assign(Some("bob".into()))).unwrap(), 1);
    assert_eq!(act(IncidentAction::Note(" looks\r\n\treal ".into())).unwrap(), 1);
    for (text, reason) in [
        (" ".to_owned(), "the note is empty"),
        ("x".repeat(2_001), "the note has 2001 characters, expected at most 2000"),
        ("looks\u{1b}[2J real".to_owned(), "the note has the character U+001B, expected text"),
        ("looks\u{202e} real".to_owned(), "U+202E"),
    ] {
        let error = act(IncidentAction::Note(text)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    for name in [" ", "bob\u{1b}[2J", "bob\nann", &"b".repeat(65)] {
        let error = act(IncidentAction::Assign(Some(name.into()))).unwrap_err().to_string();
        assert!(error.contains("the name of a person has 1 to 64 characters"), "{error}");
    }
    assert!(act(IncidentAction::Reopen).unwrap_err().to_string().contains("nothing to reopen"));
    act(IncidentAction::Resolve(Verdict::Attack)).unwrap();
    let one = incident(&handle, 1);
    assert_eq!((one.state, one.verdict, one.assigned.as_deref()), {
        (IncidentState::Resolved, Some(Verdict::Attack), Some("bob"))
    });
    assert_eq!((one.seen_by.as_deref(), one.resolved_by.as_deref()), (Some("ann"), Some("ann")));
    act(IncidentAction::Reopen).unwrap();
    act(IncidentAction::Assign(None)).unwrap();
    let one = incident(&handle, 1);
    assert_eq!((one.state, one.verdict, one.assigned, one.resolved_by), (IncidentState::Seen, None, None, None));
    let notes = handle.incident_notes(1).unwrap();
    let texts: Vec<&str> = notes.iter().map(|note| note.text.as_str()).collect();
    assert_eq!(texts, ["assignment removed", "reopened", "resolved: attack", "looks\n real", "assigned to bob"]);
    let records = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records;
    let entry = |index: usize| (records[index].object.as_str(), records[index].detail.as_str());
    assert_eq!((records.len(), entry(2)), (5, ("incident 1", "resolved: attack")));
    assert!(records.iter().all(|record| record.who == "ann" && record.action == "incident"));
    let error = handle.change_incident(9, &IncidentAction::See, "ann", NOW_S).unwrap_err();
    assert!(matches!(&error, StoreError::Missing { what, .. } if what == "incident 9"), "{error}");
    // Another incident of the store keeps its own notes, of which the newest 200 stay.
    for number in 0..205 {
        act(IncidentAction::Note(format!("note {number}"))).unwrap();
    }
    assert_eq!(handle.incident_notes(1).unwrap().len(), 200);
    assert_eq!(handle.counter(Counter::NotesDropped).unwrap(), 10);
}

pub fn merges_and_splits_by_people_stay<T: TestStore>() {
    let folder = T::new();
    let (mut store, handle) = with_incident(&folder);
    let raised = handle.raise_incident("c", 73, "ann", NOW_S + 100).unwrap();
    handle.label("c", 73, Label::Attack, "ann", NOW_S + 100).unwrap();
    join(&handle, NOW_S + 101);
    assert_eq!((raised, incident(&handle, 2).severity), (2, Severity::High));
    let error = handle.raise_incident("c", 73, "ann", NOW_S).unwrap_err().to_string();
    assert_eq!(error, "incident 2: it has episode 73 of agent c already");
    assert!(handle.raise_incident("c", 99, "ann", NOW_S).is_err());
    let act = |id, action| handle.change_incident(id, &action, "bob", NOW_S + 110);
    for (id, other, reason) in [(1, 1, "into itself"), (1, 9, "incident 9"), (9, 1, "incident 9")] {
        let error = act(id, IncidentAction::Merge(other)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    act(1, IncidentAction::Merge(2)).unwrap();
    let one = incident(&handle, 1);
    assert_eq!((one.sites, one.episodes, one.severity, one.first_s), (3, 3, Severity::High, NOW_S - 90_000));
    let merged = incident(&handle, 2);
    assert_eq!((merged.state, merged.merged_into), (IncidentState::Merged, Some(1)));
    assert!(act(2, IncidentAction::See).unwrap_err().to_string().contains("merged into incident 1"));
    let of_c = handle.incident_members(1, 9).unwrap().into_iter().find(|one| one.agent == "c").unwrap();
    assert!(of_c.is_pinned && of_c.why == "Merged by bob from incident 2: Raised by ann.", "{}", of_c.why);
    // A repeat of the raised alert belongs to the incident into which it was merged.
    store.commit(&[attack("c", 2, 77, 99, NOW_S + 200)], NOW_S + 200).unwrap();
    join(&handle, NOW_S + 200);
    assert_eq!(handle.incident_of("c", 77).unwrap().unwrap().id, 1);
    let split = |episodes: &[(&str, u64)]| {
        IncidentAction::Split(episodes.iter().map(|(agent, episode)| ((*agent).to_owned(), *episode)).collect())
    };
    let refused: [(&[(&str, u64)], &str); 4] = [
        (&[("z", 1)], "episode 1 of agent `z`"),
        (&[], "no episodes"),
        (&[("a", 71), ("b", 72), ("c", 73), ("c", 77)], "leaves one"),
        (&[("a", 72)], "episode 72"),
    ];
    for (episodes, reason) in refused {
        let error = act(1, split(episodes)).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let new = act(1, split(&[("c", 73), ("c", 77), ("c", 73)])).unwrap();
    assert_eq!((incident(&handle, new).episodes, incident(&handle, 1).episodes), (2, 2));
    assert_eq!(incident(&handle, 1).severity, Severity::High, "it never decreases");
    // New messages leave the episode where the person put it.
    store.commit(&[attack("c", 3, 77, 7, NOW_S + 300)], NOW_S + 300).unwrap();
    join(&handle, NOW_S + 300);
    assert_eq!(handle.incident_of("c", 77).unwrap().unwrap().id, new);
    assert_eq!(handle.check_audit(None).unwrap().problems, Vec::<String>::new());
}

pub fn deleted_episodes_leave_their_incident_and_the_last_one_deletes_it<T: TestStore>() {
    let folder = T::new();
    let (_store, handle) = with_incident(&folder);
    handle.change_incident(1, &IncidentAction::Note("x".into()), "ann", NOW_S).unwrap();
    handle.forget_agent("a", "ann", NOW_S).unwrap();
    assert_eq!(handle.incident_members(1, 9).unwrap().len(), 1);
    let quiet_s = NOW_S + 2 * QUIET_S;
    handle.settle_incidents(quiet_s).unwrap();
    assert_eq!(incident(&handle, 1).state, IncidentState::Quiet);
    handle.forget_agent("b", "ann", NOW_S).unwrap();
    handle.settle_incidents(quiet_s).unwrap();
    assert_eq!((handle.incident(1).unwrap(), handle.incident_notes(1).unwrap()), (None, vec![]));
    assert_eq!(handle.counter(Counter::IncidentsDropped).unwrap(), 1);
}

pub fn the_joiner_knows_when_an_agent_switched_and_which_peers_people_called_benign<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let step = |number, step| {
        received("a", &Message { run: 1, number, sent_s: 0, body: Body::Update(Update { release: 3, step }) })
    };
    store.commit(&[step(1, UpdateStep::Trial)], NOW_S - 50).unwrap();
    store.commit(&[step(2, UpdateStep::Confirmed), attack("a", 3, 71, 7, NOW_S)], NOW_S).unwrap();
    let handle = folder.handle();
    let queued = handle.join_queue(false, 9, NOW_S).unwrap();
    let sighting = &queued[0].sighting;
    assert_eq!((sighting.switched_s, sighting.release, sighting.member), (Some(NOW_S - 50), 3, Membership::None));
    assert!(handle.benign_networks(9).unwrap().is_empty());
    handle.label("a", 71, Label::Benign, "ann", NOW_S).unwrap();
    let networks: Vec<(String, String)> =
        handle.benign_networks(9).unwrap().into_iter().map(|(agent, network)| (agent, network.to_string())).collect();
    assert_eq!(networks, [("a".to_owned(), "203.0.113.0/24".to_owned())]);
}
