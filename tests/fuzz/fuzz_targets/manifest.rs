//! Arbitrary bytes as a release file, signed manifest, manifest or update state → its parts, or an error.
#![no_main]

use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::{MANIFEST_BYTES, Manifest};
use lapwing_shared::release::signature::SignedManifest;
use lapwing_shared::release::update::UpdateState;
use libfuzzer_sys::fuzz_target;

fn check_manifest(manifest: &[u8]) {
    if let Ok(manifest) = Manifest::decode(manifest) {
        let mut room = vec![0; MANIFEST_BYTES];
        manifest.encode(&mut room).expect("a decoded manifest encodes");
        assert!((0.0..=12.0).contains(&manifest.calibration.surprise_nats(u32::MAX)));
        assert!(!manifest.evidence_limit(1.0).is_nan());
    }
}

fuzz_target!(|input: &[u8]| {
    check_manifest(input);
    if let Ok(signed) = SignedManifest::decode(input) {
        check_manifest(signed.manifest);
    }
    if let Ok(file) = ReleaseFile::decode(input) {
        let _ = SignedManifest::decode(file.signed);
    }
    let _ = UpdateState::decode(input);
});
