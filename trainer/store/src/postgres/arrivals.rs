//! Positions in the order of arrival (ids of sample batches) up to which no batch can become visible any more.
//!
//! Ids come from a sequence, and the transaction that drew a lower one may commit later. A reader that had passed it would
//! never read that batch, if it continues from a position; and a segment could have an agent's newer batch while its older
//! one stays in the journal. So a writer announces, before it draws ids, the last id that was drawn up to then, by an
//! advisory lock that ends with its transaction. Its ids are higher. Whoever reads the newest id first, and the announced
//! ones then, knows of every writer with a lower id that has not committed. No process waits.
//!
//! The locks are those of one server: on a standby, a batch may still become visible late.

use super::schema::LOCKS;
use super::session::{Queried, Session};
use crate::counter::Counter;

/// First key of the locks; the second one is the lower half of an id.
const DRAWING: i32 = LOCKS + 2;

/// Announces that this transaction will draw ids of sample batches.
pub(super) fn announce(session: &mut Session) -> Queried<()> {
    let text = "SELECT pg_advisory_xact_lock_shared($1, \
                (last_value - CASE WHEN is_called THEN 0 ELSE 1 END)::bit(32)::integer) FROM sample_ids";
    session.query(text, &[&DRAWING]).map(drop)
}

/// Position of the newest batch up to which every batch is visible or will never be; 0 without any. Those in segments are.
pub(super) fn newest_settled(session: &mut Session) -> Queried<i64> {
    let text = "SELECT coalesce(max(id), 0) FROM samples";
    let newest: i64 = session.query_one(text, &[])?.try_get(0)?;
    // The difference to the newest id has 32 bits, too.
    let text = "SELECT greatest(least($1::bigint, \
                (SELECT min($1::bigint + ((objid::bigint - $1::bigint + 2147483648) & 4294967295) - 2147483648) \
                 FROM pg_locks WHERE locktype = 'advisory' AND classid = $2::integer::oid AND objsubid = 2 AND granted \
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))), \
                (SELECT coalesce(sum(value), 0)::bigint FROM counters WHERE name = $3))";
    let row = session.query_one(text, &[&newest, &DRAWING, &Counter::SegmentArrivals.name()])?;
    Ok(row.try_get(0)?)
}
