//! Settings and two tables → quality and CPU time of each method, one JSON line each, for comparison with other libraries.
//!
//! `agreement [--threads N] [--seed N] TRAIN TEST SETTING…`, where a setting is JSON, e.g.
//! `{"method":"random-forest","trees":50}`. A table file is little-endian: u32 rows, columns, classes; f32 values row by
//! row; u32 labels. Scorers are fitted on the training rows of class 0 and evaluated by the AUC against all other classes.
//! Times are CPU seconds of the process, summed over threads.

use std::{error::Error, fs, io::Write};

use lapwing_methods::{Classifier, ClassifierConfig, Labels, MethodError, ScorerConfig, metrics, silent};
use lapwing_tables::Matrix;
use serde_json::{Value, json};

struct Table {
    rows: Matrix,
    labels: Vec<u32>,
    classes: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut threads, mut seed, mut rest) = (1, 1, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--threads" => threads = arguments.next().ok_or("--threads needs a number")?.parse()?,
            "--seed" => seed = arguments.next().ok_or("--seed needs a number")?.parse()?,
            _ => rest.push(argument),
        }
    }
    let [train, test, settings @ ..] = rest.as_slice() else {
        return Err("usage: agreement [--threads N] [--seed N] TRAIN TEST SETTING…".into());
    };
    let (train, test) = (read(train)?, read(test)?);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    for setting in settings {
        let setting: Value = serde_json::from_str(setting)?;
        let result = pool.install(|| one(&setting, &train, &test, seed)).map_err(|error| error.to_string())?;
        writeln!(std::io::stdout(), "{result}")?;
    }
    Ok(())
}

fn read(path: &str) -> Result<Table, Box<dyn Error>> {
    let bytes = fs::read(path)?;
    let words: Vec<[u8; 4]> = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok()).collect();
    let whole = |at: usize| words.get(at).map(|word| u32::from_le_bytes(*word) as usize).ok_or("file too short");
    let (rows, columns, classes) = (whole(0)?, whole(1)?, whole(2)?);
    let values = words.get(3..3 + rows * columns).ok_or("file too short")?;
    let labels = words.get(3 + rows * columns..).ok_or("file too short")?;
    let values = values.iter().map(|word| f32::from_le_bytes(*word)).collect();
    let labels = labels.iter().map(|word| u32::from_le_bytes(*word)).collect();
    Ok(Table { rows: Matrix::from_values(columns, values).ok_or("no columns")?, labels, classes })
}

fn one(setting: &Value, train: &Table, test: &Table, seed: u64) -> Result<Value, Box<dyn Error + Send + Sync>> {
    let start = processor_seconds()?;
    if let Ok(config) = serde_json::from_value::<ClassifierConfig>(setting.clone()) {
        let fitted = config.fit(&train.rows, Labels::new(&train.labels, train.classes)?, seed, &silent)?;
        let fit = processor_seconds()?;
        let answers = fitted.probabilities(&test.rows)?;
        let score = processor_seconds()?;
        let mut result = quality(&fitted, &answers, test)?;
        result["fit_s"] = json!(fit - start);
        result["score_s"] = json!(score - fit);
        return Ok(result);
    }
    let config: ScorerConfig = serde_json::from_value(setting.clone())?;
    let benign: Vec<usize> = (0..train.labels.len()).filter(|row| train.labels[*row] == 0).collect();
    let benign = train.rows.select_rows(&benign);
    let start = processor_seconds()?;
    let fitted = config.fit(&benign, seed, &silent)?;
    let fit = processor_seconds()?;
    let scores = fitted.scores(&test.rows)?;
    let score = processor_seconds()?;
    let positive: Vec<bool> = test.labels.iter().map(|label| *label > 0).collect();
    let area = metrics::auc(&scores, &positive)?;
    Ok(json!({"method": fitted.method().name(), "auc": area, "fit_s": fit - start, "score_s": score - fit}))
}

fn quality(fitted: &Classifier, answers: &Matrix, test: &Table) -> Result<Value, MethodError> {
    let called = metrics::most_probable(answers);
    let table = metrics::ConfusionMatrix::new(&test.labels, &called, test.classes)?;
    let attack: Vec<f32> = answers.iter().map(|row| 1.0 - row[0]).collect();
    let positive: Vec<bool> = test.labels.iter().map(|label| *label > 0).collect();
    let rows = test.labels.len() as f64;
    let probability = |row: usize| f64::from(answers.row(row)[test.labels[row] as usize].max(1e-7));
    let loss = (0..test.labels.len()).map(|row| -probability(row).ln()).sum::<f64>() / rows;
    Ok(json!({
        "method": fitted.method().name(),
        "accuracy": table.accuracy(),
        "macro_f1": table.macro_average().f1,
        "auc": metrics::auc(&attack, &positive)?,
        "log_loss": loss,
    }))
}

/// CPU seconds of all threads of this process, from the scheduler's statistics.
fn processor_seconds() -> Result<f64, std::io::Error> {
    let mut sum = 0.0;
    for task in fs::read_dir("/proc/self/task")? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        sum += text.split_whitespace().next().and_then(|first| first.parse::<f64>().ok()).unwrap_or(0.0);
    }
    Ok(sum / 1e9)
}
