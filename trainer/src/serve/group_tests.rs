//! Several groups, roles and leases of a server.

use super::leases::tests::{Process, Shared};
use super::roles::Roles;
use super::testing::{manifest, release_of};
use super::tests::{
    Maker, Subscriber, TIMEOUT, config, learner, serve, store_rows_of, tick_and_train, tick_and_train_at, versions,
};
use super::*;
use crate::config::GroupSection;
use lapwing_common::clock;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::messages::topics::{release_topic, rollout_topic};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{KeyUse, SignedManifest};
use lapwing_store::testing::{Folder, name};
use lapwing_store::{JobState, Release};
use std::sync::mpsc::sync_channel;

const DAY_S: u64 = 86_400;

fn group(text: &str) -> GroupSection {
    toml::from_str(text).unwrap()
}

/// Groups `home` and `shop`.
pub(super) fn two_groups(folder: &Folder) -> Config {
    let mut config = config(folder);
    config.retrain.group = Config::default().retrain.group;
    config.groups = vec![group("name = 'home'"), group("name = 'shop'\nmin-rows = 2\nseed = 9")];
    config
}

fn start(folder: &Folder, maker: &Arc<Maker>) -> Server {
    serve(two_groups(folder), Arc::clone(maker), clock::moment()).unwrap()
}

/// Version and group of a manifest that a subscriber receives.
fn received(subscriber: &Subscriber) -> (String, u64) {
    let signed = subscriber.receive().1;
    let manifest = Manifest::decode(SignedManifest::decode(&signed).unwrap().manifest).unwrap();
    (manifest.group.to_string(), manifest.version)
}

#[test]
fn a_group_trains_on_the_rows_of_its_agents_and_its_agents_get_its_release() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut server = start(&folder, &maker);
    let topics = ["home", "shop"].map(|group| release_topic(&name(group)));
    let subscribers = topics.each_ref().map(|topic| Subscriber::new(&server, topic, &[topic.as_str()]));
    store_rows_of(&server, "gw-1", "home", 1..6);
    store_rows_of(&server, "gw-2", "shop", 1..3);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let shop = handle.request_retraining(Some("shop"), "ann", 1).unwrap();
    tick_and_train(&mut server);
    assert_eq!(handle.job_state(shop).unwrap(), (JobState::Done, Some("release 1".into())));
    assert_eq!((versions(&server, "shop"), versions(&server, "home")), (vec![1], vec![]));
    let every = handle.request_retraining(None, "bob", 2).unwrap();
    tick_and_train(&mut server);
    tick_and_train(&mut server);
    assert_eq!(handle.job_state(every).unwrap(), (JobState::Done, Some("release 1".into())), "of home");
    assert_eq!((versions(&server, "shop"), versions(&server, "home")), (vec![1, 2], vec![1]));
    assert_eq!(*maker.rows.lock().unwrap(), [2, 5, 2]);
    let seeds: Vec<_> =
        maker.orders.lock().unwrap().iter().map(|order| (order.group.to_string(), order.seed)).collect();
    assert_eq!(seeds, [("shop".into(), 9), ("home".into(), 1), ("shop".into(), 9)]);
    assert_eq!(received(&subscribers[0]), ("home".into(), 1));
    assert_eq!([received(&subscribers[1]), received(&subscribers[1])], [("shop".into(), 1), ("shop".into(), 2)]);
    let lost = handle.request_retraining(Some("barn"), "ann", 3).unwrap();
    tick_and_train(&mut server);
    assert!(handle.job_state(lost).unwrap().1.unwrap().contains("no group `barn`; it has home, shop"));
    server.stop().unwrap();
}

