//! The engine against 64-bit integer arithmetic, and every parse error.

use super::*;
use crate::flow::lru::splitmix64;
use std::vec::Vec;

/// A layer before encoding.
#[derive(Clone)]
struct Plain {
    relu: bool,
    shift: u8,
    multiplier: u16,
    biases: Vec<i32>,
    weights: Vec<i8>,
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        splitmix64(&mut self.0)
    }
}

fn encode(latent: u8, layers: &[Plain]) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC);
    bytes.extend([layers.len() as u8, latent]);
    bytes.extend((FEATURES as u16).to_le_bytes());
    for layer in layers {
        bytes.extend((layer.biases.len() as u16).to_le_bytes());
        bytes.extend([u8::from(layer.relu), layer.shift]);
        bytes.extend(layer.multiplier.to_le_bytes());
        bytes.extend(layer.biases.iter().flat_map(|bias| bias.to_le_bytes()));
        bytes.extend(layer.weights.iter().map(|weight| weight.cast_unsigned()));
    }
    bytes
}

fn random_layers(random: &mut Random, widths: &[usize], shift: u8, multiplier: u16) -> Vec<Plain> {
    let pairs = widths.windows(2).enumerate();
    pairs
        .map(|(index, pair)| Plain {
            relu: index + 2 < widths.len(),
            shift,
            multiplier,
            biases: (0..pair[1]).map(|_| (random.next() % 4001) as i32 - 2000).collect(),
            weights: (0..pair[0] * pair[1]).map(|_| random.next() as i8).collect(),
        })
        .collect()
}

/// The module's equation in 64-bit integers. Returns each layer's output as in ONNX.
fn reference(layers: &[Plain], input: &[i8; FEATURES]) -> Vec<Vec<i8>> {
    let mut values: Vec<i64> = input.iter().map(|value| i64::from(*value)).collect();
    let mut outputs = Vec::new();
    for layer in layers {
        let rows = layer.weights.chunks(values.len());
        values = rows
            .zip(&layer.biases)
            .map(|(row, bias)| {
                let sum: i64 = row.iter().zip(&values).map(|(weight, value)| i64::from(*weight) * value).sum();
                let product = (sum + i64::from(*bias)) * i64::from(layer.multiplier);
                let (one, half) = (1_i64 << layer.shift, (1_i64 << layer.shift) / 2);
                let (whole, rest) = (product.div_euclid(one), product.rem_euclid(one));
                let up = rest > half || (layer.shift > 0 && rest == half && whole % 2 != 0);
                let rounded = whole + i64::from(up);
                if layer.relu { rounded.clamp(0, 255) } else { rounded.clamp(-128, 127) }
            })
            .collect();
        let zero_point = if layer.relu { -128 } else { 0 };
        outputs.push(values.iter().map(|value| (value + zero_point) as i8).collect());
    }
    outputs
}

fn assert_equal_to_reference(layers: &[Plain], latent: usize, input: &[i8; FEATURES]) -> Inference {
    let network = Int8Network::parse(encode(latent as u8, layers)).unwrap();
    let mut out = Inference::default();
    network.run(input, &mut Scratch::default(), &mut out);
    let expected = reference(layers, input);
    assert_eq!(out.reconstruction.as_slice(), expected[layers.len() - 1]);
    assert_eq!(&out.latent[..usize::from(out.latent_width)], expected[latent]);
    out
}

#[test]
fn random_networks_match_64_bit_integer_arithmetic() {
    let mut random = Random(1);
    let shapes: [&[usize]; 5] = [
        &[48, 24, 8, 24, 48],
        &[48, 32, 48],
        &[48, 17, 1, 13, 48],
        &[48, 256, 128, 32, 7, 31, 256, 9, 48],
        &[48, 24, 32, 24, 48],
    ];
    for widths in shapes {
        for (shift, multiplier) in [(16, 1), (16, 77), (12, 5), (8, 1), (0, 1), (0, 32_767), (16, 32_767), (14, 129)] {
            let layers = random_layers(&mut random, widths, shift, multiplier);
            let latent = (0..layers.len()).find(|index| widths[index + 1] <= LATENT).unwrap();
            for _ in 0..8 {
                let mut input = [0; FEATURES];
                input.fill_with(|| random.next() as i8);
                assert_equal_to_reference(&layers, latent, &input);
            }
        }
    }
}

/// A layer of the identity times `weight`, a latent layer of one value, and an output layer; all other weights and all
/// biases are 0.
fn diagonal(weight: i8, shift: u8, multiplier: u16) -> Vec<Plain> {
    let mut weights = std::vec![0; FEATURES * FEATURES];
    for index in 0..FEATURES {
        weights[index * FEATURES + index] = weight;
    }
    let wide = Plain { relu: false, shift, multiplier, biases: std::vec![0; FEATURES], weights };
    let narrow = Plain { relu: false, shift: 0, multiplier: 1, biases: std::vec![0], weights: std::vec![0; FEATURES] };
    let back =
        Plain { relu: false, shift: 0, multiplier: 1, biases: std::vec![0; FEATURES], weights: std::vec![0; FEATURES] };
    std::vec![wide, narrow, back]
}

#[test]
fn ties_go_to_the_even_neighbour() {
    // All weights are 0; the biases give 3·1/2 = 1.5 → 2, 5/2 = 2.5 → 2, −3/2 → −2, −5/2 → −2, 1/2 → 0, −1/2 → 0.
    let mut layers = diagonal(0, 0, 1);
    let last = layers.last_mut().unwrap();
    last.shift = 1;
    last.biases[..6].copy_from_slice(&[3, 5, -3, -5, 1, -1]);
    let out = assert_equal_to_reference(&layers, 1, &[0; FEATURES]);
    assert_eq!(out.reconstruction[..6], [2, 2, -2, -2, 0, 0]);
}

