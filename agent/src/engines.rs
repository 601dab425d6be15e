//! Engine choice and artifact → an engine, for updates and release files.

use crate::config::EngineChoice;
use crate::detector::Engine;
use crate::detector::int8::Int8Engine;
#[cfg(feature = "tract")]
use crate::detector::tract::TractEngine;
use crate::update::engine::{EngineFactory, GoldenEngine};
use lapwing_shared::features::FEATURES;
use lapwing_shared::release::manifest::{ArtifactForm, Manifest};
use lapwing_shared::verdict::network::Inference;
use lapwing_shared::verdict::scaling::QuantizedInput;

/// Builds the chosen engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Engines(pub EngineChoice);

impl EngineFactory for Engines {
    type Engine = Box<dyn Engine>;

    fn form(&self) -> ArtifactForm {
        match self.0 {
            EngineChoice::Tract => ArtifactForm::Onnx,
            EngineChoice::Int8 => ArtifactForm::Int8,
        }
    }

    fn build(&self, _: &Manifest, artifact: &[u8]) -> Result<Self::Engine, String> {
        match self.0 {
            #[cfg(feature = "tract")]
            EngineChoice::Tract => TractEngine::load(artifact).map(|engine| Box::new(engine) as _).map_err(text),
            #[cfg(not(feature = "tract"))]
            EngineChoice::Tract => Err("this build has only the int8 engine".into()),
            EngineChoice::Int8 => Int8Engine::load(artifact).map(|engine| Box::new(engine) as _).map_err(text),
        }
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

impl GoldenEngine for Box<dyn Engine> {
    fn run_row(
        &mut self,
        input: &QuantizedInput,
        reconstruction: &mut [i8; FEATURES],
        latent: &mut [i8],
    ) -> Result<(), String> {
        let mut inference = [Inference::default()];
        self.run_batch(std::slice::from_ref(input), &mut inference).map_err(text)?;
        let [inference] = inference;
        *reconstruction = inference.reconstruction;
        let width = usize::from(inference.latent_width);
        if width != latent.len() {
            return Err(format!("latent layer is {width} wide, the manifest says {}", latent.len()));
        }
        latent.copy_from_slice(&inference.latent[..width]);
        Ok(())
    }
}
