//! Scored flows → evidence → alerts: which anomalous flows raise one, and which do not.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

#[path = "evidence/site.rs"]
mod site;

use lapwing_edge_tests::{at_ms, host};
use lapwing_shared::context::local::{LocalNetworks, Prefix};
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::flow::lru::splitmix64;
use lapwing_shared::units::Address;
use lapwing_shared::verdict::alert::{Alert, AlertState, Role, SiteAlert};
use lapwing_shared::verdict::habits::Habits;
use lapwing_shared::verdict::kinds::KindProfile;
use lapwing_shared::verdict::tracker::{CORRECTION_RANGE_NATS, EvidenceTracker, OPEN_EPISODES, TARGETS_PER_SOURCE};
use site::{LIMIT, Site};

fn outside(last: u8) -> Address {
    Address::from_v4([203, 0, 113, last])
}

#[test]
fn one_anomalous_flow_raises_no_alert_and_many_slightly_anomalous_do() {
    let mut site = Site::new();
    site.flow(host(1), outside(1), 12.0, 0);
    assert!(site.alerts.is_empty());
    let mut site = Site::new();
    for step in 0..30 {
        site.flow(host(1), outside(1), 3.0, step * 1000);
    }
    // Each flow adds 1 nat, and a little decays: the twenty-second flow crosses the limit of 20.
    assert_eq!(site.states(), [AlertState::Opened]);
    assert!((20..=24).contains(&site.alerts[0].flows), "{}", site.alerts[0].flows);
    assert_eq!(site.alerts[0].since, at_ms(0));
}

#[test]
fn an_alert_names_host_peers_reason_and_release() {
    let mut site = Site::new();
    site.kinds = vec![KindProfile {
        name: "telnet-spread".try_into().unwrap(),
        centre: (0..FEATURES).map(|index| if index == 7 { 10 } else { 0 }).collect(),
        radius: 5,
    }];
    for step in 0..4u8 {
        site.flow(host(1), outside(step % 2), 8.0, u64::from(step) * 100);
    }
    let [alert] = &site.alerts[..] else { panic!("{:?}", site.alerts) };
    assert_eq!((alert.host, alert.role, alert.release, alert.service_port), (host(1), Role::Source, 7, 23));
    assert_eq!(alert.resembles.as_deref(), Some("telnet-spread"));
    assert_eq!(alert.peers.iter().map(|peer| peer.flows).collect::<Vec<_>>(), [2, 2]);
    let reason = alert.reasons[0];
    assert_eq!(SCHEMA[usize::from(reason.feature)].name, SCHEMA[7].name);
    assert_eq!((reason.value, reason.normal_high, reason.share_permille), (8.0, 1.0, 1000));
}

#[test]
fn an_alert_carries_only_rows_of_its_own_episode() {
    let mut site = Site::new();
    for step in 0..8u8 {
        site.flow(host(1), outside(step), 8.0, u64::from(step) * 100);
        site.flow(host(2), outside(step), 7.0, u64::from(step) * 100 + 50);
        // A normal flow does not contribute to the alert.
        site.flow(host(1), outside(step), 0.1, u64::from(step) * 100 + 60);
    }
    for (of, surprise) in [(host(1), 8.0), (host(2), 7.0)] {
        let alert = site.alerts.iter().find(|alert| alert.host == of).unwrap();
        let values: Vec<f32> = alert.rows.iter().map(|row| row[7]).collect();
        assert!((1..=3).contains(&values.len()) && values.iter().all(|value| *value == surprise), "{values:?}");
    }
    let mut site = Site::new();
    site.tracker = site.tracker.with_rows(0);
    for step in 0..4u8 {
        site.flow(host(1), outside(step), 8.0, u64::from(step) * 100);
    }
    assert!(site.alerts[0].rows.is_empty(), "with_rows(0)");
}

#[test]
fn a_spoofed_flood_raises_the_evidence_of_its_target() {
    let mut site = Site::new();
    for step in 0..10u8 {
        site.flow(outside(step), host(5), 6.0, u64::from(step) * 10);
    }
    assert_eq!((site.alerts[0].host, site.alerts[0].role), (host(5), Role::Target));
}

