//! Rows → seconds and losses of training a gateway-sized autoencoder, one JSON line a seed, to hold against another
//! library's.
//!
//! `autoencoder_speed ENGINE FILE SEEDS EPOCHS BATCH-ROWS RATE HIDDEN…`. The engine is `plain` or `burn`. The file is little-endian: u32 rows and columns, f32
//! values row by row. Adam, mean squared error, a constant rate, no early stopping; losses are over all rows after the
//! last epoch. Seconds are processor time of the whole process while training, all threads together.

use fastrand::Rng;
use lapwing_neural::{
    AdamConfig, Engine, FitConfig, FloatNetwork, Loss, NetworkShape, Optimizer, Rows, Schedule, Watch, fit,
};
use lapwing_tables::Matrix;
use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [engine, file, seeds, epochs, batch_rows, rate, hidden @ ..] = arguments.as_slice() else {
        return Err("usage: autoencoder_speed plain|burn FILE SEEDS EPOCHS BATCH-ROWS RATE HIDDEN…".into());
    };
    let rows = read(file)?;
    let hidden: Vec<usize> = hidden.iter().map(|width| width.parse()).collect::<Result<_, _>>()?;
    let config = FitConfig {
        epochs: epochs.parse()?,
        batch_rows: batch_rows.parse()?,
        optimizer: Optimizer::Adam(AdamConfig::default()),
        schedule: Schedule::Constant { rate: rate.parse()? },
        loss: Loss::Squared,
        engine: if engine == "burn" { Engine::Burn } else { Engine::Plain },
        ..FitConfig::default()
    };
    let shape = NetworkShape::autoencoder(rows.columns(), &hidden, false);
    for seed in 0..seeds.parse()? {
        let start = processor_seconds()?;
        // Nothing to validate while the clock runs; each epoch is better than the last, so that the last weights stay.
        let mut left = 0.0;
        let mut validate = |_: &FloatNetwork| {
            left -= 1.0;
            left
        };
        let watch = Watch { validate: &mut validate, progress: &mut |_| (), clock: &|| 0.0 };
        let fitted = fit(&shape, Rows::to_reconstruct(&rows), &config, &mut Rng::with_seed(seed), watch)?;
        let seconds = processor_seconds()? - start;
        let loss = Rows::to_reconstruct(&rows).loss(&fitted.network, Loss::Squared, &[]);
        writeln!(std::io::stdout(), "{{\"seed\": {seed}, \"seconds\": {seconds}, \"loss\": {loss}}}")?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Matrix, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let words: Vec<[u8; 4]> = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok()).collect();
    let [rows, columns, values @ ..] = words.as_slice() else { return Err("file too short".into()) };
    let (rows, columns) = (u32::from_le_bytes(*rows) as usize, u32::from_le_bytes(*columns) as usize);
    let values: Vec<f32> = values.iter().map(|word| f32::from_le_bytes(*word)).collect();
    Matrix::from_values(columns, values).filter(|matrix| matrix.rows() == rows).ok_or("not as many values".into())
}

/// Time on processors of all threads of this process (Linux).
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let mut sum = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(sum / 1e9)
}
