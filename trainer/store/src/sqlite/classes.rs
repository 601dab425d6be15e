//! The queue of episodes to classify ↔ the table of episodes.

use super::SqliteHandle;
use crate::error::StoreError;
use crate::fields;
use crate::rows::EpisodeSpan;
use crate::statements::{CLASSIFY, LABELLED_ATTACKS, LEAVE_QUEUE, UNCLASSIFIED};
use crate::traits::Classes;
use lapwing_fleet::{Classification, UNKNOWN_CLASS};
use lapwing_shared::verdict::alert::NO_HOST;
use rusqlite::{Transaction, TransactionBehavior};

impl Classes for SqliteHandle {
    fn unclassified_episodes(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError> {
        self.rows(&UNCLASSIFIED, [limit], |row| fields::span(row)).map_err(self.sql())
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
                    let values = (class, probability, rows, model, now_s.cast_signed(), UNKNOWN_CLASS, span.id);
                    transaction.prepare_cached(&CLASSIFY)?.execute(values)?;
                }
                transaction.prepare_cached(&LEAVE_QUEUE)?.execute((span.id, span.changes))?;
            }
            transaction.commit()
        };
        write().map_err(self.sql())
    }

    fn labelled_attacks(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError> {
        self.rows(&LABELLED_ATTACKS, (NO_HOST.0, limit), |row| fields::span(row)).map_err(self.sql())
    }
}
