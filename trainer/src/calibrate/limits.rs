//! Benign flows of known sites → the evidence limit that keeps false alerts to each setting of the operator's knob.
//!
//! Alerts are counted, not derived: the flows go through the very judge that agents run (its fading, its caps, its
//! episodes), once for each limit on a grid. Where a setting asks for fewer alerts than the data could show, the
//! exponential tail of the counts is followed on: the chance that a CUSUM passes h falls as e^(−βh) (Siegmund 1985,
//! "Sequential Analysis", ch. X).

use super::CalibrateError;
use lapwing_shared::context::local::LocalNetworks;
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::manifest::{LIMIT_KNOTS, LimitKnot};
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::calibration::{Calibration, SURPRISE_LIMIT_NATS};
use lapwing_shared::verdict::judge::{Judge, Policy, Scored};
use lapwing_shared::verdict::kinds::KindFinder;
use lapwing_shared::verdict::scaling::{RowScaler, Scaling};

/// Knob settings that a release carries, false alerts a day and site.
pub const ALERTS_PER_DAY: [f32; 7] = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// Lowest limit, nats; one flow gives half a limit at most, so that it always takes two.
const LOWEST_NATS: f32 = 4.0;
/// Highest limit, nats.
const HIGHEST_NATS: f32 = 2_000.0;
/// A limit of the grid over the one before it.
const GRID_STEP: f32 = 1.06;
/// A rate is taken from counts when so many alerts were seen at it; rarer ones follow the tail.
const RESOLVED_ALERTS: u64 = 3;
/// The tail's slope is fitted to limits with at most so many alerts.
const TAIL_ALERTS: u64 = 60;
/// Hosts whose evidence is kept while counting: an agent's default.
const HOSTS: usize = 2_048;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// A silence counts as watched for so long at the most, seconds: an agent that was away saw nothing.
const LONGEST_SILENCE_S: f64 = 3_600.0;

/// One benign flow with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenignFlow {
    /// Which site saw it; each has a judge of its own.
    pub site: u32,
    /// When its record was made.
    pub at: Timestamp,
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub destination: Address,
    /// Responder's port.
    pub service_port: u16,
    /// Weighted reconstruction error; nothing for a flow that is not to be judged, and only shows when the site was seen.
    pub score: Option<u32>,
    /// Flows that it stands for: 1 where every flow is given, more where it comes from a sample.
    pub stands_for: f32,
}

/// Benign flows, ordered by site and time, and how long was watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    flows: Vec<BenignFlow>,
    days: f64,
}

impl Watch {
    /// Flows in any order. A judged flow stands for the time to the site's next flow, judged or not, an hour at the most;
    /// one of a sample of a tenth of the flows for a tenth of that. A site counts an hour at least, or the share of an
    /// hour that its judged flows are of all, so that little data does not look like a busy day.
    pub fn new(mut flows: Vec<BenignFlow>) -> Self {
        flows.sort_by_key(|flow| (flow.site, flow.at));
        let days = flows.chunk_by(|one, other| one.site == other.site).map(days_of_site).sum();
        Self { flows, days }
    }

    /// Time watched, summed over the sites, days.
    pub fn days(&self) -> f64 {
        self.days
    }

    /// Alerts that the judge raises at this limit, all sites together.
    pub fn alerts(&self, calibration: &Calibration, drift_nats: f32, limit_nats: f32) -> u64 {
        let sites = self.flows.chunk_by(|one, other| one.site == other.site);
        sites.map(|site| alerts_of_site(site, calibration, drift_nats, limit_nats)).sum()
    }
}

fn days_of_site(site: &[BenignFlow]) -> f64 {
    let stands_for = |flow: &BenignFlow| f64::from(flow.stands_for.max(1.0));
    let watched =
        |pair: &[BenignFlow]| pair[1].at.since(pair[0].at).as_secs_f64().min(LONGEST_SILENCE_S) / stands_for(&pair[0]);
    let watched: f64 = site.windows(2).filter(|pair| pair[0].score.is_some()).map(watched).sum();
    let judged = site.iter().filter(|flow| flow.score.is_some()).count() as f64;
    let least = 3_600.0 * judged / site.iter().map(stands_for).sum::<f64>().max(1.0);
    watched.max(least) / SECONDS_PER_DAY
}

