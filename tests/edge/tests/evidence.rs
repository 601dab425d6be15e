//! Stories of evidence: odd flows that become an alert, and those that do not.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lapwing_edge_tests::{at_ms, host};
use lapwing_shared::context::local::{LocalNetworks, Prefix};
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::flow::lru::splitmix64;
use lapwing_shared::units::Address;
use lapwing_shared::verdict::alert::{Alert, AlertState, Role};
use lapwing_shared::verdict::calibration::{Calibration, Knot};
use lapwing_shared::verdict::judge::{CORRECTION_RANGE_NATS, Judge, OPEN_EPISODES, Policy, Scored};
use lapwing_shared::verdict::kinds::{KindFinder, KindProfile};
use lapwing_shared::verdict::scaling::{FeatureScaling, RowScaler, Scaling, Transform};

const DRIFT: f32 = 2.0;
const LIMIT: f32 = 20.0;

/// A site 192.0.2.0/24 whose calibration makes a score of 1,000·n a surprise of n nats.
struct Site {
    scaling: Scaling,
    calibration: Calibration,
    kinds: Vec<KindProfile>,
    judge: Judge,
    local: LocalNetworks,
    alerts: Vec<Alert>,
}

impl Site {
    fn new() -> Self {
        let feature = FeatureScaling {
            transform: Transform::Identity,
            centre: 0.0,
            unit: 1.0,
            weight: 1,
            benign_low: -1.0,
            benign_high: 1.0,
        };
        let knots = [Knot { score: 0, surprise_nats: 0.0 }, Knot { score: 12_000, surprise_nats: 12.0 }];
        Self {
            scaling: Scaling { features: [feature; FEATURES].into_iter().collect() },
            calibration: Calibration { knots: knots.into_iter().collect(), rows: 1000 },
            kinds: Vec::new(),
            judge: Judge::new(256, 1),
            local: LocalNetworks::new(&[Prefix::v4([192, 0, 2, 0], 24)]).unwrap(),
            alerts: Vec::new(),
        }
    }

    /// One flow with this surprise, off in feature 7; true when its row is no teacher.
    fn flow(&mut self, source: Address, target: Address, surprise_nats: f32, millis: u64) -> bool {
        let mut row: FeatureVector = [0.0; FEATURES];
        row[7] = surprise_nats;
        let mut input = [0; FEATURES];
        input[7] = 10;
        let (score, at) = ((surprise_nats * 1000.0) as u32, at_ms(millis));
        let flow = Scored {
            at,
            source,
            destination: target,
            service_port: 23,
            followed: self.local.followed(&source, &target),
            row: &row,
            input: &input,
            reconstruction: &[0; FEATURES],
            score,
        };
        let policy = Policy {
            scaling: &self.scaling,
            scaler: &RowScaler::new(&self.scaling),
            calibration: &self.calibration,
            kinds: &self.kinds,
            finder: &KindFinder::new(&self.kinds, &self.scaling),
            drift_nats: DRIFT,
            limit_nats: LIMIT,
            release: 7,
        };
        self.judge.judge(&flow, &policy, &mut |alert| self.alerts.push(alert)).suspect
    }

    fn states(&self) -> Vec<AlertState> {
        self.alerts.iter().map(|alert| alert.state).collect()
    }
}

fn outside(last: u8) -> Address {
    Address::from_v4([203, 0, 113, last])
}

#[test]
fn one_odd_flow_is_no_alert_and_many_slightly_odd_ones_are() {
    let mut site = Site::new();
    site.flow(host(1), outside(1), 12.0, 0);
    assert!(site.alerts.is_empty());
    let mut site = Site::new();
    for step in 0..30 {
        site.flow(host(1), outside(1), 3.0, step * 1000);
    }
    // Each adds 1 nat, less a little that fades: the limit of 20 is crossed at the twenty-second flow.
    assert_eq!(site.states(), [AlertState::Opened]);
    assert!((20..=24).contains(&site.alerts[0].flows), "{}", site.alerts[0].flows);
    assert_eq!(site.alerts[0].since, at_ms(0));
}

