//! Two releases that judge the same rows: attacks do not decide a trial.

use super::*;
use lapwing_shared::context::local::Followed;
use lapwing_shared::features::FEATURES;
use lapwing_shared::flow::record::FlowRecord;
use lapwing_shared::flow::testing;
use lapwing_shared::release::testing::manifest;
use lapwing_shared::release::trial::TrialLimits;
use lapwing_shared::units::{Address, Nanos};

/// Reconstructs every feature but the first one, which it takes for this value.
struct Expects(i8);

impl Engine for Expects {
    fn name(&self) -> &'static str {
        "test"
    }

    fn best_batch(&self) -> usize {
        1
    }

    fn run_batch(&mut self, inputs: &[QuantizedInput], out: &mut [Inference]) -> Result<(), EngineError> {
        for (input, out) in inputs.iter().zip(out) {
            out.reconstruction = *input;
            out.reconstruction[0] = self.0;
        }
        Ok(())
    }
}

struct Broken;

impl Engine for Broken {
    fn name(&self) -> &'static str {
        "test"
    }

    fn best_batch(&self) -> usize {
        1
    }

    fn run_batch(&mut self, _: &[QuantizedInput], _: &mut [Inference]) -> Result<(), EngineError> {
        Err(EngineError::Run("broken".into()))
    }
}

#[derive(Default)]
struct Verdicts(Vec<(u64, TrialVerdict)>);

impl Listener for Verdicts {
    fn alert(&mut self, _: Box<Alert>) {}

    fn samples(&mut self, _: Samples) {}

    fn trial(&mut self, version: u64, verdict: TrialVerdict) {
        self.0.push((version, verdict));
    }
}

struct Trial {
    scoring: Scoring<Verdicts>,
    second: u64,
}

impl Trial {
    /// A release in use, and then another one on trial.
    fn new(before: Box<dyn Engine>, new: Box<dyn Engine>) -> Self {
        let (tracker, sampler) = (EvidenceTracker::new(256, 1), Sampler::new(0, Nanos::from_secs(300), 1));
        let mut scoring = Scoring::new(1.0, tracker, sampler, Files::default(), Verdicts::default());
        let release = |version, engine, trial| Installed { manifest: Box::new(manifest(version)), engine, trial };
        assert!(scoring.install(release(1, before, None)).is_none());
        let trial = Some(Box::new(TrialMonitor::new(TrialLimits::default())));
        assert!(scoring.install(release(2, new, trial)).is_none(), "the release before is kept");
        Self { scoring, second: 1_000 }
    }

    /// A row of a host, one each second. The first feature of an ordinary row is quantized to 0, that of an attack is not.
    fn row(&mut self, host: u8, is_attack: bool) {
        self.second += 1;
        let mut features = [0.0; FEATURES];
        features[0] = if is_attack { 5_000.0 } else { 1.0_f32.exp() - 1.0 };
        let (source, destination) = (Address::from_v4([192, 168, 1, host]), Address::from_v4([203, 0, 113, 1]));
        let record = FlowRecord { source, destination, ..testing::record(Timestamp::from_secs(self.second)) };
        let followed = Followed { source: true, destination: false };
        self.scoring.process(&[Row { record, features, followed }], &[]).unwrap();
    }

    fn verdict(&mut self) -> Option<TrialVerdict> {
        self.scoring.listener_mut().0.first().map(|(_, verdict)| *verdict)
    }
}

#[test]
fn attacks_during_a_trial_do_not_roll_a_good_release_back() {
    let mut trial = Trial::new(Box::new(Expects(0)), Box::new(Expects(0)));
    (0..52).for_each(|_| trial.row(66, true));
    for _ in 0..64 {
        (10..14).for_each(|host| trial.row(host, false));
        (66..70).for_each(|host| trial.row(host, true));
    }
    assert_eq!(trial.verdict(), Some(TrialVerdict::Confirm));
    assert!(trial.scoring.incumbent.is_none(), "no longer needed");
}

#[test]
fn a_bad_release_is_rolled_back_despite_attacks() {
    // Finds ordinary rows anomalous.
    let mut trial = Trial::new(Box::new(Expects(0)), Box::new(Expects(127)));
    for _ in 0..64 {
        (10..14).for_each(|host| trial.row(host, false));
        (66..70).for_each(|host| trial.row(host, true));
    }
    let verdict = trial.verdict();
    assert!(matches!(verdict, Some(TrialVerdict::TooManyAnomalous { against: 4, hosts: 4, .. })), "{verdict:?}");
}

#[test]
fn rows_that_the_release_before_cannot_judge_do_not_vote() {
    let mut trial = Trial::new(Box::new(Broken), Box::new(Expects(127)));
    (0..600).for_each(|_| trial.row(10, false));
    assert_eq!(trial.verdict(), None);
}

#[test]
fn a_release_that_replaces_one_on_trial_is_compared_with_the_one_before() {
    let mut trial = Trial::new(Box::new(Expects(0)), Box::new(Expects(127)));
    let monitor = Some(Box::new(TrialMonitor::new(TrialLimits::default())));
    let third = Installed { manifest: Box::new(manifest(3)), engine: Box::new(Expects(0)), trial: monitor };
    assert_eq!(trial.scoring.install(third).map(|retired| retired.manifest.version), Some(2));
    assert!(trial.scoring.incumbent.is_some());
    let confirmed = Installed { manifest: Box::new(manifest(1)), engine: Box::new(Expects(0)), trial: None };
    assert_eq!(trial.scoring.install(confirmed).map(|retired| retired.manifest.version), Some(3));
    assert!(trial.scoring.incumbent.is_none());
}

#[test]
fn another_budget_changes_the_limit_of_the_release_in_use_and_of_later_ones() {
    let mut trial = Trial::new(Box::new(Expects(0)), Box::new(Expects(0)));
    let limit_nats = |trial: &Trial| trial.scoring.derived.limit_nats;
    let expected = |alerts_per_day| manifest(2).evidence_limit(alerts_per_day);
    assert_eq!(limit_nats(&trial), expected(1.0));
    trial.scoring.set_budget(0.1);
    assert!(expected(0.1) > expected(1.0));
    assert_eq!(limit_nats(&trial), expected(0.1));
    let engine: Box<dyn Engine> = Box::new(Expects(0));
    trial.scoring.install(Installed { manifest: Box::new(manifest(3)), engine, trial: None });
    assert_eq!(limit_nats(&trial), expected(0.1));
}
