//! Episodes, labels and agents.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::testing::{agents_by_name, alert, name, received, samples, status};
use crate::{AlertFilter, Classification, EpisodeFilter, Label, Limits};
use lapwing_shared::messages::AlertState;

pub fn labelling_a_missing_episode_names_the_list_command<T: TestStore>() {
    let folder = T::new();
    let store = folder.open(Limits::default());
    let error = store.handle().unwrap().label("gw", 1, Label::Benign, "operator", 6).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store has no alert episode 1 of agent `gw`; run `lapwing-trainer alerts` for a list"
    );
}

pub fn the_alert_list_shows_the_newest_message_of_each_episode<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let batch = [
        received("gw", &alert(1, 1, 5, AlertState::Opened, (1000, 1001))),
        received("gw", &alert(1, 2, 6, AlertState::Opened, (1002, 1003))),
        received("gw", &alert(1, 3, 5, AlertState::Closed, (1000, 1030))),
        received("gw", &status(1)),
    ];
    store.commit(&batch, 5).unwrap();
    let handle = store.handle().unwrap();
    let filter = AlertFilter { limit: 10, ..AlertFilter::default() };
    let lines = handle.alerts(&filter).unwrap();
    let short: Vec<_> = lines.iter().map(|line| (line.number, line.state(), line.record.at.as_secs())).collect();
    assert_eq!(short, [(5, "closed", 1030), (6, "opened", 1003)]);
    assert_eq!((lines[0].record.host.to_string().as_str(), lines[0].role()), ("10.0.0.9", "source"));
    handle.label("gw", 5, Label::Attack, "operator", 6).unwrap();
    let unlabelled = AlertFilter { unlabelled: true, ..filter };
    assert_eq!(handle.alerts(&unlabelled).unwrap().len(), 1);
    let agents = handle.agents().unwrap();
    assert_eq!((agents[0].alerts, agents[0].last_seen_s, agents[0].status.is_some()), (3, 5, true));
}

pub fn late_messages_leave_the_newest_state<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let message = |number, state, at_s| received("gw", &alert(1, number, 7, state, (1_000, at_s)));
    store.commit(&[message(3, AlertState::Closed, 1_400)], 5).unwrap();
    store.commit(&[message(1, AlertState::Opened, 1_005), message(2, AlertState::Updated, 1_065)], 6).unwrap();
    let (episode, messages) = store.handle().unwrap().episode("gw", 7, 9).unwrap().unwrap();
    assert_eq!((episode.state(), episode.record.at.as_secs(), messages.len()), ("closed", 1_400, 3));
    assert_eq!(episode.record.open_at.map(|at| at.as_secs()), Some(1_065));
    assert_eq!(store.progress(&name("gw"), 1).unwrap().unwrap().up_to(), 3);
}

pub fn pages_are_filtered_and_continue<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let message = |number: u64| {
        let state = if number.is_multiple_of(2) { AlertState::Closed } else { AlertState::Opened };
        let agent = ["gw-1", "gw-2", "gw-3"][number as usize % 3];
        received(agent, &alert(1, number, number, state, (number * 100, number * 100 + 5)))
    };
    store.commit(&(1..=30).map(message).collect::<Vec<_>>(), 5).unwrap();
    let handle = store.handle().unwrap();
    let all = |filter: EpisodeFilter| {
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = handle.episodes(&EpisodeFilter { limit: 4, before, ..filter.clone() }).unwrap();
            assert!(page.episodes.len() <= 4);
            found.extend(page.episodes.iter().map(|episode| episode.number));
            before = page.next;
            if before.is_none() {
                return found;
            }
        }
    };
    let newest = |is_wanted: fn(&u64) -> bool| (1..=30).rev().filter(is_wanted).collect::<Vec<u64>>();
    let filter = EpisodeFilter::default;
    assert_eq!(all(filter()), newest(|_| true));
    assert_eq!(all(EpisodeFilter { agent: Some("gw-2".into()), ..filter() }), newest(|number| number % 3 == 1));
    assert_eq!(all(EpisodeFilter { open: Some(true), ..filter() }), newest(|number| number % 2 == 1));
    assert_eq!(all(EpisodeFilter { open: Some(false), ..filter() }), newest(|number| number % 2 == 0));
    let closed_of =
        EpisodeFilter { agent: Some("gw-2".into()), open: Some(false), kind: Some("unknown".into()), ..filter() };
    assert_eq!(all(closed_of.clone()), newest(|number| number % 6 == 4));
    let closed_between = EpisodeFilter { from_s: Some(1_000), ..closed_of };
    assert_eq!(all(closed_between), newest(|number| *number >= 10 && number % 6 == 4));
    let both = EpisodeFilter { agent: Some("gw-2".into()), open: Some(true), ..filter() };
    assert_eq!(all(both), newest(|number| number % 6 == 1));
    let times = EpisodeFilter { from_s: Some(1_000), to_s: Some(2_000), ..filter() };
    assert_eq!(all(times.clone()), newest(|number| (10..=20).contains(number)));
    let open = EpisodeFilter { open: Some(true), ..times };
    assert_eq!(all(open), newest(|number| (10..=20).contains(number) && number % 2 == 1));
    assert_eq!(all(EpisodeFilter { kind: Some("unknown".into()), ..filter() }).len(), 30);
    assert!(all(EpisodeFilter { kind: Some("flood".into()), ..filter() }).is_empty());
    assert!(all(EpisodeFilter { agent: Some("gw-9".into()), ..filter() }).is_empty());
}

