//! [`Manifest`] ↔ bytes, with validation.
//!
//! Bytes: [`MANIFEST_VERSION`], then postcard; with a floor [`FLOOR_VERSION`], postcard, and the floor; at most [`MANIFEST_BYTES`]. Decoding validates, so every field of a
//! decoded [`Manifest`] is within its documented range.

use super::framing::{self, FrameError};
use super::manifest::{
    ARTIFACT_BYTES, Artifact, FLOOR_VERSION, GoldenVector, KindProfile, LATENT, LimitKnot, MANIFEST_BYTES,
    MANIFEST_VERSION, Manifest,
};
use super::name::is_name;
use super::refusal_text::MANIFEST;
use core::fmt;

/// Length of an encoded floor.
const FLOOR_BYTES: usize = size_of::<u64>();

/// Reason for rejecting a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestError {
    /// The framing is invalid.
    Frame(FrameError),
    /// A field has an invalid value.
    Field {
        /// The field.
        field: &'static str,
        /// Index in the field's list, 0 if it is not a list.
        index: usize,
        /// Expected value.
        expected: &'static str,
    },
}

impl From<FrameError> for ManifestError {
    #[inline]
    fn from(error: FrameError) -> Self {
        Self::Frame(error)
    }
}

impl fmt::Display for ManifestError {
    #[inline]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "{MANIFEST}{error}"),
            Self::Field { field, index, expected } => {
                write!(f, "{MANIFEST}invalid {field}[{index}], expected {expected}")
            }
        }
    }
}

impl core::error::Error for ManifestError {}

impl Manifest {
    /// Writes the manifest into `out`, for which [`MANIFEST_BYTES`] is always enough; returns the written part.
    ///
    /// # Errors
    /// [`ManifestError`] if a field is invalid or `out` is too small.
    #[inline]
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], ManifestError> {
        self.validate()?;
        if self.floor == 0 {
            return Ok(framing::encode(MANIFEST_VERSION, self, out)?);
        }
        let (room, length) = (out.len(), framing::encode(FLOOR_VERSION, self, out)?.len());
        let end = length + FLOOR_BYTES;
        let place = out.get_mut(length..end).ok_or(FrameError::NoRoom { room })?;
        place.copy_from_slice(&self.floor.to_le_bytes());
        Ok(&out[..end])
    }

    /// Reads and validates a manifest.
    ///
    /// # Errors
    /// [`ManifestError`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let has_floor = bytes.first() == Some(&FLOOR_VERSION);
        let version = if has_floor { FLOOR_VERSION } else { MANIFEST_VERSION };
        let (mut manifest, rest) = framing::decode_prefix::<Self>(version, bytes, MANIFEST_BYTES)?;
        if has_floor {
            manifest.floor = u64::from_le_bytes(rest.try_into().map_err(|_| FrameError::Malformed)?);
            // The encoding is unique.
            expect(manifest.floor > 0, "floor", 0, "1 or more")?;
        } else if !rest.is_empty() {
            return Err(FrameError::Trailing { bytes: rest.len() }.into());
        }
        manifest.validate()?;
        Ok(manifest)
    }

    /// Validates every field; does not run the golden vectors.
    ///
    /// # Errors
    /// [`ManifestError::Field`] with the first invalid field.
    #[inline]
    pub fn validate(&self) -> Result<(), ManifestError> {
        expect(is_name(&self.group), "group", 0, "1 to 32 of a-z A-Z 0-9 - _ . with a letter or digit first")?;
        expect(self.version >= 1, "version", 0, "1 or more")?;
        expect(self.floor < self.version, "floor", 0, "below version")?;
        expect(self.expires_s > self.created_s, "expires_s", 0, "later than created_s")?;
        self.validate_artifacts()?;
        let width = usize::from(self.latent_width);
        expect((1..=LATENT).contains(&width), "latent_width", 0, "1 to 32")?;
        expect(self.scaling.is_valid(), "scaling", 0, "a valid entry for each feature")?;
        expect(self.calibration.is_valid(), "calibration", 0, "two or more increasing knots of 0 to 12 nats")?;
        expect(self.calibration.rows >= 1, "calibration.rows", 0, "1 or more")?;
        let drift = self.evidence_drift_nats;
        expect(drift.is_finite() && drift > 1.0, "evidence_drift_nats", 0, "finite and more than 1")?;
        self.validate_limits()?;
        self.validate_kinds()?;
        expect(!self.golden.is_empty(), "golden", 0, "at least one vector")?;
        self.golden.iter().enumerate().try_for_each(|(index, vector)| validate_golden(index, vector, width))
    }

    /// The artifact in this form.
    #[inline]
    pub fn artifact(&self, form: super::manifest::ArtifactForm) -> Option<&Artifact> {
        self.artifacts.iter().find(|artifact| artifact.form == form)
    }

    #[inline]
    fn validate_artifacts(&self) -> Result<(), ManifestError> {
        expect(!self.artifacts.is_empty(), "artifacts", 0, "at least one")?;
        for (index, artifact) in self.artifacts.iter().enumerate() {
            let size_valid = (1..=ARTIFACT_BYTES).contains(&artifact.size_bytes);
            expect(size_valid, "artifacts.size_bytes", index, "1 to 2097152 bytes")?;
            let first = self.artifacts.iter().position(|other| other.form == artifact.form);
            expect(first == Some(index), "artifacts.form", index, "each form once")?;
        }
        Ok(())
    }

    #[inline]
    fn validate_limits(&self) -> Result<(), ManifestError> {
        expect(!self.limits.is_empty(), "limits", 0, "at least one")?;
        let positive = |value: f32| value.is_finite() && value > 0.0;
        for (index, knot) in self.limits.iter().enumerate() {
            let valid = positive(knot.alerts_per_day) && positive(knot.evidence_nats);
            expect(valid, "limits", index, "finite numbers greater than 0")?;
        }
        let ordered = |pair: &[LimitKnot]| {
            pair[0].alerts_per_day < pair[1].alerts_per_day && pair[0].evidence_nats >= pair[1].evidence_nats
        };
        let invalid = self.limits.windows(2).position(|pair| !ordered(pair));
        let expected = "increasing alerts_per_day and non-increasing evidence_nats";
        invalid.map_or(Ok(()), |index| expect(false, "limits", index + 1, expected))
    }

    #[inline]
    fn validate_kinds(&self) -> Result<(), ManifestError> {
        let valid = |kind: &KindProfile| is_name(&kind.name) && kind.centre.is_full();
        let invalid = self.kinds.iter().position(|kind| !valid(kind));
        invalid.map_or(Ok(()), |index| expect(false, "kinds", index, "a name and one centre value for each feature"))
    }
}

