//! Campaigns ↔ rows, in a transaction of either database.

use crate::campaign_rows::{
    ADD, ADD_ROLLOUT, ADD_TRANSITION, BY_ID, CAMPAIGNS_KEPT, CampaignRow, ENDED, FORGET_RESULTS, FORGET_ROLLOUTS,
    FORGET_TRANSITIONS, NEXT_TRANSITION, OPEN, RESULT_S, RESULTS_KEPT, ROLLOUTS_KEPT, SAVE, TRANSITIONS_KEPT, campaign,
    newest_result, newest_rollout, put_result, result, result_of, result_values, rollout, select_campaigns,
};
use crate::cell::Cell;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::traits::{CampaignChange, GateResult, Saved, StoredCampaign};
use lapwing_fleet::AuditEntry;
use lapwing_fleet::campaign::gates::Finding;
use lapwing_fleet::campaign::{Campaign, Effect, Outcome, Transition};
use lapwing_shared::rollout::message::{ROLLOUT_BYTES, Rollout};
use std::mem::discriminant;

/// A transaction that excludes other changes of campaigns.
pub(crate) trait Transaction {
    /// Why a statement failed.
    type Error;
    /// Its rows.
    type Row<'r>: Fields<Error = Self::Error>;

    /// All rows of a statement.
    fn all<T>(
        &mut self,
        text: &str,
        values: &[Cell],
        read: impl for<'r> Fn(&Self::Row<'r>) -> Result<T, Self::Error>,
    ) -> Result<Vec<T>, Self::Error>;

    /// Runs a statement; returns the number of changed rows.
    fn change(&mut self, text: &str, values: &[Cell]) -> Result<u64, Self::Error>;

    /// Appends an entry to the audit log.
    fn record(&mut self, entry: &AuditEntry) -> Result<(), Self::Error>;

    /// Adds to a counter. Others wait for this transaction from here on, and after [`Transaction::record`].
    fn count(&mut self, counter: Counter, more: u64) -> Result<(), Self::Error>;

    /// The first row of a statement, or none.
    fn first<T>(
        &mut self,
        text: &str,
        values: &[Cell],
        read: impl for<'r> Fn(&Self::Row<'r>) -> Result<T, Self::Error>,
    ) -> Result<Option<T>, Self::Error> {
        Ok(self.all(text, values, read)?.into_iter().next())
    }
}

/// An outcome in the form in which it is stored.
pub(crate) struct Prepared<'a> {
    outcome: &'a Outcome,
    group: &'a str,
    body: String,
    /// Serial, frame and time of the rollout to publish.
    rollout: Option<(u64, Vec<u8>, u64)>,
}

impl<'a> Prepared<'a> {
    /// Encodes an outcome.
    ///
    /// # Errors
    /// [`StoreError::Campaign`] for an invalid campaign or rollout.
    pub(crate) fn of(outcome: &'a Outcome) -> Result<Self, StoreError> {
        let campaign = &outcome.campaign;
        let group = campaign.rollout().group.as_str();
        let invalid = |reason: String| StoreError::Campaign { campaign: format!("of the group {group}"), reason };
        let body = campaign.to_json().map_err(|error| invalid(error.to_string()))?;
        let published = outcome.effects.iter().map(|Effect::Publish(rollout)| rollout).next_back();
        let rollout = match published {
            None => None,
            Some(rollout) => {
                let mut room = [0; ROLLOUT_BYTES];
                let frame = rollout.encode(&mut room).map_err(|error| invalid(format!("rollout: {error}")))?;
                Some((rollout.serial, frame.to_vec(), rollout.issued_s))
            }
        };
        Ok(Self { outcome, group, body, rollout })
    }

    fn campaign(&self) -> &'a Campaign {
        &self.outcome.campaign
    }

    /// Values of [`SAVE`].
    fn saved(&self, id: i64, revision: u64, now_s: u64) -> [Cell; 7] {
        let campaign = self.campaign();
        [
            Cell::Integer(id),
            Cell::Integer(revision.cast_signed()),
            Cell::Integer(campaign.version().cast_signed()),
            Cell::text(campaign.state().as_str()),
            Cell::Integer(self.is_open().into()),
            Cell::Integer(now_s.cast_signed()),
            Cell::text(&self.body),
        ]
    }

    fn is_open(&self) -> bool {
        !self.campaign().state().is_final()
    }
}