fn alerts_of_site(flows: &[BenignFlow], calibration: &Calibration, drift_nats: f32, limit_nats: f32) -> u64 {
    // What an alert would tell of features is of no interest here.
    let scaling = Scaling { features: heapless::Vec::new() };
    let policy = Policy {
        scaling: &scaling,
        scaler: &RowScaler::new(&scaling),
        calibration,
        kinds: &[],
        finder: &KindFinder::new(&[], &scaling),
        drift_nats,
        limit_nats,
        release: 0,
    };
    let mut judge = Judge::new(HOSTS, 0, LocalNetworks::default()).with_rows(0);
    let (row, quanta) = ([0.0; FEATURES], [0; FEATURES]);
    for flow in flows {
        let Some(score) = flow.score else { continue };
        let scored = Scored {
            at: flow.at,
            source: flow.source,
            destination: flow.destination,
            service_port: flow.service_port,
            row: &row,
            input: &quanta,
            reconstruction: &quanta,
            score,
        };
        judge.judge(&scored, &policy, &mut |_| ());
    }
    judge.counters().episodes
}

/// A watch, and the calibration of the network that gave its scores.
pub type Calibrated = (Watch, Calibration);

/// Evidence limits for each of [`ALERTS_PER_DAY`], falling as the knob rises; the alerts of all watches are counted
/// together.
///
/// # Errors
/// [`CalibrateError::Drift`].
pub fn evidence_limits(
    watches: &[Calibrated],
    drift_nats: f32,
) -> Result<heapless::Vec<LimitKnot, LIMIT_KNOTS>, CalibrateError> {
    let exponent = tail_exponent(drift_nats)?;
    let curve = counted(watches, drift_nats);
    let days: f64 = watches.iter().map(|(watch, _)| watch.days).sum();
    let slope = tail_slope(&curve, exponent as f32);
    let mut limits = heapless::Vec::new();
    let mut above = f32::INFINITY;
    for alerts_per_day in ALERTS_PER_DAY {
        let allowed = f64::from(alerts_per_day) * days;
        let evidence_nats = limit_for(&curve, allowed, slope).clamp(LOWEST_NATS, HIGHEST_NATS).min(above);
        above = evidence_nats;
        let _ = limits.push(LimitKnot { alerts_per_day, evidence_nats });
    }
    Ok(limits)
}

/// (limit, alerts) from the lowest limit up to the first with none; the alerts never rise.
fn counted(watches: &[Calibrated], drift_nats: f32) -> Vec<(f32, u64)> {
    let alerts =
        |limit: f32| watches.iter().map(|(watch, calibration)| watch.alerts(calibration, drift_nats, limit)).sum();
    let mut curve: Vec<(f32, u64)> = Vec::new();
    let mut limit = LOWEST_NATS;
    while limit < HIGHEST_NATS && curve.last().is_none_or(|last| last.1 > 0) {
        curve.push((limit, alerts(limit)));
        limit *= GRID_STEP;
    }
    // A higher limit can split one episode into two; the larger count stands for all limits below it.
    let mut most = 0;
    for (_, alerts) in curve.iter_mut().rev() {
        most = most.max(*alerts);
        *alerts = most;
    }
    curve
}