pub fn a_label_of_a_later_operator_replaces_the_earlier<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    store.commit(&[received("gw", &alert(1, 1, 5, AlertState::Opened, (1, 2)))], 5).unwrap();
    let handle = store.handle().unwrap();
    handle.label("gw", 5, Label::Attack, "ann", 6).unwrap();
    assert_eq!(handle.labelled_attacks(9).unwrap().len(), 1);
    handle.label("gw", 5, Label::Benign, "bob", 7).unwrap();
    // A later message keeps the label.
    store.commit(&[received("gw", &alert(1, 2, 5, AlertState::Closed, (1, 9)))], 8).unwrap();
    let episode = handle.episode("gw", 5, 1).unwrap().unwrap().0;
    assert_eq!((episode.label, episode.labelled_by.as_deref()), (Some(Label::Benign), Some("bob")));
    assert_eq!(handle.labelled_attacks(9).unwrap(), []);
}

pub fn the_queue_of_the_classifier_empties_and_fills_with_messages_and_rows<T: TestStore>() {
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let handle = store.handle().unwrap();
    store.commit(&[received("gw", &alert(1, 1, 5, AlertState::Opened, (1_000, 1_005)))], 5).unwrap();
    let classify = || {
        let taken = handle.unclassified_episodes(9).unwrap();
        let class = Classification { class: "flood".into(), probability: Some(0.75), rows: 2 };
        let classified: Vec<_> = taken.into_iter().map(|span| (span, Some(class.clone()))).collect();
        handle.set_classes(&classified, "model", 6).unwrap();
        classified.len()
    };
    assert_eq!((classify(), classify()), (1, 0));
    assert_eq!(handle.episode("gw", 5, 1).unwrap().unwrap().0.shown_class(), "flood");
    let rows = |number, at_s| received("gw", &samples(1, number, &[(at_s, true)]));
    store.commit(&[rows(2, 9_000), received("gw", &samples(1, 3, &[(1_001, false)]))], 7).unwrap();
    assert_eq!(classify(), 0, "rows of another time, or of no suspect host");
    store.commit(&[rows(4, 1_060)], 8).unwrap();
    assert_eq!(classify(), 1, "within an update interval after the last message");
    store.commit(&[received("gw", &alert(1, 5, 5, AlertState::Closed, (1_000, 1_200)))], 9).unwrap();
    assert_eq!(classify(), 1);
    let flood = EpisodeFilter { kind: Some("flood".into()), limit: 9, ..EpisodeFilter::default() };
    assert_eq!(handle.episodes(&flood).unwrap().episodes.len(), 1);
}

pub fn counts_of_open_episodes_and_days_follow_the_messages<T: TestStore>() {
    const DAY_S: u64 = 86_400;
    let folder = T::new();
    let mut store = folder.open(Limits::default());
    let message = |agent: &str, number, episode, state, since_s| {
        received(agent, &alert(1, number, episode, state, (since_s, since_s + 5)))
    };
    let batch = [
        message("gw-1", 1, 1, AlertState::Opened, DAY_S),
        message("gw-1", 2, 2, AlertState::Opened, DAY_S + 5),
        message("gw-1", 3, 2, AlertState::Closed, DAY_S + 5),
        message("gw-2", 1, 1, AlertState::Opened, 2 * DAY_S),
    ];
    store.commit(&batch, 5).unwrap();
    // The agent's clock is set, which moves the start.
    store.commit(&[message("gw-2", 2, 1, AlertState::Updated, 3 * DAY_S)], 6).unwrap();
    let handle = store.handle().unwrap();
    let open: Vec<_> = agents_by_name(&handle).iter().map(|row| row.open_alerts).collect();
    assert_eq!(open, [1, 1]);
    let days = |agent| {
        let counts = handle.opened_by_day(0..=9, agent).unwrap();
        counts.into_iter().map(|count| (count.day, count.agent, count.episodes)).collect::<Vec<_>>()
    };
    assert_eq!(days(None), [(1, "gw-1".into(), 2), (3, "gw-2".into(), 1)]);
    assert_eq!(days(Some("gw-2")), [(3, "gw-2".into(), 1)]);
    assert_eq!((handle.newest_day(None).unwrap(), handle.newest_day(Some("gw-1")).unwrap()), (Some(3), Some(1)));
    handle.forget_agent("gw-1", "ann", 9).unwrap();
    assert_eq!(days(None), [(3, "gw-2".into(), 1)]);
}
