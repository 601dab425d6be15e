//! Feature rows of a store ↔ a folder of Parquet segments: `store export` and `store import`.

use super::store_args::StoreArgs;
use anyhow::{Context, bail, ensure};
use clap::Args;
use lapwing_common::{clock, print_line};
use lapwing_segments::{Filter, Folder, Index, Limits, Place, Row, Segment, SegmentReader, SegmentWriter};
use lapwing_shared::features::FeatureVector;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::{Body, MESSAGE_BYTES, Message, SampleRow, Samples};
use lapwing_shared::release::name::parse_name;
use lapwing_store::{Committed, Received, Store, StoreHandle, StoredBatch};
use std::fs::File;
use std::path::PathBuf;

/// Batches per query of an export and per transaction of an import: at most 15 MiB.
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
    folder.remove_unknown(&index.segments)?;
    Ok((folder, index, lock))
}

/// Adds a segment to the index of its folder.
fn add(index: &mut Index, folder: &Folder, segment: Option<Segment>) -> anyhow::Result<()> {
    let Some(segment) = segment else { return Ok(()) };
    print_line!("{}: {} rows, {} bytes", segment.file, segment.rows, segment.bytes);
    index.segments.push(segment);
    Ok(index.save(folder)?)
}

fn export_within(args: &ExportArgs, limits: Limits) -> anyhow::Result<()> {
    let config = args.store.configuration()?;
    let group = args.group.clone().unwrap_or(config.retrain.group);
    parse_name(&group).with_context(|| format!("--group {group}: not a valid name"))?;
    let handle = StoreHandle::open(&config.store.path)?;
    let (folder, mut index, _lock) = open(args, &group)?;
    let (mut after, up_to) = (index.segments.last().map_or(0, |segment| segment.last_arrival), handle.newest_batch()?);
    ensure!(
        after <= up_to,
        "{} has rows that {} never had or no longer has; export to another folder",
        args.out.display(),
        config.store.path
    );
    let (segments_before, mut unreadable) = (index.segments.len(), 0_u64);
    let mut writer = SegmentWriter::new(&folder, &group, limits);
    loop {
        let page = handle.sample_batches(&schema_id(), after, up_to, PAGE as u32)?;
        let Some(last) = page.last() else { break };
        after = last.arrival;
        for batch in &page {
            match rows_of(batch) {
                Some(rows) => add(&mut index, &folder, writer.push(&rows, clock::now_s())?)?,
                None => unreadable += 1,
            }
        }
    }
    add(&mut index, &folder, writer.close(clock::now_s())?)?;
    let added = &index.segments[segments_before..];
    let rows: u64 = added.iter().map(|segment| segment.rows).sum();
    print_line!("{}: {rows} rows added in {} files", args.out.display(), added.len());
    let others = handle.rows_of_other_schemas(&schema_id())?;
    for (count, what) in [(unreadable, "batches cannot be decoded"), (others, "rows have other feature schemas")] {
        if count > 0 {
            print_line!("warning: {count} {what} and are not exported");
        }
    }
    Ok(())
}

/// The rows of a stored batch; `None` if it no longer decodes.
fn rows_of(batch: &StoredBatch) -> Option<Vec<Row>> {
    let agent = parse_name(&batch.agent)?;
    let Message { run, number, sent_s, body } = Message::decode(&batch.payload).ok()?;
    let Body::Samples(Samples { flows_seen, rows, .. }) = body else { return None };
    let batch_rows = rows.len() as u32;
    let row = |(index, row): (usize, &SampleRow)| {
        Some(Row {
            agent: agent.clone(),
            at: row.at,
            arrival: batch.arrival,
            run,
            number,
            row: index as u32,
            batch_rows,
            flows_seen,
            sent_s,
            score: row.score,
            in_episode: row.in_episode,
            hosts: row.hosts,
            features: FeatureVector::try_from(row.features.as_slice()).ok()?,
        })
    };
    rows.iter().enumerate().map(row).collect()
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
