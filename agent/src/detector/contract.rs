//! ONNX artifact → its shape, or the first rule that it breaks, so that tract never sees a model that could make it panic
//! or use unbounded memory.
//!
//! The rules: a chain of 1 to [`LAYERS`] QLinearConv nodes with kernel 1, from the int8 input `input` [1, 48, N] to the output
//! `reconstruction`, with the output `latent` on the way; every tensor of the widths and types that
//! [`lapwing_shared::verdict::network`] allows, as raw data; weights with zero point 0; and every
//! `x_scale · w_scale / y_scale` equal to m / 2ⁿ, which is what makes all engines agree to the bit.

use super::EngineError;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{
    BIAS_LIMIT, LATENT, LAYERS, MULTIPLIER_LIMIT, RELU_ZERO_POINT, SHIFT_LIMIT, WIDTH,
};
use std::collections::HashMap;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

/// Operator set versions with the same QLinearConv.
const OPSETS: std::ops::RangeInclusive<i64> = 10..=25;
pub(crate) const OPERATOR: &str = "QLinearConv";
const OPERATOR_INPUTS: usize = 9;

/// Name of the model's input.
pub(crate) const INPUT: &str = "input";
/// Name of the first output.
pub(crate) const RECONSTRUCTION: &str = "reconstruction";
/// Name of the second output.
pub(crate) const LATENT_OUTPUT: &str = "latent";

type Tensors<'a> = HashMap<&'a str, &'a pb::TensorProto>;

/// Shape of a valid model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// QLinearConv nodes.
    pub(crate) layers: usize,
    /// Width of the latent layer.
    pub(crate) latent_width: usize,
}

/// Checks a decoded ONNX file.
///
/// # Errors
/// [`EngineError::Contract`] with the first broken rule.
pub(crate) fn check(model: &pb::ModelProto) -> Result<Shape, EngineError> {
    let graph = model.graph.as_ref().ok_or_else(|| broken("no graph"))?;
    let [opset] = model.opset_import.as_slice() else { return Err(broken("expected one operator set")) };
    if !opset.domain.is_empty() || !OPSETS.contains(&opset.version) {
        return Err(broken(format!("operator set {:?} {}, expected {OPSETS:?} of ONNX", opset.domain, opset.version)));
    }
    if !model.functions.is_empty() || !graph.sparse_initializer.is_empty() || !graph.value_info.is_empty() {
        return Err(broken("functions, sparse tensors or value information, expected none"));
    }
    if !(1..=LAYERS).contains(&graph.node.len()) {
        return Err(broken(format!("{} nodes, expected 1 to {LAYERS}", graph.node.len())));
    }
    let tensors: Tensors<'_> = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    if tensors.len() != graph.initializer.len() {
        return Err(broken("two tensors of one name"));
    }
    let latent_width = check_chain(graph, &tensors)?;
    let [input] = graph.input.as_slice() else { return Err(broken("expected one input")) };
    check_edge(input, INPUT, FEATURES)?;
    let [reconstruction, latent] = graph.output.as_slice() else { return Err(broken("expected two outputs")) };
    check_edge(reconstruction, RECONSTRUCTION, FEATURES)?;
    check_edge(latent, LATENT_OUTPUT, latent_width)?;
    Ok(Shape { layers: graph.node.len(), latent_width })
}

/// Follows the nodes from input to reconstruction; returns the width of the latent layer.
fn check_chain(graph: &pb::GraphProto, tensors: &Tensors<'_>) -> Result<usize, EngineError> {
    let mut seen = vec![INPUT];
    let (mut value, mut width, mut latent_width) = (INPUT, FEATURES, None);
    let (mut quantization, mut first) = (None, true);
    for node in &graph.node {
        let (output, layer) = check_node(node, tensors, value, width)?;
        if quantization.is_some_and(|quantization| quantization != layer.input) || (first && layer.input.1 != 0) {
            return Err(broken(format!("node {:?} reads {value:?} at another scale or zero point", node.name)));
        }
        if seen.contains(&output) || tensors.contains_key(output) {
            return Err(broken(format!("two values of the name {output:?}")));
        }
        seen.push(output);
        if output == LATENT_OUTPUT {
            latent_width = Some(layer.width);
        }
        (value, width, quantization, first) = (output, layer.width, Some(layer.output), false);
    }
    if value != RECONSTRUCTION || width != FEATURES || quantization.is_none_or(|(_, zero_point)| zero_point != 0) {
        return Err(broken(format!("the last node gives {value:?}, {width} wide, expected {RECONSTRUCTION:?}")));
    }
    latent_width
        .filter(|width| *width <= LATENT)
        .ok_or_else(|| broken(format!("no {LATENT_OUTPUT:?} up to {LATENT} wide")))
}

/// Scale and zero point.
type Quantization = (f32, i8);

struct Layer {
    width: usize,
    input: Quantization,
    output: Quantization,
}

