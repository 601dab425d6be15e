//! What agents do next, by rollout, settings and floor, forward and back.

use super::*;
use crate::release::update::Slot;
use crate::rollout::message::{Next, PLACES};
use crate::rollout::testing::rollout;

/// An agent that confirmed these versions in turn.
struct Agent {
    name: Name,
    settings: Settings,
    state: UpdateState,
    spare: Option<HeldRelease>,
    floor: u64,
    now_s: Option<u64>,
}

impl Agent {
    fn new(versions: &[u64]) -> Self {
        let name: Name = "gw-1".try_into().unwrap();
        let state = UpdateState::new("home".try_into().unwrap());
        let mut agent =
            Self { name, settings: Settings::default(), state, spare: None, floor: 0, now_s: Some(1_700_000_100) };
        versions.iter().for_each(|version| agent.stage(*version).confirm());
        agent
    }

    fn stage(&mut self, version: u64) -> &mut Self {
        let release = HeldRelease { slot: self.state.spare_slot(), version, digest: [version as u8; 32] };
        self.spare = None;
        self.state.stage(release).unwrap();
        self.state.boot();
        self
    }

    fn confirm(&mut self) {
        let before = self.state.confirmed;
        self.state.confirm().unwrap();
        self.spare = before;
    }

    fn situation(&self) -> Situation<'_> {
        let (settings, spare, floor, now_s) = (self.settings, self.spare, self.floor, self.now_s);
        Situation { agent: &self.name, settings, state: &self.state, spare, floor, now_s }
    }

    fn decide(&self, rollout: &Rollout) -> Action {
        rollout.validate().unwrap();
        decide(rollout, &self.situation())
    }
}

fn campaign(version: u64, reach: [u32; 3]) -> Rollout {
    Rollout { next: Some(Next { version, salt: *b"saltsalt", reach }), ..rollout(7, 3) }
}

#[test]
fn an_agent_installs_the_next_release_within_its_reach_and_the_base_otherwise() {
    let place = u32::from(Place::of(b"saltsalt", &Agent::new(&[]).name).place);
    for (reach, wanted) in [(0, 3), (place, 3), (place + 1, 4), (PLACES, 4)] {
        let rollout = campaign(4, [0, reach, 0]);
        assert_eq!(Agent::new(&[2]).decide(&rollout), Action::Install(wanted), "reach {reach}");
    }
    let mut early = Agent::new(&[3]);
    assert_eq!(early.decide(&campaign(4, [PLACES, 0, 0])), Action::Keep(Obstacle::UpToDate));
    early.settings.channel = Channel::Early;
    assert_eq!(early.decide(&campaign(4, [PLACES, 0, 0])), Action::Install(4));
    assert_eq!(Agent::new(&[]).decide(&rollout(7, 0)), Action::Keep(Obstacle::UpToDate), "nothing named");
}

#[test]
fn a_stopped_campaign_ends_trials_and_leaves_confirmed_releases() {
    let stopped = campaign(4, [0; 3]);
    let mut agent = Agent::new(&[3]);
    agent.stage(4);
    assert_eq!(agent.decide(&campaign(4, [PLACES; 3])), Action::Keep(Obstacle::OnTrial));
    assert_eq!(agent.decide(&stopped), Action::EndTrial(4));
    agent.state.clear_trial();
    assert_eq!(agent.decide(&stopped), Action::Keep(Obstacle::UpToDate));
    assert_eq!(agent.decide(&campaign(4, [PLACES; 3])), Action::Install(4), "an ended trial has not failed");
    assert_eq!(Agent::new(&[3, 4]).decide(&stopped), Action::Keep(Obstacle::UpToDate));
}

#[test]
fn each_step_is_checked_against_the_newest_rollout() {
    let agent = Agent::new(&[3]);
    let steps = [Step::Download, Step::Write, Step::Trial, Step::Confirm];
    let results = |rollout: &Rollout, agent: &Agent| steps.map(|s| permits(rollout, &agent.situation(), s, 4));
    assert_eq!(results(&campaign(4, [PLACES; 3]), &agent), [Ok(()); 4]);
    assert_eq!(results(&campaign(4, [0; 3]), &agent), [Err(Obstacle::NotNamed); 4]);
    let mut withdrawn = rollout(8, 3);
    withdrawn.withdraw(4);
    assert_eq!(results(&withdrawn, &agent), [Err(Obstacle::Withdrawn); 4]);
    let mut expired = Agent::new(&[3]);
    expired.now_s = Some(1_702_592_000);
    assert_eq!(results(&campaign(4, [PLACES; 3]), &expired), [Err(Obstacle::Expired); 4]);
    expired.now_s = None;
    assert_eq!(results(&campaign(4, [PLACES; 3]), &expired), [Ok(()); 4]);
    let mut held = Agent::new(&[3]);
    held.settings.hold = true;
    let held_up = Err(Obstacle::Held);
    assert_eq!(results(&campaign(4, [PLACES; 3]), &held), [held_up, held_up, held_up, Ok(())]);
}

#[test]
fn a_withdrawn_release_is_replaced_from_the_spare_slot_or_by_a_download() {
    let mut withdrawn = rollout(8, 3);
    withdrawn.withdraw(4);
    let mut agent = Agent::new(&[3, 4]);
    agent.settings.hold = true;
    agent.now_s = Some(u64::MAX);
    let Action::Restore(spare) = agent.decide(&withdrawn) else { panic!("{:?}", agent.decide(&withdrawn)) };
    assert_eq!((spare.version, spare.slot), (3, Slot::A));
    agent.state.restore(spare).unwrap();
    assert_eq!(agent.decide(&withdrawn), Action::Keep(Obstacle::UpToDate));
    // The spare slot holds another release, or none.
    let mut agent = Agent::new(&[2, 4]);
    assert_eq!(agent.decide(&withdrawn), Action::GoBack(3));
    assert_eq!(permits(&withdrawn, &agent.situation(), Step::Trial, 3), Ok(()));
    agent.stage(3).confirm();
    assert_eq!((agent.state.confirmed.unwrap().version, agent.state.highest_confirmed), (3, 4));
    assert_eq!(agent.decide(&withdrawn), Action::Keep(Obstacle::UpToDate));
}

