//! Golden vectors → proof that this processor computes a release bit for bit, or the first difference.

use super::manifest::{GoldenVector, LATENT, Manifest};
use super::refusal_text::GOLDEN;
use crate::features::FEATURES;
use crate::verdict::scaling::QuantizedInput;
use core::fmt;

/// Part of a golden vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoldenPart {
    /// Scaling and quantization of the row.
    Input,
    /// The network's reconstruction.
    Reconstruction,
    /// The network's latent layer.
    Latent,
    /// The score.
    Score,
}

/// Failed golden vector; `E` is the engine's error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoldenError<E> {
    /// The result differs.
    Different {
        /// Index of the vector in the manifest.
        vector: usize,
        /// First part that differs.
        part: GoldenPart,
    },
    /// The engine failed.
    Engine {
        /// Index of the vector in the manifest.
        vector: usize,
        /// Error of the engine.
        error: E,
    },
    /// The manifest's widths are invalid; [`Manifest::validate`] rejects such a manifest.
    Width,
}

impl<E: fmt::Display> fmt::Display for GoldenError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Different { vector, part } => {
                write!(f, "{GOLDEN} {vector}: {part:?} is not reproduced on this processor")
            }
            Self::Engine { vector, error } => write!(f, "{GOLDEN} {vector}: {error}"),
            Self::Width => write!(f, "{GOLDEN}s do not match the widths of the network"),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> core::error::Error for GoldenError<E> {}

/// Runs every golden vector. `run` is the engine: it reads the input and writes the reconstruction and the latent layer
/// ([`Manifest::latent_width`] values).
///
/// # Errors
/// The first [`GoldenError`].
pub fn check_golden<E>(
    manifest: &Manifest,
    mut run: impl FnMut(&QuantizedInput, &mut [i8; FEATURES], &mut [i8]) -> Result<(), E>,
) -> Result<(), GoldenError<E>> {
    for (vector, golden) in manifest.golden.iter().enumerate() {
        check_vector(manifest, vector, golden, &mut run)?;
    }
    Ok(())
}

fn check_vector<E>(
    manifest: &Manifest,
    vector: usize,
    golden: &GoldenVector,
    run: &mut impl FnMut(&QuantizedInput, &mut [i8; FEATURES], &mut [i8]) -> Result<(), E>,
) -> Result<(), GoldenError<E>> {
    let row = golden.row.as_slice().try_into().map_err(|_| GoldenError::Width)?;
    let different = |part| Err(GoldenError::Different { vector, part });
    let input = manifest.scaling.quantize(row);
    if golden.input != input {
        return different(GoldenPart::Input);
    }
    let mut reconstruction = [0; FEATURES];
    let mut room = [0; LATENT];
    let latent = room.get_mut(..usize::from(manifest.latent_width)).ok_or(GoldenError::Width)?;
    run(&input, &mut reconstruction, latent).map_err(|error| GoldenError::Engine { vector, error })?;
    if golden.reconstruction != reconstruction {
        different(GoldenPart::Reconstruction)
    } else if golden.latent != *latent {
        different(GoldenPart::Latent)
    } else if golden.score != manifest.scaling.score(&input, &reconstruction) {
        different(GoldenPart::Score)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::testing::{halve, manifest};
    use core::convert::Infallible;

    fn outcome(manifest: &Manifest) -> Result<(), GoldenError<Infallible>> {
        check_golden(manifest, |input, reconstruction, latent| {
            halve(input, reconstruction, latent);
            Ok(())
        })
    }

    #[test]
    fn a_correct_engine_reproduces_the_golden_vectors() {
        assert_eq!(outcome(&manifest(1)), Ok(()));
    }

    #[test]
    fn any_difference_of_one_quantum_is_detected() {
        let part = |change: fn(&mut GoldenVector)| {
            let mut manifest = manifest(1);
            change(&mut manifest.golden[1]);
            outcome(&manifest)
        };
        let expected = |part| Err(GoldenError::Different { vector: 1, part });
        assert_eq!(part(|golden| golden.input[47] ^= 1), expected(GoldenPart::Input));
        assert_eq!(part(|golden| golden.row[47] = 0.0), expected(GoldenPart::Input));
        assert_eq!(part(|golden| golden.reconstruction[47] ^= 1), expected(GoldenPart::Reconstruction));
        assert_eq!(part(|golden| golden.latent[3] ^= 1), expected(GoldenPart::Latent));
        assert_eq!(part(|golden| golden.score += 1), expected(GoldenPart::Score));
    }

    #[test]
    fn an_engine_error_is_returned() {
        let error = check_golden(&manifest(1), |_, _, _| Err("no memory")).unwrap_err();
        assert_eq!(error, GoldenError::Engine { vector: 0, error: "no memory" });
    }

    #[test]
    fn wrong_widths_are_an_error_not_a_panic() {
        let mut manifest = manifest(1);
        manifest.latent_width = 200;
        assert_eq!(outcome(&manifest), Err(GoldenError::Width));
        manifest.golden[0].row.truncate(3);
        assert_eq!(outcome(&manifest), Err(GoldenError::Width));
    }
}
