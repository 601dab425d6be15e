//! Data of one host → counted, or removed.

use super::PostgresHandle;
use super::audit;
use super::fields::{dollars, searched};
use super::prune::remove_episodes;
use super::session::{Queried, Session};
use crate::counter::Counter;
use crate::error::StoreError;
use crate::fields::Fields;
use crate::host_data::{HostData, HostEpisodes, HostFilter, Mention, PAGE, grouped, host_episode, mention, redacted};
use crate::statements::{EPISODES_OF_HOST, mentions};
use crate::traits::Hosts;
use lapwing_fleet::AuditEntry;

/// PostgreSQL's form of "the payload contains these bytes".
const CONTAINS: &str = "position(?3 IN payload) > 0";

impl Hosts for PostgresHandle {
    fn host_data(&self, filter: &HostFilter) -> Result<HostData, StoreError> {
        self.snapshot(|session| {
            let (own, mut data) = episodes(session, filter)?;
            for (agent, episodes) in &own {
                let numbers: Vec<i64> = episodes.iter().copied().collect();
                let text = "SELECT count(*) FROM alerts WHERE agent = $1 AND episode = ANY($2)";
                data.messages += session.query_one(text, &[agent, &numbers])?.integer(0)?.cast_unsigned();
            }
            data.mentions = each_mention(session, filter, &own, |_, _, _| Ok(()))?;
            Ok(data)
        })
    }

    fn forget_host(&self, filter: &HostFilter, who: &str, now_s: u64) -> Result<HostData, StoreError> {
        self.write(|session| {
            let (own, _) = episodes(session, filter)?;
            session.lock_agents(&own.keys().copied().collect::<Vec<_>>())?;
            // With the agents locked, a second look counts what will be removed.
            let (locked, mut data) = episodes(session, filter)?;
            let own: HostEpisodes = locked.into_iter().filter(|(agent, _)| own.contains_key(agent)).collect();
            data.mentions = each_mention(session, filter, &own, |session, mention, payload| {
                let text = "UPDATE alerts SET payload = $3 WHERE id = $1 AND received_s = $2";
                session.execute(text, &[&mention.id, &mention.received_s, &payload]).map(drop)
            })?;
            let (messages, mut tally) = remove_episodes(session, &own)?;
            data.messages = messages;
            tally.add(Counter::HostsForgotten, 1);
            tally.write(session)?;
            audit::append(session, &AuditEntry::forgot_host(&filter.scope(), data, who, now_s))?;
            Ok(data)
        })
    }
}

fn episodes(session: &mut Session, filter: &HostFilter) -> Queried<(HostEpisodes, HostData)> {
    let (agent, group) = (filter.agent.as_deref().map(searched), filter.group.as_deref().map(searched));
    let (host, is_pseudonym) = (filter.host.0.as_slice(), i64::from(filter.is_pseudonym));
    let found = session.rows(&EPISODES_OF_HOST, &[&agent, &group, &host, &is_pseudonym], host_episode)?;
    Ok(grouped(&found))
}

/// Calls `change` with every message that must be redacted, and its new payload; returns their number.
fn each_mention(
    session: &mut Session,
    filter: &HostFilter,
    own: &HostEpisodes,
    change: impl Fn(&mut Session, &Mention, &[u8]) -> Queried<()>,
) -> Queried<u64> {
    let (agent, group) = (filter.agent.as_deref().map(searched), filter.group.as_deref().map(searched));
    let (text, host) = (dollars(&mentions(CONTAINS)), filter.host.0.as_slice());
    let (mut after, mut changed) = (i64::MIN, 0);
    loop {
        let rows = session.query(&text, &[&agent, &group, &host, &after, &PAGE])?;
        let page = rows.iter().map(mention).collect::<Queried<Vec<_>>>()?;
        for mention in &page {
            after = mention.id;
            if let Some(payload) = redacted(filter, own, mention) {
                change(session, mention, &payload)?;
                changed += 1;
            }
        }
        if page.len() < PAGE as usize {
            return Ok(changed);
        }
    }
}
