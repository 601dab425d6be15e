//! A store → a complete copy in another file or database, of the same kind or the other one.
//!
//! [`StoreCopy::run`] takes both stores for itself, copies the files of the segments and then the tables, each in pages in the
//! order of its key, one transaction per page. A copy is marked as unfinished from its first transaction to its last, so that
//! nothing else opens it meanwhile. An interrupted one continues after the highest key of each table. At the end, every row
//! is compared with the source.

use crate::cell::{Cell, key_text};
use crate::copied_tables::{TABLES, Table};
use crate::error::StoreError;
use crate::places::folder;
#[cfg(feature = "postgres")]
use crate::postgres::PostgresHandle;
use crate::row_store::{RowStore, SegmentPlace};
use crate::sqlite::SqliteHandle;
use crate::traits::{CopyEnd, CopyState, Handle};
use crate::url::StoreUrl;
use lapwing_segments::{FILE_BYTES, Place, Segment, SegmentError, verify};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// What a copy is about to do next, or has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// Files of segments are copied.
    Segments {
        /// Copied so far, in this run or an earlier one.
        done: u64,
        /// All files.
        all: u64,
    },
    /// Rows of a table are copied.
    Rows {
        /// Name of the table.
        table: &'static str,
        /// Copied so far, in this run or an earlier one.
        done: u64,
        /// All rows.
        all: u64,
    },
    /// Rows of a table are compared with the source.
    Compared {
        /// Name of the table.
        table: &'static str,
        /// Compared so far.
        done: u64,
        /// All rows.
        all: u64,
    },
}

/// A complete copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Rows of all tables.
    pub rows: u64,
    /// Files of segments.
    pub segments: u64,
    /// The copy was complete before.
    pub was_complete: bool,
}

/// One of the two stores, which no other process writes.
struct End {
    url: StoreUrl,
    tables: Box<dyn CopyEnd>,
    segments: SegmentPlace,
    /// Held until drop.
    _lock: Option<File>,
}

/// Copies `from` to `to`.
pub struct StoreCopy {
    from: End,
    to: End,
}

impl StoreCopy {
    /// Opens both stores; creates the tables of `to`. `segments`: where the copy has its segments; default: beside an SQLite
    /// file.
    ///
    /// # Errors
    /// When a store is in use or cannot be opened, the source is of an older version, or `to` has other data or no place for
    /// segments although the source has some.
    pub fn open(from: &StoreUrl, to: &StoreUrl, segments: Option<&str>) -> Result<Self, StoreError> {
        if is_same(from, to) {
            return Err(StoreError::SamePlace { what: "store", place: to.to_string() });
        }
        let copy = Self { from: End::source(from)?, to: End::copy(to)? };
        copy.begin(segments)?;
        Ok(copy)
    }

    /// Marks a new copy, or recognises one that was begun.
    fn begin(&self, segments: Option<&str>) -> Result<(), StoreError> {
        let (source, store) = (self.from.tables.id()?, self.to.url.to_string());
        match self.to.tables.copy_state()? {
            Some(CopyState { is_complete: true, source: of }) if of == source => {
                let present = self.to.tables.segments_place()?;
                return match segments.filter(|wanted| present.as_deref() != Some(*wanted)) {
                    None => Ok(()),
                    Some(_) => Err(StoreError::CopiedElsewhere {
                        store,
                        place: present.unwrap_or_else(|| "the folder beside it".into()),
                    }),
                };
            }
            Some(CopyState { is_complete: false, source: of }) if of == source => {}
            Some(CopyState { is_complete: false, .. }) => {
                return Err(StoreError::NotEmpty { store, what: "a part of another store".into() });
            }
            _ => {
                for table in &TABLES {
                    let rows = self.to.tables.row_count(table)?;
                    if rows > 0 {
                        return Err(StoreError::NotEmpty { store, what: format!("{rows} rows in {}", table.name) });
                    }
                }
                self.to.tables.begin_copy(source)?;
            }
        }
        if segments.is_some() {
            self.to.tables.set_segments_place(segments)?;
        }
        self.check_places()
    }

    /// Rejects a copy whose segments would lie with those of the source: each store deletes what it does not list.
    fn check_places(&self) -> Result<(), StoreError> {
        if self.from.tables.segment_totals()?.segments == 0 {
            return Ok(());
        }
        self.to.rows().place()?;
        let place = |end: &End| -> Result<_, StoreError> {
            let setting = end.tables.segments_place()?;
            let folder = folder(&end.url, setting.as_deref());
            Ok(folder.map_or(setting, |path| Some(path.canonicalize().unwrap_or(path).display().to_string())))
        };
        let (from, to) = (place(&self.from)?, place(&self.to)?);
        if let Some(place) = to.filter(|to| from.as_ref() == Some(to)) {
            return Err(StoreError::SamePlace { what: "place of segments", place });
        }
        self.check_folder()
    }

