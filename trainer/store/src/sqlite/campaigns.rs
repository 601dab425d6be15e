//! Campaigns, and what they need to know of their agents.

use super::{SqliteHandle, audit, counters};
use crate::campaign_changes::{Prepared, PreparedRollout, Transaction, add, add_rollout, added, decoded, save};
use crate::campaign_rows::{
    BY_ID, NEWEST, OPEN, RELEASE_HEALTH, REPORTED_VERSIONS, STEPS, STORED_VERSION, TRANSITIONS, alert_hours, campaign,
    count_hours, newest_result, newest_rollout, release_health, reported, result, results, rollout, select_campaigns,
    step, transition, version,
};
use crate::cell::Cell;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::numbers;
use crate::highest_version::HighestVersion;
use crate::query::Dialect;
use crate::traits::{
    AgentAlertHour, CampaignAgent, CampaignChange, Campaigns, GateResult, Saved, StoredCampaign, StoredReleaseHealth,
    StoredRollout,
};
use lapwing_fleet::AuditEntry;
use lapwing_fleet::campaign::gates::Gate;
use lapwing_fleet::campaign::{Outcome, Transition};
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::units::NANOS_PER_SECOND;
use rusqlite::{Connection, Row, params_from_iter};

/// The transaction of [`SqliteHandle::write`].
pub(super) struct Changes<'a>(pub(super) &'a Connection);

impl Transaction for Changes<'_> {
    type Error = rusqlite::Error;
    type Row<'r> = Row<'r>;

    fn all<T>(
        &mut self,
        text: &str,
        values: &[Cell],
        read: impl for<'r> Fn(&Row<'r>) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<Vec<T>> {
        self.0.prepare_cached(text)?.query_map(params_from_iter(values), |row| read(row))?.collect()
    }

    fn change(&mut self, text: &str, values: &[Cell]) -> rusqlite::Result<u64> {
        self.0.prepare_cached(text)?.execute(params_from_iter(values)).map(|changed| changed as u64)
    }

    fn record(&mut self, entry: &AuditEntry) -> rusqlite::Result<()> {
        audit::append(self.0, entry)
    }

    fn count(&mut self, counter: Counter, more: u64) -> rusqlite::Result<()> {
        counters::add(self.0, counter, more)
    }
}

impl Campaigns for SqliteHandle {
    fn add_campaign(
        &self,
        outcome: &Outcome,
        superseded: Option<CampaignChange<'_>>,
        now_s: u64,
    ) -> Result<Option<StoredCampaign>, StoreError> {
        let prepared = Prepared::of(outcome)?;
        let replaced = superseded.as_ref().map(|change| Prepared::of(change.outcome)).transpose()?;
        let replaced = superseded.as_ref().zip(replaced.as_ref());
        let done = self.write(|connection| add(&mut Changes(connection), &prepared, replaced, now_s))?;
        added(done, outcome, now_s)
    }

    fn save_campaign(&self, change: CampaignChange<'_>, now_s: u64) -> Result<Saved, StoreError> {
        let prepared = Prepared::of(change.outcome)?;
        self.write(|connection| save(&mut Changes(connection), &change, &prepared, now_s))
    }

    fn campaign(&self, id: i64) -> Result<Option<StoredCampaign>, StoreError> {
        let row = self.row(&select_campaigns(BY_ID), [id], |row| campaign(row)).map_err(self.sql())?;
        row.map(decoded).transpose()
    }

    fn open_campaign(&self, group: &str) -> Result<Option<StoredCampaign>, StoreError> {
        let row = self.row(&select_campaigns(OPEN), [group], |row| campaign(row)).map_err(self.sql())?;
        row.map(decoded).transpose()
    }

    fn campaigns(&self, group: Option<&str>, limit: u32) -> Result<Vec<StoredCampaign>, StoreError> {
        let rows = self.rows(&select_campaigns(NEWEST), (group, limit), |row| campaign(row)).map_err(self.sql())?;
        rows.into_iter().map(decoded).collect()
    }

    fn transitions(&self, id: i64, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.rows(TRANSITIONS, (id, limit), |row| transition(row)).map_err(self.sql())
    }

    fn newest_gate_results(&self, id: i64) -> Result<Vec<GateResult>, StoreError> {
        let newest = |gate: Gate| self.row(&newest_result(), (id, gate.as_str()), |row| result(row)).transpose();
        Gate::ALL.into_iter().filter_map(newest).collect::<rusqlite::Result<_>>().map_err(self.sql())
    }

    fn gate_results(&self, id: i64, limit: u32) -> Result<Vec<GateResult>, StoreError> {
        self.rows(&results(), (id, limit), |row| result(row)).map_err(self.sql())
    }

    fn add_rollout(&self, rollout: &Rollout) -> Result<bool, StoreError> {
        let prepared = PreparedRollout::of(rollout)?;
        self.write(|connection| add_rollout(&mut Changes(connection), &prepared))
    }

    fn newest_rollout(&self, group: &str) -> Result<Option<StoredRollout>, StoreError> {
        self.row(&newest_rollout(), [group], |row| rollout(row)).map_err(self.sql())
    }

    fn campaign_agents(&self, group: &str, version: u64, since_s: u64) -> Result<Vec<CampaignAgent>, StoreError> {
        let values = (group, version.cast_signed(), since_s.cast_signed());
        self.rows(STEPS, values, |row| step(row)).map_err(self.sql())
    }

    fn alert_hours(&self, group: &str, since_s: u64) -> Result<Vec<AgentAlertHour>, StoreError> {
        let since_ns = i64::try_from(since_s.saturating_mul(NANOS_PER_SECOND)).unwrap_or(i64::MAX);
        let rows = self.rows(&alert_hours(Dialect::Sqlite), (group, since_ns), |row| numbers(row));
        rows.map(count_hours).map_err(self.sql())
    }

    fn release_health(&self, group: &str) -> Result<Vec<StoredReleaseHealth>, StoreError> {
        let rows = self.rows(RELEASE_HEALTH, [group], |row| release_health(row)).map_err(self.sql())?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn highest_version(&self, group: &str) -> Result<HighestVersion, StoreError> {
        let stored = self.row(STORED_VERSION, [group], |row| version(row)).map_err(self.sql())?;
        let reports = self.rows(REPORTED_VERSIONS, [group], |row| reported(row)).map_err(self.sql())?;
        Ok(HighestVersion::of(stored.unwrap_or(0), &reports))
    }
}
