//! Campaigns and rollouts.
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    reason = "tests that each implementation runs: the names are the documentation"
)]

use super::TestStore;
use crate::traits::{CampaignChange, CampaignFilter, Saved, StoredCampaign};
use crate::{AuditFilter, Counter, Limits, StoreError, StoreHandle};
use lapwing_fleet::campaign::gates::{Finding, Gate, Verdict};
use lapwing_fleet::campaign::{
    AbortMode, Action, AlertHours, Campaign, CampaignState, Effect, Facts, Outcome, Plan, Terms, WaveState,
};
use lapwing_shared::rollout::testing::rollout;

pub(super) const NOW_S: u64 = 1_700_000_000;
const HOUR_S: u64 = 3_600;

/// A draft for the group `home`, from a rollout with this serial.
pub(super) fn draft(version: u64, serial: u64) -> Outcome {
    let terms = Terms {
        version,
        plan: Plan::default(),
        salt: *b"saltsalt",
        made_by: "ann".into(),
        rollout: rollout(serial, 1),
    };
    unchanged(Campaign::draft(terms, NOW_S).unwrap())
}

fn unchanged(campaign: Campaign) -> Outcome {
    Outcome { campaign, transitions: Vec::new(), findings: Vec::new(), effects: Vec::new() }
}

pub(super) fn act(campaign: &Campaign, action: Action, now_s: u64) -> Outcome {
    let facts = Facts { agents: &[], alerts: &AlertHours::default(), reported: 0 };
    campaign.clone().act(action, "bob", &facts, now_s).unwrap()
}

pub(super) fn step(campaign: &Campaign, now_s: u64) -> Outcome {
    campaign.clone().step(&Facts { agents: &[], alerts: &AlertHours::default(), reported: 0 }, now_s)
}

pub(super) fn add(handle: &StoreHandle, outcome: &Outcome) -> StoredCampaign {
    handle.add_campaign(outcome, None, NOW_S).unwrap().unwrap()
}

/// Stores an outcome of a campaign; it is as it is afterwards.
pub(super) fn save(handle: &StoreHandle, stored: &StoredCampaign, outcome: &Outcome, now_s: u64) -> StoredCampaign {
    let revision = stored.revision + 1;
    assert_eq!(handle.save_campaign(stored.change(outcome), now_s).unwrap(), Saved::Stored(revision));
    let saved = handle.campaign(stored.id).unwrap().unwrap();
    let expected = StoredCampaign { revision, changed_s: now_s, campaign: outcome.campaign.clone(), ..stored.clone() };
    assert_eq!(saved, expected);
    saved
}

fn serial(handle: &StoreHandle) -> Option<u64> {
    handle.newest_rollout("home").unwrap().map(|newest| newest.serial)
}

pub fn a_campaign_is_stored_with_its_rollouts_and_every_transition_is_recorded<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let stored = add(&handle, &draft(2, 7));
    assert_eq!(handle.open_campaign("home").unwrap().as_ref(), Some(&stored));
    assert_eq!((serial(&handle), stored.group.as_str(), stored.revision), (None, "home", 0));
    let started = act(&stored.campaign, Action::Submit, NOW_S + 60);
    let stored = save(&handle, &stored, &started, NOW_S + 60);
    let newest = handle.newest_rollout("home").unwrap().unwrap();
    assert_eq!(newest.rollout().unwrap(), *started.campaign.rollout());
    assert_eq!((newest.serial, newest.campaign, newest.issued_s), (8, stored.id, NOW_S + 60));
    // Steps without an effect keep the rollout.
    let stored = save(&handle, &stored, &step(&stored.campaign, NOW_S + 120), NOW_S + 120);
    assert_eq!(serial(&handle), Some(8));
    let ended = act(&stored.campaign, Action::Abort(AbortMode::Stop), NOW_S + 180);
    let stored = save(&handle, &stored, &ended, NOW_S + 180);
    assert_eq!((serial(&handle), handle.open_campaign("home").unwrap()), (Some(9), None));
    assert_eq!(handle.campaigns(Some("home"), 9).unwrap(), std::slice::from_ref(&stored));
    assert_eq!(handle.campaigns(None, 9).unwrap(), std::slice::from_ref(&stored));
    assert_eq!((handle.campaigns(Some("shop"), 9).unwrap(), handle.campaigns(None, 0).unwrap()), (vec![], vec![]));
    let transitions = handle.transitions(stored.id, 9).unwrap();
    assert_eq!(transitions, [ended.transitions, started.transitions].concat());
    assert_eq!(transitions[1].wave, Some((0, WaveState::Delivering)));
    let records = handle.audit(&AuditFilter { limit: 9, ..AuditFilter::default() }).unwrap().records;
    let entries: Vec<(&str, &str)> =
        records.iter().map(|record| (record.who.as_str(), record.detail.as_str())).collect();
    let detail = |text: &str| format!("campaign {}: {text}", stored.id);
    let [ended, started, made] = [
        detail("aborted, wave 1 delivering: stopped"),
        detail("running, wave 1 delivering: started"),
        detail("created"),
    ];
    assert_eq!(entries, [("bob", ended.as_str()), ("bob", &started), ("ann", &made)]);
    assert!(records.iter().all(|record| record.action == "campaign" && record.object == "home/2"), "{records:?}");
    assert_eq!(handle.check_audit(None).unwrap().problems, Vec::<String>::new());
}

