//! The ONNX engine: runs the network with tract.
//!
//! The artifact meets `contract`; once optimised it runs only integer matrix kernels. Every call has a high fixed
//! cost, so the model is prepared for a few batch sizes, and smaller batches are padded to the next.

use super::{Engine, EngineError, check_lengths, contract};
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, LATENT};
use std::io::Cursor;
use std::sync::Arc;
use tract_onnx::Onnx;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::InferenceOp;
use tract_onnx::tract_hir::ops::cnn::{Conv, PaddingSpec};
use tract_onnx::tract_hir::ops::expandable::expand;

/// Batch sizes that the model is prepared for, ascending.
pub const BATCHES: [usize; 3] = [1, 16, 64];

/// The model at one batch size.
struct Plan {
    batch: usize,
    plan: Arc<TypedSimplePlan>,
    kernels: Vec<String>,
}

/// An ONNX artifact, ready to run.
pub struct TractEngine {
    /// One per element of [`BATCHES`].
    plans: Vec<Plan>,
    latent_width: usize,
}

impl TractEngine {
    /// Loads and optimises an artifact of form ONNX.
    ///
    /// # Errors
    /// [`EngineError::Onnx`] when tract cannot read it, [`EngineError::Contract`] when it breaks the
    /// contract, [`EngineError::NotInteger`] when a layer would run in floating point.
    pub fn load(artifact: &[u8]) -> Result<Self, EngineError> {
        let reader = reader();
        let proto = reader.proto_model_for_read(&mut Cursor::new(artifact)).map_err(onnx)?;
        let latent_width = contract::check(&proto)?.latent_width;
        let parsed = reader.model_for_proto_model(&proto).map_err(onnx)?;

        let plans = BATCHES.iter().map(|batch| prepare(&parsed, *batch)).collect::<Result<_, _>>();
        release_vector_registers();
        Ok(Self { plans: plans?, latent_width })
    }

    /// Matrix kernels of the optimised model, in order, for each batch size of [`BATCHES`].
    pub fn kernels(&self) -> Vec<String> {
        self.plans.iter().flat_map(|plan| plan.kernels.clone()).collect()
    }

    fn run_chunk(&self, inputs: &[[i8; FEATURES]], out: &mut [Inference]) -> Result<(), EngineError> {
        let plan = self.plans.iter().find(|plan| plan.batch >= inputs.len()).or(self.plans.last());
        let plan = plan.ok_or_else(|| EngineError::Run("no plan".into()))?;
        let tensor = columns(inputs, plan.batch).map_err(run)?;
        let outputs = plan.plan.run(tvec!(tensor.into())).map_err(run);
        release_vector_registers();
        let outputs = outputs?;
        let [reconstruction, latent] = outputs.as_slice() else {
            return Err(EngineError::Run(format!("{} outputs, expected 2", outputs.len())));
        };
        let reconstruction = reconstruction.try_as_plain_ram().map_err(run)?.as_bytes();
        let latent = latent.try_as_plain_ram().map_err(run)?.as_bytes();
        let out = &mut out[..inputs.len()];
        for answer in out.iter_mut() {
            answer.latent = [0; LATENT];
            answer.latent_width = self.latent_width as u8;
        }
        for (feature, column) in reconstruction.chunks_exact(plan.batch).take(FEATURES).enumerate() {
            for (answer, value) in out.iter_mut().zip(column) {
                answer.reconstruction[feature] = value.cast_signed();
            }
        }
        for (index, column) in latent.chunks_exact(plan.batch).take(LATENT).enumerate() {
            for (answer, value) in out.iter_mut().zip(column) {
                answer.latent[index] = value.cast_signed();
            }
        }
        Ok(())
    }
}

impl Engine for TractEngine {
    fn name(&self) -> &'static str {
        "tract"
    }

    fn best_batch(&self) -> usize {
        BATCHES[BATCHES.len() - 1]
    }

    fn run_batch(&mut self, inputs: &[[i8; FEATURES]], out: &mut [Inference]) -> Result<(), EngineError> {
        check_lengths(inputs.len(), out.len())?;
        let chunk = self.best_batch();
        for (inputs, out) in inputs.chunks(chunk).zip(out.chunks_mut(chunk)) {
            self.run_chunk(inputs, out)?;
        }
        Ok(())
    }
}

