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
use lapwing_shared::verdict::alert::Alert;
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
const RESOLVED_ALERTS: f64 = 3.0;
/// The tail's slope is fitted to limits with at most so many alerts.
const TAIL_ALERTS: f64 = 60.0;
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
    /// Its agent had a release, so that alerts could be raised.
    pub under_release: bool,
}

/// Benign flows, ordered by site and time, and how long was watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    flows: Vec<BenignFlow>,
    days: f64,
    days_under_release: f64,
}

impl Watch {
    /// Flows in any order. A judged flow stands for the time to the site's next flow, judged or not, an hour at the most;
    /// one of a sample of a tenth of the flows for a tenth of that. A site counts an hour at least, or the share of an
    /// hour that its judged flows are of all, so that little data does not look like a busy day.
    pub fn new(mut flows: Vec<BenignFlow>) -> Self {
        flows.sort_by_key(|flow| (flow.site, flow.at));
        let sites = || flows.chunk_by(|one, other| one.site == other.site);
        let days = sites().map(|site| days_of_site(site).0).sum();
        let days_under_release = sites().map(|site| days_of_site(site).1).sum();
        Self { flows, days, days_under_release }
    }

    /// Time watched, summed over the sites, days.
    pub fn days(&self) -> f64 {
        self.days
    }

    /// Alerts that the judge raises at this limit, all sites together.
    pub fn alerts(&self, calibration: &Calibration, drift_nats: f32, limit_nats: f32) -> u64 {
        let sites = self.flows.chunk_by(|one, other| one.site == other.site);
        sites.map(|site| alerts_of_site(site, calibration, (drift_nats, limit_nats), &mut |_| ())).sum()
    }
}

/// Days watched at a site, and how many of them under a release. Shares of time, not of flows: a release that came
/// when the site grew quiet was in use for as long.
fn days_of_site(site: &[BenignFlow]) -> (f64, f64) {
    let stands_for = |flow: &BenignFlow| f64::from(flow.stands_for.max(1.0));
    let (mut watched, mut under_release) = (0.0, 0.0);
    for pair in site.windows(2).filter(|pair| pair[0].score.is_some()) {
        let time = pair[1].at.since(pair[0].at).as_secs_f64().min(LONGEST_SILENCE_S) / stands_for(&pair[0]);
        watched += time;
        under_release += if pair[0].under_release { time } else { 0.0 };
    }
    let judged = |wanted: &dyn Fn(&BenignFlow) -> bool| {
        site.iter().filter(|flow| flow.score.is_some() && wanted(flow)).count() as f64
    };
    let least = 3_600.0 / site.iter().map(stands_for).sum::<f64>().max(1.0);
    // An hour at least, of which a release has its share of the flows: there is too little time to take shares of.
    if watched < least * judged(&|_| true) {
        (watched, under_release) = (least * judged(&|_| true), least * judged(&|flow| flow.under_release));
    }
    (watched / SECONDS_PER_DAY, under_release / SECONDS_PER_DAY)
}

fn alerts_of_site(
    flows: &[BenignFlow],
    calibration: &Calibration,
    (drift_nats, limit_nats): (f32, f32),
    tell: &mut dyn FnMut(Alert),
) -> u64 {
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
    let mut judge = Judge::new(HOSTS, 0).with_rows(0);
    let local = LocalNetworks::default();
    let (row, quanta) = ([0.0; FEATURES], [0; FEATURES]);
    for flow in flows {
        let Some(score) = flow.score else { continue };
        let scored = Scored {
            at: flow.at,
            source: flow.source,
            destination: flow.destination,
            service_port: flow.service_port,
            followed: local.followed(&flow.source, &flow.destination),
            row: &row,
            input: &quanta,
            reconstruction: &quanta,
            score,
        };
        judge.judge(&scored, &policy, tell);
    }
    judge.counters().episodes
}

/// A watch, and the calibration of the network that gave its scores.
pub type Calibrated = (Watch, Calibration);

/// Alert episodes of the time watched of which nobody said whether they were attacks. Their flows are missing in the
/// watch, though a release in use raises as many false alerts as it was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Unlabelled {
    /// How many.
    pub episodes: u64,
    /// Limit that they rose over, nats; the mean where they had several.
    pub limit_nats: f32,
}

