//! Campaigns in virtual time.

use super::simulated_fleet::{Behaviour, DAY_S, Fleet, RELEASE, ROLLOUT, STEP_S, key};
use lapwing_fleet::campaign::CampaignState;
use lapwing_shared::release::testing::{root, signed_root};
use lapwing_store::traits::StoredRoot;

fn is_over(fleet: &Fleet) -> bool {
    fleet.campaign_state().is_some_and(CampaignState::is_final)
}

#[test]
fn a_good_release_reaches_its_group_in_waves_by_itself() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.step();
    let first = fleet.rollout().unwrap();
    assert_eq!((first.serial, first.base, first.next), (1, 1, None));
    fleet.step();
    assert_eq!((fleet.rollout().unwrap().serial, fleet.handle.campaigns(None, 9).unwrap().len()), (1, 0));
    fleet.add_release(2);
    let mut sizes = Vec::new();
    while !is_over(&fleet) {
        fleet.step();
        assert!(sizes.len() < 500, "{:?} {:#?}", fleet.problems(), fleet.reasons());
        if !is_over(&fleet) {
            assert_eq!(fleet.version_on(RELEASE), Some(1), "agents without rollouts wait");
        }
        sizes.push(fleet.on(2));
    }
    assert_eq!(fleet.campaign_state(), Some(CampaignState::Completed), "{:#?}", fleet.reasons());
    assert_eq!((fleet.version_on(RELEASE), fleet.on(2)), (Some(2), 20), "the control follows");
    sizes.dedup();
    assert!(sizes.len() >= 3, "waves: {sizes:?}");
    let rollout = fleet.rollout().unwrap();
    assert_eq!((rollout.base, rollout.next), (2, None));
    let published = fleet.broker.lock().unwrap().published.iter().filter(|topic| *topic == ROLLOUT).count() as u64;
    assert_eq!((published, fleet.counts.rollouts_published.get()), (rollout.serial, rollout.serial));
    assert!(rollout.serial <= 1 + 4, "one for each wave, and one for the end: {}", rollout.serial);
    assert!(fleet.counts.campaigns_stepped.get() > 0 && fleet.problems().is_empty());
    assert_eq!(fleet.version_on("lapwing/v1/group/home/release/1"), Some(1), "agents that are fetching it finish");
}

#[test]
fn a_wave_costs_one_publication_for_any_number_of_agents() {
    for agents in [20, 1_000] {
        let mut fleet = Fleet::new(agents, Behaviour::Good);
        fleet.step();
        fleet.step();
        fleet.add_release(2);
        fleet.step();
        let mut waves = Vec::new();
        while !is_over(&fleet) {
            let (serial, sent) = (fleet.rollout().unwrap().serial, fleet.published().len());
            fleet.step();
            let (newest, published) = (fleet.rollout().unwrap(), fleet.published());
            if newest.serial > serial && newest.next.is_some() {
                assert_eq!(published[sent..], [ROLLOUT.to_owned()], "{agents} agents: nothing else is sent");
                waves.push(newest.serial);
            } else if newest.serial == serial {
                assert_eq!(published.len(), sent, "{agents} agents: nothing has changed");
            }
        }
        assert_eq!(fleet.campaign_state(), Some(CampaignState::Completed), "{:#?}", fleet.reasons());
        let expected = if agents == 20 { 2 } else { 4 };
        assert_eq!(waves.len(), expected, "{agents} agents: {:#?}", fleet.reasons());
    }
}

