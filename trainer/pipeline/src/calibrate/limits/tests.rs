//! Evidence limits from synthetic days.

use super::super::{DRIFT_NATS, calibrate};
use super::*;
use fastrand::Rng;
use lapwing_shared::units::Nanos;

const DAY_S: u64 = 86_400;

fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// A site of ten hosts with a flow every four seconds; `score` draws a score.
fn traffic(days: u64, seed: u64, score: impl Fn(&mut Rng, u64) -> f64) -> Traffic {
    let mut rng = Rng::with_seed(seed);
    let flow = |second: u64| BenignFlow {
        site: 0,
        at: Timestamp::from_secs(second),
        source: Address::from_v4([192, 168, 1, rng.u8(1..11)]),
        destination: Address::from_v4([203, 0, 113, 1]),
        service_port: 443,
        score: Some(score(&mut rng, second) as u32),
        weight: 1.0,
        under_release: false,
    };
    Traffic::new((0..days * DAY_S).step_by(4).map(flow).collect())
}

fn ordinary(rng: &mut Rng, _: u64) -> f64 {
    1_000.0 * exponential(rng)
}

const fn rule(limit_nats: f32) -> AlertRule {
    AlertRule { drift_nats: DRIFT_NATS, limit_nats }
}

fn curve_of(traffic: &Traffic) -> Calibration {
    calibrate(&traffic.flows.iter().filter_map(|flow| flow.score).collect::<Vec<_>>()).unwrap()
}

fn limits_of(traffic: &Traffic, calibration: &Calibration) -> heapless::Vec<LimitKnot, LIMIT_KNOTS> {
    evidence_limits(traffic, calibration, Unlabelled::default(), DRIFT_NATS).unwrap()
}

#[test]
fn alerts_on_fresh_benign_days_match_the_budget_within_a_factor_of_2() {
    let seen = traffic(20, 1, ordinary);
    let calibration = curve_of(&seen);
    let limits = limits_of(&seen, &calibration);
    let fresh = traffic(60, 2, ordinary);
    for knot in limits.iter().filter(|knot| (0.3..=30.0).contains(&knot.alerts_per_day)) {
        let alerts = fresh.alerts(&calibration, rule(knot.evidence_nats)) as f64 / fresh.days();
        let ratio = alerts / f64::from(knot.alerts_per_day);
        assert!((0.5..=2.0).contains(&ratio), "{knot:?}: {alerts} alerts a day");
    }
}

#[test]
fn limits_fall_as_the_budget_rises() {
    let seen = traffic(2, 3, ordinary);
    let limits = limits_of(&seen, &curve_of(&seen));
    assert_eq!(limits.len(), ALERTS_PER_DAY.len());
    assert!(limits.windows(2).all(|pair| pair[0].evidence_nats >= pair[1].evidence_nats), "{limits:?}");
    assert!(limits[0].evidence_nats > limits[4].evidence_nats, "{limits:?}");
}

#[test]
fn benign_bursts_raise_the_limit() {
    let bursts = |rng: &mut Rng, second: u64| ordinary(rng, second) + if second % 20_000 < 160 { 5_000.0 } else { 0.0 };
    let (calm, busy) = (traffic(10, 4, ordinary), traffic(10, 4, bursts));
    let calibration = curve_of(&calm);
    let limit = |traffic: &Traffic| limits_of(traffic, &calibration)[3].evidence_nats;
    assert!(limit(&busy) > 1.3 * limit(&calm), "{} against {}", limit(&busy), limit(&calm));
}

#[test]
fn a_sample_of_the_flows_gives_the_same_limits_as_all() {
    let all = traffic(10, 6, ordinary);
    let calibration = curve_of(&all);
    let tenth = all.flows.iter().step_by(10).map(|flow| BenignFlow { weight: 10.0, ..*flow }).collect();
    let limit = |traffic: &Traffic| limits_of(traffic, &calibration)[3].evidence_nats;
    let (whole, sampled) = (limit(&all), limit(&Traffic::new(tenth)));
    assert!((sampled / whole - 1.0).abs() < 0.25, "{whole} nats from all, {sampled} from a tenth");
}

#[test]
fn held_out_stretches_give_the_same_limits_as_whole_days() {
    // Bursts of anomalous flows by one host for two minutes every two hours, among the flows of the others.
    let bursts = |rng: &mut Rng, second: u64| ordinary(rng, second) + if second % 7_200 < 120 { 6_000.0 } else { 0.0 };
    let mut all = traffic(20, 8, bursts);
    let calibration = curve_of(&traffic(20, 8, ordinary));
    let host = |flow: &mut BenignFlow| {
        if flow.at.as_secs() % 7_200 < 120 {
            flow.source = Address::from_v4([192, 168, 1, 1]);
        }
    };
    all.flows.iter_mut().for_each(host);
    let held_out = |(index, flow): (usize, &BenignFlow)| BenignFlow {
        score: flow.score.filter(|_| index / 500 % 5 == 2),
        ..*flow
    };
    let part = Traffic::new(all.flows.iter().enumerate().map(held_out).collect());
    assert!((part.days() / all.days() - 0.2).abs() < 0.01, "{} of {} days", part.days(), all.days());
    let limit = |traffic: &Traffic| limits_of(traffic, &calibration)[3].evidence_nats;
    let (whole, held_out) = (limit(&all), limit(&part));
    assert!((held_out / whole - 1.0).abs() < 0.25, "{whole} nats from all, {held_out} from a fifth");
}

