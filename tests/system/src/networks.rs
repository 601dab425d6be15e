//! Seeds → networks and rows that expose differences between engines: many ties, much saturation, unusual widths.

use fastrand::Rng;
use lapwing_pipeline::quantize::convert::{QuantizeConfig, quantize};
use lapwing_pipeline::quantize::network::{QuantizedLayer, QuantizedNetwork};
use lapwing_pipeline::testing::Mixture;
use lapwing_pipeline::train::training_rows::TrainingRow;
use lapwing_pipeline::train::{TrainConfig, train};
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::RELU_ZERO_POINT;

/// A network with the name that a failing test prints.
#[expect(missing_docs, reason = "the names and types of the fields document them")]
pub struct Named {
    /// Shape and style.
    pub name: String,
    pub network: QuantizedNetwork,
}

/// Every network that the equality tests run.
pub fn all() -> Vec<Named> {
    let mut rng = Rng::with_seed(7);
    let shapes: [(&str, &[usize], usize); 6] = [
        ("default", &[48, 24, 8, 24, 48], 1),
        ("odd widths", &[48, 17, 5, 13, 48], 1),
        ("one latent value", &[48, 9, 1, 11, 48], 1),
        ("widest", &[48, 256, 32, 256, 48], 1),
        ("two layers", &[48, 32, 48], 0),
        ("eight layers", &[48, 40, 24, 16, 8, 16, 24, 40, 48], 3),
    ];
    let mut networks = Vec::new();
    for (shape, widths, latent_layer) in shapes {
        for (kind, style) in [("normal", Style::Normal), ("ties", Style::Ties), ("saturation", Style::Saturation)] {
            let network = random(&mut rng, widths, latent_layer, style);
            networks.push(Named { name: format!("{shape}, {kind}"), network });
        }
    }
    networks
}

/// A network of about 170 KB, larger than a pipe's buffer or one chunk; different for each seed.
pub fn large(seed: u64) -> QuantizedNetwork {
    random(&mut Rng::with_seed(seed), &[48, 256, 256, 32, 256, 256, 48], 2, Style::Normal)
}

/// What a random network contains much of.
#[derive(Clone, Copy)]
enum Style {
    Normal,
    Ties,
    Saturation,
}

fn random(rng: &mut Rng, widths: &[usize], latent_layer: usize, style: Style) -> QuantizedNetwork {
    let last = widths.len() - 2;
    let layers = widths.windows(2).enumerate().map(|(index, pair)| {
        // Half of the latent layers are linear, so that both zero points occur everywhere.
        let relu = index != last && !(index == latent_layer && rng.bool());
        random_layer(rng, pair[0], pair[1], relu, style)
    });
    QuantizedNetwork { layers: layers.collect(), latent_layer, input_exponent: -5 }
}

fn random_layer(rng: &mut Rng, inputs: usize, outputs: usize, relu: bool, style: Style) -> QuantizedLayer {
    let (weight_limit, shift, multiplier, bias_limit) = match style {
        // The sum's standard deviation is about 40·limit·√inputs; multiplier and shift map it to the int8 range.
        Style::Normal => (127_i32, 16, rng.u16(200..400), 4_000),
        // Small weights and a factor of 1/2 to 1/16: between a half and a sixteenth of all sums are ties.
        Style::Ties => (2, rng.u8(1..=4), 1, 30),
        Style::Saturation => (127, rng.u8(4..=10), rng.u16(1..=2_000), 1 << 20),
    };
    QuantizedLayer {
        weights: (0..inputs * outputs).map(|_| rng.i32(-weight_limit..=weight_limit) as i8).collect(),
        biases: (0..outputs).map(|_| rng.i32(-bias_limit..=bias_limit)).collect(),
        relu,
        multiplier,
        shift,
        output_exponent: if relu { rng.i32(-7..=-2) } else { -5 },
    }
}

/// `count` rows: both ends of the range, zero, and random ones with different spreads.
pub fn rows(count: usize) -> Vec<[i8; FEATURES]> {
    let mut rng = Rng::with_seed(11);
    let fixed = [[0; FEATURES], [127; FEATURES], [RELU_ZERO_POINT; FEATURES], [-1; FEATURES], [1; FEATURES]];
    let random = std::iter::repeat_with(|| {
        let spread = rng.i32(1..=127);
        std::array::from_fn(|_| rng.i32(-spread..=spread) as i8)
    });
    fixed.into_iter().chain(random).take(count).collect()
}

/// Sums of the first layer that are exactly between two output steps.
pub fn ties_in_first_layer(network: &QuantizedNetwork, rows: &[[i8; FEATURES]]) -> usize {
    let Some(layer) = network.layers.first() else { return 0 };
    let is_tie = |row: &[i8; FEATURES], weights: &[i8], bias: i32| {
        let sum: i64 = weights.iter().zip(row).map(|(weight, value)| i64::from(*weight) * i64::from(*value)).sum();
        let product = (sum + i64::from(bias)) * i64::from(layer.multiplier);
        layer.shift > 0 && product.rem_euclid(1 << layer.shift) == 1 << (layer.shift - 1)
    };
    let outputs = || layer.weights.chunks(FEATURES).zip(&layer.biases);
    rows.iter().map(|row| outputs().filter(|(weights, bias)| is_tie(row, weights, **bias)).count()).sum()
}

/// A small network, trained on synthetic rows and quantized like a release.
pub fn trained() -> Named {
    let row = |features| TrainingRow { features, agent: 0, suspect: false };
    let rows: Vec<TrainingRow> = Mixture::new(1).rows(2_000, 2).into_iter().map(row).collect();
    let config = TrainConfig { epochs: 5, batch_rows: 64, ..TrainConfig::default() };
    let trained = train(&rows, &Mixture::transforms(), &config, &mut |_| ()).expect("synthetic rows can be trained on");
    let inputs: Vec<_> = trained.training.iter().map(|row| trained.scaling.quantize(&rows[*row].features)).collect();
    let network = quantize(&trained.network, &inputs, &QuantizeConfig::default());
    Named { name: "trained".into(), network: network.expect("a trained network can be quantized") }
}
