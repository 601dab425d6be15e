//! A place → the implementation that speaks to it.

use crate::error::StoreError;
#[cfg(feature = "postgres")]
use crate::postgres::{PostgresHandle, PostgresWriter};
use crate::row_store::{RowStore, SegmentPlace};
use crate::rows::EpisodeSpan;
use crate::segment_rows::StoredSegment;
use crate::sqlite::{self, SqliteHandle, SqliteWriter, schema};
use crate::stored_rows::{Snapshot, StoredRows, rows_of_segment};
use crate::traits::{Handle, Ingest};
use crate::url::StoreUrl;
use crate::{Limits, episode_features, training_rows};
use lapwing_segments::{Filter, Place, Row};
use lapwing_shared::features::{FeatureVector, SchemaId};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether this is a store: the address of a database, or a file that begins like an SQLite file.
///
/// # Errors
/// When the file cannot be read.
pub fn is_store(path: &Path) -> std::io::Result<bool> {
    match path.into() {
        StoreUrl::Sqlite(path) => schema::is_sqlite(&path),
        StoreUrl::Postgres(_) => Ok(true),
    }
}

/// Excludes other processes of the trainer from a store that allows one, without writing messages. A [`Store`] excludes them
/// as well.
pub struct StoreLock {
    _file: File,
}

impl StoreLock {
    /// Takes the lock until drop; `None` for a store that several processes may use.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process has it.
    pub fn take(url: &StoreUrl) -> Result<Option<Self>, StoreError> {
        match url {
            StoreUrl::Sqlite(path) => Ok(Some(Self { _file: sqlite::lock(path)? })),
            StoreUrl::Postgres(_) => Ok(None),
        }
    }
}

/// A writer of messages, see [`Ingest`].
pub struct Store {
    url: StoreUrl,
    writer: Box<dyn Ingest>,
}

impl Store {
    /// Opens or creates a store.
    ///
    /// # Errors
    /// When the store allows one writer and another one has it open; when it is damaged, foreign, of a newer version, or
    /// cannot be written.
    pub fn open(url: impl Into<StoreUrl>, limits: Limits) -> Result<Self, StoreError> {
        let url = url.into();
        let writer: Box<dyn Ingest> = match &url {
            StoreUrl::Sqlite(path) => Box::new(SqliteWriter::open(path, limits)?),
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Box::new(PostgresWriter::open(&url, limits)?),
            #[cfg(not(feature = "postgres"))]
            StoreUrl::Postgres(_) => return Err(StoreError::NotBuilt { store: url.to_string() }),
        };
        Ok(Self { url, writer })
    }

    /// Opens a [`StoreHandle`] on the same store.
    ///
    /// # Errors
    /// As [`StoreHandle::open`].
    pub fn handle(&self) -> Result<StoreHandle, StoreError> {
        StoreHandle::open(&self.url)
    }

    /// Ends writing.
    ///
    /// # Errors
    /// As [`Ingest::close`].
    pub fn close(self) -> Result<(), StoreError> {
        self.writer.close()
    }
}

impl Deref for Store {
    type Target = dyn Ingest;

    fn deref(&self) -> &Self::Target {
        self.writer.as_ref()
    }
}

impl DerefMut for Store {
    fn deref_mut(&mut self) -> &mut Self::Target {
        self.writer.as_mut()
    }
}

/// A reader and editor of everything but messages, see [`Handle`], with the place of the store's segments.
pub struct StoreHandle {
    handle: Box<dyn Handle>,
    segments: SegmentPlace,
}

impl StoreHandle {
    /// Opens an existing store beside a running `serve`, and migrates it if needed.
    ///
    /// # Errors
    /// When it does not exist, or as for [`Store::open`].
    pub fn open(url: impl Into<StoreUrl>) -> Result<Self, StoreError> {
        let url = url.into();
        let handle: Box<dyn Handle> = match &url {
            StoreUrl::Sqlite(path) => Box::new(SqliteHandle::open(path)?),
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Box::new(PostgresHandle::open(&url)?),
            #[cfg(not(feature = "postgres"))]
            StoreUrl::Postgres(_) => return Err(StoreError::NotBuilt { store: url.to_string() }),
        };
        Ok(Self::new(handle, url))
    }

