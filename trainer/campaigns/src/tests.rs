//! Campaigns over a store, in virtual time.

use crate::facts::{OwnedFacts, load};
use crate::testing::{BASE, Conduct, DAY_S, NEXT, Stage};
use crate::view::CampaignReport;
use crate::*;
use lapwing_fleet::campaign::{AbortMode, Action, AgentStage, AgentStep, CampaignState, Plan};
use lapwing_fleet::{HeldRelease, HeldState};
use lapwing_shared::messages::{RefusalKind, UpdateStep};
use lapwing_shared::release::file::{FILE_BYTES, ReleaseFile};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::testing::{manifest, signed};
use lapwing_shared::rollout::message::Channel;
use lapwing_store::StoreHandle;

const NOW_S: u64 = 1_800_000_000;

fn order(version: u64) -> Order<'static> {
    Order { group: "home", version, plan: Plan::default(), who: "ann", supersede: false, findings: &[] }
}

/// A group with a started campaign.
fn started(agents: usize, conduct: Conduct) -> Stage {
    let mut stage = Stage::new(agents, NOW_S);
    stage.conduct = conduct;
    start(&stage.handle, &order(NEXT), stage.now_s).unwrap();
    stage
}

/// Lets hours pass until the campaign has this state, or has ended; returns its state and the hours.
fn run(stage: &mut Stage, until: CampaignState) -> (CampaignState, u32) {
    let mut state = CampaignState::Running;
    for hour in 0..24 * 21 {
        stage.hour();
        match advance(&stage.handle, &mut FactsReader::default(), "home", stage.now_s).unwrap() {
            Some(outcome) => state = outcome.campaign.state(),
            None => return (state, hour),
        }
        if state == until {
            return (state, hour);
        }
    }
    (state, u32::MAX)
}

fn facts(stage: &Stage) -> OwnedFacts {
    let stored = stage.handle.campaigns(Some("home"), 1).unwrap().remove(0);
    load(&stage.handle, &scope_of(&stored), "home", stage.now_s).unwrap()
}

#[test]
fn a_good_release_reaches_every_agent_with_one_rollout_for_each_wave() {
    let mut stage = started(30, Conduct::Good);
    let (state, hours) = run(&mut stage, CampaignState::Completed);
    assert_eq!(state, CampaignState::Completed, "{:?}", stage.handle.transitions(1, 3));
    assert!(hours >= 36, "{hours}");
    let rollout = stage.rollout();
    assert_eq!((rollout.base, rollout.next), (NEXT, None));
    assert!(rollout.serial <= 7, "{rollout:?}");
    stage.hour();
    assert!(facts(&stage).agents.iter().all(|agent| agent.running == NEXT));
    assert!(
        advance(&stage.handle, &mut FactsReader::default(), "home", stage.now_s).unwrap().is_none(),
        "no open campaign"
    );
}

#[test]
fn a_bad_release_is_withdrawn_by_the_gate_that_sees_it() {
    let bad = [
        (Conduct::Refuses, "golden vectors failed", 2),
        (Conduct::Blind, "blindness failed", 5),
        (Conduct::Alerts, "alerts failed", 5),
    ];
    for (conduct, reason, reached) in bad {
        let mut stage = started(100, conduct);
        let (state, _) = run(&mut stage, CampaignState::Aborting);
        let why = stage.handle.transitions(1, 1).unwrap().remove(0).why;
        assert!(state == CampaignState::Aborting && why.starts_with(reason), "{conduct:?}: {state:?} {why}");
        let touched = facts(&stage).agents.iter().filter(|agent| agent.progress.is_some()).count();
        assert!(touched <= reached, "{conduct:?}: {touched}");
        assert!(stage.rollout().is_withdrawn(NEXT));
        let (state, hours) = run(&mut stage, CampaignState::Aborted);
        assert!(state == CampaignState::Aborted && hours <= 2, "{conduct:?}: {hours}");
        assert!(facts(&stage).agents.iter().all(|agent| agent.running == BASE), "{conduct:?}");
    }
}

#[test]
fn after_a_crash_between_storing_and_publishing_the_store_has_what_to_publish() {
    let mut stage = started(30, Conduct::Good);
    for _ in 0..40 {
        stage.hour();
        let outcome = advance(&stage.handle, &mut FactsReader::default(), "home", stage.now_s).unwrap().unwrap();
        // Another process opens the store; nothing else than the store has outlived the crash.
        let after = StoreHandle::open(stage.folder.store()).unwrap();
        let newest = after.newest_rollout("home").unwrap().unwrap().rollout().unwrap();
        assert_eq!(&newest, outcome.campaign.rollout());
        assert_eq!(after.open_campaign("home").unwrap().unwrap().campaign, outcome.campaign);
    }
}