/// How adding a campaign ended.
pub(crate) enum Added {
    Stored(i64),
    /// What it was made from has changed.
    Changed,
    /// This campaign of the group has not ended.
    Open {
        id: i64,
    },
}

/// Adds a campaign, and the change of the one that it supersedes, with the number and revision of that.
pub(crate) fn add<S: Transaction>(
    sql: &mut S,
    added: &Prepared<'_>,
    superseded: Option<(&CampaignChange<'_>, &Prepared<'_>)>,
    now_s: u64,
) -> Result<Added, S::Error> {
    let open = sql.first(&select_campaigns(OPEN), &[Cell::text(added.group)], |row| campaign(row))?;
    match (&open, &superseded) {
        (None, None) => {}
        (Some(open), None) => return Ok(Added::Open { id: open.id }),
        (Some(open), Some((change, _))) if (open.id, open.revision) == (change.id, change.revision) => {}
        _ => return Ok(Added::Changed),
    }
    // A draft publishes nothing yet, but must start from the newest rollout, too.
    if newest_serial(sql, added.group)? > added.base_serial() {
        return Ok(Added::Changed);
    }
    let mut end = End::default();
    if let Some((change, prepared)) = superseded {
        end.write(sql, change.id, Some(change.revision), prepared, now_s)?;
    }
    let campaign = added.campaign();
    let values = [
        Cell::text(added.group),
        Cell::Integer(campaign.version().cast_signed()),
        Cell::text(campaign.state().as_str()),
        Cell::Integer(added.is_open().into()),
        Cell::Integer(now_s.cast_signed()),
        Cell::text(&added.body),
    ];
    // The statement returns one row.
    let id = sql.first(ADD, &values, |row| row.integer(0))?.unwrap_or_default();
    end.forget_campaigns(sql, added.group)?;
    end.entries.push(AuditEntry::created_campaign(id, campaign, now_s));
    end.write(sql, id, None, added, now_s)?;
    end.finish(sql)?;
    Ok(Added::Stored(id))
}

/// Stores a change of a campaign.
pub(crate) fn save<S: Transaction>(
    sql: &mut S,
    change: &CampaignChange<'_>,
    prepared: &Prepared<'_>,
    now_s: u64,
) -> Result<Saved, S::Error> {
    let found = sql.first(&select_campaigns(BY_ID), &[Cell::Integer(change.id)], |row| campaign(row))?;
    let is_same = |found: &CampaignRow| found.revision == change.revision && found.group == prepared.group;
    if !found.as_ref().is_some_and(is_same) || newest_serial(sql, prepared.group)? > prepared.base_serial() {
        return Ok(Saved::Changed);
    }
    let mut end = End::default();
    end.write(sql, change.id, Some(change.revision), prepared, now_s)?;
    end.finish(sql)?;
    Ok(Saved::Stored(change.revision.saturating_add(1)))
}

impl Prepared<'_> {
    /// Serial of the newest rollout that the campaign knows of: that before the one that it publishes.
    fn base_serial(&self) -> u64 {
        self.rollout.as_ref().map_or(self.campaign().rollout().serial, |(serial, ..)| serial.saturating_sub(1))
    }
}

/// A rollout of a group without an open campaign, in the form in which it is stored.
pub(crate) struct PreparedRollout<'a> {
    rollout: &'a Rollout,
    frame: Vec<u8>,
}

impl<'a> PreparedRollout<'a> {
    /// Encodes a rollout.
    ///
    /// # Errors
    /// [`StoreError::Campaign`] if it is invalid.
    pub(crate) fn of(rollout: &'a Rollout) -> Result<Self, StoreError> {
        let mut room = [0; ROLLOUT_BYTES];
        let frame = rollout.encode(&mut room).map_err(|error| {
            let campaign = format!("of the group {}", rollout.group);
            StoreError::Campaign { campaign, reason: format!("rollout: {error}") }
        })?;
        Ok(Self { rollout, frame: frame.to_vec() })
    }
}

