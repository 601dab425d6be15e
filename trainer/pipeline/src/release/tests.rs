//! Release files pass the shared checks; invalid parts are rejected.

use super::build::{ReleaseError, ReleaseTerms, manifest, release_file};
use super::keys::{KeyError, ReleaseKey};
use super::verify::VerifyError;
use crate::calibrate::limits::{BenignFlow, Traffic, evidence_limits};
use crate::calibrate::{DRIFT_NATS, calibrate};
use crate::quantize::convert::QuantizeConfig;
use crate::quantize::{Artifacts, artifacts};
use crate::testing::Mixture;
use crate::train::run::TrainRun;
use crate::train::training_rows::TrainingRow;
use crate::train::{TrainConfig, train};
use heapless::Vec as Fixed;
use lapwing_shared::features::FeatureVector;
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::golden::check_golden;
use lapwing_shared::release::manifest::{ArtifactForm, MANIFEST_BYTES, Manifest};
use lapwing_shared::release::signature::{KeyUse, SignedManifest, TrustedKeys};
use lapwing_shared::units::{Address, Timestamp};
use lapwing_shared::verdict::network::{Inference, Int8Network, Scratch};
use lapwing_store::Unlabelled;
use std::path::PathBuf;

struct Made {
    run: TrainRun,
    artifacts: Artifacts,
    rows: Vec<FeatureVector>,
    terms: ReleaseTerms,
}

fn made() -> Made {
    let row = |(row, features)| TrainingRow { features, agent: row as u32 % 2, suspect: false };
    let rows: Vec<TrainingRow> = Mixture::new(1).rows(1_500, 2).into_iter().enumerate().map(row).collect();
    let config = TrainConfig { epochs: 4, batch_rows: 64, ..TrainConfig::default() };
    let trained = train(&rows, &Mixture::transforms(), &config, &mut |_| ()).unwrap();
    let run = TrainRun::new(&rows, &config, &trained);
    let plain = |indices: &[usize]| indices.iter().map(|row| rows[*row].features).collect::<Vec<_>>();
    let artifacts = artifacts(&run, &run.range_rows(), &QuantizeConfig::default()).unwrap();
    let validation = plain(&trained.validation);
    let calibration = calibrate(&scores(&run, &artifacts, &validation)).unwrap();
    let flow = |(second, score): (usize, u32)| BenignFlow {
        site: 0,
        at: Timestamp::from_secs(second as u64 * 10),
        source: Address::from_v4([192, 0, 2, 1]),
        destination: Address::from_v4([203, 0, 113, 1]),
        service_port: 443,
        score: Some(score),
        weight: 1.0,
        under_release: false,
    };
    let flows = scores(&run, &artifacts, &validation).into_iter().enumerate().map(flow).collect();
    let limits = evidence_limits(&Traffic::new(flows), &calibration, Unlabelled::default(), DRIFT_NATS).unwrap();
    let anomalous: Vec<_> = Mixture::new(1).mixed_rows(50, 4).iter().map(|row| run.scaling.quantize(row)).collect();
    let terms = ReleaseTerms {
        group: "home".into(),
        version: 3,
        created_s: 1_700_000_000,
        expires_s: 1_800_000_000,
        floor: 0,
        calibration: calibration.clone(),
        evidence_drift_nats: DRIFT_NATS,
        limits,
        kinds: super::classes::profile("mixed-rows", &anomalous, &run.scaling).into_iter().collect(),
    };
    Made { run, artifacts, rows: validation, terms }
}

fn scores(run: &TrainRun, artifacts: &Artifacts, rows: &[FeatureVector]) -> Vec<u32> {
    let network = Int8Network::parse(artifacts.int8.as_slice()).unwrap();
    let mut inference = Inference::default();
    let mut score = |row: &FeatureVector| {
        let input = run.scaling.quantize(row);
        network.run(&input, &mut Scratch::default(), &mut inference);
        run.scaling.score(&input, &inference.reconstruction)
    };
    rows.iter().map(&mut score).collect()
}

