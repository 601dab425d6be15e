//! The store of `serve` → rows: what agents sampled, without the rows of alert episodes that nobody called benign.
//!
//! Each agent counts as a file. The samples number hosts without naming them; a made-up address stands for each.

use super::{Dataset, Row};
use crate::calibrate::limits::Unlabelled;
use crate::store::{Desk, StoreError, TrainingRow};
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::RowHosts;
use lapwing_shared::units::Address;
use std::path::Path;

/// Stands for the one host of an older agent, which does not tell its hosts apart: a private address (RFC 1918).
const SITE: Address = Address::from_v4([10, 0, 0, 1]);
/// Stands for an end that evidence is not kept of: an address for documentation (RFC 6676).
const NOBODY: Address = Address::from_v4([233, 252, 0, 1]);
/// Hosts' numbers stand at the end of it: a unique local address (RFC 4193).
const HOST: Address = Address([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/// Initiator and responder, such that a judge keeps evidence of the very ends that the agent did. Rows of an agent that
/// tells nothing of its hosts are taken as one host's.
fn ends(hosts: RowHosts) -> (Address, Address) {
    if hosts == RowHosts::default() {
        return (SITE, NOBODY);
    }
    (host(hosts.source), host(hosts.target))
}

fn host(number: u32) -> Address {
    if number == 0 {
        return NOBODY;
    }
    let mut address = HOST;
    address.0[12..].copy_from_slice(&number.to_be_bytes());
    address
}

/// What the agents of a store sampled, as releases are made of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampled {
    /// The rows, agent by agent in the order of time, so that rows are held out as stretches of one agent's time.
    pub rows: Vec<Row>,
    /// Alert episodes whose rows are missing, because nobody said what they were.
    pub unlabelled: Unlabelled,
}

impl Sampled {
    /// Rows as the store gives them; agents become files in the order of their numbers.
    pub fn new(mut stored: Vec<TrainingRow>, unlabelled: Unlabelled) -> Self {
        stored.sort_by_key(|row| (row.agent, row.at));
        let mut file = 0;
        let mut before = None;
        let mut number = |found: TrainingRow| {
            file += u32::from(before.is_some_and(|agent| agent != found.agent));
            before = Some(found.agent);
            row(found, file)
        };
        let rows = stored.into_iter().map(&mut number).collect();
        Self { rows, unlabelled }
    }
}

/// Reads every row of the present schema, and the unlabelled episodes; and what a person should know of the store.
///
/// # Errors
/// When the store cannot be read.
pub fn sampled(path: &Path) -> Result<(Sampled, Vec<String>), StoreError> {
    let desk = Desk::open(path)?;
    let mut stored = desk.training_rows(&schema_id())?;
    let rows = stored.by_ref().collect::<Result<Vec<_>, _>>()?;
    let summary = stored.summary();
    let counts = [
        (summary.in_episode, "rows of alert episodes are kept out; call the episodes benign where they are"),
        (summary.other_schema, "rows of other feature schemas are kept out"),
        (summary.unreadable_batches, "batches do not decode and are kept out"),
    ];
    let said = counts.iter().filter(|(count, _)| *count > 0);
    let warnings = said.map(|(count, what)| format!("{}: {count} {what}", path.display())).collect();
    Ok((Sampled::new(rows, desk.unlabelled()?), warnings))
}

/// Reads every row of the present schema, agent by agent in the order of time.
///
/// # Errors
/// When the store cannot be read.
pub fn read(path: &Path) -> Result<Dataset, StoreError> {
    let (Sampled { rows, .. }, warnings) = sampled(path)?;
    Ok(Dataset { rows, warnings })
}

/// A stored row as one of a dataset.
pub(crate) fn row(row: TrainingRow, file: u32) -> Row {
    Row {
        file,
        at: row.at,
        ends: ends(row.hosts),
        service_port: 0,
        features: row.features,
        attack: None,
        suspect: row.suspect,
        stands_for: row.flows,
        under_release: row.score.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::testing::{Folder, received, samples};
    use crate::store::{Limits, Store};
    use lapwing_shared::messages::Body;

    #[test]
    fn rows_come_agent_by_agent_in_time_order_without_those_of_episodes_and_other_schemas() {
        let folder = Folder::new();
        let message = |number, schema, rows: &[(u64, bool)]| {
            let mut message = samples(1, number, rows);
            if let Body::Samples(samples) = &mut message.body {
                samples.schema = schema;
            }
            message
        };
        let batch = [
            received("gw-1", &message(1, schema_id(), &[(30, false), (20, true)])),
            received("gw-2", &message(1, schema_id(), &[(10, false), (40, false)])),
            received("gw-2", &message(2, [7; 32], &[(50, false)])),
        ];
        let mut store = Store::open(&folder.store(), Limits::default()).unwrap();
        store.commit(&batch, 5).unwrap();
        let dataset = read(&folder.store()).unwrap();
        let seen: Vec<_> = dataset.rows.iter().map(|row| (row.at.as_secs(), row.file, row.features[0])).collect();
        assert_eq!(seen, [(30, 0, 30.0), (10, 1, 10.0), (40, 1, 40.0)]);
        assert_eq!(dataset.warnings.len(), 2, "{:?}", dataset.warnings);
        assert_eq!(super::super::benign(&dataset.rows).count(), 3);
        assert!(dataset.rows.iter().all(|row| row.stands_for > 1.0), "a batch tells of more flows than it holds");
        assert!(read(&folder.path().join("nowhere.sqlite")).is_err());
    }
}
