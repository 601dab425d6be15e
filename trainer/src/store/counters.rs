//! Counts that survive a restart.

use rusqlite::Connection;

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Sample rows dropped by a limit.
    SampleRowsDropped,
    /// Sample batches dropped by a limit.
    SampleBatchesDropped,
    /// Alert messages dropped by a limit.
    AlertsDropped,
    /// Update reports dropped by a limit.
    UpdatesDropped,
    /// Messages refused, because the table of agents is full.
    AgentsRefused,
    /// Message numbers given up: gaps too many or too old.
    NumbersGivenUp,
    /// Runs forgotten, because an agent had too many.
    RunsForgotten,
    /// Duplicates not stored again.
    Duplicates,
    /// Sample rows ever stored.
    SampleRowsStored,
    /// The same when the last release's training began.
    SampleRowsTrained,
    /// Row number of the newest alert message that was looked at to name its episode's kind.
    AlertsLookedAt,
    /// Row number of the newest sample batch that was looked at to name episodes' kinds.
    SamplesLookedAt,
}

impl Counter {
    /// Every counter.
    pub const ALL: [Self; 12] = [
        Self::SampleRowsDropped,
        Self::SampleBatchesDropped,
        Self::AlertsDropped,
        Self::UpdatesDropped,
        Self::AgentsRefused,
        Self::NumbersGivenUp,
        Self::RunsForgotten,
        Self::Duplicates,
        Self::SampleRowsStored,
        Self::SampleRowsTrained,
        Self::AlertsLookedAt,
        Self::SamplesLookedAt,
    ];

    /// Its name in the table and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SampleRowsDropped => "sample-rows-dropped",
            Self::SampleBatchesDropped => "sample-batches-dropped",
            Self::AlertsDropped => "alerts-dropped",
            Self::UpdatesDropped => "updates-dropped",
            Self::AgentsRefused => "agents-refused",
            Self::NumbersGivenUp => "numbers-given-up",
            Self::RunsForgotten => "runs-forgotten",
            Self::Duplicates => "duplicates",
            Self::SampleRowsStored => "sample-rows-stored",
            Self::SampleRowsTrained => "sample-rows-trained",
            Self::AlertsLookedAt => "alerts-looked-at",
            Self::SamplesLookedAt => "samples-looked-at",
        }
    }
}

/// Adds to a counter; zero writes nothing.
pub(super) fn add(connection: &Connection, counter: Counter, more: u64) -> rusqlite::Result<()> {
    if more == 0 {
        return Ok(());
    }
    let text = "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2";
    connection.prepare_cached(text)?.execute((counter.name(), more.cast_signed())).map(drop)
}

/// Reads a counter.
pub(super) fn read(connection: &Connection, counter: Counter) -> rusqlite::Result<u64> {
    let text = "SELECT coalesce((SELECT value FROM counters WHERE name = ?1), 0)";
    connection.prepare_cached(text)?.query_row([counter.name()], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
}

/// Replaces a counter.
pub(super) fn set(connection: &Connection, counter: Counter, value: u64) -> rusqlite::Result<()> {
    let text = "INSERT INTO counters (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
    connection.prepare_cached(text)?.execute((counter.name(), value.cast_signed())).map(drop)
}
