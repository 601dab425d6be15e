//! A new release, the previous one, and known attacks → what the new one detects worse, and whether an operator must
//! approve it before it is signed.
//!
//! Whoever can send rows as an agent can teach the network that an attack is normal. So both releases replay the same
//! attacks: those of this project's own captures ([`sealed`]) and those that operators labelled. A release is held back if
//! it detects fewer of them, or if evidence limits or the range of a feature change by more than [`MOVE`].
//!
//! Labels of attacks only decide who signs: no threshold is computed from them.

pub mod labelled;
pub mod sealed;
#[cfg(test)]
mod tests;

use crate::calibrate::limits::{AlertRule, Traffic};
use crate::candidate::benign_flows;
use crate::dataset::Row;
use crate::quantize::scores;
use crate::release;
use crate::release::ReadError;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::{SCHEMA, schema_id};
use lapwing_shared::release::manifest::{ArtifactForm, Manifest};
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::network::NetworkError;
use lapwing_shared::verdict::scaling::{FeatureScaling, INPUT_QUANTA_PER_UNIT};

/// Largest ratio between an evidence limit, or the reach of a feature's range, and its previous value, in both
/// directions.
pub const MOVE: f32 = 2.0;
/// False-alert budget at which attacks are replayed, alerts per day: an agent's default.
const BUDGET: f32 = 1.0;
/// Budgets whose limits are compared, alerts per day. Rarer alerts are extrapolated, and more frequent ones hardly
/// differ from the lowest limit.
const BUDGETS: std::ops::RangeInclusive<f32> = 0.1..=10.0;
/// Findings of one type that are named; further ones are counted.
const NAMED: usize = 5;

/// Why the gate cannot compare two releases.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// The previous release cannot be read.
    #[error("the previous release cannot be read: {0}")]
    Previous(#[from] ReadError),
    /// A release has no `int8` artifact.
    #[error("release {version} has no int8 artifact, with which the gate replays attacks")]
    NoInt8 {
        /// Its version.
        version: u64,
    },
    /// A network cannot run.
    #[error("the gate cannot run a network: {0}")]
    Network(#[from] NetworkError),
}

/// An attack that each release must detect if the previous one did.
#[derive(Clone, Debug, PartialEq)]
pub struct Attack {
    /// Attack class and origin, for people.
    pub name: String,
    /// Its flows, in order of time.
    pub rows: Vec<Row>,
}

/// A flow of a replayed attack, as an agent sampled it under a release.
fn attack_row(at: Timestamp, source: Address, destination: Address, features: FeatureVector) -> Row {
    Row {
        site: 0,
        at,
        source,
        destination,
        service_port: 0,
        features,
        attack: None,
        suspect: false,
        weight: 1.0,
        under_release: true,
    }
}

/// Number of attacks of one origin and how many of them each release detects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recall {
    /// Replayed attacks.
    pub attacks: usize,
    /// Detected by the previous release; `None` without one that can be compared.
    pub before: Option<usize>,
    /// Detected by the new release.
    pub now: usize,
    /// Detected by the previous release but not by the new one.
    pub lost: Vec<String>,
}

/// What the gate found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GateReport {
    /// Version of the previous release; `None` without one, or without one of the same features.
    pub previous: Option<u64>,
    /// Attacks in this project's captures.
    pub sealed: Recall,
    /// Attacks that operators labelled.
    pub labelled: Recall,
    /// Reasons to hold the release back; empty: it may be signed.
    pub findings: Vec<String>,
}

impl GateReport {
    /// True if an operator must approve the release before it is signed.
    pub fn holds(&self) -> bool {
        !self.findings.is_empty()
    }

    /// One sentence for the log and the model card.
    pub fn summary(&self) -> String {
        let recall = |name: &str, recall: &Recall| {
            let before = recall.before.map_or(String::new(), |before| format!(", {before} before"));
            format!("detects {} of {} {name} attacks{before}", recall.now, recall.attacks)
        };
        let compared = self
            .previous
            .map_or_else(|| "no previous release to compare with".into(), |version| format!("compared with {version}"));
        format!("{compared}; {}; {}", recall("sealed", &self.sealed), recall("labelled", &self.labelled))
    }
}

/// The parts of a release that decide what it detects.
pub struct Detector<'a> {
    manifest: &'a Manifest,
    int8: &'a [u8],
}

impl<'a> Detector<'a> {
    /// A release by its manifest and its `int8` artifact.
    pub fn new(manifest: &'a Manifest, int8: &'a [u8]) -> Self {
        Self { manifest, int8 }
    }

    /// Whether the attack opens at least one episode at the default false-alert budget.
    fn detects(&self, attack: &Attack) -> Result<bool, NetworkError> {
        let scores = scores(self.int8, &self.manifest.scaling, attack.rows.iter().map(|row| &row.features))?;
        let rows: Vec<&Row> = attack.rows.iter().collect();
        let scores: Vec<Option<u32>> = scores.into_iter().map(Some).collect();
        let traffic = Traffic::new(benign_flows(&rows, &scores));
        let drift_nats = self.manifest.evidence_drift_nats;
        let rule = AlertRule { drift_nats, limit_nats: self.manifest.evidence_limit(BUDGET) };
        Ok(traffic.alerts(&self.manifest.calibration, rule) > 0)
    }
}