    /// Opens an existing store of the current version read-only.
    ///
    /// # Errors
    /// As [`StoreHandle::open`].
    pub fn open_reading(url: impl Into<StoreUrl>) -> Result<Self, StoreError> {
        let url = url.into();
        let handle: Box<dyn Handle> = match &url {
            StoreUrl::Sqlite(path) => Box::new(SqliteHandle::open_reading(path)?),
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Box::new(PostgresHandle::open_reading(&url)?),
            #[cfg(not(feature = "postgres"))]
            StoreUrl::Postgres(_) => return Err(StoreError::NotBuilt { store: url.to_string() }),
        };
        Ok(Self::new(handle, url))
    }

    pub(crate) fn new(handle: Box<dyn Handle>, url: StoreUrl) -> Self {
        Self { handle, segments: SegmentPlace::of(url) }
    }

    fn rows(&self) -> RowStore<'_> {
        RowStore { handle: self.handle.as_ref(), segments: &self.segments }
    }

    /// Reads and writes segments in this place instead of the store's own, for tests and copies.
    #[must_use]
    pub fn with_place(self, place: Arc<dyn Place>) -> Self {
        Self { segments: self.segments.given(place), ..self }
    }

    /// The place of the store's segments.
    ///
    /// # Errors
    /// When the store cannot be read, has no place, or its place needs support that this program lacks.
    pub fn place(&self) -> Result<Arc<dyn Place>, StoreError> {
        self.rows().place()
    }

    /// The folder of the store's segments, existing or not; `None` if they are elsewhere.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn segments_folder(&self) -> Result<Option<PathBuf>, StoreError> {
        self.rows().folder()
    }

    /// The rows that count of a segment, each with the number of its agent, in the order of the file. `names` has the agents
    /// by their numbers.
    ///
    /// # Errors
    /// When the segment cannot be read.
    pub fn rows_of_segment(
        &self,
        segment: &StoredSegment,
        names: &BTreeMap<i64, String>,
    ) -> Result<Vec<(i64, Row)>, StoreError> {
        rows_of_segment(self.rows(), names, segment, &Filter::default(), 0..=u64::MAX)
    }

    /// Rows of a schema that are in the store now and that a filter selects, of batches after a position. The filter's group
    /// is ignored: name the agents.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn stored_rows(&self, schema: &SchemaId, filter: Filter, after: u64) -> Result<StoredRows<'_>, StoreError> {
        StoredRows::new(self.rows(), schema, filter, after, Snapshot::of(self.rows(), schema)?)
    }

    /// Rows of one feature schema that are in the store now; the iterator skips rows that arrive later.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn training_rows(&self, schema: &SchemaId) -> Result<training_rows::TrainingRows<'_>, StoreError> {
        self.selected_training_rows(schema, Filter::default())
    }

    /// As [`Self::training_rows`], but only rows of these agents, by name.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn training_rows_of(
        &self,
        schema: &SchemaId,
        agents: impl IntoIterator<Item = String>,
    ) -> Result<training_rows::TrainingRows<'_>, StoreError> {
        self.selected_training_rows(schema, Filter { agents: Some(agents.into_iter().collect()), ..Filter::default() })
    }

    /// As [`StoreHandle::training_rows`], only those rows that a filter selects by agent, time and sample. The filter's group
    /// is ignored: name the agents.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn selected_training_rows(
        &self,
        schema: &SchemaId,
        filter: Filter,
    ) -> Result<training_rows::TrainingRows<'_>, StoreError> {
        training_rows::TrainingRows::new(self.rows(), schema, filter)
    }

    /// Rows of one feature schema by which to classify an episode: those in its alert messages, or else those in its
    /// agent's samples of hosts in an episode during its time span. Skips batches that no longer decode.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn episode_rows(&self, span: &EpisodeSpan, schema: &SchemaId) -> Result<Vec<FeatureVector>, StoreError> {
        episode_features::episode_rows(self.rows(), span, schema)
    }

    /// Alert episodes without a label. Test alerts, which have no limit, do not count.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unlabelled(&self) -> Result<crate::rows::Unlabelled, StoreError> {
        self.handle.unlabelled_of(None)
    }
}

impl Deref for StoreHandle {
    type Target = dyn Handle;

    fn deref(&self) -> &Self::Target {
        self.handle.as_ref()
    }
}
