//! Captures and their label files → rows.

use super::labels::Labels;
use super::{Dataset, DatasetError, Row};
use lapwing_capture::{FileSource, PacketSource};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::meter::{Meter, MeterConfig};
use lapwing_shared::flow::record::FlowRecord;
use std::path::{Path, PathBuf};

/// Meters each capture with the agents' default timeouts. Labels come from `NAME.labels.csv` next to `NAME.pcap` or
/// `NAME.pcap.gz`; without that file every row is benign.
///
/// # Errors
/// The first capture or label file that cannot be read.
pub fn read(paths: &[PathBuf]) -> Result<Dataset, DatasetError> {
    let mut dataset = Dataset::default();
    for (file, path) in paths.iter().enumerate() {
        let labels = Labels::beside(path)?;
        let first = dataset.rows.len();
        read_one(path, file as u32, &labels, &mut dataset)?;
        if dataset.rows.len() == first {
            dataset.warnings.push(format!("{}: no flows", path.display()));
        }
    }
    Ok(dataset)
}

fn read_one(path: &Path, file: u32, labels: &Labels, dataset: &mut Dataset) -> Result<(), DatasetError> {
    let mut source = FileSource::open(path)?;
    let mut meter = Meter::new(&MeterConfig::default());
    let rows = &mut dataset.rows;
    let mut add_row = |record: &FlowRecord, features: &FeatureVector| {
        rows.push(Row {
            site: file,
            at: record.made,
            source: record.source,
            destination: record.destination,
            service_port: record.destination_port,
            features: *features,
            attack: labels.attack(record).map(str::to_owned),
            suspect: false,
            weight: 1.0,
            under_release: false,
        });
    };
    while let Some(frame) = source.next_frame()? {
        meter.frame(frame.link, frame.timestamp, frame.data, frame.wire_octets, &mut add_row);
    }
    meter.flush(&mut add_row);
    let rejected = meter.refusals().total() + source.refusals().total();
    if rejected > 0 {
        dataset.warnings.push(format!("{}: {rejected} packets rejected", path.display()));
    }
    if let Some(truncation) = source.truncation() {
        dataset.warnings.push(format!("{}: {truncation}", path.display()));
    }
    Ok(())
}
