//! The store of `serve` → sampled rows, except those of alert episodes without the label benign.
//!
//! Each agent is a site. Samples have host numbers instead of addresses; each number becomes a made-up address.

use super::{Dataset, Row};
use lapwing_segments::Filter;
use lapwing_shared::features::schema::schema_id;
use lapwing_shared::messages::RowHosts;
use lapwing_shared::units::Address;
use lapwing_store::Unlabelled;
use lapwing_store::{StoreError, StoreHandle, StoreUrl, TrainingRow};
use std::path::Path;

/// The only host of an older agent, whose samples have no host numbers: a private address (RFC 1918).
const SITE: Address = Address::from_v4([10, 0, 0, 1]);
/// An end without evidence: an address for documentation (RFC 6676).
const UNTRACKED: Address = Address::from_v4([233, 252, 0, 1]);
/// Prefix of numbered hosts: a unique local address (RFC 4193).
const HOST: Address = Address([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/// Initiator and responder, such that the same ends have evidence as on the agent. All rows of an agent without host
/// numbers belong to one host.
fn source_and_destination(hosts: RowHosts) -> (Address, Address) {
    if hosts == RowHosts::default() {
        return (SITE, UNTRACKED);
    }
    (host(hosts.source), host(hosts.target))
}

fn host(number: u32) -> Address {
    if number == 0 {
        return UNTRACKED;
    }
    let mut address = HOST;
    address.0[12..].copy_from_slice(&number.to_be_bytes());
    address
}

/// Sampled rows of a store, from which releases are made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampled {
    /// Rows by agent and time, so that held-out rows are stretches of one agent's time.
    pub rows: Vec<Row>,
    /// Unlabelled alert episodes, whose rows are missing.
    pub unlabelled: Unlabelled,
}

impl Sampled {
    /// Sorts rows of a store by agent and time; agents become sites in the order of their numbers.
    pub(crate) fn new(mut stored: Vec<TrainingRow>, unlabelled: Unlabelled) -> Self {
        stored.sort_unstable_by_key(|row| (row.agent, row.at, row.place));
        let mut site = 0;
        let mut previous = None;
        let mut number = |stored: TrainingRow| {
            site += u32::from(previous.is_some_and(|agent| agent != stored.agent));
            previous = Some(stored.agent);
            row(stored, site)
        };
        let rows = stored.into_iter().map(&mut number).collect();
        Self { rows, unlabelled }
    }
}

/// Reads the rows of the current schema that a filter selects, and the unlabelled episodes, with warnings about excluded rows.
///
/// # Errors
/// When the store cannot be read.
pub fn sampled(path: &Path, filter: &Filter) -> Result<(Sampled, Vec<String>), StoreError> {
    let handle = StoreHandle::open(path)?;
    let mut stored = handle.selected_training_rows(&schema_id(), filter.clone())?;
    let rows = stored.by_ref().collect::<Result<Vec<_>, _>>()?;
    let summary = stored.summary();
    let counts = [
        (
            summary.in_episode,
            "rows of unlabelled alert episodes are excluded; label false alerts benign to include them",
        ),
        (summary.other_schema, "rows of other feature schemas are excluded"),
        (summary.unreadable_batches, "batches cannot be decoded and are excluded"),
    ];
    let reported = counts.iter().filter(|(count, _)| *count > 0);
    let warnings = reported.map(|(count, what)| format!("{}: {count} {what}", StoreUrl::from(path))).collect();
    Ok((Sampled::new(rows, handle.unlabelled()?), warnings))
}

/// Reads every row of the current schema, by agent and time.
///
/// # Errors
/// When the store cannot be read.
pub fn read(path: &Path) -> Result<Dataset, StoreError> {
    let (Sampled { rows, .. }, warnings) = sampled(path, &Filter::default())?;
    Ok(Dataset { rows, warnings })
}

/// Converts a stored row.
pub(crate) fn row(row: TrainingRow, site: u32) -> Row {
    let (source, destination) = source_and_destination(row.hosts);
    Row {
        site,
        at: row.at,
        source,
        destination,
        service_port: 0,
        features: row.features,
        attack: None,
        suspect: row.suspect,
        weight: row.flows,
        under_release: row.score.is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::messages::Body;
    use lapwing_store::testing::{Folder, received, samples};
    use lapwing_store::{Limits, Store};

    #[test]
    fn rows_are_sorted_and_episodes_and_other_schemas_excluded() {
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
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&batch, 5).unwrap();
        let dataset = read(&folder.store()).unwrap();
        let seen: Vec<_> = dataset.rows.iter().map(|row| (row.at.as_secs(), row.site, row.features[0])).collect();
        assert_eq!(seen, [(30, 0, 30.0), (10, 1, 10.0), (40, 1, 40.0)]);
        assert_eq!(dataset.warnings.len(), 2, "{:?}", dataset.warnings);
        assert_eq!(crate::train::training_rows::benign(&dataset.rows).count(), 3);
        assert!(dataset.rows.iter().all(|row| row.weight > 1.0), "a batch represents more flows than it has rows");
        assert!(read(&folder.path().join("nowhere.sqlite")).is_err());
    }
}
