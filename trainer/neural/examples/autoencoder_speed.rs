//! Rows → training time and loss of a gateway-sized autoencoder, one JSON line per seed, for comparison with another
//! library.
//!
//! `autoencoder_speed FILE SEEDS EPOCHS BATCH-ROWS RATE HIDDEN…`. The file is little-endian: u32 rows and columns, f32
//! values, row-major. Adam, mean squared error, constant learning rate, no early stopping. Losses are over all rows
//! after the last epoch. Seconds are CPU time of all threads while training.

use fastrand::Rng;
use lapwing_neural::{AdamConfig, FitConfig, FloatNetwork, Loss, NetworkShape, Optimizer, Rows, Schedule, Watch, fit};
use lapwing_tables::Matrix;
use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, seeds, epochs, batch_rows, rate, hidden @ ..] = arguments.as_slice() else {
        return Err("usage: autoencoder_speed FILE SEEDS EPOCHS BATCH-ROWS RATE HIDDEN…".into());
    };
    let rows = read(file)?;
    let hidden: Vec<usize> = hidden.iter().map(|width| width.parse()).collect::<Result<_, _>>()?;
    let config = FitConfig {
        epochs: epochs.parse()?,
        batch_rows: batch_rows.parse()?,
        optimizer: Optimizer::Adam(AdamConfig::default()),
        schedule: Schedule::Constant { rate: rate.parse()? },
        loss: Loss::Squared,
        ..FitConfig::default()
    };
    let shape = NetworkShape::autoencoder(rows.columns(), &hidden, false);
    for seed in 0..seeds.parse()? {
        let start = cpu_seconds()?;
        // A falling loss without any computation, so that the last weights are returned and validation takes no time.
        let mut loss = 0.0;
        let mut validate = |_: &FloatNetwork| {
            loss -= 1.0;
            loss
        };
        let watch = Watch { validate: &mut validate, progress: &mut |_| (), clock: &|| 0.0 };
        let fitted = fit(&shape, Rows::to_reconstruct(&rows), &config, &mut Rng::with_seed(seed), watch)?;
        let seconds = cpu_seconds()? - start;
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
    Matrix::from_values(columns, values).filter(|matrix| matrix.rows() == rows).ok_or("wrong number of values".into())
}

/// CPU time of all threads of this process, seconds (Linux).
fn cpu_seconds() -> Result<f64, Box<dyn Error>> {
    let mut sum = 0.0;
    for task in std::fs::read_dir("/proc/self/task")? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().unwrap_or_default().parse::<f64>()?;
    }
    Ok(sum / 1e9)
}
