//! Writes networks, rows and the results of the `int8` engine for `tests/python/onnx_equality.py`.
//!
//! `lapwing-equality-dump FOLDER` writes `NN.onnx` and `NN.bin` for each network (row by row: 48 values of the
//! reconstruction, then those of the latent layer), `rows.bin` (48 values per row) and `index.json` (names, widths, and
//! nanoseconds per row of both engines with one thread). Every value is an int8.

use lapwing_agent::detector::{Engine, Int8Engine, TractEngine};
use lapwing_pipeline::quantize::onnx;
use lapwing_shared::features::FEATURES;
use lapwing_shared::verdict::network::Inference;
use lapwing_system_tests::networks;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rows of the dump; not a multiple of any tested batch size.
const ROWS: usize = 449;
const ROUNDS: usize = 7;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: lapwing-equality-dump FOLDER")?.into();
    std::fs::create_dir_all(&folder)?;
    let rows = networks::rows(ROWS);
    let bytes = |values: &[i8]| values.iter().map(|value| value.cast_unsigned()).collect::<Vec<u8>>();
    std::fs::write(folder.join("rows.bin"), bytes(rows.as_flattened()))?;
    let mut index = Vec::new();
    let networks: Vec<_> = networks::all().into_iter().chain([networks::trained()]).collect();
    // Measured before tract runs: its AVX-512 kernels leave the upper register halves in use, which makes SSE code on
    // this thread, and on threads that it starts, five times slower.
    let mut int8_1 = Vec::new();
    for named in &networks {
        int8_1.push(nanos_per_row(&mut Int8Engine::load(named.network.to_int8()?)?, &rows, 1)?);
    }
    for (number, (named, int8_1)) in networks.iter().zip(int8_1).enumerate() {
        index.push(dump(&folder, number, named, &rows, int8_1)?);
    }
    std::fs::write(folder.join("index.json"), format!("[{}]\n", index.join(",\n")))?;
    Ok(())
}

fn dump(
    folder: &Path,
    number: usize,
    named: &networks::Named,
    rows: &[[i8; FEATURES]],
    int8_1: f64,
) -> Result<String, Box<dyn std::error::Error>> {
    let onnx = onnx::encode(&named.network);
    let mut int8 = Int8Engine::load(named.network.to_int8()?)?;
    let mut tract = TractEngine::load(&onnx)?;
    let mut answers = vec![Inference::default(); rows.len()];
    int8.run_batch(rows, &mut answers)?;
    let mut bytes = Vec::new();
    for answer in &answers {
        let latent = answer.latent.iter().take(usize::from(answer.latent_width));
        bytes.extend(answer.reconstruction.iter().chain(latent).map(|value| value.cast_unsigned()));
    }
    std::fs::write(folder.join(format!("{number:02}.onnx")), onnx)?;
    std::fs::write(folder.join(format!("{number:02}.bin")), bytes)?;
    let (tract_1, tract_64) = (nanos_per_row(&mut tract, rows, 1)?, nanos_per_row(&mut tract, rows, 64)?);
    Ok(format!(
        "{{\"name\": \"{}\", \"latent\": {}, \"int8_1\": {int8_1:.0}, \"tract_1\": {tract_1:.0}, \"tract_64\": {tract_64:.0}}}",
        named.name,
        named.network.latent_width()
    ))
}

/// Best of several rounds over full batches.
fn nanos_per_row(
    engine: &mut dyn Engine,
    rows: &[[i8; FEATURES]],
    batch: usize,
) -> Result<f64, Box<dyn std::error::Error>> {
    let mut answers = vec![Inference::default(); batch];
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        #[expect(clippy::disallowed_methods, reason = "a measurement of real time")]
        let start = Instant::now();
        let mut done = 0;
        for _ in 0..5 {
            for rows in rows.chunks_exact(batch) {
                engine.run_batch(rows, &mut answers)?;
                done += batch;
            }
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / done as f64);
    }
    Ok(best)
}