#[test]
fn a_blind_release_is_withdrawn_and_the_next_one_begins() {
    let mut fleet = Fleet::new(20, Behaviour::Blind);
    fleet.step();
    fleet.step();
    fleet.add_release(2);
    fleet.until(3, is_over);
    assert_eq!(fleet.campaign_state(), Some(CampaignState::Aborted));
    assert!(fleet.reasons().iter().any(|why| why.starts_with("blindness failed")), "{:#?}", fleet.reasons());
    let rollout = fleet.rollout().unwrap();
    assert!(rollout.is_withdrawn(2) && (rollout.base, rollout.next) == (1, None));
    assert_eq!((fleet.on(2), fleet.version_on(RELEASE)), (0, Some(1)));
    assert_eq!(fleet.version_on("lapwing/v1/group/home/release/2"), None, "cleared");
    let serial = rollout.serial;
    (0..4).for_each(|_| fleet.step());
    assert_eq!(fleet.rollout().unwrap().serial, serial, "it is not tried again");
    fleet.add_release(3);
    fleet.step();
    assert_eq!(fleet.rollout().unwrap().next.unwrap().version, 3);
    fleet.add_release(4);
    (0..4).for_each(|_| fleet.step());
    assert_eq!(fleet.rollout().unwrap().next.unwrap().version, 3, "release 4 waits");
}

#[test]
fn a_release_that_agents_refuse_stops_in_the_first_wave() {
    let mut fleet = Fleet::new(20, Behaviour::Defect);
    fleet.step();
    fleet.step();
    fleet.add_release(2);
    fleet.until(1, is_over);
    assert!(fleet.reasons().iter().any(|why| why.starts_with("golden vectors failed")), "{:#?}", fleet.reasons());
    assert!(fleet.agents.iter().filter(|agent| agent.refused == 2).count() <= 2);
}

#[test]
fn a_process_that_ends_between_storing_and_publishing_is_replaced_by_one_that_publishes_the_same() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.step();
    fleet.step();
    fleet.add_release(2);
    fleet.wait(STEP_S);
    fleet.report();
    fleet.decide();
    let stored = fleet.handle.newest_rollout("home").unwrap().unwrap();
    assert_eq!((stored.serial, fleet.rollout().unwrap().serial), (2, 1));
    let bytes = |fleet: &Fleet| fleet.broker.lock().unwrap().retained.get(ROLLOUT).cloned();
    fleet.restart();
    fleet.publish();
    let first = bytes(&fleet);
    assert_eq!(first.as_deref(), Some(key().sign_rollout(&stored.rollout().unwrap()).unwrap().as_slice()));
    fleet.restart();
    fleet.publish();
    assert_eq!(bytes(&fleet), first);
}

#[test]
fn a_campaign_completes_though_a_process_ends_in_every_step() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.step();
    fleet.step();
    fleet.add_release(2);
    for step in 0.. {
        assert!(step < 500, "{:?} {:#?}", fleet.problems(), fleet.reasons());
        fleet.wait(STEP_S);
        fleet.report();
        fleet.decide();
        if step % 2 == 0 {
            // It ends before it has published.
            fleet.restart();
        }
        fleet.publish();
        fleet.restart();
        fleet.follow();
        if is_over(&fleet) {
            break;
        }
    }
    fleet.step();
    assert_eq!((fleet.campaign_state(), fleet.on(2)), (Some(CampaignState::Completed), 20));
    assert_eq!(fleet.version_on(RELEASE), Some(2));
}

#[test]
fn a_group_without_its_key_does_not_advance_and_reports_why() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.step();
    fleet.step();
    fleet.add_release(2);
    fleet.step();
    let serial = fleet.rollout().unwrap().serial;
    let (path, away) = (fleet.folder.path().join("rollout.key"), fleet.folder.path().join("away.key"));
    std::fs::rename(&path, &away).unwrap();
    fleet.step();
    let problems = fleet.problems();
    assert!(problems.iter().any(|problem| problem.contains("rollout.key")), "{problems:?}");
    assert_eq!(fleet.rollout().unwrap().serial, serial);
    std::fs::rename(&away, &path).unwrap();
    fleet.step();
    assert!(fleet.problems().is_empty(), "{:?}", fleet.problems());
    // Without a key in the configuration, agents that follow rollouts get no release.
    fleet.config.rollout.key = None;
    fleet.restart();
    fleet.step();
    let problems = fleet.problems();
    assert!(problems.iter().any(|problem| problem.contains("rollout.key is not set")), "{problems:?}");
}