pub fn a_change_of_an_older_revision_of_a_campaign_stores_nothing<T: TestStore>() {
    let folder = T::new();
    let (handle, other) = (folder.open(Limits::default()).handle().unwrap(), folder.handle());
    let stored = add(&handle, &draft(2, 7));
    let started = act(&stored.campaign, Action::Submit, NOW_S + 60);
    save(&other, &stored, &started, NOW_S + 60);
    let refused = act(&stored.campaign, Action::Refuse, NOW_S + 61);
    assert_eq!(handle.save_campaign(stored.change(&refused), NOW_S + 61).unwrap(), Saved::Changed);
    let missing = CampaignChange { id: stored.id + 1, revision: 0, outcome: &refused };
    assert_eq!(handle.save_campaign(missing, NOW_S + 61).unwrap(), Saved::Changed);
    assert_eq!(handle.campaign(stored.id).unwrap().unwrap().campaign, started.campaign);
    assert_eq!(handle.transitions(stored.id, 9).unwrap(), started.transitions);
    assert_eq!(handle.campaign(stored.id + 1).unwrap(), None);
}

pub fn a_group_has_one_open_campaign_and_a_later_one_supersedes_it_at_once<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let first = add(&handle, &draft(2, 7));
    let first = save(&handle, &first, &act(&first.campaign, Action::Submit, NOW_S), NOW_S);
    let error = handle.add_campaign(&draft(3, 8), None, NOW_S).unwrap_err();
    assert!(matches!(&error, StoreError::OpenCampaign { group, id } if group == "home" && *id == first.id), "{error}");
    let old = act(&first.campaign, Action::Supersede, NOW_S + 60);
    let new = act(&draft(3, 8).campaign, Action::Submit, NOW_S + 60);
    // Another process has changed the first campaign, or it is not the open one.
    let late = CampaignChange { revision: first.revision - 1, ..first.change(&old) };
    assert_eq!(handle.add_campaign(&new, Some(late), NOW_S + 60).unwrap(), None);
    let other = CampaignChange { id: first.id + 1, ..first.change(&old) };
    assert_eq!(handle.add_campaign(&new, Some(other), NOW_S + 60).unwrap(), None);
    assert_eq!(handle.open_campaign("home").unwrap().unwrap(), first);
    let second = handle.add_campaign(&new, Some(first.change(&old)), NOW_S + 60).unwrap().unwrap();
    assert_eq!(handle.open_campaign("home").unwrap().unwrap(), second);
    let campaigns = handle.campaigns(Some("home"), 9).unwrap();
    let states: Vec<_> = campaigns.iter().map(|stored| stored.campaign.state()).collect();
    assert_eq!(states, [CampaignState::Running, CampaignState::Superseded]);
    let newest = handle.newest_rollout("home").unwrap().unwrap();
    assert_eq!((newest.serial, newest.campaign), (9, second.id));
}

