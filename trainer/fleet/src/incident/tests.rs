//! The joiner with a store in memory: passes, merges by hand and time.

use super::remote::tests::address;
use super::*;
use lapwing_shared::messages::Role;
use std::collections::BTreeMap;

const NOW_S: u64 = 1_700_000_000;
const MINUTE_S: u64 = 60;
const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 86_400;

/// What a store does with the joins.
#[derive(Default)]
pub(super) struct World {
    pub(super) incidents: Vec<Incident>,
    pub(super) episodes: Vec<Sighting>,
    pub(super) whys: BTreeMap<i64, String>,
    pub(super) common: Common,
    pub(super) usual: Usual,
    /// Days of the past in which the usual rate of a cause is counted, instead of `usual`.
    pub(super) past_days: Option<u64>,
    pub(super) refused: (u64, u64),
}

/// An episode of a host that was scanned, without peers, at minute `minute`.
fn episode(agent: &str, minute: u64) -> Sighting {
    Sighting {
        id: 0,
        agent: agent.into(),
        episode: minute,
        group: "home".into(),
        host: "192.168.1.20".into(),
        role: Role::Target,
        port: 23,
        cause: Cause::named("port-scan"),
        since_s: NOW_S + minute * MINUTE_S,
        at_s: NOW_S + minute * MINUTE_S + 30,
        release: 7,
        switched_s: None,
        remotes: Vec::new(),
        severity: Severity::Low,
        member: Membership::None,
        may_join: true,
    }
}

fn with_peers(agent: &str, minute: u64, peers: &[&str]) -> Sighting {
    let remote = |text: &&str| Remote { address: address(text), network: Network::of(address(text)) };
    Sighting { remotes: peers.iter().map(remote).collect(), ..episode(agent, minute) }
}

impl World {
    /// One pass with new episodes; returns the incident of each.
    pub(super) fn pass(&mut self, queued: Vec<Sighting>) -> Vec<Option<i64>> {
        let queued: Vec<Sighting> = (self.episodes.len() as i64 + 1..)
            .zip(queued)
            .map(|(id, one)| if one.id == 0 { Sighting { id, ..one } } else { one })
            .collect();
        let mut candidates: BTreeMap<Cause, Vec<Sighting>> = BTreeMap::new();
        let now_s = queued.iter().map(|one| one.since_s).max().unwrap_or(0);
        let is_recent = |one: &&Sighting| self.past_days.is_none() || one.since_s + CANDIDATES_S >= now_s;
        for one in self.episodes.iter().filter(is_recent) {
            candidates.entry(one.cause.clone()).or_default().push(one.clone());
        }
        let usual = queued.iter().map(|one| (one.cause.clone(), self.usual_of(&one.cause, now_s))).collect();
        let (incidents, common) = (self.incidents.clone(), self.common.clone());
        let joins = Joiner { incidents, candidates, usual, common }.join(queued.clone());
        self.refused = (joins.refused_incidents, joins.refused_episodes);
        let ids: Vec<i64> = queued.iter().map(|one| one.id).collect();
        for one in queued {
            self.episodes.retain(|old| old.id != one.id);
            self.episodes.push(one);
        }
        self.store(joins);
        ids.into_iter().map(|id| self.incident_of(id)).collect()
    }

    fn usual_of(&self, cause: &Cause, now_s: u64) -> Usual {
        let Some(days) = self.past_days else { return self.usual };
        let past = now_s - days * DAY_S..now_s - 1_800;
        let episodes = self.episodes.iter().filter(|one| one.cause == *cause && past.contains(&one.since_s));
        Usual { episodes: episodes.count() as u64, days: days as f64 }
    }

