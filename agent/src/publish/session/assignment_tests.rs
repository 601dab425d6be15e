//! Assignments; the test plays the broker and the trainer.

use super::*;
use lapwing_shared::rollout::assignment::Assignment;
use lapwing_shared::rollout::testing::{assignment, signed_assignment};

const ASSIGNED: &str = "lapwing/v1/agent/gw-1/assignment";

fn assign(session: &mut Test, assignment: &Assignment) {
    session.message(ASSIGNED, &signed_assignment(assignment, 5), 0, None);
}

/// Channel, whether it is held, false-alert budget and serial, as the agent reports them.
fn in_force(session: &Test) -> (Channel, bool, u32, u64) {
    let mut health = Health::default();
    session.complete_health(&mut health);
    let device = health.device;
    (health.release.channel, health.release.is_held, device.alerts_per_1000_days, device.assignment)
}

#[test]
fn an_assignment_is_in_force_at_once_after_a_restart_and_until_the_next_one() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    assert_eq!(in_force(&session), (Channel::Normal, false, 1_000, 0));
    publish(&mut session, &campaign(7));
    let held =
        Assignment { channel: Some(Channel::Late), hold: true, alerts_per_1000_days: Some(250), ..assignment(2) };
    assign(&mut session, &held);
    assert_eq!(in_force(&session), (Channel::Late, true, 250, 2));
    assert_eq!(later(&mut session), (vec![], vec![]));
    let mut session = connected(&disk);
    assert_eq!(in_force(&session), (Channel::Late, true, 250, 2));
    assert!(converse(&mut session, 0).0.contains(&ASSIGNED.to_owned()));
    let mut report = Report::default();
    session.report_updates(&mut report);
    assert_eq!((report.assignment, report.alerts_per_day, report.rejected_assignments), (2, 0.25, 0));
    assert!(report.updates.starts_with("channel late, held, assignment 2; rollout 7"), "{}", report.updates);
    assign(&mut session, &assignment(3));
    assert_eq!(in_force(&session), (Channel::Normal, false, 1_000, 3));
    assert_eq!(later(&mut session).1.last(), Some(&(4, UpdateStep::Trial)));
}

#[test]
fn an_assigned_pin_replaces_that_of_the_configuration() {
    let disk = SharedDisk::default();
    drop(with_confirmed(&disk, &[2]));
    let mut session = start_with(&disk, Settings { pin: Some(2), ..Settings::default() });
    session.connected(0);
    converse(&mut session, 0);
    publish(&mut session, &campaign(7));
    assert_eq!(later(&mut session), (vec![], vec![]));
    assign(&mut session, &Assignment { pin: Some(3), ..assignment(1) });
    assert_eq!(later(&mut session).0, [manifest_of(3)]);
    // Its own is in force again, and ends the trial of another version.
    assign(&mut session, &assignment(2));
    assert_eq!(session.in_use(), (2, false));
}

#[test]
fn a_local_hold_stays_whatever_is_assigned() {
    let disk = SharedDisk::default();
    drop(with_confirmed(&disk, &[3]));
    let mut session = start_with(&disk, Settings { hold: true, ..Settings::default() });
    session.connected(0);
    converse(&mut session, 0);
    publish(&mut session, &campaign(7));
    assign(&mut session, &Assignment { channel: Some(Channel::Early), ..assignment(1) });
    assert_eq!(in_force(&session), (Channel::Early, true, 1_000, 1));
    assert_eq!(later(&mut session), (vec![], vec![]));
}

#[test]
fn an_agent_that_ignores_assignments_reads_none() {
    let disk = SharedDisk::default();
    let mut stored = connected(&disk);
    assign(&mut stored, &Assignment { hold: true, ..assignment(2) });
    let (store, _) = Store::open(disk.clone(), terms());
    let store = store.with_root_disk(Box::new(disk.clone())).with_rollouts(trusted("r1", 5));
    let outbox = Outbox::new(1, Limits::default(), None);
    let mut session = Session::start("gw-1".try_into().unwrap(), Delivery::EndToEnd, Halvers, store, outbox);
    session.connected(0);
    assert!(!converse(&mut session, 0).0.contains(&ASSIGNED.to_owned()));
    assign(&mut session, &Assignment { hold: true, ..assignment(3) });
    assert_eq!(in_force(&session), (Channel::Normal, false, 1_000, 0));
}