/// Adds a rollout; false if the group has an open campaign, or a newer rollout.
pub(crate) fn add_rollout<S: Transaction>(sql: &mut S, added: &PreparedRollout<'_>) -> Result<bool, S::Error> {
    let Rollout { group, serial, issued_s, .. } = added.rollout;
    let open = sql.first(&select_campaigns(OPEN), &[Cell::text(group)], |row| campaign(row))?;
    if open.is_some() || newest_serial(sql, group)? >= *serial {
        return Ok(false);
    }
    let dropped = write_rollout(sql, group, (*serial, &added.frame, *issued_s), 0)?;
    End { dropped, ..End::default() }.finish(sql)?;
    Ok(true)
}

/// Writes a rollout; returns the number of older ones that were deleted.
fn write_rollout<S: Transaction>(
    sql: &mut S,
    group: &str,
    (serial, frame, issued_s): (u64, &[u8], u64),
    campaign: i64,
) -> Result<u64, S::Error> {
    let group = Cell::text(group);
    let [serial, issued_s, campaign] = [serial.cast_signed(), issued_s.cast_signed(), campaign].map(Cell::Integer);
    sql.change(ADD_ROLLOUT, &[group.clone(), serial, Cell::Bytes(frame.to_vec()), issued_s, campaign])?;
    sql.change(FORGET_ROLLOUTS, &[group, Cell::Integer(ROLLOUTS_KEPT)])
}

fn newest_serial<S: Transaction>(sql: &mut S, group: &str) -> Result<u64, S::Error> {
    let newest = sql.first(&newest_rollout(), &[Cell::text(group)], |row| rollout(row))?;
    Ok(newest.map_or(0, |newest| newest.serial))
}

/// What a transaction writes last, because others wait for it then.
#[derive(Default)]
struct End {
    dropped: u64,
    entries: Vec<AuditEntry>,
}

impl End {
    fn finish<S: Transaction>(self, sql: &mut S) -> Result<(), S::Error> {
        if self.dropped > 0 {
            sql.count(Counter::CampaignRowsDropped, self.dropped)?;
        }
        self.entries.iter().try_for_each(|entry| sql.record(entry))
    }

    /// Writes everything of a change; the campaign itself only if it has a revision: a new one is there already.
    fn write<S: Transaction>(
        &mut self,
        sql: &mut S,
        id: i64,
        revision: Option<u64>,
        prepared: &Prepared<'_>,
        now_s: u64,
    ) -> Result<(), S::Error> {
        let (outcome, campaign) = (prepared.outcome, prepared.campaign());
        if let Some(revision) = revision {
            sql.change(SAVE, &prepared.saved(id, revision, now_s))?;
        }
        if let Some((serial, frame, issued_s)) = &prepared.rollout {
            self.dropped += write_rollout(sql, prepared.group, (*serial, frame, *issued_s), id)?;
        }
        // The findings are of the wave that was evaluated; the next one may begin in the same step.
        let wave = outcome.transitions.first().and_then(|change| change.wave).map(|(number, _)| number);
        let wave = wave.or_else(|| campaign.wave().map(|wave| wave.number)).unwrap_or_default();
        for finding in &outcome.findings {
            self.dropped += write_finding(sql, id, wave, finding, now_s)?;
        }
        for change in &outcome.transitions {
            self.dropped += write_transition(sql, id, change)?;
            self.entries.push(AuditEntry::changed_campaign(id, campaign, change));
        }
        Ok(())
    }

    /// Deletes the oldest ended campaigns of a group beyond the limit.
    fn forget_campaigns<S: Transaction>(&mut self, sql: &mut S, group: &str) -> Result<(), S::Error> {
        for id in sql.all(ENDED, &[Cell::text(group), Cell::Integer(CAMPAIGNS_KEPT)], |row| row.integer(0))? {
            let tables = [("campaign_transitions", "campaign"), ("gate_results", "campaign"), ("campaigns", "id")];
            for (table, column) in tables {
                let text = format!("DELETE FROM {table} WHERE {column} = ?1");
                self.dropped += sql.change(&text, &[Cell::Integer(id)])?;
            }
        }
        Ok(())
    }
}

