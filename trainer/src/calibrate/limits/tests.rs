//! Limits from made days.

use super::super::{DRIFT_NATS, calibrate};
use super::*;
use fastrand::Rng;
use lapwing_shared::units::Nanos;

const DAY_S: u64 = 86_400;

fn exponential(rng: &mut Rng) -> f64 {
    -(1.0 - rng.f64()).ln()
}

/// A site of ten hosts with a flow every four seconds; `score` draws a flow's score.
fn watch(days: u64, seed: u64, score: impl Fn(&mut Rng, u64) -> f64) -> Watch {
    let mut rng = Rng::with_seed(seed);
    let flow = |second: u64| BenignFlow {
        site: 0,
        at: Timestamp::from_secs(second),
        source: Address::from_v4([192, 168, 1, rng.u8(1..11)]),
        destination: Address::from_v4([203, 0, 113, 1]),
        service_port: 443,
        score: Some(score(&mut rng, second) as u32),
        stands_for: 1.0,
        under_release: false,
    };
    Watch::new((0..days * DAY_S).step_by(4).map(flow).collect())
}

fn ordinary(rng: &mut Rng, _: u64) -> f64 {
    1_000.0 * exponential(rng)
}

fn curve_of(watch: &Watch) -> Calibration {
    calibrate(&watch.flows.iter().filter_map(|flow| flow.score).collect::<Vec<_>>()).unwrap()
}

fn limits_of(watch: &Watch, calibration: &Calibration) -> heapless::Vec<LimitKnot, LIMIT_KNOTS> {
    evidence_limits(&[(watch.clone(), calibration.clone())], Unlabelled::default(), DRIFT_NATS).unwrap()
}

#[test]
fn alerts_on_fresh_benign_days_follow_the_knob_within_a_factor_of_two() {
    let seen = watch(20, 1, ordinary);
    let calibration = curve_of(&seen);
    let limits = limits_of(&seen, &calibration);
    let fresh = watch(60, 2, ordinary);
    for knot in limits.iter().filter(|knot| (0.3..=30.0).contains(&knot.alerts_per_day)) {
        let alerts = fresh.alerts(&calibration, DRIFT_NATS, knot.evidence_nats) as f64 / fresh.days();
        let ratio = alerts / f64::from(knot.alerts_per_day);
        assert!((0.5..=2.0).contains(&ratio), "{knot:?}: {alerts} alerts a day");
    }
}

#[test]
fn limits_fall_as_the_knob_rises() {
    let seen = watch(2, 3, ordinary);
    let limits = limits_of(&seen, &curve_of(&seen));
    assert_eq!(limits.len(), ALERTS_PER_DAY.len());
    assert!(limits.windows(2).all(|pair| pair[0].evidence_nats >= pair[1].evidence_nats), "{limits:?}");
    assert!(limits[0].evidence_nats > limits[4].evidence_nats, "{limits:?}");
}

#[test]
fn benign_bursts_raise_the_limit() {
    let bursts = |rng: &mut Rng, second: u64| ordinary(rng, second) + if second % 20_000 < 160 { 5_000.0 } else { 0.0 };
    let (calm, busy) = (watch(10, 4, ordinary), watch(10, 4, bursts));
    let calibration = curve_of(&calm);
    let limit = |watch: &Watch| limits_of(watch, &calibration)[3].evidence_nats;
    assert!(limit(&busy) > 1.3 * limit(&calm), "{} against {}", limit(&busy), limit(&calm));
}

#[test]
fn a_sample_of_the_flows_asks_for_the_limits_of_all_of_them() {
    let all = watch(10, 6, ordinary);
    let calibration = curve_of(&all);
    let tenth = all.flows.iter().step_by(10).map(|flow| BenignFlow { stands_for: 10.0, ..*flow }).collect();
    let limit = |watch: &Watch| limits_of(watch, &calibration)[3].evidence_nats;
    let (whole, sampled) = (limit(&all), limit(&Watch::new(tenth)));
    assert!((sampled / whole - 1.0).abs() < 0.25, "{whole} nats from all, {sampled} from a tenth");
}

#[test]
fn stretches_held_out_of_each_day_ask_for_the_limits_of_all_of_it() {
    // Bursts of odd flows by one host, two minutes in every two hours, between the flows of the others.
    let bursts = |rng: &mut Rng, second: u64| ordinary(rng, second) + if second % 7_200 < 120 { 6_000.0 } else { 0.0 };
    let mut all = watch(20, 8, bursts);
    let calibration = curve_of(&watch(20, 8, ordinary));
    let host = |flow: &mut BenignFlow| {
        if flow.at.as_secs() % 7_200 < 120 {
            flow.source = Address::from_v4([192, 168, 1, 1]);
        }
    };
    all.flows.iter_mut().for_each(host);
    let held_out = |(place, flow): (usize, &BenignFlow)| BenignFlow {
        score: flow.score.filter(|_| place / 500 % 5 == 2),
        ..*flow
    };
    let part = Watch::new(all.flows.iter().enumerate().map(held_out).collect());
    assert!((part.days() / all.days() - 0.2).abs() < 0.01, "{} of {} days", part.days(), all.days());
    let limit = |watch: &Watch| limits_of(watch, &calibration)[3].evidence_nats;
    let (whole, held_out) = (limit(&all), limit(&part));
    assert!((held_out / whole - 1.0).abs() < 0.25, "{whole} nats from all, {held_out} from a fifth");
}