/// How fast ln(alerts) falls with the limit, per nat: fitted where alerts are few but not too few. Between an eighth
/// and the whole of what independent surprises would give; half of it where there is nothing to fit.
fn tail_slope(curve: &[(f32, u64)], independent: f32) -> f32 {
    let tail: Vec<(f64, f64)> = curve
        .iter()
        .filter(|(_, alerts)| (RESOLVED_ALERTS..=TAIL_ALERTS).contains(alerts))
        .map(|(limit, alerts)| (f64::from(*limit), (*alerts as f64).ln()))
        .collect();
    let count = tail.len() as f64;
    let mean = |values: &dyn Fn(&(f64, f64)) -> f64| tail.iter().map(values).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let (covariance, variance) = (mean(&|point| (point.0 - x) * (point.1 - y)), mean(&|point| (point.0 - x).powi(2)));
    let fitted = if tail.len() >= 3 && variance > 0.0 { -(covariance / variance) as f32 } else { 0.5 * independent };
    fitted.clamp(independent / 8.0, independent)
}

/// The limit at which `allowed` alerts are expected in the time watched.
fn limit_for(curve: &[(f32, u64)], allowed: f64, slope: f32) -> f32 {
    let resolved = RESOLVED_ALERTS as f64;
    // The last limit that still has enough alerts to go by; without one, the lowest, as if it just had them.
    let last = curve.iter().rfind(|(_, alerts)| *alerts >= RESOLVED_ALERTS);
    let (anchor, seen) = last.map_or((LOWEST_NATS, resolved), |(limit, alerts)| (*limit, *alerts as f64));
    if allowed < seen {
        return anchor + (seen / allowed.max(f64::MIN_POSITIVE)).ln() as f32 / slope;
    }
    let next = curve.iter().position(|(_, alerts)| *alerts as f64 <= allowed);
    match next.and_then(|next| Some((curve.get(next.checked_sub(1)?)?, curve.get(next)?))) {
        Some((many, few)) => between(many, few, allowed),
        None => next.map_or(anchor, |_| LOWEST_NATS),
    }
}

/// Where a straight line in (limit, ln alerts) through two points of the curve has `allowed` alerts.
fn between(many: &(f32, u64), few: &(f32, u64), allowed: f64) -> f32 {
    // Half an alert stands for none, whose logarithm there is not.
    let ln = |alerts: f64| alerts.max(0.5).ln();
    let (from, to) = (ln(many.1 as f64), ln(few.1 as f64));
    let share = if from > to { ((from - ln(allowed)) / (from - to)).clamp(0.0, 1.0) } else { 1.0 };
    many.0 + (few.0 - many.0) * share as f32
}

/// θ > 0 with e^(−θ·drift) / (1 − θ) = 1: the tail exponent of the CUSUM of independent exponential surprises.
fn tail_exponent(drift_nats: f32) -> Result<f64, CalibrateError> {
    let drift = f64::from(drift_nats);
    if !(drift > 1.0 && drift <= f64::from(SURPRISE_LIMIT_NATS)) {
        return Err(CalibrateError::Drift { found: drift_nats });
    }
    // f(θ) = −θ·drift − ln(1 − θ) is 0 at 0, falls, and rises to infinity at 1.
    let (mut low, mut high) = (1.0 - 1.0 / drift, 1.0);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if -middle * drift - (1.0 - middle).ln() < 0.0 { low = middle } else { high = middle }
    }
    Ok(0.5 * (low + high))
}

#[cfg(test)]
mod tests {
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
        evidence_limits(&[(watch.clone(), calibration.clone())], DRIFT_NATS).unwrap()
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
        let bursts =
            |rng: &mut Rng, second: u64| ordinary(rng, second) + if second % 20_000 < 160 { 5_000.0 } else { 0.0 };
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
        let bursts =
            |rng: &mut Rng, second: u64| ordinary(rng, second) + if second % 7_200 < 120 { 6_000.0 } else { 0.0 };
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

    #[test]
    fn a_watch_without_flows_still_gives_limits_that_rise_with_rarer_alerts() {
        let calibration = curve_of(&watch(1, 5, ordinary));
        let limits = limits_of(&Watch::new(Vec::new()), &calibration);
        assert!(limits.iter().all(|knot| knot.evidence_nats.is_finite() && knot.evidence_nats >= LOWEST_NATS));
        assert!(evidence_limits(&[(Watch::new(Vec::new()), calibration)], 1.0).is_err());
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
}
