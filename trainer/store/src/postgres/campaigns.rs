//! Campaigns, and what they need to know of their agents.

use super::fields::dollars;
use super::schema::Lock;
use super::session::{Queried, QueryError, Session};
use super::tally::Tally;
use super::{PostgresHandle, audit};
use crate::campaign_changes::{Prepared, PreparedRollout, Transaction, add, add_rollout, added, decoded, save};
use crate::campaign_rows::{
    BY_ID, GROUP_AGENTS, NEWEST, OPEN, PAGE, RELEASE_HEALTH, REPORTED_VERSIONS, STEPS, STORED_VERSION, TRANSITIONS,
    alert_hours, campaign, count_hours, group_agent, newest_result, newest_rollout, release_health, reported, result,
    results, rollout, select_campaigns, step, transition, version,
};
use crate::cell::Cell;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::numbers;
use crate::highest_version::HighestVersion;
use crate::query::Dialect;
use crate::traits::{
    AgentAlertHour, CampaignAgent, CampaignChange, CampaignFilter, Campaigns, GateResult, GroupAgent, Saved,
    StoredCampaign, StoredReleaseHealth, StoredRollout,
};
use lapwing_fleet::AuditEntry;
use lapwing_fleet::campaign::gates::Gate;
use lapwing_fleet::campaign::{Outcome, Transition};
use lapwing_shared::rollout::message::Rollout;
use lapwing_shared::units::NANOS_PER_SECOND;
use postgres::Row;
use postgres::types::ToSql;

fn parameters(values: &[Cell]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| -> &(dyn ToSql + Sync) { value }).collect()
}

impl Transaction for Session {
    type Error = QueryError;
    type Row<'r> = Row;

    fn all<T>(&mut self, text: &str, values: &[Cell], read: impl for<'r> Fn(&Row) -> Queried<T>) -> Queried<Vec<T>> {
        self.query(&dollars(text), &parameters(values))?.iter().map(read).collect()
    }

    fn change(&mut self, text: &str, values: &[Cell]) -> Queried<u64> {
        self.execute(&dollars(text), &parameters(values))
    }

    fn record(&mut self, entry: &AuditEntry) -> Queried<()> {
        audit::append(self, entry)
    }

    fn count(&mut self, counter: Counter, more: u64) -> Queried<()> {
        let mut tally = Tally::default();
        tally.add(counter, more);
        tally.write(self)
    }
}

impl Campaigns for PostgresHandle {
    fn add_campaign(
        &self,
        outcome: &Outcome,
        superseded: Option<CampaignChange<'_>>,
        now_s: u64,
    ) -> Result<Option<StoredCampaign>, StoreError> {
        let prepared = Prepared::of(outcome)?;
        let replaced = superseded.as_ref().map(|change| Prepared::of(change.outcome)).transpose()?;
        let replaced = superseded.as_ref().zip(replaced.as_ref());
        let done = self.write(|session| {
            session.lock(Lock::Campaigns)?;
            add(session, &prepared, replaced, now_s)
        })?;
        added(done, outcome, now_s)
    }

    fn save_campaign(&self, change: CampaignChange<'_>, now_s: u64) -> Result<Saved, StoreError> {
        let prepared = Prepared::of(change.outcome)?;
        self.write(|session| {
            session.lock(Lock::Campaigns)?;
            save(session, &change, &prepared, now_s)
        })
    }

    fn campaign(&self, id: i64) -> Result<Option<StoredCampaign>, StoreError> {
        let row = self.read(|session| session.row(&select_campaigns(BY_ID), &[&id], campaign))?;
        row.map(decoded).transpose()
    }

    fn open_campaign(&self, group: &str) -> Result<Option<StoredCampaign>, StoreError> {
        let row = self.read(|session| session.row(&select_campaigns(OPEN), &[&group], campaign))?;
        row.map(decoded).transpose()
    }

    fn campaigns(&self, group: Option<&str>, limit: u32) -> Result<Vec<StoredCampaign>, StoreError> {
        let limit = i64::from(limit);
        let rows = self.read(|session| session.rows(&select_campaigns(NEWEST), &[&group, &limit], campaign))?;
        rows.into_iter().map(decoded).collect()
    }

    fn campaign_page(&self, filter: &CampaignFilter) -> Result<Vec<StoredCampaign>, StoreError> {
        let CampaignFilter { group, version, is_open, before, limit } = filter;
        let (version, is_open, limit) = (version.map(u64::cast_signed), i64::from(*is_open), i64::from(*limit));
        let values: [&(dyn ToSql + Sync); 5] = [group, &version, before, &is_open, &limit];
        let rows = self.read(|session| session.rows(&select_campaigns(PAGE), &values, campaign))?;
        rows.into_iter().map(decoded).collect()
    }

    fn transitions(&self, id: i64, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.read(|session| session.rows(TRANSITIONS, &[&id, &i64::from(limit)], transition))
    }

    fn newest_gate_results(&self, id: i64) -> Result<Vec<GateResult>, StoreError> {
        self.read(|session| {
            let newest = |gate: Gate| session.row(&newest_result(), &[&id, &gate.as_str()], result).transpose();
            Gate::ALL.into_iter().filter_map(newest).collect()
        })
    }

    fn gate_results(&self, id: i64, limit: u32) -> Result<Vec<GateResult>, StoreError> {
        self.read(|session| session.rows(&results(), &[&id, &i64::from(limit)], result))
    }

    fn add_rollout(&self, rollout: &Rollout) -> Result<bool, StoreError> {
        let prepared = PreparedRollout::of(rollout)?;
        self.write(|session| {
            session.lock(Lock::Campaigns)?;
            add_rollout(session, &prepared)
        })
    }

    fn newest_rollout(&self, group: &str) -> Result<Option<StoredRollout>, StoreError> {
        self.read(|session| session.row(&newest_rollout(), &[&group], rollout))
    }

    fn campaign_agents(&self, group: &str, version: u64, since_s: u64) -> Result<Vec<CampaignAgent>, StoreError> {
        let (version, since_s) = (version.cast_signed(), since_s.cast_signed());
        self.read(|session| session.rows(STEPS, &[&group, &version, &since_s], step))
    }

    fn alert_hours(&self, group: &str, since_s: u64) -> Result<Vec<AgentAlertHour>, StoreError> {
        let since_ns = i64::try_from(since_s.saturating_mul(NANOS_PER_SECOND)).unwrap_or(i64::MAX);
        let text = alert_hours(Dialect::Postgres);
        self.read(|session| session.rows(&text, &[&group, &since_ns], numbers)).map(count_hours)
    }

    fn group_agents(&self, group: &str) -> Result<Vec<GroupAgent>, StoreError> {
        let read = |row: &Row| group_agent(row, group);
        let rows = self.read(|session| session.rows(GROUP_AGENTS, &[&group], read))?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn release_health(&self, group: &str) -> Result<Vec<StoredReleaseHealth>, StoreError> {
        let rows = self.read(|session| session.rows(RELEASE_HEALTH, &[&group], release_health))?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn highest_version(&self, group: &str) -> Result<HighestVersion, StoreError> {
        let stored = self.read(|session| session.row(STORED_VERSION, &[&group], version))?;
        let reports = self.read(|session| session.rows(REPORTED_VERSIONS, &[&group], reported))?;
        Ok(HighestVersion::of(stored.unwrap_or(0), &reports))
    }
}