#[test]
fn a_week_without_an_agent_is_not_watched() {
    let whole = watch(4, 7, ordinary);
    let half = whole.flows.len() / 2;
    let away = |(place, flow): (usize, &BenignFlow)| {
        let later = if place < half { Nanos(0) } else { Nanos::from_secs(7 * DAY_S) };
        BenignFlow { at: flow.at.plus(later), ..*flow }
    };
    let interrupted = Watch::new(whole.flows.iter().enumerate().map(away).collect());
    assert!((interrupted.days() - whole.days()).abs() < 0.05, "{} and {}", interrupted.days(), whole.days());
}

/// The watch as a store has it after a release with this limit was in use and nobody labelled anything: the flows of
/// every episode are missing.
fn without_episodes(whole: &Watch, calibration: &Calibration, limit_nats: f32) -> (Watch, Unlabelled) {
    let mut told = Vec::new();
    let episodes = alerts_of_site(&whole.flows, calibration, (DRIFT_NATS, limit_nats), &mut |alert| told.push(alert));
    let of_episode = |flow: &BenignFlow| {
        told.iter().any(|alert| {
            (flow.source == alert.host || flow.destination == alert.host) && (alert.since..=alert.at).contains(&flow.at)
        })
    };
    let keep = |flow: &BenignFlow| BenignFlow {
        score: flow.score.filter(|_| !of_episode(flow)),
        under_release: true,
        ..*flow
    };
    let left = Watch::new(whole.flows.iter().map(keep).collect());
    (left, Unlabelled { episodes, limit_nats })
}

#[test]
fn limits_do_not_sink_from_release_to_release_when_nobody_labels_false_alerts() {
    let calibration = curve_of(&watch(10, 20, ordinary));
    let fresh = watch(40, 21, ordinary);
    let alerts_a_day = |limit: f32| fresh.alerts(&calibration, DRIFT_NATS, limit) as f64 / fresh.days();
    let after_releases = |counted: bool| {
        let mut limit = limits_of(&watch(10, 22, ordinary), &calibration)[3].evidence_nats;
        for release in 0..6 {
            let (left, unlabelled) = without_episodes(&watch(10, 23 + release, ordinary), &calibration, limit);
            let unlabelled = if counted { unlabelled } else { Unlabelled::default() };
            limit = evidence_limits(&[(left, calibration.clone())], unlabelled, DRIFT_NATS).unwrap()[3].evidence_nats;
        }
        alerts_a_day(limit)
    };
    let (counted, not_counted) = (after_releases(true), after_releases(false));
    assert!((0.5..=2.0).contains(&counted), "{counted} alerts a day, 1 was asked for");
    assert!(not_counted > 3.0, "the flaw that this guards against is gone: {not_counted} alerts a day without it");
}

#[test]
fn an_attacker_who_raises_many_alerts_moves_the_limit_no_further_than_the_knob_allows() {
    let half = |flow: &BenignFlow| BenignFlow { under_release: flow.at.as_secs() < 5 * DAY_S, ..*flow };
    let seen = Watch::new(watch(10, 30, ordinary).flows.iter().map(half).collect());
    let calibration = curve_of(&seen);
    let limit = |unlabelled| {
        evidence_limits(&[(seen.clone(), calibration.clone())], unlabelled, DRIFT_NATS).unwrap()[3].evidence_nats
    };
    let none = limit(Unlabelled::default());
    let flood = |episodes| limit(Unlabelled { episodes, limit_nats: none });
    assert_eq!(flood(100), flood(1_000_000));
    assert!(flood(100) < 1.25 * none, "{} against {none}", flood(100));
    assert!(flood(0) == none && flood(2) > none && flood(100) > flood(2));
}

/// Ten days with a flow every four seconds, then ten with a tenth of them, of which every second one is sampled.
fn grown_quiet(release: impl Fn(u64) -> bool) -> Watch {
    let keep = |flow: &&BenignFlow| flow.at.as_secs() < 10 * DAY_S || flow.at.as_secs().is_multiple_of(80);
    let seen = |flow: &BenignFlow| {
        let day = flow.at.as_secs() / DAY_S;
        BenignFlow { under_release: release(day), stands_for: if day < 10 { 1.0 } else { 2.0 }, ..*flow }
    };
    Watch::new(watch(20, 40, ordinary).flows.iter().filter(keep).map(seen).collect())
}

#[test]
fn a_release_counts_for_its_time_however_much_traffic_there_was() {
    // Two of three parts of the time that is watched: of the second ten days every other flow is seen.
    let (busy, quiet) = (grown_quiet(|day| day < 10), grown_quiet(|day| day >= 10));
    let share = |watch: &Watch| watch.days_under_release / watch.days;
    assert!((share(&busy) - 2.0 / 3.0).abs() < 0.01, "{}", share(&busy));
    assert!((share(&quiet) - 1.0 / 3.0).abs() < 0.01, "{}, and 5 % of the flows", share(&quiet));
    // So few flows that an hour is taken for granted: then by flows.
    let few = Watch::new(quiet.flows.iter().rev().step_by(40).take(2).copied().collect());
    assert!(few.days > 0.0 && share(&few) == 1.0, "{few:?}");
}

#[test]
fn a_watch_without_flows_still_gives_limits_that_rise_with_rarer_alerts() {
    let calibration = curve_of(&watch(1, 5, ordinary));
    let limits = limits_of(&Watch::new(Vec::new()), &calibration);
    assert!(limits.iter().all(|knot| knot.evidence_nats.is_finite() && knot.evidence_nats >= LOWEST_NATS));
    let none = (Watch::new(Vec::new()), calibration);
    assert!(evidence_limits(&[none], Unlabelled::default(), 1.0).is_err());
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
