//! A fitted autoencoder → what its int8 form, as gateways run it, says of the same test rows.
//!
//! A gateway's network has [`FEATURES`] inputs and outputs; one with fewer gets inputs that are always 0 and outputs
//! that nobody weighs. Inputs become quanta of 1/32 unit, −127 to 127, so values beyond ±3.97 saturate. Ranges come from
//! training rows, weights of the score from the f32 model: test rows change nothing.
//!
//! Codes become quanta, too ([`Int8Codes`]); the agents' engine runs networks only.

use super::codes::Int8Codes;
use super::error::EvaluateError;
use super::figures;
use super::{Fitted, Judged, Network};
use crate::quantize::convert::{QuantizeConfig, quantize};
use crate::train::network::{FloatNetwork, GatewayNetwork};
use lapwing_methods::metrics::{auc, spearman};
use lapwing_neural::models::autoencoder::Autoencoder;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, Scratch};
use lapwing_shared::verdict::scaling::{INPUT_QUANTA_PER_UNIT, QuantizedInput};
use lapwing_tables::{Matrix, Table};
use serde::Serialize;

/// Largest magnitude of an input quantum.
const QUANTA: f32 = 127.0;
/// The int8 form beside the f32 one, or why there is none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Int8 {
    /// It was made and run.
    Measured(Int8Figures),
    /// The model cannot run on a gateway.
    None {
        /// Why.
        reason: String,
    },
}

/// What the int8 form is worth on the test rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Int8Figures {
    /// Area under the ROC curve of f32 scores.
    pub auc_f32: Option<f64>,
    /// The same of int8 scores.
    pub auc_int8: Option<f64>,
    /// Spearman's rank correlation of both scores; nothing where one is constant.
    pub rank_correlation: Option<f64>,
    /// Share of input values that int8 cannot hold.
    pub saturated: f64,
    /// Size of the artifact and the codes, bytes.
    pub size_bytes: usize,
}

/// Quantizes an autoencoder and scores the test rows with it; nothing for other methods.
///
/// # Errors
/// Scores that make no curve though there are both classes.
pub fn measure(table: &Table, judged: &Judged) -> Result<Option<Int8>, EvaluateError> {
    let Fitted::Network(Network::Autoencoder(model)) = &judged.fitted else { return Ok(None) };
    let prepared = &judged.prepared;
    let (bytes, engine) = match engine(model, &prepared.training.matrix) {
        Ok(made) => made,
        Err(reason) => return Ok(Some(Int8::None { reason })),
    };
    let rows = &prepared.test.matrix;
    let weights = model.weights().first().map_or(&[][..], Vec::as_slice);
    let coded = model.codebook().into_iter().flat_map(|book| book.codes().iter());
    let codes = Int8Codes::new(coded.map(quanta));
    let (mut scratch, mut inference) = (Scratch::default(), Inference::default());
    let scores: Vec<f32> = rows
        .iter()
        .map(|row| {
            let input = quanta(row);
            engine.run(&input, &mut scratch, &mut inference);
            score(weights, &input, &inference.reconstruction) * codes.distance(&input)
        })
        .collect();
    let truth = figures::attacks(table, &prepared.test);
    let beyond = rows.values().iter().filter(|value| value.abs() * INPUT_QUANTA_PER_UNIT > QUANTA + 0.5).count();
    Ok(Some(Int8::Measured(Int8Figures {
        auc_f32: auc(&judged.test.scores, &truth).ok(),
        auc_int8: auc(&scores, &truth).ok(),
        rank_correlation: spearman(&judged.test.scores, &scores)?,
        saturated: beyond as f64 / rows.values().len().max(1) as f64,
        size_bytes: bytes + codes.size_bytes(),
    })))
}

/// Size of the artifact and what runs it, or why there is none.
fn engine(model: &Autoencoder, training: &Matrix) -> Result<(usize, Int8Network<Vec<u8>>), String> {
    let [network] = model.members() else {
        return Err(format!("{} networks are averaged, a gateway runs one", model.members().len()));
    };
    if model.columns() > FEATURES {
        return Err(format!(
            "the encoder gives {} inputs, a gateway's network takes at most {FEATURES}",
            model.columns()
        ));
    }
    let network = padded(network);
    if !network.fits_gateway() {
        return Err("a layer is wider than a gateway's network takes, or there are too many".into());
    }
    let rows: Vec<QuantizedInput> = training.iter().map(quanta).collect();
    let quantized = quantize(&network, &rows, &QuantizeConfig::default()).map_err(|error| error.to_string())?;
    let artifact = quantized.to_int8().map_err(|error| error.to_string())?;
    let bytes = artifact.len();
    let engine = Int8Network::parse(artifact).map_err(|error| error.to_string())?;
    Ok((bytes, engine))
}

