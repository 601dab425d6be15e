//! Feature vectors as CSV: the flow's key, the features in schema order, and what the release made of them.

use crate::output::{FieldAddress, OutputError, Protocol, Sink};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::SCHEMA;
use lapwing_shared::flow::record::FlowRecord;
use std::path::Path;

/// Columns before the features.
pub const KEY_COLUMNS: &str = "start_s,end_s,protocol,source,source_port,destination,destination_port";
/// Columns after them; empty where no release was in use.
pub const VERDICT_COLUMNS: &str = "score,surprise_nats";

/// Writes feature vectors.
pub struct FeatureWriter {
    sink: Sink,
}

impl FeatureWriter {
    /// Creates the file and writes its header.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn create(path: &Path) -> Result<Self, OutputError> {
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

    /// Writes one row; `verdict` is score and surprise in nats.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(
        &mut self,
        record: &FlowRecord,
        features: &FeatureVector,
        verdict: Option<(u32, f32)>,
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
                Some((score, surprise_nats)) => writeln!(writer, ",{score},{surprise_nats}"),
                None => writeln!(writer, ",,"),
            }
        })
    }

    /// Hands everything to the operating system.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> Result<(), OutputError> {
        self.sink.flush()
    }
}
