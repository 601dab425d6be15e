//! Benign flows of known sites → the evidence limit for each false-alert budget.
//!
//! Alerts are counted by simulation: the flows go through the same evidence tracker that agents run, with its decay, caps
//! and episodes, once per limit on a grid. Budgets below what the data can resolve are extrapolated along the exponential
//! tail of the counts: the probability that a CUSUM exceeds h falls as e^(−βh) (Siegmund 1985, "Sequential Analysis",
//! ch. X).

use super::CalibrateError;
use lapwing_shared::context::local::LocalNetworks;
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::manifest::{LIMIT_KNOTS, LimitKnot};
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::alert::Alert;
use lapwing_shared::verdict::calibration::{Calibration, SURPRISE_LIMIT_NATS};
use lapwing_shared::verdict::kinds::KindFinder;
use lapwing_shared::verdict::scaling::{RowScaler, Scaling};
use lapwing_shared::verdict::tracker::{EvidenceTracker, Policy, Scored};
use lapwing_store::Unlabelled;

/// False-alert budgets in a release, alerts per day and site.
pub(crate) const ALERTS_PER_DAY: [f32; 7] = [0.01, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0];
/// Lowest limit, nats. One flow adds at most half a limit, so an alert always takes two flows.
const LOWEST_NATS: f32 = 4.0;
/// Highest limit, nats.
const HIGHEST_NATS: f32 = 2_000.0;
/// Ratio of neighbouring limits on the grid.
const GRID_STEP: f32 = 1.06;
/// Minimum count for a rate to be taken from counts; rarer alerts are extrapolated along the tail.
const RESOLVED_ALERTS: f64 = 3.0;
/// Maximum count of the limits that the tail's slope is fitted to.
const TAIL_ALERTS: f64 = 60.0;
/// Capacity of the evidence tracker in hosts: an agent's default.
const HOSTS: usize = 2_048;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// Maximum gap between flows that counts as observed time, seconds; in longer gaps the agent was offline.
const MAX_GAP_S: f64 = 3_600.0;

/// One benign flow with its score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BenignFlow {
    /// Site that observed it; each site has its own evidence tracker.
    pub(crate) site: u32,
    /// Time of its record.
    pub at: Timestamp,
    /// Initiator.
    pub source: Address,
    /// Responder.
    pub(crate) destination: Address,
    /// Responder's port.
    pub(crate) service_port: u16,
    /// Weighted reconstruction error. `None` for a flow that only shows that the site was observed.
    pub score: Option<u32>,
    /// Flows that it represents: 1, or more if it comes from a sample.
    pub weight: f32,
    /// Its agent had a release, so it could raise alerts.
    pub(crate) under_release: bool,
}

/// When evidence becomes an alert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertRule {
    /// Evidence that every flow subtracts, nats.
    pub drift_nats: f32,
    /// Evidence that raises an alert, nats.
    pub limit_nats: f32,
}

/// Benign flows, ordered by site and time, and the time they cover.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    flows: Vec<BenignFlow>,
    days: f64,
    days_under_release: f64,
}

impl Traffic {
    /// Takes flows in any order. Each scored flow covers the time until the site's next flow, at most an hour, divided by
    /// its weight. A site counts at least one hour times the share of its flows that are scored, so that little data
    /// does not look like a busy day.
    pub fn new(mut flows: Vec<BenignFlow>) -> Self {
        flows.sort_by_key(|flow| (flow.site, flow.at));
        let sites = || flows.chunk_by(|one, other| one.site == other.site);
        let days = sites().map(|site| days_of_site(site).0).sum();
        let days_under_release = sites().map(|site| days_of_site(site).1).sum();
        Self { flows, days, days_under_release }
    }

    /// Time covered, summed over the sites, days.
    pub fn days(&self) -> f64 {
        self.days
    }

    /// Alerts that all sites together raise under this rule.
    pub fn alerts(&self, calibration: &Calibration, rule: AlertRule) -> u64 {
        let sites = self.flows.chunk_by(|one, other| one.site == other.site);
        sites.map(|site| alerts_of_site(site, calibration, rule, &mut |_| ())).sum()
    }
}

/// Days covered at a site, and days of these under a release. Both measure time rather than flows, so quiet and busy
/// periods under a release count alike.
fn days_of_site(site: &[BenignFlow]) -> (f64, f64) {
    let weight = |flow: &BenignFlow| f64::from(flow.weight.max(1.0));
    let (mut covered, mut under_release) = (0.0, 0.0);
    for pair in site.windows(2).filter(|pair| pair[0].score.is_some()) {
        let time = pair[1].at.since(pair[0].at).as_secs_f64().min(MAX_GAP_S) / weight(&pair[0]);
        covered += time;
        under_release += if pair[0].under_release { time } else { 0.0 };
    }
    let scored = |matches: &dyn Fn(&BenignFlow) -> bool| {
        site.iter().filter(|flow| flow.score.is_some() && matches(flow)).count() as f64
    };
    let per_flow = 3_600.0 / site.iter().map(weight).sum::<f64>().max(1.0);
    // At least an hour. The time is too short to measure the release's share of it, so flows are counted instead.
    if covered < per_flow * scored(&|_| true) {
        (covered, under_release) = (per_flow * scored(&|_| true), per_flow * scored(&|flow| flow.under_release));
    }
    (covered / SECONDS_PER_DAY, under_release / SECONDS_PER_DAY)
}