/// Writes a result of a gate, if it differs from the newest one; returns the number of older ones that were deleted.
fn write_finding<S: Transaction>(
    sql: &mut S,
    campaign: i64,
    wave: usize,
    finding: &Finding,
    now_s: u64,
) -> Result<u64, S::Error> {
    let gate = Cell::text(finding.gate.as_str());
    let read = |row: &S::Row<'_>| Ok((result(row)?, row.integer(12)?));
    let newest = sql.first(&newest_result(), &[Cell::Integer(campaign), gate.clone()], read)?;
    let fresh = result_of(wave, finding, now_s, now_s);
    let (number, written) = match newest {
        None => (1, fresh),
        Some((old, number)) if is_continued(&old, &fresh) => {
            let continued = GateResult { since_s: old.since_s, ..fresh };
            if (GateResult { at_s: old.at_s, ..continued.clone() }) == old {
                return Ok(0);
            }
            (number, continued)
        }
        Some((_, number)) => (number.saturating_add(1), fresh),
    };
    sql.change(&put_result(), &result_values(campaign, number, &written))?;
    let last = number.saturating_sub(RESULTS_KEPT);
    if last > 0 { sql.change(FORGET_RESULTS, &[Cell::Integer(campaign), gate, Cell::Integer(last)]) } else { Ok(0) }
}

/// Whether a result replaces the numbers of the one before: same wave, same verdict, and not an hour later.
fn is_continued(old: &GateResult, fresh: &GateResult) -> bool {
    old.wave == fresh.wave
        && discriminant(&old.finding.verdict) == discriminant(&fresh.finding.verdict)
        && fresh.at_s.saturating_sub(old.since_s) < RESULT_S.unsigned_abs()
}

/// Writes a transition; returns the number of older ones that were deleted.
fn write_transition<S: Transaction>(sql: &mut S, id: i64, change: &Transition) -> Result<u64, S::Error> {
    let number = sql.first(NEXT_TRANSITION, &[Cell::Integer(id)], |row| row.integer(0))?.unwrap_or(1);
    let wave = change.wave.map(|(number, state)| (i64::try_from(number).unwrap_or(i64::MAX), state));
    let values = [
        Cell::Integer(id),
        Cell::Integer(number),
        Cell::Integer(change.at_s.cast_signed()),
        Cell::text(change.state.as_str()),
        wave.map_or(Cell::Null, |(number, _)| Cell::Integer(number)),
        wave.map_or(Cell::Null, |(_, state)| Cell::text(state.as_str())),
        change.who.as_deref().map_or(Cell::Null, Cell::text),
        Cell::text(&change.why),
    ];
    sql.change(ADD_TRANSITION, &values)?;
    let last = number.saturating_sub(TRANSITIONS_KEPT);
    if last > 0 { sql.change(FORGET_TRANSITIONS, &[Cell::Integer(id), Cell::Integer(last)]) } else { Ok(0) }
}

/// Decodes a stored campaign.
///
/// # Errors
/// [`StoreError::Campaign`] if it is damaged or of a newer version.
pub(crate) fn decoded(row: CampaignRow) -> Result<StoredCampaign, StoreError> {
    let CampaignRow { id, revision, group, made_s, changed_s, body } = row;
    let campaign = Campaign::from_json(&body)
        .map_err(|error| StoreError::Campaign { campaign: id.to_string(), reason: error.to_string() })?;
    Ok(StoredCampaign { id, revision, group, made_s, changed_s, campaign })
}

/// The result of [`crate::traits::Campaigns::add_campaign`].
pub(crate) fn added(done: Added, outcome: &Outcome, now_s: u64) -> Result<Option<StoredCampaign>, StoreError> {
    let campaign = &outcome.campaign;
    let group = campaign.rollout().group.to_string();
    match done {
        Added::Changed => Ok(None),
        Added::Open { id } => Err(StoreError::OpenCampaign { group, id }),
        Added::Stored(id) => {
            let campaign = campaign.clone();
            Ok(Some(StoredCampaign { id, revision: 0, group, made_s: now_s, changed_s: now_s, campaign }))
        }
    }
}
