//! A new release, the previous one, and known attacks → what the new one detects worse, and whether an operator must
//! approve it before it is signed.
//!
//! Whoever can send rows as an agent can teach the network that an attack is normal. So both releases replay the same
//! attacks: those of this project's own captures ([`sealed`]) and those that operators labelled. A release is held back if
//! it misses one that was detected, or if evidence limits or the range of a feature change by more than [`MOVE`].
//!
//! A borderline attack, see `NARROW`, does not hold a release back: two releases from other hours of the same traffic
//! differ by as much. So that borderline cases cannot be made in small steps, an attack is borderline only if it was in
//! the release that an operator approved last, too.
//!
//! Labels of attacks only decide who signs: no threshold is computed from them.

pub mod labelled;
pub mod replay;
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
use std::fmt;

/// Largest ratio between an evidence limit, or the reach of a feature's range, and its previous value, in both
/// directions.
pub const MOVE: f32 = 2.0;
/// False-alert budget at which attacks are replayed, alerts per day: an agent's default.
const BUDGET: f32 = 1.0;
/// Budgets whose limits are compared, alerts per day. Rarer alerts are extrapolated, and more frequent ones hardly
/// differ from the lowest limit.
const BUDGETS: std::ops::RangeInclusive<f32> = 0.1..=10.0;
/// Multiples of the evidence limit at which attacks are replayed.
const STRENGTHS: [f32; 15] = [4.0, 3.0, 2.5, 2.0, 1.75, 1.5, 1.35, 1.2, 1.1, 1.0, 0.9, 0.8, 0.65, 0.5, 0.25];
/// An attack that is detected at less than this multiple of the limit, and missed at more than its reciprocal, is a
/// borderline case.
const NARROW: f32 = 1.5;
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

/// Largest multiple of a release's evidence limit, of `STRENGTHS`, at which an attack still opens an episode; 0 below.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Strength(f32);

impl Strength {
    fn is_detected(self) -> bool {
        self.0 >= 1.0
    }
}

impl fmt::Display for Strength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
    /// Detected by an earlier release but not by the new one.
    pub lost: Vec<String>,
    /// The same for borderline cases, which hold no release back.
    pub narrow: Vec<String>,
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
            let narrow = named(&recall.narrow);
            let narrow = if narrow.is_empty() { narrow } else { format!(", narrowly misses {narrow}") };
            format!("detects {} of {} {name} attacks{before}{narrow}", recall.now, recall.attacks)
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

    /// How strongly it detects each attack, see [`Strength`].
    ///
    /// # Errors
    /// When its network cannot run.
    pub fn strengths(&self, attacks: &[Attack]) -> Result<Vec<Strength>, NetworkError> {
        attacks.iter().map(|attack| self.strength(attack)).collect()
    }

    fn strength(&self, attack: &Attack) -> Result<Strength, NetworkError> {
        let scores = scores(self.int8, &self.manifest.scaling, attack.rows.iter().map(|row| &row.features))?;
        let rows: Vec<&Row> = attack.rows.iter().collect();
        let scores: Vec<Option<u32>> = scores.into_iter().map(Some).collect();
        let traffic = Traffic::new(benign_flows(&rows, &scores));
        let drift_nats = self.manifest.evidence_drift_nats;
        let limit_nats = self.manifest.evidence_limit(BUDGET);
        let alerts_at = |strength: &f32| {
            let rule = AlertRule { drift_nats, limit_nats: limit_nats * strength };
            traffic.alerts(&self.manifest.calibration, rule) > 0
        };
        Ok(Strength(STRENGTHS.into_iter().find(alerts_at).unwrap_or_default()))
    }
}

/// Compares a release with earlier ones, given as the bytes of their release files.
///
/// # Errors
/// When an earlier release cannot be read, or a network cannot run.
pub fn check(new: &Detector<'_>, earlier: Earlier<'_>, labelled: &[Attack]) -> Result<GateReport, GateError> {
    let previous = earlier.previous.map(Opened::read).transpose()?.flatten();
    let reference = earlier.reference.map(Opened::read).transpose()?.flatten();
    let compared = Compared {
        new,
        previous: previous.as_ref().map(Opened::detector),
        reference: reference.as_ref().map(Opened::detector),
    };
    compared.report(&sealed::attacks(), labelled)
}