#[test]
fn a_campaign_needs_a_published_release_a_rollout_and_agents() {
    let stage = Stage::new(3, NOW_S);
    let error = |version| start(&stage.handle, &order(version), NOW_S).unwrap_err().to_string();
    assert!(error(9).contains("no release 9; it has 4, 3"), "{}", error(9));
    assert!(error(BASE).contains("expected a version above the one that the group runs"), "{}", error(BASE));
    let held = |version, findings: &str| HeldRelease {
        group: "home".into(),
        version,
        made_s: NOW_S,
        file: "home.held".into(),
        reason: "test".into(),
        findings: findings.into(),
        state: HeldState::Waiting,
        who: None,
    };
    stage.hold(&held(5, "finds fewer of the known attacks"));
    assert!(error(5).contains("approve it first with `lapwing-trainer approve 5`"), "{}", error(5));
    stage.handle.decide_held("home", 5, true, "bob", NOW_S).unwrap();
    stage.add_release(5);
    let gate = propose(&stage.handle, &order(5), NOW_S).unwrap().gate.unwrap();
    assert_eq!(
        (gate.findings.as_str(), gate.approved_by.as_deref()),
        ("finds fewer of the known attacks", Some("bob"))
    );
    let other = Order { group: "shop", ..order(NEXT) };
    let missing = start(&stage.handle, &other, NOW_S).unwrap_err().to_string();
    assert!(missing.contains("group shop has no rollout yet") && missing.contains("rollout.key"), "{missing}");
}

#[test]
fn a_release_that_detects_less_waits_for_another_person() {
    let findings = ["misses port-scan in home-a".to_owned()];
    let worse = |version| Order { findings: &findings, ..order(version) };
    let stage = Stage::new(3, NOW_S);
    let outline = outline::Outline::of(&propose(&stage.handle, &worse(NEXT), NOW_S).unwrap());
    assert!(outline.approval && outline.findings == findings);
    let (stored, outcome) = start(&stage.handle, &worse(NEXT), NOW_S).unwrap();
    assert_eq!(outcome.campaign.state(), CampaignState::Waiting);
    let why = stage.handle.transitions(stored.id, 1).unwrap().remove(0).why;
    assert_eq!(why, "submitted for approval; replayed attacks: misses port-scan in home-a");
    let approve = |who| act(&stage.handle, "home", Action::Approve, who, NOW_S);
    assert!(approve("ann").unwrap_err().to_string().contains("another person"));
    assert_eq!(approve("bob").unwrap().campaign.state(), CampaignState::Running);
}

#[test]
fn a_second_campaign_waits_or_supersedes() {
    let stage = started(30, Conduct::Good);
    stage.add_release(5);
    let error = start(&stage.handle, &order(5), stage.now_s).unwrap_err().to_string();
    assert!(error.contains("campaign of release 4") && error.contains("--supersede"), "{error}");
    let order = Order { supersede: true, ..order(5) };
    let (stored, _) = start(&stage.handle, &order, stage.now_s).unwrap();
    assert_eq!(stage.handle.open_campaign("home").unwrap().unwrap().id, stored.id);
    assert_eq!(stage.handle.campaign(1).unwrap().unwrap().campaign.state(), CampaignState::Superseded);
    assert_eq!(stage.rollout().next.unwrap().version, 5);
}

#[test]
fn actions_need_an_open_campaign_and_an_allowed_state() {
    let stage = started(30, Conduct::Good);
    let act_as = |action, who| act(&stage.handle, "home", action, who, stage.now_s);
    let error = act_as(Action::Resume, "ann").unwrap_err().to_string();
    assert!(error.contains("the campaign is running"), "{error}");
    assert_eq!(act_as(Action::Pause, "ann").unwrap().campaign.state(), CampaignState::Paused);
    assert_eq!(stage.rollout().next.unwrap().reach, [0; 3]);
    assert_eq!(act_as(Action::Abort(AbortMode::Stop), "bob").unwrap().campaign.state(), CampaignState::Aborted);
    let error = act_as(Action::Pause, "ann").unwrap_err().to_string();
    assert!(error.contains("no open campaign") && error.contains("rollout start"), "{error}");
    let who: Vec<_> = stage.handle.transitions(1, 9).unwrap().into_iter().map(|change| change.who).collect();
    assert_eq!(who, [Some("bob".into()), Some("ann".into()), Some("ann".into())]);
}

