//! An engine for tests: halves its input, as the golden vectors of the test releases require.

use super::engine::{EngineFactory, GoldenEngine};
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::manifest::{ArtifactForm, Manifest};
use lapwing_shared::release::testing::halve;
use lapwing_shared::verdict::scaling::QuantizedInput;

/// The engine of the test releases.
#[derive(Debug)]
pub(crate) struct Halver;

impl GoldenEngine for Halver {
    fn run_row(
        &mut self,
        input: &QuantizedInput,
        reconstruction: &mut [i8; FEATURES],
        latent: &mut [i8],
    ) -> Result<(), String> {
        halve(input, reconstruction, latent);
        Ok(())
    }
}

pub(crate) struct Halvers;

impl EngineFactory for Halvers {
    type Engine = Halver;

    fn form(&self) -> ArtifactForm {
        ArtifactForm::Int8
    }

    fn build(&self, _manifest: &Manifest, _artifact: &[u8]) -> Result<Halver, String> {
        Ok(Halver)
    }
}
