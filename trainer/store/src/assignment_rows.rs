//! Assignments ↔ rows, in a transaction of either database.

use crate::campaign_changes::Transaction;
use crate::cell::Cell;
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::Fields;
use lapwing_fleet::{AssignedSettings, AssignmentChange, StoredAssignment, channel_name, parse_channel};

/// Rows to keep. Beyond it, the oldest one that assigns nothing is deleted.
pub(crate) const ASSIGNMENTS_KEPT: i64 = 10_000;

const COLUMNS: &str = "name, serial, channel, pin, hold, alerts_per_1000_days, is_set_aside, issued_s, who";

/// The group that the agent reports, after the columns.
const GROUP: &str = "(SELECT reported_group FROM agents WHERE agents.name = assignments.name)";

pub(crate) fn by_name() -> String {
    format!("SELECT {COLUMNS}, {GROUP} FROM assignments WHERE name = ?1")
}
pub(crate) fn after_serial() -> String {
    format!("SELECT {COLUMNS}, {GROUP} FROM assignments WHERE serial > ?1 ORDER BY serial LIMIT ?2")
}
const HIGHEST: &str = "SELECT coalesce(max(serial), 0), count(*) FROM assignments";
const AGENT: &str = "SELECT reported_group FROM agents WHERE name = ?1";
fn put() -> String {
    format!(
        "INSERT INTO assignments ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT (name) DO UPDATE SET \
         serial = ?2, channel = ?3, pin = ?4, hold = ?5, alerts_per_1000_days = ?6, is_set_aside = ?7, issued_s = ?8, \
         who = ?9"
    )
}
const FORGET: &str = "DELETE FROM assignments WHERE serial = (SELECT min(serial) FROM assignments WHERE channel IS NULL \
    AND pin IS NULL AND hold = 0 AND alerts_per_1000_days IS NULL AND is_set_aside = 0)";

/// A row of [`by_name`] and [`after_serial`].
pub(crate) fn assignment<R: Fields>(row: &R) -> Result<StoredAssignment, R::Error> {
    let channel = row.text_or_null(2)?;
    let channel = channel.map(|name| parse_channel(&name).ok_or_else(|| R::invalid(2, "the name of a channel")));
    let alerts = row.integer_or_null(5)?.map(u32::try_from).transpose();
    Ok(StoredAssignment {
        name: row.text(0)?,
        serial: row.unsigned(1)?,
        settings: AssignedSettings {
            channel: channel.transpose()?,
            pin: row.integer_or_null(3)?.map(i64::cast_unsigned),
            hold: row.flag(4)?,
            alerts_per_1000_days: alerts.map_err(|_| R::invalid(5, "a smaller number"))?,
        },
        is_set_aside: row.flag(6)?,
        issued_s: row.unsigned(7)?,
        who: row.text(8)?,
        group: row.text_or_null(9)?,
    })
}

/// How a change ended.
pub(crate) enum Assigned {
    Stored(StoredAssignment),
    /// Nothing has changed.
    Same,
    /// No agent has this name.
    Unknown,
    /// The table is full, and every row of it assigns something.
    Full,
}

/// Changes the assignment of an agent, which reports the serial `reported`.
pub(crate) fn assign<S: Transaction>(
    sql: &mut S,
    name: &str,
    change: AssignmentChange,
    reported: u64,
    (who, now_s): (&str, u64),
) -> Result<Assigned, S::Error> {
    let key = Cell::text(name);
    let before = sql.first(&by_name(), std::slice::from_ref(&key), |row| assignment(row))?;
    let highest = sql.first(HIGHEST, &[], |row| Ok((row.unsigned(0)?, row.integer(1)?)))?;
    let (highest, count) = highest.unwrap_or_default();
    let Some(mut new) = change.apply(name, before.as_ref(), (highest, reported), who, now_s) else {
        return Ok(Assigned::Same);
    };
    let Some(group) = sql.first(AGENT, &[key], |row| row.text_or_null(0))? else { return Ok(Assigned::Unknown) };
    new.group = group;
    if before.is_none() && count >= ASSIGNMENTS_KEPT {
        match sql.change(FORGET, &[])? {
            0 => return Ok(Assigned::Full),
            dropped => sql.count(Counter::CampaignRowsDropped, dropped)?,
        }
    }
    sql.change(&put(), &values(&new))?;
    sql.record(&new.audit_entry())?;
    Ok(Assigned::Stored(new))
}

/// The result of [`crate::traits::Assignments::assign`].
pub(crate) fn assigned(done: Assigned, name: &str) -> Result<Option<StoredAssignment>, StoreError> {
    match done {
        Assigned::Stored(assignment) => Ok(Some(assignment)),
        Assigned::Same => Ok(None),
        Assigned::Unknown => Err(StoreError::no_agent(name)),
        Assigned::Full => Err(StoreError::Assignments { limit: ASSIGNMENTS_KEPT }),
    }
}

fn values(new: &StoredAssignment) -> [Cell; 9] {
    let AssignedSettings { channel, pin, hold, alerts_per_1000_days } = new.settings;
    [
        Cell::text(&new.name),
        Cell::Integer(new.serial.cast_signed()),
        channel.map_or(Cell::Null, |channel| Cell::text(channel_name(channel))),
        pin.map_or(Cell::Null, |pin| Cell::Integer(pin.cast_signed())),
        Cell::Integer(hold.into()),
        alerts_per_1000_days.map_or(Cell::Null, |alerts| Cell::Integer(alerts.into())),
        Cell::Integer(new.is_set_aside.into()),
        Cell::Integer(new.issued_s.cast_signed()),
        Cell::text(&new.who),
    ]
}