/// Alerts at one site; calls `on_alert` for each message.
fn alerts_of_site(
    flows: &[BenignFlow],
    calibration: &Calibration,
    rule: AlertRule,
    on_alert: &mut dyn FnMut(Alert),
) -> u64 {
    // Alerts are only counted, so their explanation needs no scaling.
    let scaling = Scaling { features: heapless::Vec::new() };
    let policy = Policy {
        scaling: &scaling,
        scaler: &RowScaler::new(&scaling),
        calibration,
        kinds: &[],
        finder: &KindFinder::new(&[], &scaling),
        drift_nats: rule.drift_nats,
        limit_nats: rule.limit_nats,
        release: 0,
    };
    let mut tracker = EvidenceTracker::new(HOSTS, 0).with_rows(0);
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
        tracker.process(&scored, &policy, on_alert);
    }
    tracker.counters().episodes
}

/// Evidence limits for each of [`ALERTS_PER_DAY`], lower for larger budgets. `calibration` is that of the network that
/// scored the traffic.
///
/// Unlabelled episodes, whose flows are missing from the traffic, count as false alerts up to the budget for the time
/// under a release. Otherwise every release would have a lower limit than the previous one, because the most anomalous
/// benign flows are missing.
///
/// # Errors
/// [`CalibrateError::Drift`].
pub(crate) fn evidence_limits(
    traffic: &Traffic,
    calibration: &Calibration,
    unlabelled: Unlabelled,
    drift_nats: f32,
) -> Result<heapless::Vec<LimitKnot, LIMIT_KNOTS>, CalibrateError> {
    let exponent = tail_exponent(drift_nats)? as f32;
    let up_to_nats = if unlabelled.episodes > 0 { unlabelled.limit_nats } else { 0.0 };
    let alerts = |limit_nats| traffic.alerts(calibration, AlertRule { drift_nats, limit_nats });
    let counts = count_alerts(alerts, up_to_nats);
    let mut limits = heapless::Vec::new();
    let mut above = f32::INFINITY;
    for alerts_per_day in ALERTS_PER_DAY {
        let allowed = f64::from(alerts_per_day) * traffic.days;
        let unlabelled_alerts =
            (f64::from(alerts_per_day) * traffic.days_under_release).min(unlabelled.episodes as f64);
        let (curve, slope) = add_unlabelled(&counts, unlabelled_alerts, unlabelled.limit_nats, exponent);
        let evidence_nats = limit_for(&curve, allowed, slope).clamp(LOWEST_NATS, HIGHEST_NATS).min(above);
        above = evidence_nats;
        let _ = limits.push(LimitKnot { alerts_per_day, evidence_nats });
    }
    Ok(limits)
}

/// (limit, alerts) for limits up to the first without alerts, and at least up to `up_to_nats`; counts never rise.
fn count_alerts(alerts: impl Fn(f32) -> u64, up_to_nats: f32) -> Vec<(f32, u64)> {
    let mut curve: Vec<(f32, u64)> = Vec::new();
    let mut limit = LOWEST_NATS;
    let mut any = true;
    while limit < HIGHEST_NATS && (any || limit < up_to_nats) {
        curve.push((limit, if any { alerts(limit) } else { 0 }));
        any = curve.last().is_some_and(|last| last.1 > 0);
        limit *= GRID_STEP;
    }
    // A higher limit can split one episode into two; lower limits then take the larger count.
    let mut most = 0;
    for (_, alerts) in curve.iter_mut().rev() {
        most = most.max(*alerts);
        *alerts = most;
    }
    curve
}

/// Adds unlabelled alerts that were raised at `limit_nats` to the counts, and fits the tail's slope. Up to that limit
/// all of them count, above it they decrease along the tail.
fn add_unlabelled(counts: &[(f32, u64)], unlabelled: f64, limit_nats: f32, exponent: f32) -> (Vec<(f32, f64)>, f32) {
    let mut curve: Vec<(f32, f64)> =
        counts.iter().map(|(limit, alerts)| (*limit, *alerts as f64 + unlabelled)).collect();
    if unlabelled == 0.0 {
        let slope = tail_slope(&curve, exponent);
        return (curve, slope);
    }
    let above = curve.partition_point(|(limit, _)| *limit <= limit_nats);
    let slope = tail_slope(&curve[..above], exponent);
    for (limit, alerts) in &mut curve[above..] {
        *alerts -= unlabelled * (1.0 - f64::from(-slope * (*limit - limit_nats)).exp());
    }
    (curve, slope)
}

/// Decrease of ln(alerts) per nat, fitted to limits with few but enough alerts. Clamped to an eighth up to the whole of
/// the slope of independent surprises; half of that slope if there are too few points.
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

/// The limit with `allowed` expected alerts in the time covered.
fn limit_for(curve: &[(f32, f64)], allowed: f64, slope: f32) -> f32 {
    // The last limit with enough alerts; otherwise the lowest limit, as if it had just enough.
    let last = curve.iter().rfind(|(_, alerts)| *alerts >= RESOLVED_ALERTS);
    let (anchor, alerts) = last.copied().unwrap_or((LOWEST_NATS, RESOLVED_ALERTS));
    if allowed < alerts {
        return anchor + (alerts / allowed.max(f64::MIN_POSITIVE)).ln() as f32 / slope;
    }
    let next = curve.iter().position(|(_, alerts)| *alerts <= allowed);
    match next.and_then(|next| Some((curve.get(next.checked_sub(1)?)?, curve.get(next)?))) {
        Some((many, few)) => between(many, few, allowed),
        None => next.map_or(anchor, |_| LOWEST_NATS),
    }
}

/// Interpolates linearly in (limit, ln alerts): the limit with `allowed` alerts.
fn between(many: &(f32, f64), few: &(f32, f64), allowed: f64) -> f32 {
    // Half an alert replaces zero, whose logarithm is undefined.
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