#[test]
fn hostile_assignments_change_nothing_are_counted_and_cost_no_flash() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    assign(&mut session, &assignment(7));
    let held = |serial| Assignment { hold: true, ..assignment(serial) };
    let (writes, before) = (disk.lock().done, in_force(&session));
    let foreign = Assignment { agent: "gw-2".try_into().unwrap(), ..held(9) };
    let hostile = [
        signed_assignment(&held(9), 6),
        signed_assignment(&foreign, 5),
        signed_assignment(&held(6), 5),
        signed_assignment(&held(7), 5),
        signed_rollout(&rollout(9, 3), 5),
        vec![0; 600],
        vec![],
    ];
    for (count, bytes) in (1..).zip(hostile.iter().cycle().take(700)) {
        session.message(ASSIGNED, bytes, 0, None);
        assert_eq!(session.steering.rejected[ASSIGNMENT], count);
    }
    // Assignments of others are not for it.
    session.message("lapwing/v1/agent/gw-2/assignment", &signed_assignment(&foreign, 5), 0, None);
    let reports = converse(&mut session, 0).1;
    assert_eq!(reports.len(), hostile.len(), "{reports:?}");
    assert!(matches!(&reports[0].1, UpdateStep::Refused(reason) if reason.starts_with("assignment: signature")));
    assert_eq!((in_force(&session), disk.lock().done, session.steering.rejected[ASSIGNMENT]), (before, writes, 700));
}

#[test]
fn many_assignments_are_written_eight_times_and_then_once_a_minute_like_rollouts() {
    let disk = SharedDisk::default();
    let mut session = with_confirmed(&disk, &[3]);
    let before = disk.lock().done;
    for serial in 1..1_000 {
        session.message(ASSIGNED, &signed_assignment(&assignment(serial), 5), serial * 100, None);
        session.message(ROLLOUT, &signed_rollout(&rollout(serial, 3), 5), serial * 100, None);
        session.tick(serial * 100, None);
    }
    // In 100 s.
    let operations = disk.lock().done - before;
    assert!((2 * 8 * 4..=2 * 10 * 4).contains(&operations), "{operations}");
    session.finish();
    let session = start(&disk);
    assert_eq!((session.rollout().map(|rollout| rollout.serial), in_force(&session).3), (Some(999), 999));
}

/// On a disk that loses power at every operation, the serial never goes back.
#[test]
fn a_power_cut_at_any_operation_keeps_a_whole_assignment() {
    let start_disk = SharedDisk::default();
    drop(with_confirmed(&start_disk, &[3]));
    let first = start_disk.lock().clone();
    let budget = |serial: u64| Assignment { alerts_per_1000_days: Some(serial as u32 * 100), ..assignment(serial) };
    for cut in [Cut::NothingPending, Cut::TornFiles] {
        for left in 0.. {
            let disk = SharedDisk::new(PowerDisk { left: Some(left), ..first.clone() });
            let mut session = connected(&disk);
            let mut stored = 0;
            for serial in [2, 3] {
                assign(&mut session, &budget(serial));
                stored = if disk.lock().left.is_some_and(|left| left > 0) { serial } else { stored };
            }
            let mut session = connected(&SharedDisk::new(disk.lock().after(cut)));
            let (.., alerts, serial) = in_force(&session);
            assert!(serial >= stored, "{cut:?} after {left}: serial {serial} after {stored}");
            let expected = if serial == 0 { 1_000 } else { serial as u32 * 100 };
            assert_eq!(alerts, expected, "{cut:?} after {left}");
            assign(&mut session, &budget(3));
            assert_eq!(in_force(&session).3, 3);
            if stored == 3 {
                assert!(left > 6, "two writes take more operations than that");
                break;
            }
        }
    }
}
