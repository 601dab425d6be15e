//! An episode's messages and sample batches → the feature rows by which to classify it.
//!
//! An episode is classified by the rows that its alert messages carry. Older agents, and agents with `samples.alert-rows`
//! off, send no such rows; then the rows of their samples count that were recorded during the episode for a host in an
//! episode. Samples do not name the host, so concurrent episodes of one agent share these rows.

use crate::error::StoreError;
use crate::received::stored_ns;
use crate::row_store::RowStore;
use crate::rows::EpisodeSpan;
use crate::segment_rows::rows_of;
use crate::stored_rows::rows_of_segment;
use lapwing_segments::{Filter, Row};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, Message};
use std::collections::BTreeMap;

/// Sample batches read to classify one episode, at most: the first ones of a long episode.
const BATCHES: u32 = 32;
/// Segments read to classify one episode, at most: the first ones of a long episode.
const SEGMENTS: u32 = 16;
/// Messages read to classify one episode, at most: the newest ones of a long episode.
const MESSAGES: u32 = 32;

pub(crate) fn episode_rows(
    store: RowStore<'_>,
    span: &EpisodeSpan,
    schema: &SchemaId,
) -> Result<Vec<FeatureVector>, StoreError> {
    // Decoding an alert drops rows of any schema but this program's.
    let carried = if *schema == schema_id() { carried_rows(store, span)? } else { Vec::new() };
    if carried.is_empty() { sampled_rows(store, span, schema) } else { Ok(carried) }
}

/// Distinct rows of the episode's messages, in order of arrival.
fn carried_rows(store: RowStore<'_>, span: &EpisodeSpan) -> Result<Vec<FeatureVector>, StoreError> {
    let mut rows: Vec<FeatureVector> = Vec::new();
    for payload in store.alert_payloads(span, MESSAGES)?.iter().rev() {
        let Ok(Body::Alert(alert)) = Message::decode(payload).map(|message| message.body) else { continue };
        for row in alert.rows {
            if !rows.contains(&row) {
                rows.push(row);
            }
        }
    }
    Ok(rows)
}

fn sampled_rows(store: RowStore<'_>, span: &EpisodeSpan, schema: &SchemaId) -> Result<Vec<FeatureVector>, StoreError> {
    let mut batches: Vec<(i64, Vec<Row>)> = Vec::new();
    for batch in store.overlapping_batches(span, schema, BATCHES)? {
        let Some((rows, _)) = rows_of(&batch) else { continue };
        batches.push((last_marked(&rows), rows));
    }
    batches.extend(batches_of_segments(store, span, schema)?);
    // As the journal orders them.
    batches.sort_by_key(|(last_ns, rows)| (*last_ns, rows.first().map_or(0, |row| row.arrival)));
    batches.truncate(BATCHES as usize);
    let within = |row: &Row| row.in_episode && (span.first_ns..=span.last_ns).contains(&stored_ns(row.at));
    Ok(batches.into_iter().flat_map(|(_, rows)| rows).filter(within).map(|row| row.features).collect())
}

/// Time of the last marked row.
fn last_marked(rows: &[Row]) -> i64 {
    rows.iter().filter(|row| row.in_episode).map(|row| stored_ns(row.at)).max().unwrap_or(i64::MIN)
}

/// Batches in segments that the episode overlaps, each with the time of its last marked row.
fn batches_of_segments(
    store: RowStore<'_>,
    span: &EpisodeSpan,
    schema: &SchemaId,
) -> Result<Vec<(i64, Vec<Row>)>, StoreError> {
    let segments = store.overlapping_segments(span, schema, SEGMENTS)?;
    if segments.is_empty() {
        return Ok(Vec::new());
    }
    let names = BTreeMap::from([(span.agent, span.agent_name.clone())]);
    let mut batches = Vec::new();
    for segment in segments {
        let rows = rows_of_segment(store, &names, &segment, &Filter::default(), 0..=u64::MAX)?;
        let mut rows: Vec<Row> = rows.into_iter().map(|(_, row)| row).collect();
        rows.sort_unstable_by_key(|row| (row.arrival, row.row));
        for batch in rows.chunk_by(|one, other| one.arrival == other.arrival) {
            let first = batch.iter().filter(|row| row.in_episode).map(|row| stored_ns(row.at)).min();
            let last_ns = last_marked(batch);
            if first.is_some_and(|first_ns| first_ns <= span.last_ns) && last_ns >= span.first_ns {
                batches.push((last_ns, batch.to_vec()));
            }
        }
    }
    Ok(batches)
}