#[test]
fn an_agent_that_lost_its_release_gets_the_groups_again() {
    let mut agent = Agent::new(&[3, 4]);
    (agent.state.confirmed, agent.spare) = (None, None);
    let mut withdrawn = rollout(8, 3);
    withdrawn.withdraw(4);
    assert_eq!(agent.decide(&withdrawn), Action::GoBack(3));
    assert_eq!(permits(&withdrawn, &agent.situation(), Step::Confirm, 3), Ok(()));
    assert_eq!(agent.decide(&rollout(8, 5)), Action::Install(5));
    assert_eq!(permits(&rollout(8, 5), &agent.situation(), Step::Download, 3), Err(Obstacle::NotNamed));
    agent.floor = 4;
    assert_eq!(agent.decide(&withdrawn), Action::Keep(Obstacle::BelowFloor));
}

#[test]
fn no_agent_goes_back_below_its_floor_or_to_a_release_that_failed_there() {
    let mut withdrawn = rollout(8, 3);
    withdrawn.withdraw(4);
    let mut agent = Agent::new(&[3, 4]);
    agent.floor = 4;
    assert_eq!(agent.decide(&withdrawn), Action::Keep(Obstacle::NoWayBack));
    (agent.floor, agent.spare) = (0, None);
    agent.state.refuse(3, [3; 32]);
    assert_eq!(agent.decide(&withdrawn), Action::Keep(Obstacle::NoWayBack));
    let mut none = rollout(8, 0);
    none.withdraw(4);
    assert_eq!(Agent::new(&[4]).decide(&none), Action::Keep(Obstacle::NoWayBack));
}

/// Whoever has the rollout key chooses base, next, withdrawn versions and pins.
#[test]
fn no_rollout_leads_below_the_floor() {
    let steps = [Step::Download, Step::Write, Step::Trial, Step::Confirm];
    for confirmed in [&[][..], &[7], &[3, 7], &[8]] {
        for (base, pin) in (0..7).flat_map(|base| [None, Some(3), Some(6), Some(9)].map(|pin| (base, pin))) {
            let mut forged = rollout(8, base);
            [7, 8].into_iter().for_each(|version| forged.withdraw(version));
            let mut agent = Agent::new(confirmed);
            (agent.floor, agent.settings.pin) = (7, pin);
            let action = agent.decide(&forged);
            let is_allowed = matches!(action, Action::Keep(_) | Action::Install(9));
            assert!(is_allowed, "{confirmed:?}, base {base}, pin {pin:?}: {action:?}");
            for version in 1..7 {
                assert!(steps.iter().all(|step| permits(&forged, &agent.situation(), *step, version).is_err()));
            }
        }
    }
}

#[test]
fn a_withdrawn_release_on_trial_ends_and_is_not_installed_again() {
    let mut agent = Agent::new(&[3]);
    agent.stage(4);
    let mut withdrawn = rollout(8, 3);
    withdrawn.withdraw(4);
    assert_eq!(agent.decide(&withdrawn), Action::EndTrial(4));
    agent.state.clear_trial();
    assert_eq!(agent.decide(&withdrawn), Action::Keep(Obstacle::UpToDate));
}

#[test]
fn refused_and_older_versions_are_not_installed() {
    let mut agent = Agent::new(&[3]);
    agent.state.refuse(4, [4; 32]);
    assert_eq!(agent.decide(&campaign(4, [PLACES; 3])), Action::Keep(Obstacle::Failed));
    let mut agent = Agent::new(&[3, 5]);
    agent.state.restore(agent.spare.unwrap()).unwrap();
    assert_eq!(agent.decide(&campaign(5, [PLACES; 3])), Action::Keep(Obstacle::NotNewer));
    assert_eq!(agent.decide(&campaign(4, [PLACES; 3])), Action::Keep(Obstacle::NotNewer));
}

#[test]
fn a_pin_to_an_unknown_release_does_not_take_the_first_release_away() {
    let mut agent = Agent::new(&[]);
    agent.settings.pin = Some(77);
    assert_eq!(agent.decide(&rollout(8, 3)), Action::Install(3));
    agent.stage(3);
    assert_eq!(agent.decide(&rollout(8, 3)), Action::Keep(Obstacle::OnTrial));
    let steps = [Step::Download, Step::Write, Step::Trial, Step::Confirm];
    assert!(steps.iter().all(|step| permits(&rollout(8, 3), &agent.situation(), *step, 3).is_ok()));
}

#[test]
fn a_pin_overrides_the_campaign_but_not_a_withdrawal() {
    let mut agent = Agent::new(&[2]);
    agent.settings.pin = Some(3);
    assert_eq!(agent.decide(&campaign(4, [PLACES; 3])), Action::Install(3));
    agent.settings.pin = Some(2);
    assert_eq!(agent.decide(&campaign(4, [PLACES; 3])), Action::Keep(Obstacle::UpToDate));
    let mut withdrawn = rollout(8, 3);
    withdrawn.withdraw(2);
    assert_eq!(agent.decide(&withdrawn), Action::Install(3));
}
