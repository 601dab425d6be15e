//! A seed → signed releases whose trial any traffic passes, and under which any host raises an alert.
//!
//! Their calibration gives every row a surprise of 3 nats: below the 4.6 nats from which a row on trial counts as
//! anomalous, and above the drift, so that a host's evidence grows by 1.5 nats with each flow and crosses the limit
//! after twenty flows.

use crate::networks;
use heapless::Vec as Fixed;
use lapwing_pipeline::quantize::Artifacts;
use lapwing_pipeline::quantize::onnx;
use lapwing_pipeline::release::build::{ReleaseTerms, manifest, release_file};
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::testing::Mixture;
use lapwing_pipeline::train::run::TrainRun;
use lapwing_pipeline::train::training_rows::TrainingRow;
use lapwing_pipeline::train::{TrainConfig, train};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::messages::topics::chunk_topic;
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::{CHUNK_BYTES, LimitKnot, Manifest};
use lapwing_shared::verdict::calibration::{Calibration, Knot};
use std::path::Path;

/// The group of all releases.
pub const GROUP: &str = "home";

/// Surprise of every row under a quiet release: below the drift.
const QUIET_NATS: f32 = 1.0;

/// Makes releases signed with one key.
pub struct Releases {
    run: TrainRun,
    rows: Vec<FeatureVector>,
    key: ReleaseKey,
}

/// A release file and its manifest.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Release {
    pub manifest: Manifest,
    /// Bytes of the file.
    pub file: Vec<u8>,
}

impl Releases {
    /// The key is derived from the seed.
    pub fn new(seed: u8) -> Self {
        Self::signed_by(ReleaseKey::from_secret("test", &[seed; 32]).unwrap())
    }

    /// Releases that this key signs.
    pub fn signed_by(key: ReleaseKey) -> Self {
        let row = |features| TrainingRow { features, agent: 0, suspect: false };
        let rows: Vec<TrainingRow> = Mixture::new(1).rows(400, 2).into_iter().map(row).collect();
        let config = TrainConfig { epochs: 1, batch_rows: 64, ..TrainConfig::default() };
        // Only the scaling is used: the networks are random, since no test here depends on what they detect.
        let trained = train(&rows, &Mixture::transforms(), &config, &mut |_| ()).unwrap();
        let run = TrainRun::new(&rows, &config, &trained);
        let rows = rows.iter().map(|row| row.features).collect();
        Self { run, rows, key }
    }

    /// Writes the file of the public key.
    pub fn write_public(&self, path: &Path) {
        std::fs::write(path, format!("{}\n", self.key.public().unwrap())).unwrap();
    }

    /// A release with a new random network.
    pub fn release(&self, version: u64) -> Release {
        self.release_with(version, |_| ())
    }

    /// A release that every agent refuses: its golden vectors are wrong.
    pub fn defective(&self, version: u64) -> Release {
        self.release_with(version, |manifest| manifest.golden.iter_mut().for_each(|vector| vector.score ^= 1))
    }

    /// A release under which no host raises an alert.
    pub fn quiet(&self, version: u64) -> Release {
        self.release_with(version, |manifest| {
            manifest.calibration.knots.iter_mut().for_each(|knot| knot.surprise_nats = QUIET_NATS);
        })
    }

    fn release_with(&self, version: u64, change: impl FnOnce(&mut Manifest)) -> Release {
        let network = networks::large(version);
        let artifacts = Artifacts { int8: network.to_int8().unwrap(), onnx: onnx::encode(&network) };
        let knot = |score| Knot { score, surprise_nats: 3.0 };
        let limit = |alerts_per_day| LimitKnot { alerts_per_day, evidence_nats: 30.0 };
        let terms = ReleaseTerms {
            group: GROUP.into(),
            version,
            created_s: 1_700_000_000,
            expires_s: u64::from(u32::MAX),
            floor: 0,
            calibration: Calibration { knots: Fixed::from_slice(&[knot(0), knot(1)]).unwrap(), rows: 1 },
            evidence_drift_nats: 1.5,
            limits: Fixed::from_slice(&[limit(0.1), limit(10.0)]).unwrap(),
            kinds: Fixed::new(),
        };
        let mut manifest = manifest(&self.run, &artifacts, &self.rows, &terms).unwrap();
        change(&mut manifest);
        let file = release_file(&manifest, &artifacts, &self.key).unwrap();
        Release { manifest, file }
    }
}

impl Release {
    /// The signed manifest.
    pub fn signed(&self) -> Vec<u8> {
        ReleaseFile::decode(&self.file).unwrap().signed.to_vec()
    }

    /// Topic and content of each chunk of the `int8` artifact, in order.
    pub fn chunks(&self) -> Vec<(String, Vec<u8>)> {
        let file = ReleaseFile::decode(&self.file).unwrap();
        let form = lapwing_shared::release::manifest::ArtifactForm::Int8;
        let artifact = self.manifest.artifact(form).unwrap();
        let chunks = file.artifact(&self.manifest, artifact).unwrap().chunks(CHUNK_BYTES as usize);
        let named = |(number, chunk): (u32, &[u8])| (chunk_topic(&artifact.sha256, number).to_string(), chunk.to_vec());
        (0..).zip(chunks).map(named).collect()
    }
}
