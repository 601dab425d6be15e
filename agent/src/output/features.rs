//! Feature vectors → CSV: the flow's key, the features in schema order, score and surprise.

use crate::output::{FieldAddress, OutputError, Protocol, Sink};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::flow::record::FlowRecord;
use std::path::Path;

/// Columns before the features.
pub(crate) const KEY_COLUMNS: &str = "start_s,end_s,protocol,source,source_port,destination,destination_port";
/// Columns after the features; empty if no release was in use.
pub(crate) const VERDICT_COLUMNS: &str = "score,surprise_nats";

/// The verdict on one row, for files and samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RowVerdict {
    pub score: u32,
    /// Surprise, nats.
    pub surprise_nats: f32,
    /// Whether a host of the row is suspect.
    pub suspect: bool,
}

/// Writes feature vectors.
pub(crate) struct FeatureWriter {
    sink: Sink,
}

impl FeatureWriter {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn create(path: &Path) -> Result<Self, OutputError> {
        let mut sink = Sink::create(path)?;
        sink.write(|writer| {
            write!(writer, "{KEY_COLUMNS}")?;
            for feature in &SCHEMA {
                write!(writer, ",{}", feature.name)?;
            }
            writeln!(writer, ",{VERDICT_COLUMNS}")
        })?;
        Ok(Self { sink })
    }

    /// Writes one row.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(
        &mut self,
        record: &FlowRecord,
        features: &FeatureVector,
        verdict: Option<RowVerdict>,
    ) -> Result<(), OutputError> {
        self.sink.write(|writer| {
            write!(
                writer,
                "{},{},{},{},{},{},{}",
                record.start,
                record.end,
                Protocol(record.network, record.protocol),
                FieldAddress(record.network, record.source),
                record.source_port,
                FieldAddress(record.network, record.destination),
                record.destination_port,
            )?;
            for value in features {
                write!(writer, ",{value}")?;
            }
            match verdict {
                Some(RowVerdict { score, surprise_nats, .. }) => writeln!(writer, ",{score},{surprise_nats}"),
                None => writeln!(writer, ",,"),
            }
        })
    }

    /// Flushes the buffer.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.sink.flush()
    }
}