#[test]
fn new_rows_of_one_group_cause_no_training_of_another() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut config = two_groups(&folder);
    config.retrain.after_rows = 4;
    let mut server = serve(config, Arc::clone(&maker), clock::moment()).unwrap();
    store_rows_of(&server, "gw-1", "home", 1..5);
    store_rows_of(&server, "gw-2", "shop", 1..4);
    tick_and_train(&mut server);
    tick_and_train(&mut server);
    assert_eq!((versions(&server, "home"), versions(&server, "shop")), (vec![1], vec![]), "3 rows are too few");
    store_rows_of(&server, "gw-2", "shop", 4..5);
    tick_and_train(&mut server);
    assert_eq!((versions(&server, "home"), versions(&server, "shop")), (vec![1], vec![1]));
    server.stop().unwrap();
    let restarted = serve(
        Config {
            retrain: crate::config::RetrainSection { after_rows: 4, ..two_groups(&folder).retrain },
            ..two_groups(&folder)
        },
        Arc::clone(&maker),
        clock::moment(),
    );
    let mut server = restarted.unwrap();
    tick_and_train(&mut server);
    assert_eq!(maker.rows.lock().unwrap().len(), 2, "rows that have trained do not count again");
    server.stop().unwrap();
}

#[test]
fn an_agent_that_an_operator_moved_trains_the_other_group() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut server = start(&folder, &maker);
    store_rows_of(&server, "gw-1", "home", 1..6);
    let handle = StoreHandle::open(folder.store()).unwrap();
    handle.assign_group("gw-1", Some("shop"), "ann", 9).unwrap();
    handle.request_retraining(None, "ann", 1).unwrap();
    tick_and_train(&mut server);
    tick_and_train(&mut server);
    assert_eq!((versions(&server, "home"), versions(&server, "shop")), (vec![], vec![1]));
    server.stop().unwrap();
}

#[test]
fn a_failure_of_one_group_pauses_only_this_group() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut config = two_groups(&folder);
    config.retrain.every = Some("7d".parse().unwrap());
    let start = clock::moment();
    let at = |seconds: u64| Moment {
        wall_s: start.wall_s + seconds,
        monotonic: start.monotonic + Duration::from_secs(seconds),
    };
    let mut server = serve(config, Arc::clone(&maker), start).unwrap();
    store_rows_of(&server, "gw-2", "shop", 1..3);
    tick_and_train_at(&mut server, at(7 * DAY_S));
    tick_and_train_at(&mut server, at(7 * DAY_S));
    assert_eq!((versions(&server, "home"), versions(&server, "shop")), (vec![], vec![1]), "home has no rows");
    store_rows_of(&server, "gw-1", "home", 1..6);
    tick_and_train_at(&mut server, at(7 * DAY_S + 599));
    assert_eq!(versions(&server, "home"), Vec::<u64>::new());
    tick_and_train_at(&mut server, at(7 * DAY_S + 600));
    assert_eq!((versions(&server, "home"), versions(&server, "shop")), (vec![1], vec![1]));
    server.stop().unwrap();
}

#[test]
fn a_release_that_another_process_made_is_published() {
    let folder = Folder::new();
    let mut server = start(&folder, &Arc::new(Maker::default()));
    let topic = release_topic(&name("shop"));
    let subscriber = Subscriber::new(&server, "subscriber", &[topic.as_str()]);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let release = |version| Release {
        group: "shop".into(),
        version,
        manifest_sha256: [0; 32],
        made_s: 1,
        file: "unused".into(),
        reason: None,
    };
    handle.add_release(&release(4), "serve", 1).unwrap();
    server.tick(clock::moment()).unwrap();
    let releases = ReleaseDir::new(&folder.path().join("releases"), "shop");
    releases.write(5, &release_of("shop", 5, 5)).unwrap();
    handle.add_release(&release(5), "serve", 1).unwrap();
    let now = clock::moment();
    server.tick(now).unwrap();
    let later = Moment { monotonic: now.monotonic + Duration::from_secs(60), ..now };
    server.tick(later).unwrap();
    assert_eq!(received(&subscriber), ("shop".into(), 5), "after a file that is missing");
    server.stop().unwrap();
}

/// Gives the leases to a process.
fn move_to(shared: &Shared, process: u32) {
    for name in ["train", "publish"] {
        shared.0.lock().unwrap().insert(name, process);
    }
}