#[test]
fn an_episode_alerts_at_its_start_each_minute_and_at_its_end() {
    let mut site = Site::new();
    for second in 0..150 {
        site.flow(host(1), outside(1), 6.0, second * 1000);
    }
    assert_eq!(site.states(), [AlertState::Opened, AlertState::Updated, AlertState::Updated]);
    site.flow(host(9), outside(1), 0.5, 149_000 + 299_000);
    assert_eq!(site.alerts.len(), 3);
    site.flow(host(9), outside(1), 0.5, 149_000 + 300_000);
    assert_eq!(site.states()[3], AlertState::Closed);
    let numbers: Vec<_> = site.alerts.iter().map(|alert| alert.episode).collect();
    assert!(numbers.iter().all(|number| *number == numbers[0]));
    assert!(site.alerts[3].flows >= 150 && site.alerts[3].peak_nats > LIMIT);
}

#[test]
fn normal_flows_reduce_evidence_and_end_an_episode() {
    let mut site = Site::new();
    let mut millis = 0;
    for (surprise, flows) in [(8.0, 5), (0.5, 40)] {
        for _ in 0..flows {
            site.flow(host(1), outside(1), surprise, millis);
            millis += 100;
        }
    }
    assert_eq!(site.states(), [AlertState::Opened, AlertState::Closed]);
}

#[test]
fn rows_of_a_suspect_host_are_excluded_from_training() {
    let mut site = Site::new();
    let suspects: Vec<bool> = (0..6).map(|step| site.flow(host(1), outside(1), 8.0, step)).collect();
    // 6 nats per flow; rows are excluded from half the limit on.
    assert_eq!(suspects, [false, true, true, true, true, true]);
    assert!(!site.flow(host(2), outside(1), 8.0, 10), "another host is not suspect");
}

#[test]
fn evidence_decays_over_time() {
    let mut site = Site::new();
    for hour in 0..40 {
        site.flow(host(1), outside(1), 12.0, hour * 3_600_000);
    }
    // 10 nats an hour, halved twice in between: at most 13.3.
    assert!(site.alerts.is_empty(), "{:?}", site.states());
}

#[test]
fn the_local_correction_adapts_slowly_and_within_its_bounds() {
    let mut site = Site::new();
    let mut state = 3;
    for step in 0..20_000u64 {
        // −ln p of a site whose flows are 1.0 nats more surprising than those of the calibration set.
        let uniform = (splitmix64(&mut state) >> 40) as f32 / (1u64 << 24) as f32;
        let surprise = -(uniform.max(1e-6)).ln() + 1.0;
        site.flow(host((step % 200) as u8), outside(1), surprise.min(12.0), step * 1000);
        if step == 100 {
            assert!(site.tracker.correction_nats() < 0.2, "one burst changed it");
        }
    }
    let correction = site.tracker.correction_nats();
    assert!((0.8..=CORRECTION_RANGE_NATS.1).contains(&correction), "{correction}");
}

#[test]
fn many_noisy_hosts_cannot_open_more_episodes_than_the_limit() {
    let mut site = Site::new();
    for last in 0..=255u8 {
        for step in 0..5 {
            site.flow(outside(last), host(last), 9.0, u64::from(last) * 5 + step);
        }
    }
    let opened = |alert: &&Alert| alert.state == AlertState::Opened && SiteAlert::of(alert).is_none();
    assert_eq!(site.alerts.iter().filter(opened).count(), OPEN_EPISODES);
    assert!(site.tracker.counters().episodes_held_back > 0);
    let too_many = site.alerts.iter().filter(|alert| SiteAlert::of(alert) == Some(SiteAlert::TooManyToReport));
    assert_eq!(too_many.count(), 1);
}

#[test]
fn a_host_in_an_episode_is_evicted_last_and_its_episode_closes_first() {
    let mut site = Site::new();
    site.tracker = EvidenceTracker::new(16, 1);
    for step in 0..5 {
        site.flow(host(1), outside(1), 9.0, step);
    }
    for last in 2..100 {
        (0..3).for_each(|step| _ = site.flow(host(last), outside(1), 4.0, 100 + u64::from(last) * 3 + step));
    }
    assert_eq!(site.states(), [AlertState::Opened], "hosts with less evidence are evicted");
    assert!(site.tracker.counters().evictions > 0);
    for last in 100..=255 {
        (0..5).for_each(|step| _ = site.flow(host(last), outside(1), 9.0, 1_000 + u64::from(last) * 5 + step));
    }
    let closed: Vec<_> = site.alerts.iter().filter(|alert| alert.state == AlertState::Closed).collect();
    assert!(!closed.is_empty(), "the table is full of hosts in episodes");
    let opened = opened(&site);
    // Hosts with evidence, but without an episode, occupy the other places.
    assert!((1..=16).contains(&(opened - closed.len())), "{opened} opened, {} closed", closed.len());
}

