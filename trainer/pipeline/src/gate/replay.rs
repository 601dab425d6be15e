//! A published release and the one that its group runs → what the new one detects worse, before its campaign.
//!
//! The gate compared the release with others when it was made. Since then operators may have labelled attacks, and a campaign
//! may have been stopped, so that the group runs another release than the newest one of that time.

use super::labelled::labelled_attacks;
use super::{Earlier, GateError, GateReport, Opened, check};
use lapwing_store::{Release, StoreError, StoreHandle};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Why a release cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages document the fields")]
pub enum ReplayError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read {}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Gate(#[from] GateError),
}

/// Replays this project's attacks and those that operators labelled in the group with both releases. `None` if there is nothing
/// to compare: the group runs no release of this trainer, or the releases have other features.
///
/// # Errors
/// When a file or the store cannot be read, or a network cannot run.
pub fn replay(handle: &StoreHandle, group: &str, version: u64) -> Result<Option<GateReport>, ReplayError> {
    let rollout = handle.newest_rollout(group)?.and_then(|stored| stored.rollout().ok());
    let Some(rollout) = rollout else { return Ok(None) };
    let (Some(new), Some(base)) = (handle.release(group, version)?, handle.release(group, rollout.base)?) else {
        return Ok(None);
    };
    let (new, base) = (read(&new)?, read(&base)?);
    let Some(opened) = Opened::read(&new)? else { return Ok(None) };
    let agents: BTreeSet<String> = handle.agents_of_group(group)?.into_values().collect();
    let labelled = labelled_attacks(handle, Some(&agents))?;
    let report = check(&opened.detector(), Earlier { previous: Some(&base), reference: None }, &labelled)?;
    Ok(report.previous.is_some().then_some(report))
}

fn read(release: &Release) -> Result<Vec<u8>, ReplayError> {
    std::fs::read(&release.file).map_err(|source| ReplayError::File { path: release.file.clone(), source })
}
