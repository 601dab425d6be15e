//! A batch forward through the layers and the loss's gradient backward, by hand: no tensor library, and no thread but
//! the caller's.
//!
//! Rows of a batch stand as columns: values × rows, column-major, which is what row-major rows are in memory.

use crate::backend::{Batch, Judge};
use crate::learner::{Gradients, LayerGradient, NORM_EPSILON, Norm, NormGradient, Seen, Weights};
use crate::network::FloatLayer;
use nalgebra::DMatrix;

type Columns = DMatrix<f32>;

/// What one layer's way back needs of its way forward.
struct Trace {
    input: Columns,
    weights: Columns,
    norm: Option<NormTrace>,
    /// Before ReLU.
    sums: Columns,
}

/// Values normalized, before gain and shift; the batch's own mean and variance.
struct NormTrace {
    scaled: Columns,
    mean: Vec<f32>,
    variance: Vec<f32>,
}

/// Runs a batch through and back, as [`crate::backend::gradients`] does.
pub(crate) fn gradients(weights: &Weights, batch: Batch, probe: bool, judge: Judge<'_>) -> Gradients {
    let mut outputs: Vec<Columns> = Vec::with_capacity(weights.shape.layers.len());
    let mut traces: Vec<Trace> = Vec::with_capacity(weights.shape.layers.len());
    let mut input = Columns::from_vec(weights.shape.inputs, batch.rows, batch.input);
    for (index, shape) in weights.shape.layers.iter().enumerate() {
        if let Some(last) = outputs.last() {
            input = last.clone();
        }
        let added = shape.add.map(|from| &outputs[from]);
        let trace = forward(&weights.network.layers[index], weights.norms[index].as_ref(), input, added);
        let mut output = trace.sums.clone();
        if shape.relu {
            output.iter_mut().for_each(|value| *value = value.max(0.0));
        }
        multiply(&mut output, batch.kept[index].as_deref());
        outputs.push(output);
        input = Columns::zeros(0, 0);
        traces.push(trace);
    }
    let Some(output) = outputs.last() else { return Gradients { layers: Vec::new(), loss: 0.0 } };
    let (loss, slope) = judge(output.as_slice());
    let mut slopes: Vec<Option<Columns>> = vec![None; outputs.len()];
    *slopes.last_mut().unwrap_or(&mut None) = Some(Columns::from_vec(output.nrows(), batch.rows, slope));
    let mut layers = Vec::with_capacity(traces.len());
    for (index, trace) in traces.into_iter().enumerate().rev() {
        let shape = &weights.shape.layers[index];
        let mut slope = slopes[index].take().unwrap_or_else(|| Columns::zeros(shape.outputs, batch.rows));
        multiply(&mut slope, batch.kept[index].as_deref());
        if shape.relu {
            let dead = |(slope, sum): (&mut f32, &f32)| *slope = if *sum > 0.0 { *slope } else { 0.0 };
            slope.iter_mut().zip(trace.sums.iter()).for_each(dead);
        }
        if let Some(from) = shape.add {
            accumulate(&mut slopes[from], slope.clone());
        }
        let norm = weights.norms[index].as_ref().zip(trace.norm.as_ref());
        let norm = norm.map(|(norm, trace)| norm_backward(norm, trace, &mut slope));
        if index > 0 {
            // nalgebra's own `tr_mul` goes by single dot products.
            accumulate(&mut slopes[index - 1], trace.weights.transpose() * &slope);
        }
        layers.push(layer_gradient(&trace.input, &slope, norm, probe));
    }
    layers.reverse();
    Gradients { layers, loss }
}

