//! Files and releases that cannot be used, and a store that fails between two steps.

use super::group_tests::two_groups;
use super::testing::{manifest, release, release_of};
use super::tests::{Maker, Subscriber, config, learner, serve, store_rows, store_rows_of, versions, wait_for_training};
use super::tests::{tick_and_train, tick_and_train_at};
use super::*;
use lapwing_common::clock;
use lapwing_fleet::GroupProblem;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::Body;
use lapwing_shared::messages::topics::release_topic;
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{KeyUse, SignedManifest};
use lapwing_store::testing::{Folder, WriteLock, impatient, name, received, status};
use lapwing_store::{AuditFilter, HeldState, JobState, Limits, Store};
use std::sync::atomic::Ordering;

/// `seconds` after `now`.
fn after(now: Moment, seconds: u64) -> Moment {
    Moment { monotonic: now.monotonic + Duration::from_secs(seconds), ..now }
}

fn problems(server: &mut Server, now: Moment) -> Vec<GroupProblem> {
    server.tick(now).unwrap();
    server.process().lock().unwrap().problems.clone()
}

/// Actions and objects of the audit log, oldest first.
fn audit(handle: &StoreHandle) -> Vec<(String, String)> {
    let filter = AuditFilter { limit: 99, ..AuditFilter::default() };
    let records = handle.audit(&filter).unwrap().records;
    records.into_iter().rev().map(|record| (record.action, record.object)).collect()
}

fn pair(action: &str, object: &str) -> (String, String) {
    (action.into(), object.into())
}

#[test]
fn a_damaged_release_file_is_a_problem_of_its_group_until_it_is_replaced() {
    let folder = Folder::new();
    let releases = |group| ReleaseDir::new(&folder.path().join("releases"), group);
    let mut bytes = release(2);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    releases("home").write(2, &bytes).unwrap();
    releases("shop").write(5, &release_of("shop", 5, 5)).unwrap();
    let now = clock::moment();
    let mut server = serve(two_groups(&folder), Arc::new(Maker::default()), now).unwrap();
    let subscriber = |group| {
        let topic = release_topic(&name(group));
        Subscriber::new(&server, group, &[topic.as_str()])
    };
    let [home, shop] = ["home", "shop"].map(subscriber);
    let sent = |subscriber: &Subscriber| {
        Manifest::decode(SignedManifest::decode(&subscriber.receive().1).unwrap().manifest).unwrap()
    };
    assert_eq!(sent(&shop).version, 5, "the other group continues");
    let problem = String::from("release 2: artifact 0 of the release file does not match the manifest");
    let expected = GroupProblem { role: "publish", group: "home".into(), problem };
    assert_eq!(problems(&mut server, after(now, 1)), std::slice::from_ref(&expected));
    releases("home").write(2, &release(2)).unwrap();
    assert_eq!(problems(&mut server, after(now, 59)), [expected], "it tries again a minute after the failure");
    assert_eq!(problems(&mut server, after(now, 60)), []);
    assert_eq!(sent(&home), manifest(2));
    server.stop().unwrap();
}

#[test]
#[cfg(unix)]
fn a_group_whose_files_cannot_be_made_private_makes_no_release_until_they_are() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let releases = folder.path().join("releases");
    std::fs::create_dir(&releases).unwrap();
    let file = releases.join("home-1.card.html");
    std::os::unix::fs::symlink(&file, &file).unwrap();
    let now = clock::moment();
    let mut server = serve(two_groups(&folder), Arc::clone(&maker), now).unwrap();
    let found = problems(&mut server, now);
    assert_eq!(found.iter().map(|found| (found.role, found.group.as_str())).collect::<Vec<_>>(), [("train", "home")]);
    assert!(found[0].problem.contains("home-1.card.html"), "{found:?}");
    store_rows_of(&server, "gw-1", "home", 1..6);
    store_rows_of(&server, "gw-2", "shop", 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let [home, shop] = ["home", "shop"].map(|group| handle.request_retraining(Some(group), "ann", 1).unwrap());
    tick_and_train_at(&mut server, now);
    tick_and_train_at(&mut server, now);
    let state = |job| handle.job_state(job).unwrap().0;
    assert_eq!((state(home), state(shop)), (JobState::Waiting, JobState::Done));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(problems(&mut server, after(now, 59)).len(), 1);
    tick_and_train_at(&mut server, after(now, 60));
    assert_eq!((state(home), versions(&server, "home")), (JobState::Done, vec![1]));
    assert_eq!(problems(&mut server, after(now, 61)), []);
    server.stop().unwrap();
}