    fn store(&mut self, joins: Joins) {
        let base = self.incidents.len() as i64 + 1;
        for (id, new) in (base..).zip(joins.new) {
            let NewIncident { rule, cause, key, group, release } = new;
            self.incidents.push(incident(id, rule, cause, key, group, release));
        }
        for member in joins.members {
            let id = match member.target {
                Target::Stored(id) => id,
                Target::New(index) => base + index as i64,
            };
            let one = self.episodes.iter_mut().find(|one| one.id == member.id).unwrap();
            assert_eq!(one.member, Membership::None, "an episode belongs to one incident at most");
            one.member = Membership::In(id);
            let since_s = one.since_s;
            let incident = self.incidents.iter_mut().find(|one| one.id == id).unwrap();
            incident.first_s = incident.first_s.min(since_s);
            incident.episodes += 1;
            self.whys.insert(member.id, member.why);
        }
    }

    fn incident_of(&self, id: i64) -> Option<i64> {
        let one = self.episodes.iter().find(|one| one.id == id).unwrap();
        match one.member {
            Membership::In(incident) => Some(incident),
            Membership::None => None,
        }
    }
}

fn incident(id: i64, rule: Rule, cause: Cause, key: String, group: String, release: u64) -> Incident {
    Incident {
        id,
        rule,
        cause,
        key,
        group,
        release,
        state: IncidentState::Open,
        verdict: None,
        severity: Severity::Low,
        first_s: u64::MAX,
        last_s: 0,
        active_s: 0,
        sites: 0,
        episodes: 0,
        assigned: None,
        seen_by: None,
        resolved_by: None,
        again_of: None,
        merged_into: None,
        made_s: NOW_S,
    }
}

#[test]
fn two_sites_with_the_same_outside_peer_within_six_hours_are_one_incident() {
    let mut world = World::default();
    assert_eq!(world.pass(vec![with_peers("a", 0, &["203.0.113.77"])]), [None], "one site");
    assert_eq!(world.pass(vec![with_peers("a", 1, &["203.0.113.77"])]), [None], "the same site again");
    assert_eq!(world.pass(vec![with_peers("b", 300, &["203.0.113.9"])]), [Some(1)], "the same /24");
    assert!(world.episodes.iter().all(|one| one.member == Membership::In(1)));
    let why = "One of 2 sites with the same cause and an outside peer in 203.0.113.0/24, here 203.0.113.77.";
    assert_eq!(world.whys[&1], why);
    // An incident takes episodes with its peer for a week.
    assert_eq!(world.pass(vec![with_peers("c", 6 * 24 * 60, &["203.0.113.77"])]), [Some(1)]);
    assert_eq!(world.pass(vec![with_peers("d", 7 * 24 * 60 + 1, &["203.0.113.77"])]), [None]);
}

#[test]
fn other_causes_old_episodes_and_peers_of_every_site_do_not_join() {
    let mut world = World::default();
    world.pass(vec![with_peers("a", 0, &["203.0.113.77"])]);
    let other = Sighting { cause: Cause::named("syn-flood"), ..with_peers("b", 1, &["203.0.113.77"]) };
    assert_eq!(world.pass(vec![other]), [None]);
    assert_eq!(world.pass(vec![with_peers("c", 361, &["203.0.113.77"])]), [None], "six hours later");
    let mut world = World { common: common("203.0.113.77"), ..World::default() };
    let two = vec![with_peers("a", 0, &["203.0.113.77"]), with_peers("b", 1, &["203.0.113.77"])];
    assert_eq!(world.pass(two.clone()), [None, None]);
    world.common = Common::default();
    let test = two.into_iter().map(|one| Sighting { may_join: false, ..one }).collect();
    assert_eq!(world.pass(test), [None, None], "test alerts");
}

fn common(text: &str) -> Common {
    let network = Network::of(address(text));
    Common::new(["x", "y", "z"].map(|site| (site, network)), 3)
}