fn forward(layer: &FloatLayer, norm: Option<&Norm>, input: Columns, added: Option<&Columns>) -> Trace {
    let weights = Columns::from_row_slice(layer.outputs(), layer.inputs(), &layer.weights);
    let mut sums = &weights * &input;
    for row in sums.as_mut_slice().chunks_exact_mut(layer.outputs()) {
        row.iter_mut().zip(&layer.biases).for_each(|(sum, bias)| *sum += bias);
    }
    let norm = norm.map(|norm| norm_forward(norm, &mut sums));
    if let Some(added) = added {
        sums += added;
    }
    Trace { input, weights, norm, sums }
}

fn norm_forward(norm: &Norm, sums: &mut Columns) -> NormTrace {
    let (outputs, rows) = (sums.nrows(), sums.ncols().max(1) as f32);
    let (mut mean, mut variance) = (vec![0.0_f32; outputs], vec![0.0_f32; outputs]);
    for row in sums.as_slice().chunks_exact(outputs) {
        mean.iter_mut().zip(row).for_each(|(mean, value)| *mean += value / rows);
    }
    for row in sums.as_slice().chunks_exact(outputs) {
        let parts = variance.iter_mut().zip(row).zip(&mean);
        parts.for_each(|((variance, value), mean)| *variance += (value - mean) * (value - mean) / rows);
    }
    let factors: Vec<f32> = variance.iter().map(|variance| 1.0 / (variance + NORM_EPSILON).sqrt()).collect();
    let mut scaled = sums.clone();
    for (row, sums) in
        scaled.as_mut_slice().chunks_exact_mut(outputs).zip(sums.as_mut_slice().chunks_exact_mut(outputs))
    {
        for at in 0..outputs {
            row[at] = (row[at] - mean[at]) * factors[at];
            sums[at] = row[at] * norm.gain[at] + norm.shift[at];
        }
    }
    NormTrace { scaled, mean, variance }
}

/// Turns the slope by the normalized values into the slope by the sums (Ioffe & Szegedy 2015, section 3).
fn norm_backward(norm: &Norm, trace: &NormTrace, slope: &mut Columns) -> NormGradient {
    let (outputs, rows) = (slope.nrows(), slope.ncols().max(1) as f32);
    let (mut gain, mut shift) = (vec![0.0_f32; outputs], vec![0.0_f32; outputs]);
    for (slope, scaled) in slope.as_slice().chunks_exact(outputs).zip(trace.scaled.as_slice().chunks_exact(outputs)) {
        for at in 0..outputs {
            gain[at] += slope[at] * scaled[at];
            shift[at] += slope[at];
        }
    }
    let factor = |at: usize| norm.gain[at] / (trace.variance[at] + NORM_EPSILON).sqrt();
    let factors: Vec<f32> = (0..outputs).map(factor).collect();
    let scaled = trace.scaled.as_slice().chunks_exact(outputs);
    for (slope, scaled) in slope.as_mut_slice().chunks_exact_mut(outputs).zip(scaled) {
        for at in 0..outputs {
            slope[at] = factors[at] * (slope[at] - shift[at] / rows - scaled[at] * gain[at] / rows);
        }
    }
    NormGradient { gain, shift, mean: trace.mean.clone(), variance: trace.variance.clone() }
}

fn layer_gradient(input: &Columns, slope: &Columns, norm: Option<NormGradient>, probe: bool) -> LayerGradient {
    // Inputs × outputs, column-major, is what outputs × inputs is row-major.
    let weights = (input * slope.transpose()).as_slice().to_vec();
    let seen = probe.then(|| Seen { input: input.as_slice().to_vec(), slope: slope.as_slice().to_vec() });
    LayerGradient { weights, biases: slope.column_sum().as_slice().to_vec(), norm, seen }
}

fn multiply(values: &mut Columns, factors: Option<&[f32]>) {
    let factors = factors.into_iter().flatten();
    values.iter_mut().zip(factors).for_each(|(value, factor)| *value *= factor);
}

fn accumulate(sum: &mut Option<Columns>, part: Columns) {
    match sum {
        Some(sum) => *sum += part,
        None => *sum = Some(part),
    }
}
