//! A site whose surprises a test chooses.

use lapwing_edge_tests::at_ms;
use lapwing_shared::context::local::{LocalNetworks, Prefix};
use lapwing_shared::features::{FEATURES, FeatureVector};
use lapwing_shared::units::Address;
use lapwing_shared::verdict::alert::{Alert, AlertState};
use lapwing_shared::verdict::calibration::{Calibration, Knot};
use lapwing_shared::verdict::kinds::{KindFinder, KindProfile};
use lapwing_shared::verdict::scaling::{FeatureScaling, RowScaler, Scaling, Transform};
use lapwing_shared::verdict::tracker::{EvidenceTracker, Policy, Scored};

pub(super) const DRIFT: f32 = 2.0;
pub(super) const LIMIT: f32 = 20.0;

/// A site 192.0.2.0/24 whose calibration makes a score of 1,000·n a surprise of n nats.
pub(super) struct Site {
    pub(super) scaling: Scaling,
    pub(super) calibration: Calibration,
    pub(super) kinds: Vec<KindProfile>,
    pub(super) tracker: EvidenceTracker,
    pub(super) local: LocalNetworks,
    pub(super) alerts: Vec<Alert>,
}

impl Site {
    pub(super) fn new() -> Self {
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
            tracker: EvidenceTracker::new(256, 1),
            local: LocalNetworks::new(&[Prefix::v4([192, 0, 2, 0], 24)]).unwrap(),
            alerts: Vec::new(),
        }
    }

    /// One flow with this surprise, caused by feature 7; true if its row is excluded from training.
    pub(super) fn flow(&mut self, source: Address, target: Address, surprise_nats: f32, millis: u64) -> bool {
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
        let (scaler, finder) = (RowScaler::new(&self.scaling), KindFinder::new(&self.kinds, &self.scaling));
        let policy = policy(&self.scaling, &scaler, &self.calibration, &self.kinds, &finder);
        self.tracker.process(&flow, &policy, &mut |alert| self.alerts.push(alert)).suspect
    }

    /// The number of hosts that sent a first flow so far.
    pub(super) fn count_sources(&mut self, millis: u64, total: u64) {
        let (scaler, finder) = (RowScaler::new(&self.scaling), KindFinder::new(&self.kinds, &self.scaling));
        let policy = policy(&self.scaling, &scaler, &self.calibration, &self.kinds, &finder);
        self.tracker.advance(at_ms(millis), &policy, &mut |alert| self.alerts.push(alert));
        self.tracker.count_sources(at_ms(millis), total, &policy, &mut |alert| self.alerts.push(alert));
    }

    pub(super) fn states(&self) -> Vec<AlertState> {
        self.alerts.iter().map(|alert| alert.state).collect()
    }
}

fn policy<'a>(
    scaling: &'a Scaling,
    scaler: &'a RowScaler,
    calibration: &'a Calibration,
    kinds: &'a [KindProfile],
    finder: &'a KindFinder,
) -> Policy<'a> {
    Policy { scaling, scaler, calibration, kinds, finder, drift_nats: DRIFT, limit_nats: LIMIT, release: 7 }
}