#[test]
fn an_alert_says_who_what_and_by_which_release() {
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
fn an_alert_carries_its_own_rows_also_while_another_host_is_in_one() {
    let mut site = Site::new();
    for step in 0..8u8 {
        site.flow(host(1), outside(step), 8.0, u64::from(step) * 100);
        site.flow(host(2), outside(step), 7.0, u64::from(step) * 100 + 50);
        // An ordinary flow is no reason for the alert.
        site.flow(host(1), outside(step), 0.1, u64::from(step) * 100 + 60);
    }
    for (of, surprise) in [(host(1), 8.0), (host(2), 7.0)] {
        let alert = site.alerts.iter().find(|alert| alert.host == of).unwrap();
        let values: Vec<f32> = alert.rows.iter().map(|row| row[7]).collect();
        assert!((1..=3).contains(&values.len()) && values.iter().all(|value| *value == surprise), "{values:?}");
    }
    let mut site = Site::new();
    site.judge = site.judge.with_rows(0);
    for step in 0..4u8 {
        site.flow(host(1), outside(step), 8.0, u64::from(step) * 100);
    }
    assert!(site.alerts[0].rows.is_empty(), "where none are wanted");
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
fn an_episode_is_told_when_it_opens_once_a_minute_while_it_grows_and_when_it_ends() {
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
fn ordinary_flows_take_evidence_away_and_end_an_episode() {
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
fn rows_of_a_host_under_suspicion_are_no_teachers() {
    let mut site = Site::new();
    let suspects: Vec<bool> = (0..6).map(|step| site.flow(host(1), outside(1), 8.0, step)).collect();
    // 6 nats a flow: from half the limit on.
    assert_eq!(suspects, [false, true, true, true, true, true]);
    assert!(!site.flow(host(2), outside(1), 8.0, 10), "another host is not under suspicion");
}

#[test]
fn silence_fades_evidence() {
    let mut site = Site::new();
    for hour in 0..40 {
        site.flow(host(1), outside(1), 12.0, hour * 3_600_000);
    }
    // 10 nats an hour, halved twice in between: 13.3 at the most.
    assert!(site.alerts.is_empty(), "{:?}", site.states());
}

#[test]
fn the_local_correction_follows_a_noisier_site_slowly_and_within_its_bounds() {
    let mut site = Site::new();
    let mut state = 3;
    for step in 0..20_000u64 {
        // −ln p of a site whose every flow is 1.0 nats more surprising than the calibration set's.
        let uniform = (splitmix64(&mut state) >> 40) as f32 / (1u64 << 24) as f32;
        let surprise = -(uniform.max(1e-6)).ln() + 1.0;
        site.flow(host((step % 200) as u8), outside(1), surprise.min(12.0), step * 1000);
        if step == 100 {
            assert!(site.judge.correction_nats() < 0.2, "one burst does not move it");
        }
    }
    let correction = site.judge.correction_nats();
    assert!((0.8..=CORRECTION_RANGE_NATS.1).contains(&correction), "{correction}");
}

#[test]
fn a_fleet_of_noisy_hosts_cannot_open_more_episodes_than_the_limit() {
    let mut site = Site::new();
    for last in 0..=255u8 {
        for step in 0..5 {
            site.flow(outside(last), host(last), 9.0, u64::from(last) * 5 + step);
        }
    }
    assert_eq!(site.states().iter().filter(|state| **state == AlertState::Opened).count(), OPEN_EPISODES);
    assert!(site.judge.counters().episodes_held_back > 0);
}

#[test]
fn an_evicted_host_closes_its_episode_first() {
    let mut site = Site::new();
    site.judge = Judge::new(16, 1);
    for step in 0..5 {
        site.flow(host(1), outside(1), 9.0, step);
    }
    for last in 2..40 {
        site.flow(host(last), outside(1), 0.1, 100 + u64::from(last));
    }
    assert_eq!(site.states(), [AlertState::Opened, AlertState::Closed]);
    assert!(site.judge.counters().evictions > 0);
}