#[test]
fn a_release_that_the_store_cannot_take_now_is_stored_later_under_the_same_version() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut server = serve(config(&folder), Arc::clone(&maker), clock::moment()).unwrap();
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let job = handle.request_retraining(None, "ann", 1).unwrap();
    let now = clock::moment();
    server.tick(now).unwrap();
    assert!(wait_for_training(&server));
    learner(&mut server).handle = impatient(&folder.store());
    let lock = WriteLock::take(&folder.store());
    for _ in 0..2 {
        let error = learner(&mut server).pass(now).unwrap_err();
        assert!(matches!(&error, ServeError::Store(error) if error.is_temporary()), "{error}");
    }
    assert_eq!(versions(&server, "home"), [1], "the file is written");
    drop(lock);
    for _ in 0..3 {
        learner(&mut server).pass(now).unwrap();
    }
    assert_eq!(handle.job_state(job).unwrap(), (JobState::Done, Some("release 1".into())));
    assert_eq!((versions(&server, "home"), maker.rows.lock().unwrap().len()), (vec![1], 1), "trained and signed once");
    assert_eq!(audit(&handle), [pair("retrain", "every group"), pair("release", "home/1")]);
    server.stop().unwrap();
}

#[test]
fn an_approved_release_is_signed_once_although_the_store_fails_meanwhile() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    maker.holds.store(true, Ordering::Relaxed);
    let mut config = config(&folder);
    let key = folder.path().join("key");
    ReleaseKey::generate("test").unwrap().save(&key, &folder.path().join("pub"), KeyUse::Any, None).unwrap();
    config.retrain.key = Some(key);
    let mut server = serve(config, Arc::clone(&maker), clock::moment()).unwrap();
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    handle.request_retraining(None, "ann", 1).unwrap();
    tick_and_train(&mut server);
    handle.decide_held("home", 1, true, "bob", 2).unwrap();
    let state = || handle.held_releases("home", 9).unwrap()[0].state;
    learner(&mut server).handle = impatient(&folder.store());
    let lock = WriteLock::take(&folder.store());
    server.tick(clock::moment()).unwrap();
    assert_eq!((state(), versions(&server, "home")), (HeldState::Approved, vec![1]), "it waits for the store");
    let signed = std::fs::read(folder.path().join("releases/home-1.lwr")).unwrap();
    drop(lock);
    for _ in 0..3 {
        server.tick(clock::moment()).unwrap();
    }
    assert_eq!((state(), versions(&server, "home")), (HeldState::Published, vec![1]));
    assert_eq!(std::fs::read(folder.path().join("releases/home-1.lwr")).unwrap(), signed);
    let expected = [pair("retrain", "every group"), pair("approve", "home/1"), pair("release", "home/1")];
    assert_eq!(audit(&handle), expected);
    server.stop().unwrap();
}

#[test]
fn a_server_restored_from_nothing_continues_after_the_versions_of_its_agents() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.release = 57;
    let mut store = Store::open(folder.store(), Limits::default()).unwrap();
    store.commit(&[received("gw-7", &message)], 1).unwrap();
    drop(store);
    let now = clock::moment();
    let mut server = serve(config(&folder), Arc::clone(&maker), now).unwrap();
    let found = problems(&mut server, now);
    assert_eq!(found.iter().map(|found| (found.role, found.group.as_str())).collect::<Vec<_>>(), [("train", "home")]);
    assert!(found[0].problem.starts_with("agent gw-7 has confirmed or reported release version 57"), "{found:?}");
    store_rows(&server, 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    handle.request_retraining(None, "ann", 1).unwrap();
    tick_and_train_at(&mut server, now);
    assert_eq!(versions(&server, "home"), [58]);
    assert_eq!(problems(&mut server, after(now, 60)), []);
    server.stop().unwrap();
}

#[test]
fn the_gate_does_not_compare_with_a_release_that_a_campaign_withdrew() {
    let folder = Folder::new();
    let mut config = config(&folder);
    config.retrain.after_rows = 5;
    let mut server = serve(config, Arc::new(Maker::default()), clock::moment()).unwrap();
    for version in 1..=2 {
        store_rows(&server, version * 5 - 4..version * 5 + 1);
        tick_and_train(&mut server);
    }
    assert_eq!(versions(&server, "home"), [1, 2]);
    let previous = |server: &mut Server| learner(server).order(0, 4).unwrap().0.guard.previous;
    assert_eq!(previous(&mut server), Some(release(2)));
    let mut rollout = lapwing_shared::rollout::testing::rollout(1, 1);
    rollout.withdraw(2);
    assert!(StoreHandle::open(folder.store()).unwrap().add_rollout(&rollout).unwrap());
    assert_eq!(previous(&mut server), Some(release(1)));
    server.stop().unwrap();
}