pub fn campaigns_are_listed_newest_first_by_group_version_and_page<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let mut ids = Vec::new();
    for version in [2, 3, 3, 4] {
        let stored = add(&handle, &draft(version, 7));
        ids.push(stored.id);
        if ids.len() < 4 {
            save(&handle, &stored, &act(&stored.campaign, Action::Refuse, NOW_S), NOW_S);
        }
    }
    let page = |filter: CampaignFilter| -> Vec<i64> {
        handle.campaign_page(&filter).unwrap().into_iter().map(|stored| stored.id).collect()
    };
    let all = CampaignFilter { limit: 10, ..CampaignFilter::default() };
    assert_eq!(page(all.clone()), [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(page(CampaignFilter { limit: 2, before: Some(ids[3]), ..all.clone() }), [ids[2], ids[1]]);
    assert_eq!(page(CampaignFilter { version: Some(3), ..all.clone() }), [ids[2], ids[1]]);
    assert_eq!(page(CampaignFilter { is_open: true, ..all.clone() }), [ids[3]]);
    assert_eq!(page(CampaignFilter { group: Some("home".into()), version: Some(4), ..all.clone() }), [ids[3]]);
    assert!(page(CampaignFilter { group: Some("shop".into()), ..all }).is_empty());
}

pub fn a_campaign_made_from_an_older_rollout_is_not_added<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let first = add(&handle, &draft(2, 7));
    let first = save(&handle, &first, &act(&first.campaign, Action::Submit, NOW_S), NOW_S);
    save(&handle, &first, &act(&first.campaign, Action::Abort(AbortMode::Stop), NOW_S), NOW_S);
    assert_eq!(serial(&handle), Some(9));
    for outcome in [draft(3, 8), act(&draft(3, 8).campaign, Action::Submit, NOW_S)] {
        assert_eq!(handle.add_campaign(&outcome, None, NOW_S).unwrap(), None);
    }
    assert_eq!(handle.open_campaign("home").unwrap(), None);
    add(&handle, &act(&draft(3, 9).campaign, Action::Submit, NOW_S));
    assert_eq!(serial(&handle), Some(10));
}

fn finding(gate: Gate, verdict: Verdict, numerator: f64) -> Finding {
    Finding {
        gate,
        verdict,
        numerator,
        denominator: f64::NAN,
        control_numerator: 3.0,
        control_denominator: 0.1,
        threshold: 4.0,
        text: format!("{numerator} alerts"),
    }
}

pub fn results_of_gates_get_a_row_when_the_verdict_changes_and_every_hour<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let mut stored = add(&handle, &act(&draft(2, 7).campaign, Action::Submit, NOW_S));
    let mut found = |findings: Vec<Finding>, now_s: u64| {
        let outcome = Outcome { findings, ..unchanged(stored.campaign.clone()) };
        stored = save(&handle, &stored, &outcome, now_s);
    };
    let missing = |text: &str| Verdict::Undecided(text.into());
    found(vec![finding(Gate::Alerts, missing("1 of 3"), 1.0), finding(Gate::TakeUp, Verdict::Pass, 5.0)], NOW_S);
    found(vec![finding(Gate::Alerts, missing("2 of 3"), 2.0), finding(Gate::TakeUp, Verdict::Pass, 5.0)], NOW_S + 60);
    found(vec![finding(Gate::Alerts, Verdict::Fail, 9.0)], NOW_S + 120);
    found(vec![finding(Gate::Alerts, Verdict::Fail, 10.0)], NOW_S + 119 + HOUR_S);
    found(vec![finding(Gate::Alerts, Verdict::Fail, 11.0)], NOW_S + 120 + HOUR_S);
    let (id, results) = (stored.id, handle.gate_results(stored.id, 99).unwrap());
    let numbers: Vec<_> =
        results.iter().map(|r| (r.finding.gate, r.finding.numerator, r.since_s - NOW_S, r.at_s - NOW_S)).collect();
    let expected = [
        (Gate::Alerts, 11.0, 120 + HOUR_S, 120 + HOUR_S),
        (Gate::Alerts, 10.0, 120, 119 + HOUR_S),
        (Gate::Alerts, 2.0, 0, 60),
        // Its numbers have not changed since.
        (Gate::TakeUp, 5.0, 0, 0),
    ];
    assert_eq!(numbers, expected);
    assert_eq!(handle.gate_results(id, 1).unwrap(), results[..1]);
    let third = &results[2].finding;
    assert_eq!((third.verdict.clone(), third.text.as_str()), (missing("2 of 3"), "2 alerts"));
    assert_eq!((third.denominator, third.control_denominator, third.threshold), (0.0, 0.1, 4.0));
    let newest = handle.newest_gate_results(id).unwrap();
    assert_eq!(newest, [results[3].clone(), results[0].clone()]);
}