#[inline]
fn validate_golden(index: usize, vector: &GoldenVector, latent_width: usize) -> Result<(), ManifestError> {
    let row = vector.row.is_full() && vector.row.iter().all(|value| value.is_finite());
    expect(row, "golden.row", index, "one finite value for each feature")?;
    expect(vector.input.is_full(), "golden.input", index, "one value for each feature")?;
    expect(vector.reconstruction.is_full(), "golden.reconstruction", index, "one value for each feature")?;
    expect(vector.latent.len() == latent_width, "golden.latent", index, "latent_width values")
}

#[inline]
fn expect(holds: bool, field: &'static str, index: usize, expected: &'static str) -> Result<(), ManifestError> {
    if holds { Ok(()) } else { Err(ManifestError::Field { field, index, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::manifest;
    use std::vec;

    #[test]
    fn a_manifest_round_trips() {
        let manifest = manifest(3);
        let mut room = vec![0; MANIFEST_BYTES];
        let bytes = manifest.encode(&mut room).unwrap();
        assert_eq!(bytes[0], MANIFEST_VERSION);
        assert_eq!(Manifest::decode(bytes), Ok(manifest));
    }

    #[test]
    fn the_largest_manifest_fits_its_stated_size() {
        let mut manifest = manifest(u64::MAX);
        (manifest.created_s, manifest.expires_s) = (u64::MAX - 1, u64::MAX);
        while manifest.golden.push(manifest.golden[0].clone()).is_ok() {}
        let kind = KindProfile {
            name: "abcdefghijklmnopqrstuvwxyz012345".try_into().unwrap(),
            centre: heapless::Vec::from_slice(&[-1; crate::features::FEATURES]).unwrap(),
            radius: u32::MAX,
        };
        while manifest.kinds.push(kind.clone()).is_ok() {}
        while manifest.calibration.knots.push(manifest.calibration.knots[0]).is_ok() {}
        let bytes = framing::encode(MANIFEST_VERSION, &manifest, &mut vec![0; MANIFEST_BYTES]).unwrap().len();
        assert!(bytes < MANIFEST_BYTES / 2, "{bytes}");
    }

    #[test]
    fn a_truncated_manifest_is_rejected() {
        let mut room = vec![0; MANIFEST_BYTES];
        let bytes = manifest(3).encode(&mut room).unwrap();
        for cut in 1..bytes.len() {
            assert_eq!(Manifest::decode(&bytes[..cut]), Err(ManifestError::Frame(FrameError::Malformed)));
        }
        let longer = [bytes, &[0]].concat();
        assert_eq!(Manifest::decode(&longer), Err(ManifestError::Frame(FrameError::Trailing { bytes: 1 })));
        let other = [&[9], &bytes[1..]].concat();
        let version = FrameError::Version { found: 9, expected: MANIFEST_VERSION };
        assert_eq!(Manifest::decode(&other), Err(ManifestError::Frame(version)));
    }

    #[test]
    fn a_floor_follows_the_body_of_a_manifest_of_version_2() {
        let (mut plain, mut floored) = (vec![0; MANIFEST_BYTES], vec![0; MANIFEST_BYTES]);
        let plain = manifest(3).encode(&mut plain).unwrap();
        let with_floor = Manifest { floor: 2, ..manifest(3) };
        let floored = with_floor.encode(&mut floored).unwrap();
        assert_eq!(floored, [&[FLOOR_VERSION], &plain[1..], &[2, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(Manifest::decode(floored), Ok(with_floor));
        for cut in 1..floored.len() {
            assert_eq!(Manifest::decode(&floored[..cut]), Err(ManifestError::Frame(FrameError::Malformed)));
        }
        let zero = [&floored[..floored.len() - 8], &[0; 8]].concat();
        assert!(matches!(Manifest::decode(&zero), Err(ManifestError::Field { field: "floor", .. })));
        assert!(Manifest::decode(&[floored, &[0]].concat()).is_err());
        let full = Manifest { floor: 1, ..manifest(3) };
        assert!(full.encode(&mut vec![0; plain.len() + 7]).is_err());
    }

    type Breakage = (&'static str, fn(&mut Manifest));

    #[test]
    fn each_invalid_field_is_reported() {
        let breakages: &[Breakage] = &[
            ("group", |m| m.group.clear()),
            ("version", |m| m.version = 0),
            ("floor", |m| m.floor = m.version),
            ("expires_s", |m| m.expires_s = m.created_s),
            ("artifacts", |m| m.artifacts.clear()),
            ("artifacts.size_bytes", |m| m.artifacts[0].size_bytes = 0),
            ("artifacts.size_bytes", |m| m.artifacts[1].size_bytes = ARTIFACT_BYTES + 1),
            ("artifacts.form", |m| m.artifacts[1].form = m.artifacts[0].form),
            ("latent_width", |m| m.latent_width = 0),
            ("latent_width", |m| m.latent_width = 33),
            ("scaling", |m| m.scaling.features[7].unit = f32::NAN),
            ("scaling", |m| m.scaling.features.truncate(4)),
            ("calibration", |m| m.calibration.knots.truncate(1)),
            ("calibration.rows", |m| m.calibration.rows = 0),
            ("evidence_drift_nats", |m| m.evidence_drift_nats = 1.0),
            ("evidence_drift_nats", |m| m.evidence_drift_nats = f32::INFINITY),
            ("limits", |m| m.limits.clear()),
            ("limits", |m| m.limits[0].evidence_nats = f32::NAN),
            ("limits", |m| m.limits[1].alerts_per_day = m.limits[0].alerts_per_day),
            ("limits", |m| m.limits[1].evidence_nats = m.limits[0].evidence_nats + 1.0),
            ("kinds", |m| m.kinds[0].centre.truncate(1)),
            ("kinds", |m| m.kinds[0].name = "a b".try_into().unwrap()),
            ("golden", |m| m.golden.clear()),
            ("golden.row", |m| m.golden[1].row[5] = f32::NAN),
            ("golden.input", |m| m.golden[0].input.truncate(1)),
            ("golden.reconstruction", |m| m.golden[0].reconstruction.truncate(1)),
            ("golden.latent", |m| m.golden[0].latent.truncate(1)),
        ];
        for (field, change) in breakages {
            let mut manifest = manifest(3);
            change(&mut manifest);
            match manifest.validate() {
                Err(ManifestError::Field { field: reported, .. }) => assert_eq!(reported, *field),
                other => panic!("{field}: {other:?}"),
            }
        }
    }
}