#[test]
fn the_same_proposal_has_the_same_canary() {
    let stage = Stage::new(40, NOW_S);
    let salt = |version| propose(&stage.handle, &order(version), NOW_S).unwrap().campaign.salt();
    stage.add_release(5);
    assert_eq!(salt(NEXT), salt(NEXT));
    assert_ne!(salt(NEXT), salt(5));
}

#[test]
fn agents_that_cannot_follow_rollouts_are_last_and_those_that_are_not_fit_are_known() {
    let mut stage = Stage::new(24, NOW_S);
    stage.agents[0].release.serial = 0;
    stage.agents[1].release.is_held = true;
    stage.agents[2].is_online = false;
    stage.agents[3].release.channel = Channel::Early;
    let messages: Vec<_> = (4..24).map(|index| stage.agents[index].step(9, UpdateStep::Downloading)).collect();
    stage.commit(&messages);
    for _ in 0..8 {
        let serial = stage.agents[0].release.serial;
        stage.hour();
        assert_eq!(serial, 0);
        // The helper of the test makes every agent follow; this one does not.
        stage.agents[0].release.serial = 0;
    }
    let scope = Scope { version: NEXT, base: BASE, salt: [1; 8], since_s: stage.now_s };
    let owned = load(&stage.handle, &scope, "home", stage.now_s).unwrap();
    assert_eq!(owned.agents.len() + owned.last.len(), 24);
    let of = |name: &str| {
        let place = owned.names.iter().position(|other| other.as_str() == name);
        place.map(|place| owned.agents[place])
    };
    assert!(!of("gw-1").unwrap().is_fit && of("gw-1").unwrap().is_held);
    assert!(!of("gw-2").unwrap().is_fit, "offline for eight hours");
    assert_eq!(of("gw-3").unwrap().channel, Channel::Early);
    assert!(of("gw-5").unwrap().is_fit && of("gw-5").unwrap().progress.is_none(), "a step about another version");
    assert!(of("gw-5").unwrap().usual_per_day > 0.1 && of("gw-5").unwrap().usual_per_day < 3.0);
}

#[test]
fn an_agent_that_tries_again_has_not_failed_and_one_that_left_a_trial_neither() {
    let mut stage = started(30, Conduct::Good);
    let later = UpdateStep::refused_for_now("artifact does not match", 60);
    let UpdateStep::Refused(reason) = &later else { panic!() };
    assert_eq!(RefusalKind::of(reason), RefusalKind::Temporary);
    let messages = [stage.agents[0].step(NEXT, later), stage.agents[1].step(NEXT, UpdateStep::Trial)];
    stage.commit(&messages);
    let step = |stage: &Stage, name: &str| {
        let owned = facts(stage);
        let place = owned.names.iter().position(|other| other.as_str() == name).unwrap();
        owned.agents[place].progress.map(|progress| progress.step)
    };
    assert_eq!(step(&stage, "gw-0"), Some(AgentStep::Downloading));
    assert_eq!(step(&stage, "gw-1"), Some(AgentStep::Trial));
    act(&stage.handle, "home", Action::Abort(AbortMode::Stop), "ann", stage.now_s).unwrap();
    stage.hour();
    assert_eq!(step(&stage, "gw-1"), None, "it runs the release of before");
}

#[test]
fn an_agent_on_which_two_campaigns_failed_is_set_aside() {
    let mut stage = Stage::new(30, NOW_S);
    for version in [5, 6, 7] {
        stage.add_release(version);
    }
    for version in [5, 6] {
        start(&stage.handle, &order(version), stage.now_s).unwrap();
        let failed = UpdateStep::RolledBack(heapless::String::try_from("crashed").unwrap());
        let message = stage.agents[9].step(version, failed);
        stage.now_s += 60;
        stage.commit(&[message]);
        act(&stage.handle, "home", Action::Abort(AbortMode::Stop), "ann", stage.now_s).unwrap();
    }
    let set_aside = |now_s| {
        let scope = Scope { version: 7, base: BASE, salt: [1; 8], since_s: now_s };
        load(&stage.handle, &scope, "home", now_s).unwrap()
    };
    let owned = set_aside(stage.now_s);
    assert_eq!(owned.set_aside.iter().map(ToString::to_string).collect::<Vec<_>>(), ["gw-9"]);
    let place = owned.names.iter().position(|name| name.as_str() == "gw-9").unwrap();
    assert!(owned.agents[place].channel == Channel::Late && !owned.agents[place].is_fit);
    assert!(set_aside(stage.now_s + 31 * DAY_S).set_aside.is_empty());
}

