//! The release in the packages is of the present code: it loads, its limits move with the false-alert budget, and its key
//! signs nothing else. `firmware-configs/release/make` makes it.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_agent::config::EngineChoice;
use lapwing_agent::engines::Engines;
use lapwing_agent::release_file::{Loaded, trusted_keys, unbound};
use lapwing_shared::release::manifest::Manifest;
use lapwing_shared::release::signature::{KeyUse, Source};
use std::path::{Path, PathBuf};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../firmware-configs/release").join(name)
}

/// The manifest, after the checks that a gateway makes.
fn manifest() -> Manifest {
    let (engines, keys) = (Engines(EngineChoice::Int8), trusted_keys(&[file("release.pub")]).unwrap());
    let release = Loaded::open(&file("release.lwr")).unwrap();
    let installed = release.install(release.verify(&engines, &keys).unwrap(), &engines).unwrap();
    *installed.manifest
}

#[test]
fn the_limits_of_the_packaged_release_move_with_the_false_alert_budget() {
    let manifest = manifest();
    let limits: Vec<f32> = [0.01, 0.1, 1.0, 10.0, 100.0].map(|budget| manifest.evidence_limit(budget)).to_vec();
    for pair in limits.windows(2) {
        assert!(pair[1] < 0.9 * pair[0], "{limits:?}");
    }
    assert!(limits[0] > 2.0 * limits[3], "{limits:?}");
}

#[test]
fn a_larger_budget_raises_more_alerts_on_the_same_traffic() {
    let alerts = |budget: &str| {
        let folder = std::env::temp_dir().join(format!("lapwing-packaged-{budget}-{}", std::process::id()));
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/captures/home-b-attacks.pcap.gz");
        let arguments = ["lapwing-agent", "replay", "--engine", "int8", "--alerts-per-day", budget].map(String::from);
        let paths = [("--release", file("release.lwr")), ("--key", file("release.pub")), ("--alerts", folder.clone())];
        let paths = paths.into_iter().flat_map(|(option, path)| [option.to_owned(), path.display().to_string()]);
        let arguments = arguments.into_iter().chain(paths).chain([capture.display().to_string()]);
        assert_eq!(lapwing_agent::main(arguments.map(Into::into)), std::process::ExitCode::SUCCESS);
        let text = std::fs::read_to_string(&folder).unwrap();
        std::fs::remove_file(&folder).unwrap();
        text.lines().filter(|line| line.contains(r#""state":"opened""#)).count()
    };
    let (few, usual, many) = (alerts("0.01"), alerts("1"), alerts("100"));
    assert!(few >= 8 && few < usual && usual < many, "{few}, {usual}, {many}");
}

#[test]
fn the_packaged_key_signs_release_files_of_the_default_group_only() {
    let keys = trusted_keys(&[file("release.pub")]).unwrap();
    let key = keys.iter().next().unwrap();
    let group = |name: &str| name.try_into().unwrap();
    assert_eq!((key.key_use(), keys.iter().count()), (KeyUse::Only(Source::File), 1));
    assert!(key.may_sign(Source::File, &group("default")).is_ok() && unbound(&keys).is_empty());
    assert!(key.may_sign(Source::Broker, &group("default")).is_err());
    assert!(key.may_sign(Source::File, &group("villa")).is_err());
}
