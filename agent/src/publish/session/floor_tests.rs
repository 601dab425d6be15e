//! The highest floor of accepted manifests; the test has the rollout key, but not the release key.

use super::*;
use lapwing_shared::release::manifest::Manifest;

/// Version 5, which leads no agent below 4.
fn floored() -> Vec<u8> {
    signed(&Manifest { floor: 4, ..manifest(5) }, 1)
}

/// An agent that confirmed 3, 4 and [`floored`].
fn with_floor(disk: &SharedDisk) -> Test {
    let mut session = with_confirmed(disk, &[3, 4]);
    install(&mut session);
    session
}

fn install(session: &mut Test) {
    session.message(RELEASE, &floored(), 0, None);
    converse(session, 0);
    confirm(session, 5);
    converse(session, 0);
}

/// Sends the whole group to `base`, from every later version.
fn forged(serial: u64, base: u64) -> Rollout {
    let mut forged = rollout(serial, base);
    (base + 1..=5).for_each(|version| forged.withdraw(version));
    forged
}

fn floor(session: &Test) -> u64 {
    let mut report = Report::default();
    session.report_updates(&mut report);
    report.floor
}

#[test]
fn a_stolen_rollout_key_leads_no_agent_below_the_floor() {
    let disk = SharedDisk::default();
    let mut session = with_floor(&disk);
    assert_eq!(floor(&session), 4);
    for (serial, base) in [(8, 3), (9, 2)] {
        publish(&mut session, &forged(serial, base));
        session.message(&manifest_of(base), &signed(&manifest(base), 1), 0, None);
        assert_eq!(later(&mut session), (vec![], vec![]));
        assert_eq!(session.in_use(), (5, false));
    }
    let mut session = connected(&disk);
    assert_eq!((session.in_use(), floor(&session)), ((5, false), 4));
    // The floor itself is allowed.
    publish(&mut session, &forged(10, 4));
    assert_eq!(session.in_use(), (4, false));
}

#[test]
fn the_floor_outlasts_releases_and_update_state() {
    let disk = SharedDisk::default();
    drop(with_floor(&disk));
    for path in ["state", "slot-a/manifest", "slot-b/manifest"] {
        disk.lock().damage(path, Vec::clear);
    }
    let mut session = connected(&disk);
    assert_eq!((session.in_use(), floor(&session)), ((0, false), 4));
    publish(&mut session, &forged(8, 3));
    assert!(session.describe_updates().contains("below the floor"), "{}", session.describe_updates());
    converse(&mut session, 0);
    assert_eq!(later(&mut session), (vec![], vec![]));
    // Without a rollout, too.
    let mut session = start(&disk);
    let refused = session.store.check(&signed(&manifest(3), 1), None).unwrap_err();
    assert_eq!(refused.to_string(), "release version 3 is below 4, the floor of a release that was accepted here");
    publish(&mut session, &forged(9, 4));
    session.connected(0);
    converse(&mut session, 0);
    assert_eq!(later(&mut session).1.last(), Some(&(4, UpdateStep::Trial)));
}

#[test]
fn a_damaged_release_falls_back_to_the_one_before_unless_that_is_below_the_floor() {
    for (floor, expected) in [(4, 4), (5, 0)] {
        let disk = SharedDisk::default();
        drop(with_floor(&disk));
        disk.lock().damage("floor-home", |bytes| bytes[0] = floor);
        disk.lock().damage("slot-a/artifact", |bytes| bytes[9] ^= 1);
        assert_eq!(connected(&disk).in_use(), (expected, false), "floor {floor}");
    }
}

#[test]
fn a_power_cut_at_any_operation_keeps_the_floor_of_the_release_in_use() {
    let start_disk = SharedDisk::default();
    drop(with_confirmed(&start_disk, &[3, 4]));
    let first = start_disk.lock().clone();
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let disk = SharedDisk::new(PowerDisk { left: Some(left), ..first.clone() });
            install(&mut connected(&disk));
            let is_whole = disk.lock().left.is_some_and(|left| left > 0);
            let mut session = connected(&SharedDisk::new(disk.lock().after(cut)));
            let (version, floor) = (session.in_use().0, floor(&session));
            assert!([4, 5].contains(&version), "{cut:?} after {left}: {version}");
            assert!(floor == 4 || (version == 4 && floor == 0), "{cut:?} after {left}: {version}, floor {floor}");
            publish(&mut session, &forged(8, 3));
            assert!(session.in_use().0 >= floor, "{cut:?} after {left}: {:?}", session.in_use());
            if is_whole {
                assert!(left > 10, "an update takes more operations than that");
                break;
            }
        }
    }
}
