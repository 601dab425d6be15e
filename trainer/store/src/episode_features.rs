//! An episode's messages and sample batches → the feature rows by which to classify it.
//!
//! An episode is classified by the rows that its alert messages carry. Older agents, and agents with `samples.alert-rows`
//! off, send no such rows; then the rows of their samples count that were recorded during the episode for a host in an
//! episode. Samples do not name the host, so concurrent episodes of one agent share these rows.

use crate::error::StoreError;
use crate::rows::EpisodeSpan;
use crate::traits::Samples;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::features::{FEATURES, FeatureVector, SchemaId};
use lapwing_shared::messages::{Body, Message};

/// Sample batches read to classify one episode, at most: the first ones of a long episode.
const BATCHES: u32 = 32;
/// Messages read to classify one episode, at most: the newest ones of a long episode.
const MESSAGES: u32 = 32;

pub(crate) fn episode_rows(
    store: &(impl Samples + ?Sized),
    span: &EpisodeSpan,
    schema: &SchemaId,
) -> Result<Vec<FeatureVector>, StoreError> {
    // Decoding an alert drops rows of any schema but this program's.
    let carried = if *schema == schema_id() { carried_rows(store, span)? } else { Vec::new() };
    if carried.is_empty() { sampled_rows(store, span, schema) } else { Ok(carried) }
}

/// Distinct rows of the episode's messages, in order of arrival.
fn carried_rows(store: &(impl Samples + ?Sized), span: &EpisodeSpan) -> Result<Vec<FeatureVector>, StoreError> {
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

fn sampled_rows(
    store: &(impl Samples + ?Sized),
    span: &EpisodeSpan,
    schema: &SchemaId,
) -> Result<Vec<FeatureVector>, StoreError> {
    let mut rows = Vec::new();
    for payload in store.overlapping_batches(span, schema, BATCHES)? {
        let Ok(Body::Samples(samples)) = Message::decode(&payload).map(|message| message.body) else { continue };
        let within = |row: &&lapwing_shared::messages::SampleRow| {
            (span.first_ns..=span.last_ns).contains(&crate::received::stored_ns(row.at))
        };
        let of_episode = samples.rows.iter().filter(|row| row.in_episode).filter(within);
        rows.extend(of_episode.filter_map(|row| <&[f32; FEATURES]>::try_from(row.features.as_slice()).ok().copied()));
    }
    Ok(rows)
}