#[test]
fn hosts_without_evidence_take_no_room() {
    let mut site = Site::new();
    site.tracker = EvidenceTracker::new(16, 1);
    site.flow(host(1), outside(1), 12.0, 0);
    for step in 0..20_000_u64 {
        site.flow(Address::from_v4([192, 0, 2, 2 + (step % 250) as u8]), outside(1), 1.0, 1 + step / 20);
    }
    site.flow(host(1), outside(1), 12.0, 1_002);
    site.flow(host(1), outside(1), 12.0, 1_003);
    assert_eq!(site.states(), [AlertState::Opened]);
    assert_eq!(site.tracker.counters().evictions, 0);
}

/// The forged source of this number; the site is 10.0.0.0/8.
fn forged(number: u32) -> Address {
    let [_, a, b, c] = number.to_be_bytes();
    Address::from_v4([10, 128 + a, b, c])
}

#[test]
fn anomalous_forged_sources_do_not_hide_an_attacker() {
    for (flows_each, gap_ms) in [(1, 1_000), (1, 20_000), (2, 1_000)] {
        let mut site = Site::new();
        site.local = LocalNetworks::new(&[Prefix::v4([10, 0, 0, 0], 8)]).unwrap();
        let attacker = Address::from_v4([10, 0, 0, 66]);
        for millis in 0..60 * gap_ms / 2 {
            // 1,000 forged sources a second in a table of 256, each as anomalous as the attacker's first flow.
            let source = forged((millis / flows_each) as u32);
            site.flow(source, outside((millis % 200) as u8), 5.0, millis);
            if millis % gap_ms == 0 {
                site.flow(attacker, outside((millis / gap_ms) as u8), 7.0, millis);
            }
        }
        let found = site.alerts.iter().any(|alert| alert.host == attacker && alert.state == AlertState::Opened);
        assert!(found, "{flows_each} flows of each forged source, one of the attacker each {gap_ms} ms");
    }
}

#[test]
fn a_much_stronger_host_replaces_the_weakest_episode() {
    let mut site = Site::new();
    for last in 0..64 {
        (0..4).for_each(|step| _ = site.flow(host(last), outside(last), 8.0, u64::from(last) * 5 + step));
    }
    for second in 1..30 {
        site.flow(host(100), outside(1), 8.0, second * 1_000);
    }
    // Each has 24 nats, and twice that takes nine flows of six nats.
    assert_eq!(site.states().iter().filter(|state| **state == AlertState::Closed).count(), 1);
    let opened = site.alerts.iter().find(|alert| alert.host == host(100)).unwrap();
    assert!((8..=10).contains(&opened.flows), "{}", opened.flows);
    assert_eq!(site.tracker.counters().episodes_replaced, 1);
    // Meanwhile, the site's alert names it.
    let too_many = site.alerts.iter().find(|alert| SiteAlert::of(alert) == Some(SiteAlert::TooManyToReport)).unwrap();
    assert_eq!((too_many.state, too_many.peers[0].address), (AlertState::Opened, host(100)));
    assert!(site.tracker.counters().episodes_held_back > 0);
}

#[test]
fn equally_strong_hosts_do_not_replace_each_other() {
    let mut site = Site::new();
    for second in 0..600 {
        for last in 0..=255_u8 {
            site.flow(host(last), outside(last), 8.0, second * 1_000 + u64::from(last));
        }
    }
    assert!(site.tracker.counters().episodes_replaced < 64, "{:?}", site.tracker.counters());
}

