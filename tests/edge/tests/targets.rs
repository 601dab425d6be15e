//! Files in `firmware-configs/targets` → valid device descriptions within the budgets of their engine.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The description of one device. Sizes in bytes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Target {
    name: String,
    triple: String,
    engine: Engine,
    package: Package,
    flash_bytes: u64,
    ram_bytes: u64,
    binary_bytes: u64,
    packed_bytes: u64,
    resident_bytes: u64,
    interfaces: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Engine {
    Int8,
    Tract,
}

impl Engine {
    /// Limits for all devices with this engine: program, packed program, resident memory.
    fn budget(self) -> (u64, u64, u64) {
        match self {
            Self::Int8 => (1_700_000, 700_000, 10_000_000),
            Self::Tract => (6_500_000, 2_000_000, 22_000_000),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Package {
    Deb,
    Ipk,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn targets() -> BTreeMap<String, Target> {
    let files = std::fs::read_dir(root().join("firmware-configs/targets")).unwrap();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let target = toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_stem().unwrap().to_string_lossy().into_owned(), target)
    };
    files.map(|entry| read(entry.unwrap().path())).collect()
}

#[test]
fn every_device_is_within_the_budgets_of_its_engine() {
    let targets = targets();
    assert!(targets.len() >= 7, "only {:?}", targets.keys());
    for (file, target) in targets {
        let (binary, packed, resident) = target.engine.budget();
        assert!(
            target.binary_bytes <= binary && target.packed_bytes <= packed,
            "{file}: larger than the budget of its engine"
        );
        assert!(target.resident_bytes <= resident, "{file}: more memory than the budget of its engine");
        assert!(
            target.resident_bytes * 5 <= target.ram_bytes,
            "{file}: the agent needs more than a fifth of the memory"
        );
        assert!(
            target.packed_bytes * 5 <= target.flash_bytes,
            "{file}: the package needs more than a fifth of the flash"
        );
        assert!(!target.interfaces.is_empty() && !target.name.is_empty(), "{file}: no name or no interface");
        let debian = target.name.starts_with("Raspberry Pi");
        assert_eq!(target.package == Package::Deb, debian, "{file}: {:?}", target.package);
    }
}

#[test]
fn every_triple_is_in_cross_toml_and_in_the_toolchain_script() {
    let cross: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("Cross.toml")).unwrap()).unwrap();
    let known = cross["target"].as_table().unwrap();
    let toolchain = std::fs::read_to_string(root().join("firmware-configs/toolchain")).unwrap();
    for triple in known.keys() {
        assert!(toolchain.contains(triple.as_str()), "firmware-configs/toolchain does not know {triple}");
    }
    for (file, target) in targets() {
        assert!(known.contains_key(&target.triple), "{file}: {} is not in Cross.toml", target.triple);
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let file = root().join("firmware-configs/targets/router-armv7-64m.toml");
    let text = std::fs::read_to_string(file).unwrap() + "flash-mib = 16\n";
    let error = toml::from_str::<Target>(&text).unwrap_err().to_string();
    assert!(error.contains("unknown field `flash-mib`"), "{error}");
}
