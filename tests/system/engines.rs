//! tract and the `int8` engine give the same bits for every network that the trainer exports, and both reject networks
//! for which they could differ.

use lapwing_agent::detector::int8::Int8Engine;
use lapwing_agent::detector::tract::{BATCHES, TractEngine};
use lapwing_agent::detector::{Engine, EngineError};
use lapwing_pipeline::quantize::network::QuantizedNetwork;
use lapwing_pipeline::quantize::onnx;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::Inference;
use lapwing_system_tests::networks;

fn run(engine: &mut dyn Engine, rows: &[[i8; FEATURES]], batch: usize) -> Vec<Inference> {
    let mut answers = vec![Inference::default(); rows.len()];
    for (rows, answers) in rows.chunks(batch).zip(answers.chunks_mut(batch)) {
        engine.run_batch(rows, answers).expect("one answer per row");
    }
    answers
}

fn default_network() -> QuantizedNetwork {
    networks::all().swap_remove(0).network
}

#[test]
fn tract_and_int8_give_equal_results_at_every_batch_size() {
    let rows = networks::rows(150);
    for named in networks::all().into_iter().chain([networks::trained()]) {
        let mut int8 = Int8Engine::load(named.network.to_int8().unwrap()).unwrap();
        let mut tract = TractEngine::load(&onnx::encode(&named.network)).unwrap();
        let expected = run(&mut int8, &rows, 1);
        for batch in [1, 7, 64, 150] {
            let results = run(&mut tract, &rows, batch);
            for (row, (result, expected)) in results.iter().zip(&expected).enumerate() {
                assert_eq!(result, expected, "network {}, batch {batch}, row {row}", named.name);
            }
        }
    }
}

#[test]
fn the_test_networks_contain_ties_and_saturation() {
    let rows = networks::rows(150);
    let (mut ties, mut saturated) = (0, 0);
    for named in networks::all() {
        let mut int8 = Int8Engine::load(named.network.to_int8().unwrap()).unwrap();
        ties += networks::ties_in_first_layer(&named.network, &rows);
        let ends =
            |answer: &Inference| answer.reconstruction.iter().filter(|value| matches!(value, -128 | 127)).count();
        saturated += run(&mut int8, &rows, 1).iter().map(ends).sum::<usize>();
    }
    assert!(ties > 1_000 && saturated > 1_000, "{ties} ties, {saturated} saturated values");
}

#[test]
fn every_layer_runs_in_integer_kernels() {
    for named in networks::all() {
        let tract = TractEngine::load(&onnx::encode(&named.network)).unwrap();
        let kernels = tract.kernels();
        assert_eq!(kernels.len(), BATCHES.len() * named.network.layers.len(), "{}: {kernels:?}", named.name);
        assert!(kernels.iter().all(|kernel| kernel.contains("i32")), "{}: {kernels:?}", named.name);
    }
}

#[test]
fn a_scale_that_engines_could_round_differently_is_rejected() {
    let mut network = default_network();
    network.layers[1].multiplier = 40_001;
    let error = TractEngine::load(&onnx::encode(&network)).err().unwrap();
    assert!(matches!(error, EngineError::Contract(_)), "{error}");
    assert!(network.to_int8().is_err());
}

#[test]
fn a_modified_or_truncated_onnx_file_never_panics() {
    let bytes = onnx::encode(&default_network());
    let mut rejected = 0;
    for position in (0..bytes.len()).step_by(7) {
        rejected += usize::from(TractEngine::load(&bytes[..position]).is_err());
    }
    assert_eq!(rejected, bytes.len().div_ceil(7), "a truncated file was accepted");
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..600 {
        let mut changed = bytes.clone();
        let position = rng.usize(..changed.len());
        changed[position] = rng.u8(..);
        let _ = TractEngine::load(&changed);
    }
}

#[test]
fn an_output_buffer_shorter_than_the_rows_is_an_error() {
    let network = default_network();
    let mut engines: [Box<dyn Engine>; 2] = [
        Box::new(Int8Engine::load(network.to_int8().unwrap()).unwrap()),
        Box::new(TractEngine::load(&onnx::encode(&network)).unwrap()),
    ];
    for engine in &mut engines {
        let error = engine.run_batch(&[[0; FEATURES]; 3], &mut [Inference::default(); 2]).unwrap_err();
        assert_eq!(error.to_string(), "space for 2 results, but 3 rows given");
    }
}
