//! A fitted autoencoder → figures of its int8 form, as gateways run it, on the same test rows.
//!
//! A gateway's network has [`FEATURES`] inputs and outputs; a smaller network is padded with inputs that are always 0
//! and outputs of weight 0. Inputs are quantized in steps of 1/32 unit, −127 to 127, so values beyond ±3.97 saturate.
//! Ranges come from training rows and weights of the score from the f32 model; test rows influence neither.
//!
//! The codebook is quantized too ([`Int8Codes`]), but the agents' engine runs networks only.

use super::Evaluated;
use super::codes::Int8Codes;
use super::error::EvaluateError;
use super::figures;
use lapwing_methods::metrics::{auc, spearman};
use lapwing_models::{Fitted, Network};
use lapwing_neural::models::autoencoder::Autoencoder;
use lapwing_pipeline::quantize::convert::{QuantizeConfig, quantize};
use lapwing_pipeline::train::network::{FloatNetwork, GatewayNetwork};
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::{Inference, Int8Network, Scratch};
use lapwing_shared::verdict::scaling::{INPUT_QUANTA_PER_UNIT, QuantizedInput};
use lapwing_tables::{Matrix, Table};
use serde::Serialize;

/// Largest magnitude of an input quantum.
const QUANTA: f32 = 127.0;

/// Comparison of the int8 form with the f32 model, or why the model has no int8 form.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Int8 {
    /// The int8 form was built and run.
    Measured(Int8Figures),
    /// A gateway cannot run the model.
    None { reason: String },
}

/// Figures of the int8 form on the test rows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Int8Figures {
    /// ROC-AUC of f32 scores.
    pub(crate) auc_f32: Option<f64>,
    /// ROC-AUC of int8 scores.
    pub(crate) auc_int8: Option<f64>,
    /// Spearman rank correlation of both scores; `None` if one is constant.
    pub(crate) rank_correlation: Option<f64>,
    /// Share of input values that saturate.
    pub(crate) saturated: f64,
    /// Size of artifact and codebook, bytes.
    pub(crate) size_bytes: usize,
}

/// Quantizes an autoencoder and scores the test rows with it; `None` for other methods.
///
/// # Errors
/// Scores that are not finite.
pub(crate) fn measure(table: &Table, evaluated: &Evaluated) -> Result<Option<Int8>, EvaluateError> {
    let Fitted::Network(Network::Autoencoder(model)) = &evaluated.fitted else { return Ok(None) };
    let prepared = &evaluated.prepared;
    let (bytes, engine) = match engine(model, &prepared.training.matrix) {
        Ok(built) => built,
        Err(reason) => return Ok(Some(Int8::None { reason })),
    };
    let rows = &prepared.test.matrix;
    let weights = model.weights().first().map_or(&[][..], Vec::as_slice);
    let code_rows = model.codebook().into_iter().flat_map(|book| book.codes().iter());
    let codes = Int8Codes::new(code_rows.map(quanta));
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
    let saturated = rows.values().iter().filter(|value| value.abs() * INPUT_QUANTA_PER_UNIT > QUANTA + 0.5).count();
    Ok(Some(Int8::Measured(Int8Figures {
        auc_f32: auc(&evaluated.test.scores, &truth).ok(),
        auc_int8: auc(&scores, &truth).ok(),
        rank_correlation: spearman(&evaluated.test.scores, &scores)?,
        saturated: saturated as f64 / rows.values().len().max(1) as f64,
        size_bytes: bytes + codes.size_bytes(),
    })))
}

/// Size of the artifact in bytes and its engine, or why the model has no int8 form.
fn engine(model: &Autoencoder, training: &Matrix) -> Result<(usize, Int8Network<Vec<u8>>), String> {
    let [network] = model.members() else {
        return Err(format!("the model averages {} networks, a gateway runs one", model.members().len()));
    };
    if model.columns() > FEATURES {
        return Err(format!("the model has {} inputs, a gateway's network at most {FEATURES}", model.columns()));
    }
    let network = padded(network);
    if !network.fits_gateway() {
        return Err("the model has wider or more layers than a gateway's network may have".into());
    }
    let rows: Vec<QuantizedInput> = training.iter().map(quanta).collect();
    let quantized = quantize(&network, &rows, &QuantizeConfig::default()).map_err(|error| error.to_string())?;
    let artifact = quantized.to_int8().map_err(|error| error.to_string())?;
    let bytes = artifact.len();
    let engine = Int8Network::parse(artifact).map_err(|error| error.to_string())?;
    Ok((bytes, engine))
}