#[test]
fn only_the_process_with_the_lease_trains_and_publishes_and_another_continues() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut server = start(&folder, &maker);
    store_rows_of(&server, "gw-1", "home", 1..6);
    let shared = Shared::default();
    server.leases = Leases::new(Box::new(Process(shared.clone(), 1)), &Roles::default());
    move_to(&shared, 2);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let job = handle.request_retraining(Some("home"), "ann", 1).unwrap();
    tick_and_train(&mut server);
    assert_eq!(handle.job_state(job).unwrap().0, JobState::Waiting);
    assert!(server.process().lock().unwrap().leases.iter().all(|lease| !lease.is_held));
    // The other process claims the job and dies.
    assert!(handle.take_jobs("home").unwrap().is_some());
    move_to(&shared, 1);
    tick_and_train(&mut server);
    assert_eq!(handle.job_state(job).unwrap(), (JobState::Done, Some("release 1".into())));
    assert_eq!(versions(&server, "home"), [1]);
    let subscriber = Subscriber::new(&server, "subscriber", &[release_topic(&name("home")).as_str()]);
    assert_eq!(received(&subscriber), ("home".into(), manifest(1).version));
    learner(&mut server);
    server.stop().unwrap();
}

#[test]
fn only_the_process_with_the_lease_makes_rollouts_and_another_continues() {
    let folder = Folder::new();
    let mut config = two_groups(&folder);
    config.groups[1].rollout.key = Some(folder.path().join("rollout.key"));
    let key = ReleaseKey::from_secret("rollout-1", &[5; 32]).unwrap();
    key.save(&folder.path().join("rollout.key"), &folder.path().join("rollout.pub"), KeyUse::Any, None).unwrap();
    let mut server = serve(config, Arc::new(Maker::default()), clock::moment()).unwrap();
    let topic = rollout_topic(&name("shop"));
    let subscriber = Subscriber::new(&server, "subscriber", &[topic.as_str()]);
    let shared = Shared::default();
    server.leases = Leases::new(Box::new(Process(shared.clone(), 1)), &Roles::default());
    move_to(&shared, 2);
    ReleaseDir::new(&folder.path().join("releases"), "shop").write(5, &release_of("shop", 5, 5)).unwrap();
    server.tick(clock::moment()).unwrap();
    let handle = StoreHandle::open(folder.store()).unwrap();
    assert_eq!(handle.newest_rollout("shop").unwrap(), None);
    move_to(&shared, 1);
    server.tick(clock::moment()).unwrap();
    let signed = subscriber.receive().1;
    let keys = (name("rollout-1"), ed25519_dalek::VerifyingKey::from_bytes(&key.public().unwrap().public()).unwrap());
    let rollout = lapwing_shared::rollout::signed::open(&signed, &keys, &name("shop")).unwrap();
    assert_eq!((rollout.serial, rollout.base), (1, 5));
    assert_eq!(handle.newest_rollout("home").unwrap(), None, "this group has no key");
    assert_eq!(server.counts().snapshot().rollouts_published, 1);
    server.stop().unwrap();
}

