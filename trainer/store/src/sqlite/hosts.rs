//! Data of one host → counted, or removed.

use super::episode_rows::remove_empty;
use super::{SqliteHandle, audit, counters};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::host_data::{HostData, HostEpisodes, HostFilter, Mention, PAGE, grouped, host_episode, mention, redacted};
use crate::statements::{EPISODES_OF_HOST, mentions};
use crate::traits::Hosts;
use lapwing_fleet::AuditEntry;
use lapwing_shared::units::Address;
use rusqlite::Connection;
use std::cell::RefCell;

/// SQLite's form of "the payload contains these bytes".
const CONTAINS: &str = "instr(payload, ?3) > 0";

impl Hosts for SqliteHandle {
    fn host_data(&self, filter: &HostFilter) -> Result<HostData, StoreError> {
        let count = || {
            // One state of the store for all statements.
            let _snapshot = self.connection.unchecked_transaction()?;
            let (own, mut data) = episodes(&self.connection, filter)?;
            data.messages = messages(&self.connection, &own, "SELECT count(*) FROM alerts")?;
            data.mentions = each_mention(&self.connection, filter, &own, |_, _| Ok(()))?;
            Ok(data)
        };
        count().map_err(self.sql())
    }

    fn forget_host(&self, filter: &HostFilter, who: &str, now_s: u64) -> Result<HostData, StoreError> {
        // Deleted rows would otherwise stay in the file until others take their space. When SQLite rearranges pages, it
        // leaves copies of rows behind; rows are therefore overwritten in their place before any of them is deleted.
        self.connection.pragma_update(None, "secure_delete", true).map_err(self.sql())?;
        let data = self.write(|connection| {
            let (own, mut data) = episodes(connection, filter)?;
            blank_own(connection, &own)?;
            data.mentions = redact(connection, filter, &own)?;
            data.messages = messages(connection, &own, "DELETE FROM alerts")?;
            for (agent, episodes) in &own {
                remove_empty(connection, *agent, episodes)?;
            }
            counters::add(connection, Counter::HostsForgotten, 1)?;
            audit::append(connection, &AuditEntry::forgot_host(&filter.scope(), data, who, now_s))?;
            Ok(data)
        })?;
        // The log has the old rows, too. A reader that still uses it prevents this; then the next checkpoint does it.
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(self.sql())?;
        Ok(data)
    }
}

fn episodes(connection: &Connection, filter: &HostFilter) -> rusqlite::Result<(HostEpisodes, HostData)> {
    let values = (&filter.agent, &filter.group, filter.host.0, filter.is_pseudonym);
    let mut statement = connection.prepare_cached(&EPISODES_OF_HOST)?;
    let found = statement.query_map(values, |row| host_episode(row))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(grouped(&found))
}

/// Counts, changes or deletes rows of episodes, as `verb` says; returns their number.
fn messages(connection: &Connection, episodes: &HostEpisodes, verb: &str) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare(&format!("{verb} WHERE agent = ?1 AND episode = ?2"))?;
    let is_query = statement.column_count() > 0;
    let mut all = 0;
    for (agent, episode) in episodes.iter().flat_map(|(agent, of)| of.iter().map(move |episode| (agent, episode))) {
        all += match is_query {
            true => statement.query_row((agent, episode), |row| row.get::<_, i64>(0))?.cast_unsigned(),
            false => statement.execute((agent, episode))? as u64,
        };
    }
    Ok(all)
}

/// Overwrites what names the host in its own episodes, without a change of their size.
fn blank_own(connection: &Connection, episodes: &HostEpisodes) -> rusqlite::Result<()> {
    let blanked = [
        "UPDATE alerts SET host = zeroblob(16), payload = zeroblob(length(payload))",
        "UPDATE episodes SET host = zeroblob(16)",
    ];
    for text in blanked {
        messages(connection, episodes, text)?;
    }
    Ok(())
}

/// Removes the host from the peers of other alerts; returns their number.
fn redact(connection: &Connection, filter: &HostFilter, own: &HostEpisodes) -> rusqlite::Result<u64> {
    let update = |id: i64, payload: &[u8]| {
        connection.prepare_cached("UPDATE alerts SET payload = ?2 WHERE id = ?1")?.execute((id, payload)).map(drop)
    };
    let ids = RefCell::new(Vec::new());
    let count = each_mention(connection, filter, own, |mention, _| {
        ids.borrow_mut().push(mention.id);
        update(mention.id, &blanked(&mention.payload, filter.host))
    })?;
    // Then the overwritten peer is removed.
    let blank = HostFilter { host: Address::default(), ..filter.clone() };
    for id in ids.into_inner() {
        let read = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
        let payload = connection.prepare_cached("SELECT payload FROM alerts WHERE id = ?1")?.query_row([id], read)?;
        if let Some(payload) = blank.redact(&payload) {
            update(id, &payload)?;
        }
    }
    Ok(count)
}

/// A payload with zeros in place of an address.
fn blanked(payload: &[u8], host: Address) -> Vec<u8> {
    let mut blanked = payload.to_vec();
    let found = payload.windows(host.0.len()).enumerate().filter(|(_, window)| *window == host.0);
    for (at, _) in found {
        if let Some(place) = blanked.get_mut(at..at + host.0.len()) {
            place.fill(0);
        }
    }
    blanked
}

/// Calls `change` with every message that must be redacted, and its new payload; returns their number.
fn each_mention(
    connection: &Connection,
    filter: &HostFilter,
    own: &HostEpisodes,
    change: impl Fn(&Mention, &[u8]) -> rusqlite::Result<()>,
) -> rusqlite::Result<u64> {
    let mut statement = connection.prepare_cached(&mentions(CONTAINS))?;
    let (mut after, mut changed) = (i64::MIN, 0);
    loop {
        let values = (&filter.agent, &filter.group, filter.host.0, after, PAGE);
        let page = statement.query_map(values, |row| mention(row))?.collect::<rusqlite::Result<Vec<_>>>()?;
        for mention in &page {
            after = mention.id;
            if let Some(payload) = redacted(filter, own, mention) {
                change(mention, &payload)?;
                changed += 1;
            }
        }
        if page.len() < PAGE as usize {
            return Ok(changed);
        }
    }
}
