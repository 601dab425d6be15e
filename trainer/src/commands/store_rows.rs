//! Feature rows of a store ↔ a folder of Parquet segments: `store export` and `store import`.

use super::store_args::StoreArgs;
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapwing_common::{clock, print_line};
use lapwing_segments::{Filter, Folder, Index, Limits, Place, Row, Segment, SegmentReader, SegmentWriter};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{Body, MESSAGE_BYTES, Message, SampleRow, Samples};
use lapwing_shared::release::name::parse_name;
use lapwing_store::{Committed, Received, Store, StoreHandle, StoredRows};
use std::fs::File;
use std::path::PathBuf;

/// Batches per transaction of an import: at most 15 MiB.
const PAGE: usize = 256;

/// `store export`.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Store.
    #[command(flatten)]
    store: StoreArgs,
    /// Folder for the files; a later export of the same store may continue it.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Group of the agents [default: the configuration's].
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// `store import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Folder that `store export` has written.
    folder: PathBuf,
    /// Store; created if it is missing.
    #[command(flatten)]
    store: StoreArgs,
}

/// `store export`.
pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<()> {
    export_within(args, Limits::default())
}

/// Opens or creates the folder of an export, locks it, and removes what an interrupted one left in it.
fn open(args: &ExportArgs, group: &str) -> anyhow::Result<(Folder, Index, File)> {
    let folder = Folder::create(&args.out)?;
    let lock = folder.lock()?.with_context(|| format!("another export writes to {}", args.out.display()))?;
    let index = Index::load(&folder)?.unwrap_or_default();
    if let Some(other) = index.segments.iter().find(|segment| segment.group != group) {
        bail!("{} has rows of group `{}`; export group `{group}` to another folder", args.out.display(), other.group);
    }
    folder.remove_unknown(&index.segments.iter().map(|segment| segment.file.clone()).collect())?;
    Ok((folder, index, lock))
}

/// Writes the newer rows of a store. The index is saved at the end: rows of different groups are not in order of arrival, so
/// an interrupted export cannot be continued.
fn export_within(args: &ExportArgs, limits: Limits) -> anyhow::Result<()> {
    let config = args.store.configuration()?;
    let group = args.group.clone().unwrap_or(config.retrain.group);
    parse_name(&group).with_context(|| format!("--group {group}: not a valid name"))?;
    let handle = StoreHandle::open(&config.store.path)?;
    let (folder, mut index, _lock) = open(args, &group)?;
    let after = index.segments.iter().map(|segment| segment.last_arrival).max().unwrap_or(0);
    ensure!(
        after <= handle.newest_batch()?,
        "{} has rows that {} never had or no longer has; export to another folder",
        args.out.display(),
        config.store.path
    );
    let mut stored = handle.stored_rows(&schema_id(), Filter::default(), after)?;
    let added = write_rows(&mut stored, SegmentWriter::new(&folder, &group, limits))?;
    let unreadable = stored.unreadable_batches();
    let rows: u64 = added.iter().map(|segment| segment.rows).sum();
    for Segment { file, rows, bytes, .. } in &added {
        print_line!("{file}: {rows} rows, {bytes} bytes");
    }
    print_line!("{}: {rows} rows added in {} files", args.out.display(), added.len());
    if !added.is_empty() {
        index.segments.extend(added);
        index.save(&folder)?;
    }
    let others = handle.rows_of_other_schemas(&schema_id())?;
    for (count, what) in [(unreadable, "batches cannot be decoded"), (others, "rows have other feature schemas")] {
        if count > 0 {
            print_line!("warning: {count} {what} and are not exported");
        }
    }
    Ok(())
}

/// Writes rows, batch by batch.
fn write_rows(stored: &mut StoredRows<'_>, mut writer: SegmentWriter<'_>) -> anyhow::Result<Vec<Segment>> {
    let (mut batch, mut written): (Vec<Row>, Vec<Segment>) = (Vec::new(), Vec::new());
    for row in stored {
        let (_, row) = row?;
        if batch.first().is_some_and(|first| batch_id(first) != batch_id(&row)) {
            written.extend(writer.push(&batch, clock::now_s())?);
            batch.clear();
        }
        batch.push(row);
    }
    if !batch.is_empty() {
        written.extend(writer.push(&batch, clock::now_s())?);
    }
    written.extend(writer.close(clock::now_s())?);
    Ok(written)
}