#[test]
fn a_week_offline_does_not_count_as_covered() {
    let whole = traffic(4, 7, ordinary);
    let half = whole.flows.len() / 2;
    let away = |(index, flow): (usize, &BenignFlow)| {
        let later = if index < half { Nanos(0) } else { Nanos::from_secs(7 * DAY_S) };
        BenignFlow { at: flow.at.plus(later), ..*flow }
    };
    let interrupted = Traffic::new(whole.flows.iter().enumerate().map(away).collect());
    assert!((interrupted.days() - whole.days()).abs() < 0.05, "{} and {}", interrupted.days(), whole.days());
}

/// The traffic as stored after a release with this limit, without any labels: the flows of every episode are missing.
fn without_episodes(whole: &Traffic, calibration: &Calibration, limit_nats: f32) -> (Traffic, Unlabelled) {
    let mut alerts = Vec::new();
    let episodes = alerts_of_site(&whole.flows, calibration, rule(limit_nats), &mut |alert| alerts.push(alert));
    let of_episode = |flow: &BenignFlow| {
        alerts.iter().any(|alert| {
            (flow.source == alert.host || flow.destination == alert.host) && (alert.since..=alert.at).contains(&flow.at)
        })
    };
    let keep = |flow: &BenignFlow| BenignFlow {
        score: flow.score.filter(|_| !of_episode(flow)),
        under_release: true,
        ..*flow
    };
    let left = Traffic::new(whole.flows.iter().map(keep).collect());
    (left, Unlabelled { episodes, limit_nats })
}

#[test]
fn limits_stay_level_over_releases_without_labels() {
    let calibration = curve_of(&traffic(10, 20, ordinary));
    let fresh = traffic(40, 21, ordinary);
    let alerts_a_day = |limit: f32| fresh.alerts(&calibration, rule(limit)) as f64 / fresh.days();
    let after_releases = |counted: bool| {
        let mut limit = limits_of(&traffic(10, 22, ordinary), &calibration)[3].evidence_nats;
        for release in 0..6 {
            let (left, unlabelled) = without_episodes(&traffic(10, 23 + release, ordinary), &calibration, limit);
            let unlabelled = if counted { unlabelled } else { Unlabelled::default() };
            limit = evidence_limits(&left, &calibration, unlabelled, DRIFT_NATS).unwrap()[3].evidence_nats;
        }
        alerts_a_day(limit)
    };
    let (counted, not_counted) = (after_releases(true), after_releases(false));
    assert!((0.5..=2.0).contains(&counted), "{counted} alerts a day, the budget is 1");
    assert!(not_counted > 3.0, "only {not_counted} alerts a day without counting: this test no longer tests anything");
}

#[test]
fn many_unlabelled_alerts_raise_the_limit_only_within_the_budget() {
    let half = |flow: &BenignFlow| BenignFlow { under_release: flow.at.as_secs() < 5 * DAY_S, ..*flow };
    let seen = Traffic::new(traffic(10, 30, ordinary).flows.iter().map(half).collect());
    let calibration = curve_of(&seen);
    let limit = |unlabelled| evidence_limits(&seen, &calibration, unlabelled, DRIFT_NATS).unwrap()[3].evidence_nats;
    let none = limit(Unlabelled::default());
    let flood = |episodes| limit(Unlabelled { episodes, limit_nats: none });
    assert_eq!(flood(100), flood(1_000_000));
    assert!(flood(100) < 1.25 * none, "{} against {none}", flood(100));
    assert!(flood(0) == none && flood(2) > none && flood(100) > flood(2));
}

/// Ten days with a flow every four seconds, then ten with a tenth of the flows, every second one of them sampled.
fn busy_then_quiet(release: impl Fn(u64) -> bool) -> Traffic {
    let keep = |flow: &&BenignFlow| flow.at.as_secs() < 10 * DAY_S || flow.at.as_secs().is_multiple_of(80);
    let seen = |flow: &BenignFlow| {
        let day = flow.at.as_secs() / DAY_S;
        BenignFlow { under_release: release(day), weight: if day < 10 { 1.0 } else { 2.0 }, ..*flow }
    };
    Traffic::new(traffic(20, 40, ordinary).flows.iter().filter(keep).map(seen).collect())
}

#[test]
fn time_under_a_release_does_not_depend_on_the_traffic() {
    // Two thirds of the covered time, because only every other flow of the second ten days is sampled.
    let (busy, quiet) = (busy_then_quiet(|day| day < 10), busy_then_quiet(|day| day >= 10));
    let share = |traffic: &Traffic| traffic.days_under_release / traffic.days;
    assert!((share(&busy) - 2.0 / 3.0).abs() < 0.01, "{}", share(&busy));
    assert!((share(&quiet) - 1.0 / 3.0).abs() < 0.01, "{} with 5 % of the flows", share(&quiet));
    // Below the minimum of an hour, flows are counted instead of time.
    let few = Traffic::new(quiet.flows.iter().rev().step_by(40).take(2).copied().collect());
    assert!(few.days > 0.0 && share(&few) == 1.0, "{few:?}");
}

#[test]
fn no_flows_give_finite_limits() {
    let calibration = curve_of(&traffic(1, 5, ordinary));
    let limits = limits_of(&Traffic::new(Vec::new()), &calibration);
    assert!(limits.iter().all(|knot| knot.evidence_nats.is_finite() && knot.evidence_nats >= LOWEST_NATS));
    assert!(evidence_limits(&Traffic::new(Vec::new()), &calibration, Unlabelled::default(), 1.0).is_err());
}

#[test]
fn the_tail_exponent_solves_its_equation() {
    for drift in [1.1_f32, 1.5, 2.0, 4.0] {
        let theta = tail_exponent(drift).unwrap();
        let value = (-theta * f64::from(drift)).exp() / (1.0 - theta);
        assert!((value - 1.0).abs() < 1e-9 && theta > 0.0, "drift {drift}: θ {theta}");
    }
    assert!(tail_exponent(1.0).is_err() && tail_exponent(f32::NAN).is_err());
}