/// The same network with [`FEATURES`] inputs and outputs, those added without weight.
fn padded(network: &FloatNetwork) -> FloatNetwork {
    let mut network = network.clone();
    if let Some(first) = network.layers.first_mut() {
        let inputs = first.inputs().max(1);
        let wide =
            |row: &[f32]| row.iter().copied().chain(std::iter::repeat_n(0.0, FEATURES - inputs)).collect::<Vec<_>>();
        first.weights = first.weights.chunks_exact(inputs).flat_map(wide).collect();
    }
    if let Some(last) = network.layers.last_mut() {
        let inputs = last.inputs();
        last.weights.resize(inputs * FEATURES, 0.0);
        last.biases.resize(FEATURES, 0.0);
    }
    network
}

fn quanta(row: &[f32]) -> QuantizedInput {
    let quantum = |value: &f32| (value * INPUT_QUANTA_PER_UNIT).round_ties_even().clamp(-QUANTA, QUANTA) as i8;
    std::array::from_fn(|place| row.get(place).map_or(0, quantum))
}

/// Weighted sum of squared residuals, in square quanta.
fn score(weights: &[f32], input: &QuantizedInput, reconstruction: &QuantizedInput) -> f32 {
    let residual = |(value, output): (&i8, &i8)| f64::from(i16::from(*value) - i16::from(*output)).powi(2);
    let parts = weights.iter().zip(input.iter().zip(reconstruction).map(residual));
    parts.map(|(weight, square)| f64::from(*weight) * square).sum::<f64>() as f32
}

impl Int8 {
    /// One line for people.
    pub fn sentence(&self) -> String {
        let shown = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
        match self {
            Self::Measured(figures) => format!(
                "int8: ROC-AUC {} (f32 {}), rank correlation of scores {}, {} bytes, {:.2} % of input values saturated",
                shown(figures.auc_int8),
                shown(figures.auc_f32),
                shown(figures.rank_correlation),
                figures.size_bytes,
                figures.saturated * 100.0
            ),
            Self::None { reason } => format!("int8: no such form of this model: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{plan, table};
    use crate::evaluate::{Plan, judge};
    use lapwing_methods::silent;
    use lapwing_neural::NetworkShape;
    use lapwing_tables::Split;

    fn judged(table: &Table, plan: &Plan) -> Judged {
        judge(table, &Split::make(table, &plan.split_options()).unwrap(), plan, &silent).unwrap()
    }

    #[test]
    fn the_int8_form_of_a_small_autoencoder_ranks_rows_as_the_f32_one_does() {
        let table = table();
        let judged = judged(&table, &plan("autoencoder"));
        let Some(Int8::Measured(figures)) = measure(&table, &judged).unwrap() else { panic!() };
        assert_eq!(figures.auc_f32, judged.figures.roc_auc.value);
        assert!((figures.auc_f32.unwrap() - figures.auc_int8.unwrap()).abs() < 0.02, "{figures:?}");
        assert!(figures.rank_correlation.unwrap() > 0.9, "{figures:?}");
    }

    #[test]
    fn codes_count_in_size_and_score_alike_in_int8() {
        let table = table();
        let coded = |codes| measure(&table, &judged(&table, &Plan { codes, ..plan("autoencoder") })).unwrap();
        let (Some(Int8::Measured(with)), Some(Int8::Measured(without))) = (coded(Some(12)), coded(None)) else {
            panic!()
        };
        assert_eq!(with.size_bytes, without.size_bytes + 12 * FEATURES);
        assert_ne!(with.rank_correlation, without.rank_correlation);
        assert!(with.rank_correlation.unwrap() > 0.9, "{with:?}");
    }

    #[test]
    fn what_no_gateway_runs_is_told_and_other_methods_have_no_int8_form() {
        let table = table();
        let several = Plan { members: Some(2), epochs: Some(1), ..plan("autoencoder") };
        let told = measure(&table, &judged(&table, &several)).unwrap().unwrap().sentence();
        assert!(told.contains("2 networks are averaged"), "{told}");
        let wide = Plan { hidden: vec![300, 4, 300], epochs: Some(1), ..plan("autoencoder") };
        let told = measure(&table, &judged(&table, &wide)).unwrap().unwrap().sentence();
        assert!(told.contains("wider than a gateway"), "{told}");
        assert_eq!(measure(&table, &judged(&table, &plan("pca"))).unwrap(), None);
    }

    #[test]
    fn added_inputs_and_outputs_change_no_other_output() {
        let mut rng = fastrand::Rng::with_seed(2);
        let network = FloatNetwork::random(&NetworkShape::autoencoder(5, &[4, 2, 4], false), &mut rng);
        let row = [0.5, -1.0, 2.0, 0.0, 0.25];
        let wide = padded(&network)
            .activations(&std::array::from_fn::<f32, FEATURES, _>(|place| row.get(place).copied().unwrap_or(0.0)));
        let outputs = wide.last().unwrap();
        assert_eq!(outputs[..5], network.activations(&row).last().unwrap()[..]);
        assert!(outputs.len() == FEATURES && outputs[5..].iter().all(|output| *output == 0.0));
    }
}