#[test]
fn episodes_do_not_chain_two_incidents_through_a_third_episode() {
    let mut world = World::default();
    let first = world.pass(vec![with_peers("a", 0, &["203.0.113.1"]), with_peers("b", 1, &["203.0.113.1"])]);
    assert_eq!(first, [Some(1), Some(1)]);
    // It has the peer of the first incident and another one.
    assert_eq!(world.pass(vec![with_peers("c", 2, &["203.0.113.1", "198.51.100.1"])]), [Some(1)]);
    // The incident does not have that other peer as its key, so these make one of their own.
    let second = world.pass(vec![with_peers("d", 3, &["198.51.100.1"]), with_peers("e", 4, &["198.51.100.1"])]);
    assert_eq!(second, [Some(2), Some(2)]);
    assert_eq!(world.pass(vec![with_peers("f", 5, &["198.51.100.1"])]), [Some(2)]);
    let of_first: Vec<&str> =
        world.episodes.iter().filter(|one| one.member == Membership::In(1)).map(|one| one.agent.as_str()).collect();
    assert_eq!(of_first, ["a", "b", "c"]);
}

#[test]
fn three_sites_within_half_an_hour_are_a_burst_unless_that_is_usual() {
    let three = || vec![episode("a", 0), episode("b", 15), episode("c", 30)];
    let mut world = World::default();
    assert_eq!(world.pass(three()), [Some(1); 3]);
    assert!(world.whys[&1].starts_with("3 sites had this cause as target port 23 within 30 min;"), "{:?}", world.whys);
    assert_eq!(world.pass(vec![episode("d", 31)]), [Some(1)], "15, 30, 31: three sites within 30 min");
    assert_eq!(world.pass(vec![episode("e", 62)]), [None], "alone in its half hour");
    assert_eq!(World::default().pass(three()[..2].to_vec()), [None; 2]);
    let later = vec![episode("a", 0), episode("b", 15), episode("c", 31)];
    assert_eq!(World::default().pass(later), [None; 3], "31 minutes");
    let elsewhere = vec![episode("a", 0), episode("b", 1), Sighting { port: 80, ..episode("c", 2) }];
    assert_eq!(World::default().pass(elsewhere), [None; 3]);
    // 100 a day are one in 15 minutes.
    let usual = Usual { episodes: 1_400, days: 14.0 };
    assert_eq!(World { usual, ..World::default() }.pass(three()), [None; 3]);
}

#[test]
fn episodes_soon_after_the_switch_to_one_release_are_an_incident_of_the_release_before_other_rules() {
    let after = |agent: &str, minute: u64, switched: u64| Sighting {
        switched_s: Some(NOW_S + switched * MINUTE_S),
        ..with_peers(agent, minute, &["203.0.113.1"])
    };
    let mut world = World::default();
    let joined = world.pass(vec![after("a", 60, 0), after("b", 700, 600), after("c", 800, 750)]);
    assert_eq!(joined, [Some(1); 3]);
    assert_eq!((world.incidents[0].rule, world.incidents[0].release), (Rule::Release, 7));
    let why = "One of 3 sites with the same cause; began 60 min after the site switched to release 7.";
    assert_eq!(world.whys[&1], why);
    assert_eq!(world.pass(vec![after("d", 3_000, 2_900)]), [Some(1)], "a later wave");
    let late = after("e", 4_500, 3_000);
    assert_eq!(world.pass(vec![late]), [None], "25 hours after its switch");
    let other = Sighting { release: 8, ..after("f", 3_000, 2_990) };
    assert_eq!(world.pass(vec![other]), [None]);
    let mut two = World::default();
    two.pass(vec![after("a", 60, 0), after("b", 700, 600)]);
    assert!(two.incidents.is_empty(), "two sites, more than six hours apart");
}

#[test]
fn a_raised_alert_takes_its_repeats_and_those_of_other_hosts_stay_out() {
    let mut world = World::default();
    world.pass(vec![episode("a", 0)]);
    let first = world.episodes[0].clone();
    let key = joined_key(Rule::Raised, &first.cause, &first.series());
    let raised = incident(1, Rule::Raised, first.cause.clone(), key, "home".into(), 0);
    world.incidents.push(Incident { first_s: first.since_s, ..raised });
    assert_eq!(world.pass(vec![episode("a", 600)]), [Some(1)]);
    let other = Sighting { host: "192.168.1.21".into(), ..episode("a", 601) };
    assert_eq!(world.pass(vec![other, episode("b", 602)]), [None, None]);
}