#[test]
fn a_training_whose_lease_is_lost_is_discarded_and_its_request_trained_again_after_its_end() {
    let (folder, maker) = (Folder::new(), Arc::new(Maker::default()));
    let mut server = start(&folder, &maker);
    store_rows_of(&server, "gw-1", "home", 1..6);
    let shared = Shared::default();
    server.leases = Leases::new(Box::new(Process(shared.clone(), 1)), &Roles::default());
    move_to(&shared, 1);
    let (training, wait) = sync_channel(0);
    *maker.wait.lock().unwrap() = Some(wait);
    let handle = StoreHandle::open(folder.store()).unwrap();
    let job = handle.request_retraining(Some("home"), "ann", 1).unwrap();
    server.tick(clock::moment()).unwrap();
    assert_eq!(handle.job_state(job).unwrap().0, JobState::Running);
    move_to(&shared, 2);
    server.tick(clock::moment()).unwrap();
    assert!(server.learner.is_none());
    move_to(&shared, 1);
    server.tick(clock::moment()).unwrap();
    assert!(server.learner.is_none(), "two trainings at a time");
    drop(training);
    let deadline = clock::after(TIMEOUT);
    while server.learner.is_none() {
        assert!(clock::monotonic() < deadline, "the discarded training blocks the next one");
        server.tick(clock::moment()).unwrap();
        std::thread::yield_now();
    }
    while handle.job_state(job).unwrap().0 != JobState::Done {
        assert!(clock::monotonic() < deadline, "the request was not trained again");
        tick_and_train(&mut server);
    }
    assert_eq!(*maker.rows.lock().unwrap(), [5, 5]);
    assert_eq!(handle.job_state(job).unwrap().1.as_deref(), Some("release 1"), "the discarded one used no version");
    assert_eq!((versions(&server, "home"), handle.releases("home", 9).unwrap().len()), (vec![1], 1));
    server.stop().unwrap();
}

/// Lets the end of a job fail as if the disk of the database were full.
#[cfg(feature = "postgres")]
const NO_SPACE_FOR_RESULTS: &str = "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$;
    CREATE TRIGGER no_space BEFORE UPDATE ON jobs FOR EACH ROW WHEN (NEW.state IN ('done', 'failed'))
    EXECUTE FUNCTION no_space()";

#[cfg(feature = "postgres")]
#[test]
fn a_request_whose_failure_cannot_be_stored_is_trained_again_when_the_store_works() {
    use lapwing_store::contract::TestStore;
    use lapwing_store::testing::postgres::Database;
    if !Database::is_available() {
        return;
    }
    let (folder, database, maker) = (Folder::new(), <Database as TestStore>::new(), Arc::new(Maker::default()));
    let mut config = config(&folder);
    config.store.path = database.url();
    let mut server = serve(config, Arc::clone(&maker), clock::moment()).unwrap();
    let handle = database.handle();
    let job = handle.request_retraining(None, "ann", 1).unwrap();
    database.client().batch_execute(NO_SPACE_FOR_RESULTS).unwrap();
    server.tick(clock::moment()).unwrap();
    let deadline = clock::after(TIMEOUT);
    while learner(&mut server).training.is_some() {
        assert!(clock::monotonic() < deadline, "the training does not end");
        server.tick(clock::moment()).unwrap();
        std::thread::yield_now();
    }
    assert_eq!(handle.job_state(job).unwrap().0, JobState::Running, "it failed for lack of rows, which is not stored");
    store_rows_of(&server, "gw-1", "home", 1..6);
    database.client().batch_execute("DROP TRIGGER no_space ON jobs").unwrap();
    tick_and_train(&mut server);
    assert_eq!(handle.job_state(job).unwrap(), (JobState::Done, Some("release 1".into())));
    server.stop().unwrap();
}

#[test]
fn an_sqlite_store_allows_one_process_whatever_its_roles() {
    let folder = Folder::new();
    let maker: Arc<dyn ReleaseMaker> = Arc::new(Maker::default());
    let start = |roles: &[Role]| {
        let config = Config {
            http: crate::config::HttpSection { listen: Some(([127, 0, 0, 1], 1).into()), ..Default::default() },
            ..two_groups(&folder)
        };
        Server::start(config, &Roles::new(roles), Arc::clone(&maker), clock::moment())
    };
    let all = start(&[]).unwrap();
    for roles in [&[Role::Web][..], &[Role::Train], &[Role::Collect, Role::Publish], &[]] {
        let error = start(roles).err().unwrap().to_string();
        assert!(error.contains("An SQLite file allows one process"), "{error}");
    }
    all.stop().unwrap();
    let web = start(&[Role::Web]).unwrap();
    assert!(web.address().is_none() && web.brokers().is_empty() && !web.collects());
    assert!(start(&[Role::Train]).is_err());
    web.stop().unwrap();
    assert!(start(&[Role::Train]).unwrap().learner.is_some());
}
