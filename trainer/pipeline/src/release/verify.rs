//! Both artifacts of a network and rows → proof that tract and the int8 engine agree, before release.
//!
//! The agent has its own code for tract, optimised for batches and speed, which cannot be shared because `shared` does
//! not depend on tract.

use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, Scratch};
use lapwing_shared::verdict::scaling::QuantizedInput;
use std::io::Cursor;
use tract_onnx::prelude::*;

/// Why the two artifacts do not match.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// tract cannot load or run the ONNX artifact.
    #[error("tract cannot run the onnx artifact: {0}")]
    Tract(String),
    #[error("tract and the int8 engine differ on row {row}")]
    Different {
        /// Row, from 0.
        row: usize,
    },
}

/// Runs all rows as one batch through both artifacts.
///
/// # Errors
/// [`VerifyError::Tract`], or [`VerifyError::Different`] at the first row whose results are not bit-identical.
pub(super) fn verify<B: AsRef<[u8]>>(
    onnx: &[u8],
    network: &Int8Network<B>,
    rows: &[QuantizedInput],
) -> Result<(), VerifyError> {
    let outputs = run(onnx, rows).map_err(|error| VerifyError::Tract(format!("{error:#}")))?;
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    for (row, input) in rows.iter().enumerate() {
        network.run(input, &mut scratch, &mut inference);
        let latent = inference.latent.iter().take(usize::from(inference.latent_width));
        let expected = [inference.reconstruction.to_vec(), latent.copied().collect()];
        let column = |output: &Vec<u8>| -> Vec<i8> {
            output.iter().skip(row).step_by(rows.len()).map(|value| value.cast_signed()).collect()
        };
        if !outputs.iter().map(column).eq(expected) {
            return Err(VerifyError::Different { row });
        }
    }
    Ok(())
}

/// Reconstruction and latent layer, each [width, rows].
fn run(onnx: &[u8], rows: &[QuantizedInput]) -> TractResult<Vec<Vec<u8>>> {
    let fact = InferenceFact::dt_shape(i8::datum_type(), [1, FEATURES, rows.len()]);
    let model = tract_onnx::onnx().model_for_read(&mut Cursor::new(onnx))?.with_input_fact(0, fact)?;
    let values: Vec<i8> = (0..FEATURES).flat_map(|feature| rows.iter().map(move |row| row[feature])).collect();
    let input = Tensor::from_shape(&[1, FEATURES, rows.len()], &values)?;
    let outputs = model.into_optimized()?.into_runnable()?.run(tvec!(input.into()))?;
    outputs.iter().map(|output| Ok(output.try_as_plain_ram()?.as_bytes().to_vec())).collect()
}