pub fn a_damaged_campaign_is_an_error_that_names_it<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let stored = add(&handle, &draft(2, 7));
    folder.execute("UPDATE campaigns SET body = replace(body, '\"salt\"', '\"pepper\"')");
    let expected = format!("campaign {} cannot be stored or read: unknown field `pepper`", stored.id);
    let errors = [
        handle.campaign(stored.id).unwrap_err(),
        handle.open_campaign("home").unwrap_err(),
        handle.campaigns(None, 1).unwrap_err(),
    ];
    for error in errors {
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    let mut outcome = draft(2, 7);
    let mut invalid = rollout(8, 1);
    invalid.expires_s = 0;
    outcome.effects.push(Effect::Publish(invalid));
    let error = handle.save_campaign(stored.change(&outcome), NOW_S).unwrap_err();
    assert!(error.to_string().contains("of the group home cannot be stored or read: rollout: invalid expires_s"));
}

pub fn the_oldest_rollouts_results_transitions_and_campaigns_are_deleted_beyond_their_limits<T: TestStore>() {
    let folder = T::new();
    let handle = folder.open(Limits::default()).handle().unwrap();
    let mut stored = add(&handle, &act(&draft(2, 5_000).campaign, Action::Submit, NOW_S));
    let findings = vec![finding(Gate::Alerts, Verdict::Pass, 1.0), finding(Gate::TakeUp, Verdict::Pass, 1.0)];
    stored = save(&handle, &stored, &Outcome { findings, ..unchanged(stored.campaign.clone()) }, NOW_S);
    let numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)";
    let rollouts = |first: u64, last: u64| {
        format!(
            "INSERT INTO rollouts (group_name, serial, body, issued_s, campaign) {numbers} \
             SELECT 'home', i, body, issued_s, campaign FROM n, rollouts WHERE i BETWEEN {first} AND {last} AND serial = 5001"
        )
    };
    folder.execute(&rollouts(1, 2_000));
    let columns = "wave, since_s, at_s, verdict, missing, numerator, denominator, control_numerator, control_denominator, \
                   threshold, text";
    folder.execute(&format!(
        "INSERT INTO gate_results (campaign, gate, number, {columns}) {numbers} SELECT campaign, gate, i + 1, {columns} \
         FROM n, gate_results WHERE gate = 'alerts'"
    ));
    folder.execute(&format!(
        "INSERT INTO campaign_transitions (campaign, number, at_s, state, why) {numbers} \
         SELECT campaign, i + 1, at_s, state, why FROM n, campaign_transitions"
    ));
    let mut ended = act(&stored.campaign, Action::Abort(AbortMode::Stop), NOW_S + 60);
    ended.findings = vec![finding(Gate::Alerts, Verdict::Fail, 1.0)];
    let stored = save(&handle, &stored, &ended, NOW_S + 60);
    let dropped = handle.counter(Counter::CampaignRowsDropped).unwrap();
    assert_eq!(dropped, 1_002 + (2_002 - 1_428) + (2_002 - 1_000), "rollouts, results of one gate, transitions");
    // 998 remain of them: those that are deleted can be added again.
    folder.execute(&rollouts(1, 1_002));
    assert_eq!(handle.gate_results(stored.id, 9_999).unwrap().len(), 1_428 + 1, "one of the take-up");
    let transitions = handle.transitions(stored.id, 9_999).unwrap();
    assert_eq!((transitions.len(), transitions[0].why.as_str()), (1_000, "stopped"));
    let columns = "group_name, version, state, is_open, revision, made_s, changed_s, body";
    folder.execute(&format!("INSERT INTO campaigns ({columns}) {numbers} SELECT {columns} FROM n, campaigns"));
    let last = stored.id;
    for version in 3..14 {
        let refused = act(&draft(version, 5_002).campaign, Action::Refuse, NOW_S);
        add(&handle, &refused);
    }
    let campaigns = handle.campaigns(Some("home"), 9_999).unwrap();
    // Each new one deletes at most 100 older ones.
    assert_eq!(campaigns.len(), 1_000);
    assert_eq!((handle.campaign(last).unwrap(), handle.transitions(last, 9).unwrap()), (None, vec![]));
    assert_eq!(handle.gate_results(last, 9).unwrap(), []);
}