/// Release files of a group with which the gate compares a new release.
#[derive(Clone, Copy, Debug, Default)]
pub struct Earlier<'a> {
    /// The newest one.
    pub previous: Option<&'a [u8]>,
    /// The newest one that an operator approved, or else the oldest one: many small steps must not add up unseen.
    pub reference: Option<&'a [u8]>,
}

/// An earlier release.
struct Opened<'a> {
    manifest: Manifest,
    int8: &'a [u8],
}

impl<'a> Opened<'a> {
    /// `None` for a release of another feature schema, which cannot score the attacks.
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, GateError> {
        let (file, manifest) = release::read(bytes)?;
        if manifest.schema != schema_id() {
            return Ok(None);
        }
        let form = manifest.artifacts.iter().find(|artifact| artifact.form == ArtifactForm::Int8);
        let int8 = form.and_then(|artifact| file.artifact(&manifest, artifact));
        let int8 = int8.ok_or(GateError::NoInt8 { version: manifest.version })?;
        Ok(Some(Self { manifest, int8 }))
    }

    fn detector(&self) -> Detector<'_> {
        Detector::new(&self.manifest, self.int8)
    }
}

/// A new release and those before it.
struct Compared<'a> {
    new: &'a Detector<'a>,
    previous: Option<Detector<'a>>,
    reference: Option<Detector<'a>>,
}

impl Compared<'_> {
    fn report(&self, sealed: &[Attack], labelled: &[Attack]) -> Result<GateReport, GateError> {
        let (sealed, labelled) = (self.recall(sealed)?, self.recall(labelled)?);
        let mut findings = Vec::new();
        for (name, recall) in [("sealed", &sealed), ("labelled", &labelled)] {
            if !recall.lost.is_empty() {
                let lost = named(&recall.lost);
                findings.push(format!("detects {} of {} {name} attacks, misses {lost}", recall.now, recall.attacks));
            }
        }
        if let Some(previous) = &self.previous {
            findings.extend(moved_limits(previous.manifest, self.new.manifest));
            findings.extend(moved_ranges(previous.manifest, self.new.manifest));
        }
        let previous = self.previous.as_ref().map(|previous| previous.manifest.version);
        Ok(GateReport { previous, sealed, labelled, findings })
    }

    fn recall(&self, attacks: &[Attack]) -> Result<Recall, NetworkError> {
        let mut recall =
            Recall { attacks: attacks.len(), before: self.previous.as_ref().map(|_| 0), ..Recall::default() };
        for attack in attacks {
            let now = self.new.strength(attack)?;
            recall.now += usize::from(now.is_detected());
            let Some(previous) = &self.previous else { continue };
            let previous = previous.strength(attack)?;
            let reference = self.reference.as_ref().map(|reference| reference.strength(attack)).transpose()?;
            recall.before = recall.before.map(|before| before + usize::from(previous.is_detected()));
            match Change::of(previous, reference.unwrap_or_default(), now) {
                Change::None => {}
                Change::Narrow => recall.narrow.push(attack.name.clone()),
                Change::Lost => recall.lost.push(attack.name.clone()),
            }
        }
        Ok(recall)
    }
}

/// What a new release changes about an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    /// Detected as before, or missed as before.
    None,
    /// Missed, but by little, and earlier releases detected it by little: another choice of rows moves an attack by as much.
    Narrow,
    /// Missed, and that is not chance.
    Lost,
}

impl Change {
    fn of(previous: Strength, reference: Strength, now: Strength) -> Self {
        let before = if reference > previous { reference } else { previous };
        if now.is_detected() || !before.is_detected() {
            return Self::None;
        }
        if before.0 < NARROW && now.0 >= 1.0 / NARROW { Self::Narrow } else { Self::Lost }
    }
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