/// Compares a release with the previous one, given as the bytes of its release file.
///
/// # Errors
/// When the previous release cannot be read, or a network cannot run.
pub fn check(new: &Detector<'_>, previous: Option<&[u8]>, labelled: &[Attack]) -> Result<GateReport, GateError> {
    let sealed = sealed::attacks();
    let Some(bytes) = previous else { return report(new, None, &sealed, labelled) };
    let (file, manifest) = release::read(bytes)?;
    if manifest.schema != schema_id() {
        return report(new, None, &sealed, labelled);
    }
    let form = manifest.artifacts.iter().find(|artifact| artifact.form == ArtifactForm::Int8);
    let int8 = form.and_then(|artifact| file.artifact(&manifest, artifact));
    let int8 = int8.ok_or(GateError::NoInt8 { version: manifest.version })?;
    report(new, Some(&Detector::new(&manifest, int8)), &sealed, labelled)
}

fn report(
    new: &Detector<'_>,
    previous: Option<&Detector<'_>>,
    sealed: &[Attack],
    labelled: &[Attack],
) -> Result<GateReport, GateError> {
    let (sealed, labelled) = (recall(new, previous, sealed)?, recall(new, previous, labelled)?);
    let mut findings = Vec::new();
    for (name, recall) in [("sealed", &sealed), ("labelled", &labelled)] {
        if recall.before.is_some_and(|before| recall.now < before) {
            let before = recall.before.unwrap_or_default();
            let lost = named(&recall.lost);
            findings.push(format!("detects {} of {before} {name} attacks, misses {lost}", recall.now));
        }
    }
    if let Some(previous) = previous {
        findings.extend(moved_limits(previous.manifest, new.manifest));
        findings.extend(moved_ranges(previous.manifest, new.manifest));
    }
    let previous = previous.map(|previous| previous.manifest.version);
    Ok(GateReport { previous, sealed, labelled, findings })
}

fn recall(new: &Detector<'_>, previous: Option<&Detector<'_>>, attacks: &[Attack]) -> Result<Recall, NetworkError> {
    let mut recall = Recall { attacks: attacks.len(), before: previous.map(|_| 0), ..Recall::default() };
    for attack in attacks {
        let now = new.detects(attack)?;
        recall.now += usize::from(now);
        let Some(previous) = previous else { continue };
        if previous.detects(attack)? {
            recall.before = recall.before.map(|before| before + 1);
            if !now {
                recall.lost.push(attack.name.clone());
            }
        }
    }
    Ok(recall)
}

/// At most [`NAMED`] names and the number of the others.
fn named(names: &[String]) -> String {
    let shown = names.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Whether a ratio is outside of 1 / [`MOVE`] to [`MOVE`].
fn moved(ratio: f32) -> bool {
    !(1.0 / MOVE..=MOVE).contains(&ratio)
}

fn moved_limits(previous: &Manifest, new: &Manifest) -> Option<String> {
    let budgets = new.limits.iter().map(|knot| knot.alerts_per_day).filter(|budget| BUDGETS.contains(budget));
    let changes = budgets.filter_map(|budget| {
        let (before, now) = (previous.evidence_limit(budget), new.evidence_limit(budget));
        moved(now / before).then(|| format!("{before:.1} to {now:.1} nats at {budget} alerts per day"))
    });
    let changes: Vec<String> = changes.collect();
    (!changes.is_empty()).then(|| format!("evidence limits change more than {MOVE}-fold: {}", named(&changes)))
}

fn moved_ranges(previous: &Manifest, new: &Manifest) -> Option<String> {
    let pairs = previous.scaling.features.iter().zip(&new.scaling.features).zip(&SCHEMA);
    let changes = pairs.filter_map(|((before, now), feature)| {
        let ratio = range_ratio(before, now)?;
        Some(format!("{} ({ratio:.1}-fold)", feature.name))
    });
    let changes: Vec<String> = changes.collect();
    (!changes.is_empty()).then(|| format!("feature ranges change more than {MOVE}-fold: {}", named(&changes)))
}

/// How much further, or less far, one end of the int8 range is from the previous centre, in transformed units; `None`
/// within [`MOVE`].
fn range_ratio(before: &FeatureScaling, now: &FeatureScaling) -> Option<f32> {
    let reach = |scaling: &FeatureScaling| scaling.unit * 127.0 / INPUT_QUANTA_PER_UNIT;
    let shift = now.centre - before.centre;
    let ratios = [(reach(now) + shift) / reach(before), (reach(now) - shift) / reach(before)];
    ratios.into_iter().find(|ratio| moved(*ratio))
}