#[test]
fn every_tie_of_the_finest_multiplier_is_exact() {
    let mut layers = diagonal(0, 0, 1);
    for quantum in -128_i32..128 {
        let last = layers.last_mut().unwrap();
        last.shift = 16;
        for (step, bias) in last.biases.iter_mut().enumerate() {
            *bias = (quantum << 16) + (1 << 15) + (step as i32 - 24);
        }
        assert_equal_to_reference(&layers, 1, &[0; FEATURES]);
    }
}

#[test]
fn sums_far_beyond_the_range_saturate() {
    let mut layers = diagonal(0, 0, 1);
    let last = layers.last_mut().unwrap();
    (last.shift, last.multiplier) = (0, MULTIPLIER_LIMIT);
    last.biases[..4].copy_from_slice(&[BIAS_LIMIT, -BIAS_LIMIT, 1, -1]);
    let out = assert_equal_to_reference(&layers, 1, &[0; FEATURES]);
    assert_eq!(out.reconstruction[..4], [127, -128, 127, -128]);
}

#[test]
fn the_widest_layer_with_the_largest_terms_does_not_overflow() {
    for (weight, bias) in [(-128, -BIAS_LIMIT), (127, BIAS_LIMIT)] {
        let full = |inputs: usize, outputs: usize, relu| Plain {
            relu,
            shift: 16,
            multiplier: 1,
            biases: std::vec![bias; outputs],
            weights: std::vec![weight; inputs * outputs],
        };
        let layers = [full(48, 1, true), full(1, 256, true), full(256, 48, false)];
        assert_equal_to_reference(&layers, 0, &[-128; FEATURES]);
        assert_equal_to_reference(&layers, 0, &[127; FEATURES]);
    }
}

#[test]
fn scratch_memory_of_another_network_has_no_effect() {
    let mut random = Random(2);
    let (a, b) =
        (random_layers(&mut random, &[48, 256, 4, 48], 14, 3), random_layers(&mut random, &[48, 3, 48], 14, 9));
    let (wide, narrow) = (Int8Network::parse(encode(1, &a)).unwrap(), Int8Network::parse(encode(0, &b)).unwrap());
    let mut scratch = Scratch::default();
    let (mut fresh, mut reused) = (Inference::default(), Inference::default());
    narrow.run(&[7; FEATURES], &mut scratch, &mut fresh);
    wide.run(&[9; FEATURES], &mut scratch, &mut reused);
    narrow.run(&[7; FEATURES], &mut scratch, &mut reused);
    assert_eq!(fresh, reused);
}

#[test]
fn a_truncated_artifact_is_rejected_with_both_lengths() {
    let bytes = encode(0, &random_layers(&mut Random(3), &[48, 5, 48], 10, 3));
    for length in 0..bytes.len() {
        match Int8Network::parse(&bytes[..length]) {
            Err(NetworkError::Truncated { expected, found }) => assert!(found == length && expected > length),
            other => panic!("{length} bytes: {other:?}"),
        }
    }
    let mut longer = bytes.clone();
    longer.push(0);
    let trailing = NetworkError::Trailing { expected: bytes.len(), found: bytes.len() + 1 };
    assert_eq!(Int8Network::parse(longer).unwrap_err(), trailing);
}

#[test]
fn every_field_out_of_range_is_reported() {
    let good = random_layers(&mut Random(4), &[48, 5, 48], 10, 3);
    let error = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = encode(0, &good);
        change(&mut bytes);
        Int8Network::parse(bytes).unwrap_err()
    };
    assert!(matches!(error(&|b| b[0] = b'X'), NetworkError::Magic { found: [b'X', ..] }));
    assert_eq!(error(&|b| b[4] = 0), NetworkError::LayerCount { found: 0 });
    assert_eq!(error(&|b| b[4] = 9), NetworkError::LayerCount { found: 9 });
    assert_eq!(error(&|b| b[5] = 2), NetworkError::LatentLayer { found: 2, layers: 2 });
    assert_eq!(error(&|b| b[5] = 1), NetworkError::LatentWidth { found: 48 });
    assert_eq!(error(&|b| b[6] = 47), NetworkError::InputWidth { found: 47 });
    assert_eq!(error(&|b| b[8] = 0), NetworkError::LayerWidth { layer: 0, found: 0 });
    assert_eq!(error(&|b| b[9] = 2), NetworkError::LayerWidth { layer: 0, found: 517 });
    assert_eq!(error(&|b| b[10] = 2), NetworkError::ReluFlag { layer: 0, found: 2 });
    assert_eq!(error(&|b| b[11] = 17), NetworkError::Shift { layer: 0, found: 17 });
    assert_eq!(error(&|b| b[12..14].fill(0)), NetworkError::Multiplier { layer: 0, found: 0 });
    assert_eq!(error(&|b| b[13] = 0x80), NetworkError::Multiplier { layer: 0, found: 0x8003 });
    let bias = error(&|b| b[18..22].copy_from_slice(&(BIAS_LIMIT + 1).to_le_bytes()));
    assert_eq!(bias, NetworkError::Bias { layer: 0, output: 1, found: BIAS_LIMIT + 1 });
    assert_eq!(error(&|b| b[8 + 6 + 5 * 52 + 2] = 1), NetworkError::OutputRelu);
    let narrow = random_layers(&mut Random(5), &[48, 5, 47], 10, 3);
    assert_eq!(Int8Network::parse(encode(0, &narrow)).unwrap_err(), NetworkError::OutputWidth { found: 47 });
}