    /// Rejects a folder with other segments, e.g. of a backup: `serve` would delete them.
    fn check_folder(&self) -> Result<(), StoreError> {
        let Some(folder) = folder(&self.to.url, self.to.tables.segments_place()?.as_deref()) else { return Ok(()) };
        let segments = self.from.tables.segments(None)?;
        let known: BTreeSet<&str> = segments.iter().map(|segment| segment.segment.file.as_str()).collect();
        // A folder that cannot be read is an error when the files are copied.
        let mut names = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let is_other = |name: OsString| {
            Path::new(&name).extension().is_some_and(|ending| ending == "parquet")
                && name.to_str().is_none_or(|name| !known.contains(name))
        };
        if names.any(is_other) {
            let (place, what) = (folder.display().to_string(), "has segments of another store".into());
            return Err(SegmentError::Owner { place, what, expected: "choose another folder".into() }.into());
        }
        Ok(())
    }

    /// Copies everything and compares it. `go_on` is called after each step; if it returns false, the copy ends unfinished, and
    /// the result is `None`.
    ///
    /// # Errors
    /// When a store cannot be read or written, the source has problems, or the copy differs because the source was used
    /// between two runs.
    pub fn run(&self, go_on: &mut dyn FnMut(CopyStep) -> bool) -> Result<Option<Copied>, StoreError> {
        let was_complete = self.to.tables.copy_state()?.is_some_and(|state| state.is_complete);
        let segments = self.from.tables.segments(None)?.len() as u64;
        if !was_complete {
            let problems = self.from.tables.table_problems()?;
            reject(&self.from, &problems)?;
            if !self.copy_segments(go_on)? {
                return Ok(None);
            }
            for table in &TABLES {
                if !self.copy_table(table, go_on).map_err(|error| error.in_table(table.name))? {
                    return Ok(None);
                }
            }
            self.to.tables.settle_copy()?;
        }
        let mut rows = 0;
        for table in &TABLES {
            // A complete copy may have been used, and is not to be deleted then.
            let used = |error| match error {
                StoreError::Differs { .. } if was_complete => {
                    let what = "a complete copy of this source; one of the two has been used since".into();
                    StoreError::NotEmpty { store: self.to.url.to_string(), what }
                }
                error => error,
            };
            match self.compare(table, go_on).map_err(|error| used(error).in_table(table.name))? {
                Some(compared) => rows += compared,
                None => return Ok(None),
            }
        }
        if !was_complete {
            reject(&self.to, &self.to.tables.table_problems()?)?;
            self.to.tables.end_copy()?;
        }
        Ok(Some(Copied { rows, segments, was_complete }))
    }

