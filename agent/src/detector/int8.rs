//! The int8 engine of `shared` behind the common trait: row by row, without allocation.

use super::{Engine, EngineError, check_lengths};
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, Scratch};

/// An `int8` artifact, ready to run.
pub struct Int8Engine {
    network: Int8Network<Box<[u8]>>,
    scratch: Scratch,
}

impl Int8Engine {
    /// Checks an int8 artifact and loads it.
    ///
    /// # Errors
    /// [`EngineError::Int8`] when the artifact is invalid.
    pub fn load(artifact: impl Into<Box<[u8]>>) -> Result<Self, EngineError> {
        Ok(Self { network: Int8Network::parse(artifact.into())?, scratch: Scratch::default() })
    }
}

impl Engine for Int8Engine {
    fn name(&self) -> &'static str {
        "int8"
    }

    fn best_batch(&self) -> usize {
        1
    }

    fn run_batch(&mut self, inputs: &[[i8; FEATURES]], out: &mut [Inference]) -> Result<(), EngineError> {
        check_lengths(inputs.len(), out.len())?;
        for (input, answer) in inputs.iter().zip(out) {
            self.network.run(input, &mut self.scratch, answer);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_artifact_is_refused_with_the_reason() {
        let error = Int8Engine::load(*b"ELF\x7f....").err().unwrap();
        assert_eq!(
            error.to_string(),
            "int8 artifact rejected: not an int8 network: begins with [45, 4c, 46, 7f], expected \"LWN1\""
        );
    }
}
