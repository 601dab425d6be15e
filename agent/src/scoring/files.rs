//! Alerts, records and features → the output files.

use super::Listener;
use crate::output::OutputError;
use crate::output::features::FeatureWriter;
use crate::output::records::RecordWriter;
use lapwing_shared::messages::Alert;

/// Output files that are configured.
#[derive(Default)]
pub(crate) struct Files {
    pub records: Option<RecordWriter>,
    pub features: Option<FeatureWriter>,
    /// Alerts, JSON lines.
    pub alerts: Option<crate::output::Sink>,
}

impl Files {
    /// Flushes all buffers.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn flush(&mut self) -> Result<(), OutputError> {
        self.records.as_mut().map_or(Ok(()), RecordWriter::flush)?;
        self.features.as_mut().map_or(Ok(()), FeatureWriter::flush)?;
        self.alerts.as_mut().map_or(Ok(()), crate::output::Sink::flush)
    }
}

/// Sends alerts to the file and the listener; keeps the file's first error.
pub(super) struct Alerts<'a, L> {
    pub(super) files: &'a mut Files,
    pub(super) listener: &'a mut L,
    pub(super) failure: Option<OutputError>,
}

impl<L: Listener> Alerts<'_, L> {
    pub(super) fn write(&mut self, alert: Alert) {
        let alert = alert.boxed();
        if let Some(file) = &mut self.files.alerts {
            let line = crate::output::alerts::to_json(&alert);
            if let Err(error) = file.write(|writer| writeln!(writer, "{line}").and_then(|()| writer.flush())) {
                self.failure.get_or_insert(error);
            }
        }
        self.listener.alert(alert);
    }
}