#[test]
fn all_but_four_targets_of_a_reported_source_are_folded_into_its_episode() {
    let mut site = Site::new();
    for round in 0..20 {
        for last in 2..=200 {
            site.flow(host(1), host(last), 8.0, round * 1_000 + u64::from(last));
        }
    }
    let hosts: Vec<_> = site.alerts.iter().map(|alert| (alert.host, alert.role)).collect();
    let roles = |role| hosts.iter().filter(|(_, of)| *of == role).count();
    assert_eq!((roles(Role::Source), roles(Role::Target)), (1, TARGETS_PER_SOURCE));
    assert_eq!(site.tracker.counters().episodes_folded, 199 - TARGETS_PER_SOURCE as u64);
    assert!(!hosts.contains(&(host(9), Role::Target)), "host 9 is folded");
    // Another attacker, from outside, takes over one of the targets.
    for step in 0..200 {
        site.flow(outside(7), host(9), 8.0, 30_000 + step * 1_000);
    }
    let alert = site.alerts.iter().find(|alert| (alert.host, alert.role) == (host(9), Role::Target)).unwrap();
    assert_eq!(alert.peers[0].address, outside(7));
}

#[test]
fn the_next_attack_of_a_reported_source_on_another_host_is_reported() {
    let mut site = Site::new();
    (0..20).for_each(|step| _ = site.flow(host(1), host(2), 8.0, step));
    (0..5).for_each(|step| _ = site.flow(host(1), host(3), 8.0, 60_000 + step));
    let opened = site.alerts.iter().filter(|alert| alert.state == AlertState::Opened);
    let opened: Vec<_> = opened.map(|alert| (alert.host, alert.role)).collect();
    assert_eq!(opened, [(host(1), Role::Source), (host(2), Role::Target), (host(3), Role::Target)]);
}

#[test]
fn an_outside_source_gets_alerts_of_four_targets() {
    let mut site = Site::new();
    for round in 0..5 {
        for last in 2..=200 {
            site.flow(outside(1), host(last), 8.0, round * 1_000 + u64::from(last));
        }
    }
    assert_eq!(site.states(), [AlertState::Opened; TARGETS_PER_SOURCE]);
    // Another source's target is reported.
    (0..5).for_each(|step| _ = site.flow(outside(2), host(250), 8.0, 6_000 + step));
    assert_eq!(site.alerts[TARGETS_PER_SOURCE].host, host(250));
}

#[test]
fn a_flood_of_new_sources_raises_an_alert_of_the_site() {
    let mut site = Site::new();
    let mut sources = 0;
    for interval in 0..70 {
        // 3,000 new sources a minute, for two minutes.
        sources += if (20..32).contains(&interval) { 500 } else { 5 };
        site.count_sources(interval * 10_000, sources);
    }
    let states: Vec<_> = site.alerts.iter().map(|alert| (SiteAlert::of(alert), alert.state)).collect();
    let flood = |state| (Some(SiteAlert::NewSources), state);
    assert_eq!(states, [flood(AlertState::Opened), flood(AlertState::Updated), flood(AlertState::Closed)]);
    assert_eq!((site.alerts[0].since, site.alerts[0].flows), (at_ms(190_000), 500));
    assert_eq!(site.tracker.counters().flooding_sources, 6_000);
}

fn opened(site: &Site) -> usize {
    site.states().iter().filter(|state| **state == AlertState::Opened).count()
}

#[test]
fn what_a_host_does_every_hour_raises_alerts_only_until_it_is_a_habit() {
    let lock = |site: &mut Site, hour: u64| {
        for flow in 0..4 {
            site.flow(host(1), outside(1), 8.0, hour * 3_600_000 + flow * 1000);
        }
    };
    let mut site = Site::new();
    (0..24).for_each(|hour| lock(&mut site, hour));
    assert_eq!(opened(&site), 24, "without habits");

    let mut site = Site::new();
    site.tracker = EvidenceTracker::new(256, 1).with_habits(Habits::new(256, 1));
    (0..24).for_each(|hour| lock(&mut site, hour));
    assert_eq!(opened(&site), 1, "in the first hour");
    // An attack on the same service is more surprising than the habit.
    for flow in 0..7 {
        site.flow(host(1), outside(2), 12.0, 24 * 3_600_000 + flow * 1000);
    }
    assert_eq!(opened(&site), 2);
    // Another host's is no habit of this one.
    for flow in 0..4 {
        site.flow(host(2), outside(1), 8.0, 25 * 3_600_000 + flow * 1000);
    }
    assert_eq!(opened(&site), 3);
}