/// Evidence limits for each of [`ALERTS_PER_DAY`], falling as the knob rises; the alerts of all watches are counted
/// together, and of the unlabelled ones as many as the knob allowed while a release was in use. Without these, each
/// release's limit came out below the one before, over which the oddest ordinary flows had been taken away.
///
/// # Errors
/// [`CalibrateError::Drift`].
pub fn evidence_limits(
    watches: &[Calibrated],
    unlabelled: Unlabelled,
    drift_nats: f32,
) -> Result<heapless::Vec<LimitKnot, LIMIT_KNOTS>, CalibrateError> {
    let exponent = tail_exponent(drift_nats)? as f32;
    let seen = counted(watches, drift_nats, if unlabelled.episodes > 0 { unlabelled.limit_nats } else { 0.0 });
    let days: f64 = watches.iter().map(|(watch, _)| watch.days).sum();
    let days_under_release: f64 = watches.iter().map(|(watch, _)| watch.days_under_release).sum();
    let mut limits = heapless::Vec::new();
    let mut above = f32::INFINITY;
    for alerts_per_day in ALERTS_PER_DAY {
        let allowed = f64::from(alerts_per_day) * days;
        let false_ones = (f64::from(alerts_per_day) * days_under_release).min(unlabelled.episodes as f64);
        let (curve, slope) = completed(&seen, false_ones, unlabelled.limit_nats, exponent);
        let evidence_nats = limit_for(&curve, allowed, slope).clamp(LOWEST_NATS, HIGHEST_NATS).min(above);
        above = evidence_nats;
        let _ = limits.push(LimitKnot { alerts_per_day, evidence_nats });
    }
    Ok(limits)
}

/// (limit, alerts) from the lowest limit up to the first with none, and up to `least`; the alerts never rise.
fn counted(watches: &[Calibrated], drift_nats: f32, least: f32) -> Vec<(f32, u64)> {
    let alerts =
        |limit: f32| watches.iter().map(|(watch, calibration)| watch.alerts(calibration, drift_nats, limit)).sum();
    let mut curve: Vec<(f32, u64)> = Vec::new();
    let mut limit = LOWEST_NATS;
    let mut any = true;
    while limit < HIGHEST_NATS && (any || limit < least) {
        curve.push((limit, if any { alerts(limit) } else { 0 }));
        any = curve.last().is_some_and(|last| last.1 > 0);
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

/// The counts with so many false alerts more that rose over `limit_nats`, and the tail's slope: below that limit all of
/// them count, above it they follow the tail.
fn completed(seen: &[(f32, u64)], false_ones: f64, limit_nats: f32, exponent: f32) -> (Vec<(f32, f64)>, f32) {
    let mut curve: Vec<(f32, f64)> = seen.iter().map(|(limit, alerts)| (*limit, *alerts as f64 + false_ones)).collect();
    if false_ones == 0.0 {
        let slope = tail_slope(&curve, exponent);
        return (curve, slope);
    }
    let whole = curve.partition_point(|(limit, _)| *limit <= limit_nats);
    let slope = tail_slope(&curve[..whole], exponent);
    for (limit, alerts) in &mut curve[whole..] {
        *alerts -= false_ones * (1.0 - f64::from(-slope * (*limit - limit_nats)).exp());
    }
    (curve, slope)
}

/// How fast ln(alerts) falls with the limit, per nat: fitted where alerts are few but not too few. Between an eighth
/// and the whole of what independent surprises would give; half of it where there is nothing to fit.
fn tail_slope(curve: &[(f32, f64)], independent: f32) -> f32 {
    let tail: Vec<(f64, f64)> = curve
        .iter()
        .filter(|(_, alerts)| (RESOLVED_ALERTS..=TAIL_ALERTS).contains(alerts))
        .map(|(limit, alerts)| (f64::from(*limit), alerts.ln()))
        .collect();
    let count = tail.len() as f64;
    let mean = |values: &dyn Fn(&(f64, f64)) -> f64| tail.iter().map(values).sum::<f64>() / count;
    let (x, y) = (mean(&|point| point.0), mean(&|point| point.1));
    let (covariance, variance) = (mean(&|point| (point.0 - x) * (point.1 - y)), mean(&|point| (point.0 - x).powi(2)));
    let fitted = if tail.len() >= 3 && variance > 0.0 { -(covariance / variance) as f32 } else { 0.5 * independent };
    fitted.clamp(independent / 8.0, independent)
}

/// The limit at which `allowed` alerts are expected in the time watched.
fn limit_for(curve: &[(f32, f64)], allowed: f64, slope: f32) -> f32 {
    // The last limit that still has enough alerts to go by; without one, the lowest, as if it just had them.
    let last = curve.iter().rfind(|(_, alerts)| *alerts >= RESOLVED_ALERTS);
    let (anchor, seen) = last.copied().unwrap_or((LOWEST_NATS, RESOLVED_ALERTS));
    if allowed < seen {
        return anchor + (seen / allowed.max(f64::MIN_POSITIVE)).ln() as f32 / slope;
    }
    let next = curve.iter().position(|(_, alerts)| *alerts <= allowed);
    match next.and_then(|next| Some((curve.get(next.checked_sub(1)?)?, curve.get(next)?))) {
        Some((many, few)) => between(many, few, allowed),
        None => next.map_or(anchor, |_| LOWEST_NATS),
    }
}

/// Where a straight line in (limit, ln alerts) through two points of the curve has `allowed` alerts.
fn between(many: &(f32, f64), few: &(f32, f64), allowed: f64) -> f32 {
    // Half an alert stands for none, whose logarithm there is not.
    let ln = |alerts: f64| alerts.max(0.5).ln();
    let (from, to) = (ln(many.1), ln(few.1));
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
mod tests;