#[test]
fn a_release_file_passes_every_shared_check() {
    let made = made();
    let key = ReleaseKey::from_secret("signer-1", &[7; 32]).unwrap();
    let manifest = manifest(&made.run, &made.artifacts, &made.rows, &made.terms).unwrap();
    let bytes = release_file(&manifest, &made.artifacts, &key).unwrap();
    let file = ReleaseFile::decode(&bytes).unwrap();
    let signed = SignedManifest::decode(file.signed).unwrap();
    let mut keys = TrustedKeys::default();
    keys.add(key.public().unwrap()).unwrap();
    keys.verify(&signed).unwrap();
    let read = Manifest::decode(signed.manifest).unwrap();
    assert_eq!(read, manifest);
    let int8 = read.artifact(ArtifactForm::Int8).unwrap();
    let network = Int8Network::parse(file.artifact(&read, int8).unwrap()).unwrap();
    let onnx = read.artifact(ArtifactForm::Onnx).unwrap();
    assert_eq!(file.artifact(&read, onnx), Some(made.artifacts.onnx.as_slice()));
    check_golden::<()>(&read, |input, reconstruction, latent| {
        let mut inference = Inference::default();
        network.run(input, &mut Scratch::default(), &mut inference);
        *reconstruction = inference.reconstruction;
        latent.copy_from_slice(&inference.latent[..latent.len()]);
        Ok(())
    })
    .unwrap();
    assert!(signed.manifest.len() < MANIFEST_BYTES * 3 / 4, "{} bytes", signed.manifest.len());
}

#[test]
fn artifacts_of_two_different_networks_are_rejected() {
    let mut made = made();
    let last = made.artifacts.int8.len() - 1;
    made.artifacts.int8[last] ^= 0x40;
    let error = manifest(&made.run, &made.artifacts, &made.rows, &made.terms).unwrap_err();
    assert!(matches!(error, ReleaseError::Verify(VerifyError::Different { .. })), "{error}");
}

#[test]
fn terms_that_violate_a_rule_are_rejected() {
    let made = made();
    let error = |terms: ReleaseTerms| manifest(&made.run, &made.artifacts, &made.rows, &terms).unwrap_err().to_string();
    let terms = || made.terms.clone();
    assert!(error(ReleaseTerms { group: "ho me".into(), ..terms() }).starts_with("invalid group"));
    assert!(error(ReleaseTerms { version: 0, ..terms() }).contains("version"));
    assert!(error(ReleaseTerms { expires_s: 0, ..terms() }).contains("expires_s"));
    assert!(error(ReleaseTerms { limits: Fixed::new(), ..terms() }).contains("limits"));
}

/// An empty folder of this test.
fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("lapwing-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

#[test]
fn keys_read_back_from_their_files_and_are_never_overwritten() {
    let folder = folder("keys");
    let key = ReleaseKey::generate("site-a").unwrap();
    let (secret, public) = (folder.join("a.key"), folder.join("a.pub"));
    key.save(&secret, &public, KeyUse::Any, None).unwrap();
    assert_eq!(ReleaseKey::load(&secret).unwrap().sign(b"x").unwrap(), key.sign(b"x").unwrap());
    let keys = TrustedKeys::parse(&std::fs::read_to_string(&public).unwrap()).unwrap();
    keys.verify(&SignedManifest::decode(&key.sign(b"manifest").unwrap()).unwrap()).unwrap();
    let other = ReleaseKey::generate("site-a").unwrap();
    assert!(matches!(other.save(&secret, &public, KeyUse::Any, None), Err(KeyError::Exists { .. })));
    assert_ne!(other.sign(b"x").unwrap(), key.sign(b"x").unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[cfg(unix)]
#[test]
fn a_secret_key_that_others_can_read_is_rejected_with_advice() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder("exposed");
    let secret = folder.join("k.key");
    ReleaseKey::generate("k").unwrap().save(&secret, &folder.join("k.pub"), KeyUse::Any, None).unwrap();
    let mode = |mode| std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(mode)).unwrap();
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    mode(0o640);
    assert!(ReleaseKey::load(&secret).err().unwrap().to_string().ends_with("(mode 640); run chmod 600 on it"));
    mode(0o600);
    std::fs::write(&secret, "lapwing-secret-key-v1 k 00").unwrap();
    assert!(matches!(ReleaseKey::load(&secret), Err(KeyError::Secret { .. })));
    std::fs::remove_dir_all(&folder).unwrap();
}