/// Clears the upper halves of this thread's wide vector registers.
///
/// tract's kernels are assembly without `vzeroupper`. Non-zero upper halves slow down every later SSE instruction of the
/// thread, and all of our arithmetic uses SSE: the int8 engine takes 350 ns per row after tract has run, 117 otherwise.
/// `memchr` executes `vzeroupper` if it uses AVX2; glibc's copies do not if they use AVX-512.
fn release_vector_registers() {
    if cfg!(target_arch = "x86_64") {
        std::hint::black_box(memchr::memchr(1, std::hint::black_box(&[0; 64])));
    }
}

/// A reader that knows only the contract's operator. tract's own register has some 200 more, none of which passes the
/// contract; they would only take flash.
fn reader() -> Onnx {
    let mut reader = Onnx::default();
    reader.op_register.insert(contract::OPERATOR, |_, _| Ok((convolution(), Vec::new())));
    reader
}

/// QLinearConv with kernel 1; its nine inputs are in ONNX's order.
fn convolution() -> Box<dyn InferenceOp> {
    expand(Conv {
        kernel_shape: Some(tvec!(1)),
        padding: PaddingSpec::Explicit(tvec!(0), tvec!(0)),
        x_scale_input: Some(1),
        x_zero_point_input: Some(2),
        k_input: Some(3),
        k_scale_input: Some(4),
        k_zero_point_input: Some(5),
        y_scale_input: Some(6),
        y_zero_point_input: Some(7),
        bias_input: Some(8),
        ..Conv::default()
    })
}

/// Rows → the tensor [1, 48, batch], rows beyond the given ones 0.
fn columns(inputs: &[[i8; FEATURES]], batch: usize) -> TractResult<Tensor> {
    let mut tensor = Tensor::zero::<i8>(&[1, FEATURES, batch])?;
    let mut view = tensor.try_as_plain_ram_mut()?;
    let values = view.as_slice_mut::<i8>()?;
    for (feature, column) in values.chunks_exact_mut(batch).take(FEATURES).enumerate() {
        for (slot, input) in column.iter_mut().zip(inputs) {
            *slot = input[feature];
        }
    }
    Ok(tensor)
}

/// Fixes the batch size and optimises.
fn prepare(model: &InferenceModel, batch: usize) -> Result<Plan, EngineError> {
    let fact = InferenceFact::dt_shape(i8::datum_type(), [1, FEATURES, batch]);
    let model = model.clone().with_input_fact(0, fact).and_then(|model| model.into_optimized()).map_err(onnx)?;
    let kernels = integer_kernels(&model)?;
    let plan = model.into_runnable().map_err(onnx)?;
    Ok(Plan { batch, plan, kernels })
}

/// Names of the matrix kernels; an error if the model has any floating-point value.
fn integer_kernels(model: &TypedModel) -> Result<Vec<String>, EngineError> {
    let mut kernels = Vec::new();
    for node in model.nodes() {
        if let Some(fact) = node.outputs.iter().map(|output| &output.fact).find(|fact| fact.datum_type.is_float()) {
            return Err(EngineError::NotInteger(format!("{} gives {:?}", node.name, fact.datum_type)));
        }
        if node.op.name() != "OptMatMul" {
            continue;
        }
        let info = node.op.info().map_err(onnx)?;
        let kernel = info.iter().find_map(|line| line.split_once(" with ").map(|(_, kernel)| kernel.to_string()));
        let kernel = kernel.unwrap_or_else(|| "unnamed kernel".into());
        if !kernel.contains("i32") {
            return Err(EngineError::NotInteger(format!("{} runs {kernel}", node.name)));
        }
        kernels.push(kernel);
    }
    Ok(kernels)
}

fn onnx(error: TractError) -> EngineError {
    EngineError::Onnx(format!("{error:#}"))
}

fn run(error: TractError) -> EngineError {
    EngineError::Run(format!("{error:#}"))
}
