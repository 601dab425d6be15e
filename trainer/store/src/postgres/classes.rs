//! The queue of episodes to classify ↔ the table of episodes.

use super::PostgresHandle;
use crate::error::StoreError;
use crate::fields;
use crate::rows::EpisodeSpan;
use crate::statements::{CLASSIFY, LABELLED_ATTACKS, LEAVE_QUEUE, UNCLASSIFIED};
use crate::traits::Classes;
use lapwing_fleet::{Classification, UNKNOWN_CLASS};
use lapwing_shared::verdict::alert::NO_HOST;
use std::collections::BTreeSet;

impl Classes for PostgresHandle {
    fn unclassified_episodes(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError> {
        self.read(|session| session.rows(&UNCLASSIFIED, &[&i64::from(limit)], fields::span))
    }

    fn set_classes(
        &self,
        classified: &[(EpisodeSpan, Option<Classification>)],
        model: &str,
        now_s: u64,
    ) -> Result<(), StoreError> {
        let now_s = now_s.cast_signed();
        let agents: BTreeSet<i64> = classified.iter().map(|(span, _)| span.agent).collect();
        let agents: Vec<i64> = agents.into_iter().collect();
        self.write(|session| {
            session.lock_agents(&agents)?;
            for (span, class) in classified {
                if let Some(Classification { class, probability, rows }) = class {
                    let rows = i64::from(*rows);
                    session
                        .change(&CLASSIFY, &[class, probability, &rows, &model, &now_s, &UNKNOWN_CLASS, &span.id])?;
                }
                session.change(&LEAVE_QUEUE, &[&span.id, &span.changes])?;
            }
            Ok(())
        })
    }

    fn labelled_attacks(&self, limit: u32) -> Result<Vec<EpisodeSpan>, StoreError> {
        let no_host: &[u8] = &NO_HOST.0;
        self.read(|session| session.rows(&LABELLED_ATTACKS, &[&no_host, &i64::from(limit)], fields::span))
    }
}