fn check_node<'a>(
    node: &'a pb::NodeProto,
    tensors: &Tensors<'_>,
    value: &str,
    inputs: usize,
) -> Result<(&'a str, Layer), EngineError> {
    let fail = |what: &str| broken(format!("node {:?}: {what}", node.name));
    let ([output], OPERATOR_INPUTS, OPERATOR, "") =
        (node.output.as_slice(), node.input.len(), node.op_type.as_str(), node.domain.as_str())
    else {
        return Err(fail("expected a QLinearConv of nine inputs and one output"));
    };
    let kernel_only = |attribute: &pb::AttributeProto| attribute.name == "kernel_shape" && attribute.ints == [1];
    if !node.attribute.iter().all(kernel_only) || node.attribute.len() > 1 {
        return Err(fail("an attribute other than kernel_shape = [1]"));
    }
    let [data, x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero, bias] = node.input.as_slice() else {
        return Err(fail("expected nine inputs"));
    };
    if data != value {
        return Err(fail("does not read the value before it"));
    }
    let width = usize::try_from(tensor(tensors, weight)?.dims.first().copied().unwrap_or(0)).unwrap_or(0);
    if !(1..=WIDTH).contains(&width) {
        return Err(fail("width out of range"));
    }
    raw(tensors, weight, DataType::Int8, &[width, inputs, 1])?;
    let biases = raw(tensors, bias, DataType::Int32, &[width])?.as_chunks::<4>().0;
    if biases.iter().any(|bias| !(-BIAS_LIMIT..=BIAS_LIMIT).contains(&i32::from_le_bytes(*bias))) {
        return Err(fail("bias out of range"));
    }
    let input = (float(tensors, x_scale)?, zero_point(tensors, x_zero)?);
    let output_quantization = (float(tensors, y_scale)?, zero_point(tensors, y_zero)?);
    if zero_point(tensors, w_zero)? != 0 {
        return Err(fail("weight zero point other than 0"));
    }
    if !is_exact(input.0, float(tensors, w_scale)?, output_quantization.0) {
        return Err(fail("x_scale · w_scale / y_scale is not m / 2ⁿ"));
    }
    Ok((output, Layer { width, input, output: output_quantization }))
}

/// Whether every order of multiplying the scales gives the same m / 2ⁿ.
fn is_exact(x_scale: f32, w_scale: f32, y_scale: f32) -> bool {
    // Mantissa bits of a power of two are 0: then the products below are exact in any order.
    let power_of_two = |scale: f32| scale.is_normal() && scale > 0.0 && scale.to_bits().trailing_zeros() >= 23;
    let scaled = f64::from(x_scale) * f64::from(w_scale) / f64::from(y_scale) * f64::from(1_u32 << SHIFT_LIMIT);
    let fits = scaled.fract() == 0.0 && scaled >= 1.0 && scaled < f64::from(1_u32 << 31);
    let odd_part = if fits { scaled as u64 >> (scaled as u64).trailing_zeros() } else { u64::MAX };
    // m / 2ⁿ with n ≥ 0 and m ≤ MULTIPLIER_LIMIT: the whole part may not be larger either.
    let whole = scaled / f64::from(1_u32 << SHIFT_LIMIT);
    power_of_two(x_scale)
        && power_of_two(y_scale)
        && odd_part <= u64::from(MULTIPLIER_LIMIT)
        && whole <= f64::from(MULTIPLIER_LIMIT)
}

fn tensor<'a>(tensors: &Tensors<'a>, name: &str) -> Result<&'a pb::TensorProto, EngineError> {
    tensors.get(name).copied().ok_or_else(|| broken(format!("no tensor {name:?}")))
}

/// A tensor's bytes, if it has the expected type, shape and length.
fn raw<'a>(tensors: &Tensors<'a>, name: &str, of: DataType, shape: &[usize]) -> Result<&'a [u8], EngineError> {
    let tensor = tensor(tensors, name)?;
    let element_bytes = if of == DataType::Int8 { 1 } else { 4 };
    let bytes = shape.iter().product::<usize>() * element_bytes;
    let dims = tensor.dims.iter().map(|size| usize::try_from(*size).ok());
    let plain = tensor.external_data.is_empty() && tensor.data_location.is_none_or(|location| location == 0);
    let same = dims.eq(shape.iter().map(|size| Some(*size)));
    if plain && tensor.segment.is_none() && same && tensor.data_type == of as i32 && tensor.raw_data.len() == bytes {
        return Ok(&tensor.raw_data);
    }
    Err(broken(format!("tensor {name:?} is not {of:?} {shape:?} in raw data")))
}

fn float(tensors: &Tensors<'_>, name: &str) -> Result<f32, EngineError> {
    let bytes = raw(tensors, name, DataType::Float, &[])?;
    Ok(bytes.first_chunk().map_or(f32::NAN, |bytes| f32::from_le_bytes(*bytes)))
}

fn zero_point(tensors: &Tensors<'_>, name: &str) -> Result<i8, EngineError> {
    match raw(tensors, name, DataType::Int8, &[])?.first().map(|byte| byte.cast_signed()) {
        Some(point @ (0 | RELU_ZERO_POINT)) => Ok(point),
        other => Err(broken(format!("zero point {other:?}, expected 0 or {RELU_ZERO_POINT}"))),
    }
}

/// Checks the description of an int8 tensor [1, width, N].
fn check_edge(edge: &pb::ValueInfoProto, name: &str, width: usize) -> Result<(), EngineError> {
    use pb::tensor_shape_proto::dimension::Value::{DimParam, DimValue};
    let dims = edge.r#type.as_ref().and_then(|kind| match &kind.value {
        Some(pb::type_proto::Value::TensorType(tensor)) if tensor.elem_type == DataType::Int8 as i32 => {
            tensor.shape.as_ref().map(|shape| shape.dim.as_slice())
        }
        _ => None,
    });
    if let Some([one, rows, columns]) = dims
        && let (Some(DimValue(1)), Some(DimValue(rows)), Some(DimParam(symbol))) =
            (&one.value, &rows.value, &columns.value)
        && usize::try_from(*rows) == Ok(width)
        && symbol == "N"
        && edge.name == name
    {
        return Ok(());
    }
    Err(broken(format!("{:?} is not {name:?}, int8 [1, {width}, N]", edge.name)))
}

fn broken(what: impl Into<String>) -> EngineError {
    EngineError::Contract(what.into())
}