/// The network with [`FEATURES`] inputs and outputs; the added ones have weight 0.
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
    std::array::from_fn(|index| row.get(index).map_or(0, quantum))
}

/// Weighted sum of squared residuals, in square quanta.
fn score(weights: &[f32], input: &QuantizedInput, reconstruction: &QuantizedInput) -> f32 {
    let residual = |(value, output): (&i8, &i8)| f64::from(i16::from(*value) - i16::from(*output)).powi(2);
    let parts = weights.iter().zip(input.iter().zip(reconstruction).map(residual));
    parts.map(|(weight, square)| f64::from(*weight) * square).sum::<f64>() as f32
}

impl Int8 {
    /// Summary in one line.
    pub(crate) fn sentence(&self) -> String {
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
            Self::None { reason } => format!("int8: not available: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::tests::{plan, table};
    use crate::evaluate::{Plan, evaluate};
    use lapwing_methods::silent;
    use lapwing_neural::NetworkShape;
    use lapwing_tables::Split;

    fn evaluated(table: &Table, plan: &Plan) -> Evaluated {
        evaluate(table, &Split::make(table, &plan.split_options()).unwrap(), plan, &silent).unwrap()
    }

    #[test]
    fn the_int8_form_of_a_small_autoencoder_ranks_rows_like_the_f32_model() {
        let table = table();
        let evaluated = evaluated(&table, &plan("autoencoder"));
        let Some(Int8::Measured(figures)) = measure(&table, &evaluated).unwrap() else { panic!() };
        assert_eq!(figures.auc_f32, evaluated.figures.roc_auc.value);
        assert!((figures.auc_f32.unwrap() - figures.auc_int8.unwrap()).abs() < 0.02, "{figures:?}");
        assert!(figures.rank_correlation.unwrap() > 0.9, "{figures:?}");
    }

    #[test]
    fn a_codebook_adds_to_the_size_and_changes_the_int8_score() {
        let table = table();
        let measured = |codes| measure(&table, &evaluated(&table, &Plan { codes, ..plan("autoencoder") })).unwrap();
        let (Some(Int8::Measured(with)), Some(Int8::Measured(without))) = (measured(Some(12)), measured(None)) else {
            panic!()
        };
        assert_eq!(with.size_bytes, without.size_bytes + 12 * FEATURES);
        assert_ne!(with.rank_correlation, without.rank_correlation);
        assert!(with.rank_correlation.unwrap() > 0.9, "{with:?}");
    }

    #[test]
    fn int8_reports_why_a_gateway_cannot_run_a_model() {
        let table = table();
        let several = Plan { members: Some(2), epochs: Some(1), ..plan("autoencoder") };
        let reason = measure(&table, &evaluated(&table, &several)).unwrap().unwrap().sentence();
        assert!(reason.contains("averages 2 networks"), "{reason}");
        let wide = Plan { hidden: vec![300, 4, 300], epochs: Some(1), ..plan("autoencoder") };
        let reason = measure(&table, &evaluated(&table, &wide)).unwrap().unwrap().sentence();
        assert!(reason.contains("wider or more layers"), "{reason}");
        assert_eq!(measure(&table, &evaluated(&table, &plan("pca"))).unwrap(), None);
    }

    #[test]
    fn padding_changes_no_other_output() {
        let mut rng = fastrand::Rng::with_seed(2);
        let network = FloatNetwork::random(&NetworkShape::autoencoder(5, &[4, 2, 4], false), &mut rng);
        let row = [0.5, -1.0, 2.0, 0.0, 0.25];
        let wide = padded(&network)
            .activations(&std::array::from_fn::<f32, FEATURES, _>(|index| row.get(index).copied().unwrap_or(0.0)));
        let outputs = wide.last().unwrap();
        assert_eq!(outputs[..5], network.activations(&row).last().unwrap()[..]);
        assert!(outputs.len() == FEATURES && outputs[5..].iter().all(|output| *output == 0.0));
    }
}
