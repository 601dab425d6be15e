//! The queue of episodes to classify ↔ the table of episodes.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::rows::EpisodeSpan;
use crate::traits::Classes;
use lapwing_fleet::{Classification, UNKNOWN_CLASS};
use lapwing_shared::verdict::alert::NO_HOST;
use lapwing_shared::verdict::tracker::UPDATE_INTERVAL;
use rusqlite::{Transaction, TransactionBehavior};

impl Classes for SqliteHandle {
    fn unclassified_episodes(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError> {
        let text = format!("SELECT {SPAN} WHERE e.to_classify > 0 ORDER BY e.id LIMIT ?1");
        let read = || {
            let mut statement = self.connection.prepare_cached(&text)?;
            statement.query_map([limit], span)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }

    fn set_classes(
        &self,
        classified: &[(EpisodeSpan, Option<Classification>)],
        model: &str,
        now_s: u64,
    ) -> Result<(), StoreError> {
        let write = || {
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            for (span, class) in classified {
                if let Some(Classification { class, probability, rows }) = class {
                    let text = "UPDATE episodes SET class = ?2, class_probability = ?3, class_rows = ?4, class_model = ?5, \
                                classified_s = ?6, shown_class = coalesce(nullif(?2, ?7), resembles, ?7) WHERE id = ?1";
                    let values = (span.id, class, probability, rows, model, now_s.cast_signed(), UNKNOWN_CLASS);
                    transaction.prepare_cached(text)?.execute(values)?;
                }
                let text = "UPDATE episodes SET to_classify = 0 WHERE id = ?1 AND to_classify = ?2";
                transaction.prepare_cached(text)?.execute((span.id, span.changes))?;
            }
            transaction.commit()
        };
        write().map_err(self.sql())
    }

    fn labelled_attacks(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError> {
        let text = format!(
            "SELECT {SPAN} WHERE e.label = 'attack' AND e.host <> ?2 ORDER BY e.labelled_s DESC, e.episode LIMIT ?1"
        );
        let read = || {
            let mut statement = self.connection.prepare_cached(&text)?;
            statement.query_map((limit, NO_HOST.0), span)?.collect::<rusqlite::Result<_>>()
        };
        read().map_err(self.sql())
    }
}

/// Columns and tables that [`span`] reads.
const SPAN: &str = "e.id, e.agent, agents.name, e.episode, e.first_ns, e.open_ns, e.closed_ns, e.to_classify \
     FROM episodes AS e JOIN agents ON agents.id = e.agent";

/// An episode with the time span of its flows.
///
/// An agent updates a growing episode every [`UPDATE_INTERVAL`], so its last flow is at most that much newer than the last
/// update. It closes the episode up to [`lapwing_shared::verdict::tracker::EPISODE_TIMEOUT`] after the last flow; rows
/// from that time belong to other episodes.
fn span(row: &rusqlite::Row<'_>) -> rusqlite::Result<EpisodeSpan> {
    let (open, closed): (Option<i64>, Option<i64>) = (row.get(5)?, row.get(6)?);
    let open = open.map_or(i64::MAX, |at| at.saturating_add(UPDATE_INTERVAL.0.cast_signed()));
    Ok(EpisodeSpan {
        id: row.get(0)?,
        agent: row.get(1)?,
        agent_name: row.get(2)?,
        episode: row.get::<_, i64>(3)?.cast_unsigned(),
        first_ns: row.get(4)?,
        last_ns: open.min(closed.unwrap_or(i64::MAX)),
        changes: row.get(7)?,
    })
}