#[test]
fn a_key_that_the_root_document_does_not_have_for_the_group_is_a_problem() {
    let mut fleet = Fleet::new(1, Behaviour::Good);
    let document = root(1);
    let stored = StoredRoot { version: 1, bytes: signed_root(&document, &[9]) };
    fleet.handle.add_root(&stored, 0, "", "ann", 1).unwrap();
    fleet.step();
    let problems = fleet.problems();
    assert!(
        problems.iter().any(|problem| problem.contains("does not have key rollout-1 for rollouts")),
        "{problems:?}"
    );
}

#[test]
fn without_a_key_a_release_reaches_its_group_at_once() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.config.rollout.key = None;
    fleet.restart();
    fleet.step();
    fleet.add_release(2);
    fleet.step();
    assert_eq!(fleet.version_on(RELEASE), Some(2));
    assert_eq!((fleet.rollout(), fleet.handle.newest_rollout("home").unwrap()), (None, None));
    assert_eq!(fleet.version_on("lapwing/v1/group/home/release/2"), None);
}

#[test]
fn a_release_waits_until_an_agent_has_accepted_a_rollout() {
    let mut fleet = Fleet::new(0, Behaviour::Good);
    fleet.step();
    fleet.add_release(2);
    fleet.step();
    let problems = fleet.problems();
    assert!(problems.iter().any(|problem| problem.starts_with("release 2 waits: no agent")), "{problems:?}");
    assert_eq!(fleet.version_on(RELEASE), Some(1));
}

#[test]
fn with_a_manual_start_no_campaign_begins_by_itself_and_the_rollout_is_renewed() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.config.rollout.start = crate::config::CampaignStart::Manual;
    fleet.restart();
    fleet.step();
    fleet.add_release(2);
    fleet.step();
    assert_eq!((fleet.campaign_state(), fleet.rollout().unwrap().serial), (None, 1));
    fleet.wait(15 * DAY_S);
    fleet.step();
    let renewed = fleet.rollout().unwrap();
    assert_eq!((renewed.serial, renewed.base, renewed.next), (2, 1, None));
    assert!(renewed.expires_s > fleet.now.wall_s + 29 * DAY_S);
}

#[test]
fn rollouts_of_a_restored_store_follow_those_that_agents_have() {
    let mut fleet = Fleet::new(3, Behaviour::Good);
    fleet.agents.iter_mut().for_each(|agent| agent.serial = 41);
    fleet.step();
    assert_eq!(fleet.rollout().unwrap().serial, 42);
}

#[test]
fn an_open_campaign_of_a_restored_store_continues_above_the_rollouts_that_agents_have() {
    let mut fleet = Fleet::new(20, Behaviour::Good);
    fleet.step();
    fleet.step();
    fleet.add_release(2);
    fleet.step();
    fleet.step();
    let before = fleet.rollout().unwrap();
    // Agents have rollouts that were published after the backup.
    fleet.agents.iter_mut().for_each(|agent| agent.serial = 41);
    fleet.restart();
    fleet.step();
    let after = fleet.rollout().unwrap();
    assert!(before.serial < 41 && after.serial == 42, "{before:?} {after:?}");
    assert!(fleet.reasons().iter().any(|why| why.starts_with("agents have rollout 41")), "{:#?}", fleet.reasons());
    fleet.until(9, is_over);
    assert_eq!(fleet.campaign_state(), Some(CampaignState::Completed), "{:#?}", fleet.reasons());
    assert_eq!(fleet.on(2), 20);
}

#[test]
fn after_the_store_was_lost_the_group_keeps_the_release_that_most_of_its_agents_run() {
    let mut fleet = Fleet::with_lost_store(5);
    fleet.agents.iter_mut().skip(1).for_each(|agent| agent.running = 2);
    fleet.step();
    assert_eq!(fleet.rollout().unwrap().base, 2, "release 3 may have been withdrawn");
}
