//! The publisher with brokers that fail, lose what they have, or are away.

use super::super::testing::{FakeBroker, broker, link, manifest, release, release_of};
use super::*;
use lapwing_collect::LinkState;
use lapwing_common::clock;
use lapwing_shared::release::testing::{chain, root, signed_root};
use lapwing_store::testing::name;
use std::sync::Mutex;
use std::time::Duration;

/// Parts of a release: three chunks and the manifest.
pub(super) const PARTS: usize = 4;

/// A publisher of these brokers, and time in seconds.
pub(super) struct Scene {
    pub(super) publisher: Publisher,
    pub(super) brokers: Vec<Arc<Mutex<FakeBroker>>>,
    pub(super) states: Vec<Arc<LinkState>>,
    counts: Counts,
    pub(super) start: Instant,
}

impl Scene {
    pub(super) fn new(brokers: usize) -> Self {
        let states: Vec<_> = (0..brokers).map(|index| Arc::new(LinkState::new(&format!("mqtt://b{index}")))).collect();
        let brokers: Vec<_> = (0..brokers).map(|_| broker()).collect();
        let publisher =
            Publisher::new(brokers.iter().zip(&states).map(|(broker, state)| link(broker, state)).collect());
        Self { publisher, brokers, states, counts: Counts::default(), start: clock::monotonic() }
    }

    /// A release of another group, with the artifacts of this group's release `network`.
    fn replace_of(&mut self, group: &str, version: u64, network: u64, second: u64) {
        let now = self.start + Duration::from_secs(second);
        self.publisher.replace(&release_of(group, version, network), now).unwrap();
    }

    pub(super) fn topics(&self) -> Vec<String> {
        self.brokers[0].lock().unwrap().retained.keys().cloned().collect()
    }

    fn replace(&mut self, version: u64, second: u64) {
        self.publisher.replace(&release(version), self.start + Duration::from_secs(second)).unwrap();
    }

    /// Passes at each of these seconds; returns how many parts each broker has.
    pub(super) fn pass(&mut self, seconds: std::ops::RangeInclusive<u64>) -> Vec<usize> {
        for second in seconds {
            self.publisher.pass(&self.counts, self.start + Duration::from_secs(second));
        }
        self.brokers.iter().map(|broker| broker.lock().unwrap().retained.len()).collect()
    }
}

#[test]
fn a_broker_that_lost_the_release_gets_it_again_and_the_others_nothing() {
    let mut scene = Scene::new(3);
    scene.states.iter().for_each(|state| state.connected());
    scene.replace(7, 0);
    assert_eq!(scene.pass(0..=15), [PARTS; 3]);
    assert!(scene.states.iter().all(|state| state.refills.get() == 1), "none had it at the first connection");
    let published =
        |scene: &Scene| scene.brokers.iter().map(|broker| broker.lock().unwrap().published.len()).collect::<Vec<_>>();
    assert_eq!(published(&scene), [PARTS; 3], "once");
    scene.brokers[1].lock().unwrap().retained.clear();
    scene.states[1].disconnected();
    assert_eq!(scene.pass(20..=25), [PARTS, 0, PARTS]);
    scene.states[1].connected();
    assert_eq!(scene.pass(26..=40), [PARTS; 3]);
    assert_eq!(published(&scene), [PARTS, 2 * PARTS, PARTS]);
    let last = scene.brokers[1].lock().unwrap().published.last().cloned();
    assert!(last.unwrap().ends_with("/release"), "the manifest comes last");
    assert_eq!((scene.states[1].refills.get(), scene.counts.releases_missing.get()), (2, 0));
    assert_eq!(scene.states[1].snapshot().missing_parts, 0);
}

#[test]
fn newer_root_documents_at_a_broker_are_returned_and_not_replaced_by_older_ones() {
    let of = |last: u64| chain(&[signed_root(&root(1), &[9]), signed_root(&root(last), &[9])]);
    let group = name("home");
    let topic = root_topic(&group).to_string();
    let mut scene = Scene::new(2);
    scene.brokers[0].lock().unwrap().retained.insert(topic.clone(), of(3));
    let forged = chain(&[signed_root(&root(1), &[9]), signed_root(&root(3), &[8])]);
    scene.brokers[1].lock().unwrap().retained.insert(topic.clone(), forged);
    scene.states.iter().for_each(|state| state.connected());
    scene.publisher.set_root(&group, &of(2), scene.start);
    scene.pass(0..=15);
    let retained = |scene: &Scene| [0, 1].map(|at| scene.brokers[at].lock().unwrap().retained[&topic].clone());
    assert_eq!(retained(&scene), [of(3), of(2)], "the forged ones are replaced");
    assert_eq!(scene.publisher.newer_roots(), [("mqtt://b0".to_owned(), of(3))]);
    assert!(scene.publisher.newer_roots().is_empty(), "once");
    scene.publisher.set_root(&group, &of(3), scene.start + Duration::from_secs(16));
    scene.pass(16..=40);
    assert_eq!(retained(&scene), [of(3), of(3)]);
}

