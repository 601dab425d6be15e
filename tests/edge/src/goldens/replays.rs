//! A capture, the release and an engine → the output of `lapwing-agent replay`, by stage.

use super::{Drawn, Error, release_files};
use lapwing_agent::cli::Options;
use lapwing_agent::commands::meter::{Input, meter};
use lapwing_agent::config::EngineChoice;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A capture and the size of the tables.
struct Subject {
    name: &'static str,
    file: &'static str,
    capture: &'static [u8],
    /// Capacity in flows and hosts; none: the defaults.
    tables: Option<usize>,
}

const SUBJECTS: [Subject; 4] = [
    Subject {
        name: "demo",
        file: "demo.pcap",
        capture: include_bytes!("../../../data/captures/demo.pcap"),
        tables: None,
    },
    // The tables are far too small: evictions, too, must not depend on the processor.
    Subject {
        name: "demo-small-tables",
        file: "demo.pcap",
        capture: include_bytes!("../../../data/captures/demo.pcap"),
        tables: Some(16),
    },
    Subject {
        name: "home-a-attacks",
        file: "home-a-attacks.pcap.gz",
        capture: include_bytes!("../../../data/captures/home-a-attacks.pcap.gz"),
        tables: None,
    },
    Subject {
        name: "home-b-attacks",
        file: "home-b-attacks.pcap.gz",
        capture: include_bytes!("../../../data/captures/home-b-attacks.pcap.gz"),
        tables: None,
    },
];

/// Replays every capture; each gives four stages.
///
/// # Errors
/// When a replay fails.
pub fn draw(engine: EngineChoice, folder: &Path) -> Result<Vec<Drawn>, Error> {
    let [release, _, key] = release_files(folder)?;
    let mut drawn = Vec::new();
    for subject in SUBJECTS {
        let input = folder.join(subject.file);
        std::fs::write(&input, subject.capture)?;
        let place = |name: &str| Some(folder.join(name));
        let options = Options {
            engine: Some(engine),
            release: Some(release.clone()),
            keys: vec![key.clone()],
            records: place("records"),
            features: place("features"),
            alerts: place("alerts"),
            max_flows: subject.tables,
            max_hosts: subject.tables,
            ..Options::default()
        };
        meter(Input::Files(&[input]), &options, &Arc::new(AtomicBool::new(false)), &|| Ok(()))?;
        let (features, scores) = split_columns(&std::fs::read_to_string(folder.join("features"))?);
        let stages = [
            ("records", std::fs::read(folder.join("records"))?),
            ("features", features.into_bytes()),
            ("scores", scores.into_bytes()),
            ("evidence", std::fs::read(folder.join("alerts"))?),
        ];
        for (stage, text) in stages {
            if text.is_empty() {
                return Err(format!("{}: {stage} are empty", subject.name).into());
            }
            drawn.push(Drawn { stage, subject: subject.name.into(), text });
        }
    }
    Ok(drawn)
}

/// Splits the two columns of the verdict from the feature columns before them.
fn split_columns(table: &str) -> (String, String) {
    let (mut features, mut scores) = (String::new(), String::new());
    for line in table.lines() {
        let verdict = line.rmatch_indices(',').nth(1).map_or(line.len(), |(place, _)| place);
        features.push_str(&line[..verdict]);
        features.push('\n');
        scores.push_str(&line[verdict..]);
        scores.push('\n');
    }
    (features, scores)
}