/// `store import`.
pub(crate) fn import(args: &ImportArgs) -> anyhow::Result<()> {
    let config = args.store.configuration()?;
    let folder = Folder::existing(&args.folder);
    let index = Index::load(&folder)?;
    let index = index.with_context(|| format!("{} has no segments.json", args.folder.display()))?;
    let mut store = Store::open(&config.store.path, config.limits())?;
    let mut total = Committed::default();
    for segment in &index.segments {
        let done = import_segment(&folder, segment, &mut store)?;
        print_line!("{}: {} rows added", segment.file, done.sample_rows);
        total.sample_rows += done.sample_rows;
        total.duplicates += done.duplicates;
        total.refused += done.refused;
        total.rejected += done.rejected;
    }
    store.close()?;
    let path = &config.store.path;
    print_line!("{path}: {} rows added; {} batches were already stored", total.sample_rows, total.duplicates);
    ensure!(
        total.refused + total.rejected == 0,
        "{path} has not stored {} batches of agents beyond store.agents and rejected {} with numbers too far apart",
        total.refused,
        total.rejected
    );
    Ok(())
}

/// Stores the batches of a segment, which is in memory as a whole: `SEGMENT_ROWS` rows at most.
fn import_segment(folder: &Folder, segment: &Segment, store: &mut Store) -> anyhow::Result<Committed> {
    let mut rows = SegmentReader::open(folder, segment, &Filter::default())?.collect::<Result<Vec<Row>, _>>()?;
    rows.sort_unstable_by_key(|row| (row.arrival, row.row));
    let same = |one: &Row, other: &Row| batch_id(one) == batch_id(other);
    let batches: Vec<&[Row]> = rows.chunk_by(same).collect();
    let mut total = Committed::default();
    for page in batches.chunks(PAGE) {
        let received = page.iter().map(|batch| message_of(batch, segment)).collect::<anyhow::Result<Vec<_>>>()?;
        let done = store.commit(&received, clock::now_s())?;
        total.sample_rows += done.sample_rows;
        total.duplicates += done.duplicates;
        total.refused += done.refused;
        total.rejected += done.rejected;
    }
    Ok(total)
}

fn batch_id(row: &Row) -> (u64, &str, u64, u64) {
    (row.arrival, row.agent.as_str(), row.run, row.number)
}

/// The message that the rows of a batch came from.
fn message_of(batch: &[Row], segment: &Segment) -> anyhow::Result<Received> {
    let first = batch.first().context("a batch without rows")?;
    let wrong = |what: &str| {
        format!("{}: batch {} of run {} of agent `{}` {what}", segment.file, first.number, first.run, first.agent)
    };
    let complete = batch.iter().enumerate().all(|(index, row)| row.row as usize == index);
    ensure!(complete && batch.len() == first.batch_rows as usize, wrong("is not complete"));
    parse_name(&first.agent).with_context(|| wrong("has an invalid agent name"))?;
    let row = |row: &Row| SampleRow::new(row.at, &row.features, row.score, row.in_episode, row.hosts);
    let rows: Vec<SampleRow> = batch.iter().map(row).collect();
    let rows = rows.as_slice().try_into().ok().with_context(|| wrong("has too many rows"))?;
    let body = Body::Samples(Samples { schema: schema_id(), flows_seen: first.flows_seen, rows });
    let message = Message { run: first.run, number: first.number, sent_s: first.sent_s, body };
    let mut buffer = vec![0; MESSAGE_BYTES];
    let payload = message.encode(&mut buffer).with_context(|| wrong("cannot be encoded"))?.to_vec();
    Ok(Received::new(first.agent.clone(), message, payload))
}

#[cfg(test)]
#[path = "store_rows_tests.rs"]
mod tests;
