//! The publisher with groups that have rollouts: which messages reach a broker, and in which order.

use super::tests::{PARTS, Scene};
use super::*;
use crate::serve::testing::{manifest, release, release_of};
use lapwing_store::testing::name;
use std::time::Duration;

impl Scene {
    /// Releases of the group `home`, then its rollout.
    fn roll(&mut self, base: u64, next: Option<u64>, before: Option<u64>, rollout: &[u8], second: u64) {
        let now = self.start + Duration::from_secs(second);
        let (base, next) = (release(base), next.map(release));
        let wanted = Wanted { base: &base, next: next.as_deref(), before: before.map(manifest) };
        self.publisher.set_releases(&wanted, now).unwrap();
        self.publisher.set_rollout(&name("home"), rollout, now);
        self.pass(second..=second + 15);
    }

    fn payload(&self, topic: &str) -> Option<Vec<u8>> {
        self.brokers[0].lock().unwrap().retained.get(topic).cloned()
    }

    /// Topics of the publications since the last call.
    fn published(&self) -> Vec<String> {
        std::mem::take(&mut self.brokers[0].lock().unwrap().published)
    }
}

/// The version that the topic of a manifest has.
fn version_on(scene: &Scene, topic: &str) -> u64 {
    let signed = scene.payload(topic).unwrap();
    let signed = lapwing_shared::release::signature::SignedManifest::decode(&signed).unwrap();
    Manifest::decode(signed.manifest).unwrap().version
}

const ROLLOUT: &str = "lapwing/v1/group/home/rollout";
const RELEASE: &str = "lapwing/v1/group/home/release";

fn of_version(version: u64) -> String {
    format!("{RELEASE}/{version}")
}

fn scene() -> Scene {
    let scene = Scene::new(1);
    scene.states[0].connected();
    scene
}

#[test]
fn a_rollout_follows_the_releases_that_it_names_and_another_wave_is_one_publication() {
    let mut scene = scene();
    scene.roll(1, None, None, b"rollout 1", 0);
    let first = scene.published();
    assert_eq!(first.len(), PARTS + 2, "chunks, two manifests, rollout");
    assert_eq!(first.last().map(String::as_str), Some(ROLLOUT));
    scene.roll(1, Some(2), None, b"rollout 2", 20);
    let second = scene.published();
    assert_eq!(second.len(), PARTS + 1, "chunks and manifest of the next release, rollout: {second:?}");
    assert_eq!([&second[PARTS - 1], &second[PARTS]], [&of_version(2), ROLLOUT]);
    for (wave, second) in [(3, 40), (4, 60), (5, 80)] {
        scene.roll(1, Some(2), None, format!("rollout {wave}").as_bytes(), second);
        assert_eq!(scene.published(), [ROLLOUT], "however many agents the wave has");
    }
    assert_eq!((version_on(&scene, RELEASE), version_on(&scene, &of_version(2))), (1, 2));
}

#[test]
fn the_release_of_the_whole_group_changes_only_when_the_campaign_is_completed() {
    let mut scene = scene();
    scene.roll(1, None, None, b"1", 0);
    scene.roll(1, Some(2), None, b"2", 20);
    assert_eq!(version_on(&scene, RELEASE), 1);
    scene.published();
    scene.roll(2, None, Some(1), b"3", 40);
    assert_eq!(version_on(&scene, RELEASE), 2, "agents without rollouts are the last wave");
    assert_eq!(scene.published(), [RELEASE, ROLLOUT], "the brokers have the rest");
    assert_eq!(version_on(&scene, &of_version(1)), 1, "of the release before, which stays");
}

#[test]
fn a_withdrawn_release_is_cleared_and_what_agents_go_back_to_stays() {
    let mut scene = scene();
    scene.roll(1, Some(2), None, b"1", 0);
    scene.roll(1, None, None, b"2", 20);
    scene.publisher.clear_version(&manifest(2));
    scene.publisher.clear_version(&manifest(1));
    scene.pass(21..=30);
    assert_eq!(scene.payload(&of_version(2)), None);
    assert_eq!(scene.payload(&chunk_topic(&manifest(2).artifacts[0].sha256, 0)), None);
    assert_eq!(version_on(&scene, &of_version(1)), 1);
    assert_eq!(scene.topics().len(), PARTS + 2);
}

#[test]
fn a_broker_that_was_away_gets_the_newest_rollout_after_its_releases() {
    let mut scene = scene();
    scene.states[0].disconnected();
    scene.roll(1, Some(2), None, b"1", 0);
    scene.roll(1, Some(2), None, b"2", 20);
    scene.roll(2, None, Some(1), b"3", 40);
    assert!(scene.topics().is_empty());
    scene.states[0].connected();
    scene.pass(60..=90);
    let published = scene.published();
    assert_eq!(published.len(), PARTS + 2, "release 2 and one rollout: {published:?}");
    assert_eq!((published.last().map(String::as_str), scene.payload(ROLLOUT)), (Some(ROLLOUT), Some(b"3".to_vec())));
}

#[test]
fn a_rollout_of_one_group_leaves_the_other_groups() {
    let mut scene = scene();
    scene.publisher.replace(&release_of("shop", 7, 7), scene.start).unwrap();
    scene.roll(1, None, None, b"1", 0);
    scene.published();
    scene.roll(1, Some(7), None, b"2", 20);
    scene.roll(1, None, None, b"3", 40);
    scene.publisher.clear_version(&manifest(7));
    scene.pass(60..=70);
    assert_eq!(version_on(&scene, "lapwing/v1/group/shop/release"), 7);
    assert!(scene.payload(&chunk_topic(&manifest(7).artifacts[0].sha256, 0)).is_some(), "the other group has it");
}