    /// Copies the files that the copy does not have yet; false if `go_on` ended it.
    fn copy_segments(&self, go_on: &mut dyn FnMut(CopyStep) -> bool) -> Result<bool, StoreError> {
        let segments = self.from.tables.segments(None)?;
        if segments.is_empty() {
            return Ok(true);
        }
        let (from, to, all) = (self.from.rows().place()?, self.to.rows().place()?, segments.len() as u64);
        to.claim(self.from.tables.id()?, true)?;
        for (done, segment) in (1..).zip(&segments) {
            copy_segment(from.as_ref(), to.as_ref(), &segment.segment)?;
            if !go_on(CopyStep::Segments { done, all }) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies the rows after the highest key of the copy; false if `go_on` ended it.
    fn copy_table(&self, table: &Table, go_on: &mut dyn FnMut(CopyStep) -> bool) -> Result<bool, StoreError> {
        let (mut key, mut done) = (self.to.tables.last_key(table)?, self.to.tables.row_count(table)?);
        let all = self.from.tables.row_count(table)?;
        loop {
            let page = self.from.tables.rows_after(table, key.as_deref())?;
            let Some(last) = page.last() else { return Ok(true) };
            key = Some(key_of(table, last).to_vec());
            self.to.tables.add_rows(table, &page)?;
            done += page.len() as u64;
            if !go_on(CopyStep::Rows { table: table.name, done, all }) {
                return Ok(false);
            }
        }
    }

    /// Compares every row; returns their number, or `None` if `go_on` ended it.
    fn compare(&self, table: &Table, go_on: &mut dyn FnMut(CopyStep) -> bool) -> Result<Option<u64>, StoreError> {
        let (mut key, mut done) = (None, 0);
        let all = self.from.tables.row_count(table)?;
        let differs = |row| StoreError::Differs { store: self.to.url.to_string(), table: table.name, row };
        loop {
            let page = self.from.tables.rows_after(table, key.as_deref())?;
            let copied = self.to.tables.rows_after(table, key.as_deref())?;
            for place in 0..page.len().max(copied.len()) {
                let (row, copy) = (page.get(place), copied.get(place));
                // Pages may end at different places, where values are large.
                let is_beyond = copy.is_none() && !copied.is_empty() || row.is_none() && !page.is_empty();
                let of = |row: Option<&Vec<Cell>>| row.map(|row| common(table, row).to_vec());
                if !is_beyond && of(row) != of(copy) {
                    return Err(differs(key_text(row.or(copy).map_or(&[], |row| key_of(table, row)))));
                }
            }
            let same = page.len().min(copied.len());
            let Some(last) = same.checked_sub(1).and_then(|last| page.get(last)) else { break };
            key = Some(key_of(table, last).to_vec());
            done += same as u64;
            if !go_on(CopyStep::Compared { table: table.name, done, all }) {
                return Ok(None);
            }
        }
        // The walk by keys has seen every row.
        let counts = (all, self.to.tables.row_count(table)?);
        if counts == (done, done) { Ok(Some(done)) } else { Err(differs(format!("{} of {}", counts.1, counts.0))) }
    }
}

impl End {
    fn source(url: &StoreUrl) -> Result<Self, StoreError> {
        match url {
            StoreUrl::Sqlite(path) => {
                let (handle, lock) = SqliteHandle::open_source(path)?;
                Ok(Self::new(url, Box::new(handle), Some(lock)))
            }
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Ok(Self::new(url, Box::new(PostgresHandle::open_source(url)?), None)),
            #[cfg(not(feature = "postgres"))]
            StoreUrl::Postgres(_) => Err(StoreError::NotBuilt { store: url.to_string() }),
        }
    }

    fn copy(url: &StoreUrl) -> Result<Self, StoreError> {
        match url {
            StoreUrl::Sqlite(path) => {
                let (handle, lock) = SqliteHandle::open_copy(path)?;
                Ok(Self::new(url, Box::new(handle), Some(lock)))
            }
            #[cfg(feature = "postgres")]
            StoreUrl::Postgres(_) => Ok(Self::new(url, Box::new(PostgresHandle::open_copy(url)?), None)),
            #[cfg(not(feature = "postgres"))]
            StoreUrl::Postgres(_) => Err(StoreError::NotBuilt { store: url.to_string() }),
        }
    }

    fn new(url: &StoreUrl, tables: Box<dyn CopyEnd>, lock: Option<File>) -> Self {
        Self { url: url.clone(), tables, segments: SegmentPlace::of(url.clone()), _lock: lock }
    }

    fn rows(&self) -> RowStore<'_> {
        let handle: &dyn Handle = self.tables.as_ref();
        RowStore { handle, segments: &self.segments }
    }
}

/// Whether two addresses are certainly of the same store.
fn is_same(one: &StoreUrl, other: &StoreUrl) -> bool {
    match (one, other) {
        (StoreUrl::Sqlite(one), StoreUrl::Sqlite(other)) => {
            one == other || one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
        }
        _ => one == other,
    }
}

/// An error if a store has problems.
fn reject(end: &End, problems: &[String]) -> Result<(), StoreError> {
    match problems.first() {
        None => Ok(()),
        Some(first) => {
            Err(StoreError::Problems { store: end.url.to_string(), count: problems.len(), first: first.clone() })
        }
    }
}

fn key_of<'row>(table: &Table, row: &'row [Cell]) -> &'row [Cell] {
    row.split_at_checked(table.key).map_or(row, |(key, _)| key)
}

/// The values that both databases store.
fn common<'row>(table: &Table, row: &'row [Cell]) -> &'row [Cell] {
    row.split_at_checked(table.columns.len()).map_or(row, |(columns, _)| columns)
}

/// Copies a file unless the copy has it, from an interrupted run.
fn copy_segment(from: &dyn Place, to: &dyn Place, segment: &Segment) -> Result<(), SegmentError> {
    if verify(to, segment).is_ok() {
        return Ok(());
    }
    verify(from, segment)?;
    let failed = |source| SegmentError::Read { file: segment.file.clone(), source };
    let mut bytes = Vec::new();
    from.open(&segment.file)?.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(failed(ErrorKind::FileTooLarge.into()));
    }
    to.put(&segment.file, &bytes)
}
