//! Rows of a segment → what an index keeps of each of its agents.

use crate::row::Row;
use lapwing_shared::messages::AgentName;
use lapwing_shared::units::Timestamp;
use std::collections::BTreeMap;

/// One agent's part of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentExtent {
    /// The agent.
    pub agent: AgentName,
    /// Its rows.
    pub rows: u64,
    /// Its batches.
    pub batches: u64,
    /// Position of its newest batch in the order of arrival.
    pub last_arrival: u64,
    /// Time of the newest row in that batch.
    pub newest: Timestamp,
    /// Times of its first and last row of a host in an episode; `None` without such rows.
    pub suspects: Option<(Timestamp, Timestamp)>,
}

/// The agents of some rows, which may be in any order, by name.
pub fn agent_extents(rows: &[Row]) -> Vec<AgentExtent> {
    let mut extents: BTreeMap<&str, AgentExtent> = BTreeMap::new();
    for row in rows {
        let extent = extents.entry(&row.agent).or_insert_with(|| AgentExtent {
            agent: row.agent.clone(),
            rows: 0,
            batches: 0,
            last_arrival: 0,
            newest: Timestamp::EPOCH,
            suspects: None,
        });
        extent.rows += 1;
        // A batch is whole, so it has one row of index 0.
        extent.batches += u64::from(row.row == 0);
        if row.arrival > extent.last_arrival {
            (extent.last_arrival, extent.newest) = (row.arrival, row.at);
        } else if row.arrival == extent.last_arrival {
            extent.newest = extent.newest.max(row.at);
        }
        if row.in_episode {
            let (first, last) = extent.suspects.unwrap_or((row.at, row.at));
            extent.suspects = Some((first.min(row.at), last.max(row.at)));
        }
    }
    extents.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::row;

    #[test]
    fn an_extent_has_the_newest_row_of_the_newest_batch_and_the_span_of_marked_rows() {
        let of =
            |arrival, index, at_s, in_episode| Row { arrival, row: index, in_episode, ..row("gw-1", arrival, at_s) };
        let mut rows = vec![
            of(2, 1, 900, true),
            of(5, 0, 40, false),
            of(5, 1, 60, true),
            of(2, 0, 30, false),
            of(5, 2, 50, false),
            row("gw-0", 9, 1),
        ];
        for _ in 0..rows.len() {
            rows.rotate_left(1);
            let extents = agent_extents(&rows);
            let [other, extent] = &extents[..] else { panic!("two agents expected: {extents:?}") };
            assert_eq!((other.agent.as_str(), other.rows, other.suspects), ("gw-0", 1, None));
            assert_eq!((extent.rows, extent.batches, extent.last_arrival), (5, 2, 5));
            assert_eq!(extent.newest.as_secs(), 60, "not 900, which an older batch has");
            assert_eq!(extent.suspects.map(|(first, last)| (first.as_secs(), last.as_secs())), Some((60, 900)));
        }
    }
}