#[test]
fn the_view_names_late_agents_and_shows_each_gate() {
    let mut stage = started(100, Conduct::Good);
    stage.hour();
    advance(&stage.handle, &mut FactsReader::default(), "home", stage.now_s).unwrap();
    // The canary has begun. One of its agents leaves before it sees the rollout.
    let rollout = stage.rollout();
    let owned = facts(&stage);
    let late = owned
        .agents
        .iter()
        .position(|agent| agent.progress.is_none() && u32::from(agent.place.place) < rollout.next.unwrap().reach[1]);
    let late = owned.names[late.unwrap()].to_string();
    stage.agents.iter_mut().find(|agent| agent.name == late).unwrap().is_online = false;
    (0..3).for_each(|_| {
        stage.hour();
        advance(&stage.handle, &mut FactsReader::default(), "home", stage.now_s).unwrap();
    });
    let stored = stage.handle.open_campaign("home").unwrap().unwrap();
    let view = CampaignReport::read(&stage.handle, &stored, stage.now_s).unwrap().campaign;
    assert_eq!((view.waves[0].state, view.waves[1].state, view.waves[2].state), ("passed", "soaking", "waiting"));
    assert_eq!((view.tally.reached, view.tally.confirmed), (5, 4));
    assert!(view.waves[0].ended_s == view.waves[1].began_s && view.waves[1].ended_s.is_none(), "{view:?}");
    let stages: Vec<_> = view.stages.iter().map(|stage| (stage.stage, stage.agents, stage.named.len())).collect();
    assert_eq!(stages, [(AgentStage::Offered, 1, 1), (AgentStage::Confirmed, 4, 0)]);
    let late_agent = &view.stages[0].named[0];
    assert!(late_agent.agent == late && late_agent.why == "has not begun; no message for 3 h", "{late_agent:?}");
    assert_eq!(view.gates.len(), 7);
}

#[test]
fn agents_count_with_their_own_target_and_budget() {
    let mut stage = Stage::new(30, NOW_S);
    for (agent, target) in [(1, "mipsel"), (2, "aarch64"), (3, "mipsel")] {
        stage.agents[agent].device.target = target.try_into().unwrap();
    }
    let since_s = stage.now_s;
    let budget = |stage: &Stage| {
        // Every agent runs this version.
        let scope = Scope { version: BASE, base: 1, salt: [1; 8], since_s };
        let counts = load(&stage.handle, &scope, "home", stage.now_s).unwrap().alerts.since(0);
        (counts.budget, counts.agent_days)
    };
    (0..4).for_each(|_| stage.hour());
    let (by_default, days) = budget(&stage);
    assert!(days > 3.0 && (by_default - days).abs() < 1e-9, "{by_default} in {days} days: one alert a day each");
    for agent in &mut stage.agents {
        agent.device.alerts_per_1000_days = 250;
    }
    stage.agents[0].device.alerts_per_1000_days = 0;
    stage.hour();
    let (own, days) = budget(&stage);
    let expected = days * (29.0 * 0.25 + 1.0) / 30.0;
    assert!((own - expected).abs() < 1e-6, "{own} in {days} days, expected {expected}");
    let scope = Scope { version: NEXT, base: BASE, salt: [1; 8], since_s: stage.now_s };
    let owned = load(&stage.handle, &scope, "home", stage.now_s).unwrap();
    let pair = |agent: &str| {
        let place = owned.names.iter().position(|name| name.as_str() == agent).unwrap();
        owned.agents[place].pair
    };
    assert_eq!((pair("gw-1") == pair("gw-3"), pair("gw-0") == pair("gw-4")), (true, true));
    assert!(pair("gw-1") != pair("gw-2") && pair("gw-0") != pair("gw-1") && pair("gw-0") != pair("gw-2"));
}

#[test]
fn a_release_from_which_agents_could_not_go_back_gets_no_campaign() {
    let stage = Stage::new(3, NOW_S);
    let add = |version: u64, floor: u64| {
        let file = stage.folder.path().join(format!("home-{version}.lwr"));
        let signed = signed(&Manifest { floor, ..manifest(version) }, 1);
        let content = ReleaseFile { signed: &signed, artifacts: heapless::Vec::new() };
        std::fs::write(&file, content.encode(&mut vec![0; FILE_BYTES]).unwrap()).unwrap();
        let (group, made_s) = ("home".into(), stage.now_s);
        let release = lapwing_store::Release { group, version, manifest_sha256: [0; 32], made_s, file, reason: None };
        stage.handle.add_release(&release, "serve", made_s).unwrap();
        start(&stage.handle, &order(version), NOW_S)
    };
    let error = add(5, BASE + 1).unwrap_err().to_string();
    assert!(error.contains("floor 4") && error.contains("the group runs 3"), "{error}");
    assert!(add(6, BASE).is_ok());
}
