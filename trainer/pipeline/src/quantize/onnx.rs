//! A quantized network → ONNX with QLinearConv 1×1 layers, which tract and onnxruntime run in integers, bit for bit.
//!
//! | | name | type | shape |
//! |---|---|---|---|
//! | input | `input` | int8 | [1, 48, N], N free |
//! | output | `reconstruction` | int8 | [1, 48, N] |
//! | output | `latent` | int8 | [1, latent width, N] |
//!
//! Rows are the spatial axis, so a layer is one matrix product for any batch size. A ReLU is an output zero point of
//! −128: saturation at int8's lower end is the clamp at 0, and all 255 steps above it are used.
//! All scales are powers of two, or 15-bit integers times one, so `x_scale · w_scale / y_scale` is the exact m / 2ⁿ.

use super::network::{QuantizedLayer, QuantizedNetwork};
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::RELU_ZERO_POINT;
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};

/// Oldest operator set with the current form of every operator used here.
const OPSET: i64 = 13;
/// IR version of that operator set.
const IR_VERSION: i64 = 7;
const INPUT: &str = "input";
const RECONSTRUCTION: &str = "reconstruction";
const LATENT: &str = "latent";

/// The ONNX file's bytes.
pub fn encode(network: &QuantizedNetwork) -> Vec<u8> {
    let mut graph = Graph::default();
    let mut input = Edge { name: INPUT.into(), exponent: network.input_exponent, zero_point: 0, width: FEATURES };
    graph.scalars(&input);
    for (index, layer) in network.layers.iter().enumerate() {
        let output = Edge {
            name: output_name(network, index),
            exponent: layer.output_exponent,
            zero_point: if layer.relu { RELU_ZERO_POINT } else { 0 },
            width: layer.biases.len(),
        };
        graph.scalars(&output);
        graph.layer(index, layer, &input, &output);
        input = output;
    }
    let model = pb::ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: "lapwing-trainer".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.finish(network)),
        ..Default::default()
    };
    model.encode_to_vec()
}

/// A tensor between two layers.
struct Edge {
    name: String,
    exponent: i32,
    zero_point: i8,
    width: usize,
}

impl Edge {
    fn scale_name(&self) -> String {
        format!("{}_scale", self.name)
    }

    fn zero_point_name(&self) -> String {
        format!("{}_zero_point", self.name)
    }
}

fn output_name(network: &QuantizedNetwork, index: usize) -> String {
    if index + 1 == network.layers.len() {
        RECONSTRUCTION.into()
    } else if index == network.latent_layer {
        LATENT.into()
    } else {
        format!("hidden_{index}")
    }
}

#[derive(Default)]
struct Graph {
    nodes: Vec<pb::NodeProto>,
    initializers: Vec<pb::TensorProto>,
}

impl Graph {
    fn scalars(&mut self, edge: &Edge) {
        let scale = 2_f32.powi(edge.exponent);
        self.tensor(edge.scale_name(), DataType::Float, &[], scale.to_le_bytes().to_vec());
        self.tensor(edge.zero_point_name(), DataType::Int8, &[], vec![edge.zero_point.cast_unsigned()]);
    }

    fn layer(&mut self, index: usize, layer: &QuantizedLayer, input: &Edge, output: &Edge) {
        let name = |part: &str| format!("layer_{index}_{part}");
        // s_in · s_weight / s_out = m / 2ⁿ; every factor but m is a power of two.
        let exponent = output.exponent - input.exponent - i32::from(layer.shift);
        let scale = f32::from(layer.multiplier) * 2_f32.powi(exponent);
        let (outputs, inputs) = (output.width as i64, input.width as i64);
        let weights = layer.weights.iter().map(|weight| weight.cast_unsigned()).collect();
        let biases = layer.biases.iter().flat_map(|bias| bias.to_le_bytes()).collect();
        self.tensor(name("weight"), DataType::Int8, &[outputs, inputs, 1], weights);
        self.tensor(name("weight_scale"), DataType::Float, &[], scale.to_le_bytes().to_vec());
        self.tensor(name("weight_zero_point"), DataType::Int8, &[], vec![0]);
        self.tensor(name("bias"), DataType::Int32, &[outputs], biases);
        self.nodes.push(pb::NodeProto {
            name: name("conv"),
            op_type: "QLinearConv".into(),
            input: vec![
                input.name.clone(),
                input.scale_name(),
                input.zero_point_name(),
                name("weight"),
                name("weight_scale"),
                name("weight_zero_point"),
                output.scale_name(),
                output.zero_point_name(),
                name("bias"),
            ],
            output: vec![output.name.clone()],
            attribute: vec![pb::AttributeProto {
                name: "kernel_shape".into(),
                r#type: pb::attribute_proto::AttributeType::Ints as i32,
                ints: vec![1],
                ..Default::default()
            }],
            ..Default::default()
        });
    }

    fn tensor(&mut self, name: String, data_type: DataType, dims: &[i64], raw_data: Vec<u8>) {
        self.initializers.push(pb::TensorProto {
            dims: dims.to_vec(),
            data_type: data_type as i32,
            name,
            raw_data,
            ..Default::default()
        });
    }

    fn finish(self, network: &QuantizedNetwork) -> pb::GraphProto {
        pb::GraphProto {
            node: self.nodes,
            name: "autoencoder".into(),
            initializer: self.initializers,
            input: vec![row_tensor(INPUT, FEATURES)],
            output: vec![row_tensor(RECONSTRUCTION, FEATURES), row_tensor(LATENT, network.latent_width())],
            ..Default::default()
        }
    }
}

/// Description of an int8 tensor [1, width, N].
fn row_tensor(name: &str, width: usize) -> pb::ValueInfoProto {
    let fixed = |size: i64| dimension::Value::DimValue(size);
    let dims = [fixed(1), fixed(width as i64), dimension::Value::DimParam("N".into())];
    let dim = dims.map(|value| Dimension { value: Some(value), ..Default::default() }).to_vec();
    let tensor = pb::type_proto::Tensor { elem_type: DataType::Int8 as i32, shape: Some(pb::TensorShapeProto { dim }) };
    let value = Some(pb::type_proto::Value::TensorType(tensor));
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto { value, ..Default::default() }),
        ..Default::default()
    }
}