#[test]
fn what_a_person_merged_split_or_resolved_stays_so() {
    let mut world = World::default();
    world.pass(vec![with_peers("a", 0, &["203.0.113.1"]), with_peers("b", 1, &["203.0.113.1"])]);
    world.pass(vec![with_peers("c", 2, &["198.51.100.1"]), with_peers("d", 3, &["198.51.100.1"])]);
    // Merged: the key of the second leads to the first.
    (world.incidents[1].state, world.incidents[1].merged_into) = (IncidentState::Merged, Some(1));
    assert_eq!(world.pass(vec![with_peers("e", 4, &["198.51.100.1"])]), [Some(1)]);
    // Split: the episode belongs to another incident now, and changes do not bring it back.
    let mut changed = world.episodes[0].clone();
    changed.member = Membership::In(9);
    assert_eq!(world.pass(vec![changed]), [Some(9)]);
    // Resolved: one more site is no incident again.
    world.incidents[0].state = IncidentState::Resolved;
    assert_eq!(world.pass(vec![with_peers("f", 5, &["203.0.113.1"])]), [None]);
    assert_eq!(world.pass(vec![with_peers("g", 6, &["203.0.113.1"])]), [Some(3)], "but two are");
    // A merge that leads nowhere or in a circle is no incident.
    (world.incidents[0].state, world.incidents[0].merged_into) = (IncidentState::Merged, Some(2));
    assert_eq!(world.pass(vec![with_peers("h", 7, &["198.51.100.1"])]), [None]);
}

#[test]
fn a_changed_member_is_touched_and_keeps_its_incident() {
    let mut world = World::default();
    world.pass(vec![with_peers("a", 0, &["203.0.113.1"]), with_peers("b", 1, &["203.0.113.1"])]);
    let changed = Sighting { cause: Cause::named("syn-flood"), severity: Severity::High, ..world.episodes[0].clone() };
    let joiner = Joiner { incidents: world.incidents.clone(), ..Joiner::default() };
    let joins = joiner.join(vec![changed]);
    let touched = Touched { incident: 1, id: 1, severity: Severity::High };
    assert_eq!(joins, Joins { touched: vec![touched], ..Joins::default() });
}

#[test]
fn incidents_and_their_episodes_are_limited_and_counted() {
    let mut world = World::default();
    for id in 1..=OPEN_INCIDENTS as i64 {
        let cause = Cause::named("x");
        world.incidents.push(incident(id, Rule::Burst, cause, format!("key {id}"), String::new(), 0));
    }
    let two = vec![with_peers("a", 0, &["203.0.113.1"]), with_peers("b", 1, &["203.0.113.1"])];
    assert_eq!(world.pass(two.clone()), [None, None]);
    assert_eq!(world.refused.0, 2);
    world.incidents[0].state = IncidentState::Quiet;
    world.episodes.clear();
    let made = OPEN_INCIDENTS as i64 + 1;
    assert_eq!(world.pass(two), [Some(made), Some(made)]);
    world.incidents.last_mut().unwrap().episodes = EPISODES_PER_INCIDENT;
    assert_eq!(world.pass(vec![with_peers("c", 2, &["203.0.113.1"])]), [None]);
    assert_eq!(world.refused, (0, 1));
}

#[test]
fn a_thousand_sites_at_once_are_one_incident_in_bounded_time() {
    let mut world = World::default();
    let agents: Vec<String> = (0..1_000).map(|number| format!("gw-{number}")).collect();
    let all = agents.iter().map(|agent| with_peers(agent, 5, &["203.0.113.1"])).collect();
    assert_eq!(world.pass(all), vec![Some(1); 1_000]);
    assert!(world.incidents[0].accepts(NOW_S + HOUR_S) && !world.incidents[0].accepts(NOW_S + 8 * DAY_S));
}