#[test]
fn a_broker_that_lost_one_chunk_gets_only_this_chunk() {
    let mut scene = Scene::new(1);
    scene.states[0].connected();
    scene.replace(7, 0);
    scene.pass(0..=15);
    let topic = chunk_topic(&manifest(7).artifacts[0].sha256, 1).to_string();
    scene.brokers[0].lock().unwrap().retained.insert(topic.clone(), b"other".to_vec());
    scene.states[0].connected();
    assert_eq!(scene.pass(20..=40), [PARTS]);
    let broker = scene.brokers[0].lock().unwrap();
    assert_eq!(broker.published[PARTS..], [topic]);
}

#[test]
fn a_broker_that_is_away_delays_no_other_and_gets_only_the_newest_release_later() {
    let mut scene = Scene::new(2);
    scene.states.iter().for_each(|state| state.connected());
    scene.replace(1, 0);
    assert_eq!(scene.pass(0..=15), [PARTS; 2]);
    scene.states[1].disconnected();
    for version in 2..=40 {
        scene.replace(version, version * 20);
        scene.pass(version * 20..=version * 20 + 12);
    }
    let old = &scene.publisher.sites[1].old;
    assert_eq!(old.len(), 38 * 3, "chunks of the releases 1 to 38 wait to be cleared");
    assert_eq!(scene.pass(900..=901), [2 * PARTS - 1, PARTS], "the current and the previous release; release 1");
    scene.states[1].connected();
    assert_eq!(scene.pass(902..=930), [2 * PARTS - 1, PARTS]);
    let broker = scene.brokers[1].lock().unwrap();
    assert!(scene.publisher.sites[1].old.is_empty());
    let expected: Vec<&String> = every(&scene.publisher.parts).map(|part| &part.expected.topic).collect();
    assert!(expected.iter().all(|topic| broker.retained.contains_key(*topic)), "{:?}", broker.retained.keys());
    assert_eq!(broker.published.len(), 2 * PARTS + 38 * 3, "release 1, release 40, and what it clears");
}

#[test]
fn topics_to_clear_are_bounded_and_never_those_of_the_current_release() {
    let mut scene = Scene::new(1);
    for version in 1..2_000 {
        scene.publisher.clear(&manifest(version));
    }
    assert_eq!(scene.publisher.sites[0].old.len(), CLEARS);
    scene.replace(1_999, 0);
    assert_eq!(scene.publisher.sites[0].old.len(), CLEARS - 3);
}

#[test]
fn parts_that_the_link_cannot_take_are_sent_later_in_order() {
    let mut scene = Scene::new(1);
    scene.states[0].connected();
    scene.replace(7, 0);
    scene.brokers[0].lock().unwrap().room = 0;
    assert_eq!(scene.pass(0..=20), [0]);
    for (second, expected) in [(21, 1), (22, 2), (23, 3), (24, 4)] {
        scene.brokers[0].lock().unwrap().room = 1;
        assert_eq!(scene.pass(second..=second), [expected]);
    }
    let topics: Vec<String> = every(&scene.publisher.parts).map(|part| part.expected.topic.clone()).collect();
    assert_eq!(scene.brokers[0].lock().unwrap().published, topics);
}

#[test]
fn a_new_release_of_one_group_leaves_those_of_the_others() {
    let mut scene = Scene::new(1);
    scene.states[0].connected();
    scene.replace(1, 0);
    scene.replace_of("shop", 1, 101, 0);
    assert_eq!(scene.pass(0..=15), [2 * PARTS]);
    let published = scene.brokers[0].lock().unwrap().published.len();
    for version in 2..=4 {
        scene.replace_of("shop", version, 100 + version, version * 20);
        scene.pass(version * 20..=version * 20 + 15);
    }
    let topics = scene.topics();
    assert_eq!(topics.len(), PARTS + PARTS + 3, "both current releases, and the shop's previous one");
    assert!(topics.contains(&release_topic(&manifest(1).group).to_string()));
    let sent = scene.brokers[0].lock().unwrap().published.len() - published;
    assert_eq!(sent, 3 * PARTS + 2 * 3, "three releases of one group, and two clearings");
}

#[test]
fn an_artifact_of_two_groups_stays_until_neither_has_it() {
    let mut scene = Scene::new(1);
    scene.states[0].connected();
    scene.replace(1, 0);
    scene.replace_of("shop", 1, 1, 0);
    scene.pass(0..=15);
    let chunk = chunk_topic(&manifest(1).artifacts[0].sha256, 0).to_string();
    for version in 2..=3 {
        scene.replace(version, version * 20);
        scene.pass(version * 20..=version * 20 + 15);
    }
    assert!(scene.topics().contains(&chunk), "the other group has it");
    for version in 2..=3 {
        scene.replace_of("shop", version, 100 + version, 80 + version * 20);
        scene.pass(80 + version * 20..=95 + version * 20);
    }
    assert!(!scene.topics().contains(&chunk));
}

#[test]
fn a_publisher_that_forgets_its_releases_clears_nothing_and_publishes_nothing() {
    let mut scene = Scene::new(1);
    scene.states[0].connected();
    scene.replace(1, 0);
    scene.pass(0..=15);
    scene.publisher.forget();
    scene.states[0].disconnected();
    scene.brokers[0].lock().unwrap().retained.clear();
    scene.states[0].connected();
    assert_eq!(scene.pass(20..=40), [0], "another process publishes them");
}
