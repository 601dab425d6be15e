//! Rows of a release on trial and the release before it → votes on the new one.

use super::{BATCH_ROWS, Installed};
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::flow_rows::Row;
use lapwing_shared::release::trial::{Before, TrialRow};
use lapwing_shared::units::Address;
use lapwing_shared::verdict::network::Inference;
use lapwing_shared::verdict::scaling::RowScaler;
use lapwing_shared::verdict::tracker::CLOSE_SHARE;

/// The release in use before the one on trial. It judges the same rows, but raises no alerts.
pub(crate) struct Incumbent {
    installed: Installed,
    scaler: RowScaler,
    limit_nats: f32,
    /// The local correction when the trial began, nats.
    correction_nats: f32,
    outputs: Box<[Inference; BATCH_ROWS]>,
    surprises: Vec<f32>,
}

impl Incumbent {
    pub(crate) fn new(installed: Installed, scaler: RowScaler, limit_nats: f32, correction_nats: f32) -> Self {
        let outputs = Box::new([Inference::default(); BATCH_ROWS]);
        let surprises = Vec::with_capacity(BATCH_ROWS);
        Self { installed, scaler, limit_nats, correction_nats, outputs, surprises }
    }

    pub(crate) fn into_installed(self) -> Installed {
        self.installed
    }

    /// Judges a batch. After an engine fault its rows do not vote.
    pub(crate) fn judge(&mut self, rows: &[Row]) {
        self.surprises.clear();
        let mut inputs = [[0; FEATURES]; BATCH_ROWS];
        for (input, row) in inputs.iter_mut().zip(rows) {
            *input = self.scaler.quantize(&row.features);
        }
        let (inputs, outputs) = (&inputs[..rows.len()], &mut self.outputs[..rows.len()]);
        if let Err(error) = self.installed.engine.run_batch(inputs, outputs) {
            tracing::error!(release = self.installed.manifest.version, %error, "engine fault of the release before");
            return;
        }
        let calibration = &self.installed.manifest.calibration;
        let surprise = |(input, output): (_, &Inference)| {
            let score = self.scaler.score(input, &output.reconstruction);
            (calibration.surprise_nats(score) - self.correction_nats).max(0.0)
        };
        self.surprises.extend(inputs.iter().zip(outputs.iter()).map(surprise));
    }

    fn before(&self, index: usize) -> Option<Before> {
        Some(Before {
            surprise_nats: *self.surprises.get(index)?,
            drift_nats: self.installed.manifest.evidence_drift_nats,
            suspect_nats: CLOSE_SHARE * self.limit_nats,
        })
    }
}

/// The vote of a row with this surprise by the release on trial. `None` if the row is about no host of the site, or the
/// release before did not judge it.
pub(crate) fn vote(row: &Row, index: usize, surprise_nats: f32, incumbent: Option<&Incumbent>) -> Option<TrialRow> {
    let host: Address = match (row.followed.source, row.followed.destination) {
        (true, _) => row.record.source,
        (false, true) => row.record.destination,
        (false, false) => return None,
    };
    let before = match incumbent {
        Some(incumbent) => Some(incumbent.before(index)?),
        None => None,
    };
    Some(TrialRow { host, at: row.record.made, surprise_nats, before })
}
