//! Filters → lists and details from the store, for pages and JSON alike.

mod campaigns;

use super::drift::{DriftMonitor, DriftView};
use super::params::{AgentQuery, AlertQuery, AuditQuery, IdentityQuery, IncidentQuery};
use super::store_reader::{ReadError, StoreReader};
use super::views::agents::{AgentView, UpdateView};
use super::views::alerts::AlertView;
use super::views::campaigns::CampaignLine;
use super::views::groups::{GroupList, groups};
use super::views::identities::IdentityView;
use super::views::incidents::{IncidentDetails, IncidentNumbers, IncidentView};
use super::views::releases::{ReleaseView, WaitingView, list_releases};
use super::views::standing::Groups;
use lapwing_common::clock;
use lapwing_fleet::{AgentState, IdentityCounts};
use lapwing_report::charts::{DaySeries, Days};
use lapwing_store::traits::IncidentFilter;
use lapwing_store::{
    AgentCount, AuditCheck, AuditRecord, Counter, DayCount, EpisodeMessage, MAX_NAMES_SEARCHED, StoreError,
    StoreHandle, StoreUrl,
};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::ToSchema;

/// Releases read from the store.
const RELEASES_READ: u32 = 1_000;
const RELEASES_SHOWN: usize = 100;
/// Sites and episodes of an incident that are shown.
const MEMBERS_SHOWN: u32 = 500;
const CAMPAIGNS_SHOWN: u32 = 20;
/// Held-back releases of a group among which one is looked for.
const HELD_READ: u32 = 100;
/// Most messages of an episode and most update reports of an agent on a page.
const HISTORY: u32 = 50;
/// Days of the chart.
const DAYS: i64 = 14;

/// Agents, those with problems listed first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AgentList {
    /// Number of agents in each state, before filtering.
    pub(crate) counts: Counts,
    /// Agents that match the filter: those with open alerts first, and in each half the worst state first, then by name.
    pub(crate) agents: Vec<AgentView>,
    /// `after` of the next page; null on the last page. A search for a part of a name looks at 5,000 names at most, so
    /// its page may be short or empty and still have a next one.
    pub(crate) next: Option<i64>,
    /// Always false: every agent is counted and listed.
    pub(crate) cut: bool,
}

/// Number of agents in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Counts {
    /// Agents in total.
    pub(crate) agents: u64,
    /// Offline agents.
    pub(crate) offline: u64,
    /// Silent agents.
    pub(crate) silent: u64,
    /// Agents that have never sent their status.
    pub(crate) unknown: u64,
    /// Agents with degraded coverage.
    pub(crate) degraded: u64,
    /// Online agents without problems.
    pub(crate) online: u64,
    /// Agents without a release; they detect nothing.
    pub(crate) without_release: u64,
    /// Open alert episodes.
    pub(crate) open_alerts: u64,
}

/// Alerts, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct AlertList {
    /// Alerts that match the filter.
    pub(crate) alerts: Vec<AlertView>,
    /// `before` of the next page; null on the last page.
    pub(crate) next: Option<i64>,
}

/// Releases, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct ReleaseList {
    /// Releases, at most 100.
    pub(crate) releases: Vec<ReleaseView>,
    /// Drift since the newest release; null until it is measured.
    pub(crate) drift: Option<DriftView>,
    /// Releases that wait for `lapwing-trainer approve`, at most 100.
    pub(crate) waiting: Vec<WaitingView>,
    /// The newest campaigns, at most 20.
    pub(crate) campaigns: Vec<CampaignLine>,
}

/// Entries of the audit log, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AuditList {
    /// Entries that match the filter.
    pub(crate) entries: Vec<AuditRecord>,
    /// `before` of the next page; null on the last page.
    pub(crate) next: Option<u64>,
}

/// Incidents, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IncidentList {
    /// Incidents that match the filter.
    pub(crate) incidents: Vec<IncidentView>,
    /// `before` of the next page; null on the last page.
    pub(crate) next: Option<i64>,
}

/// Identities in the order of their names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct IdentityList {
    /// Numbers of all identities.
    pub(crate) counts: IdentityCounts,
    /// Identities that match the filter.
    pub(crate) identities: Vec<IdentityView>,
    /// `after` of the next page; null on the last page.
    pub(crate) next: Option<String>,
}

/// An alert with its messages, newest first.
pub(crate) type AlertDetails = (AlertView, Vec<EpisodeMessage>);

/// Queries of one store.
pub(crate) struct Fleet {
    reader: Arc<StoreReader>,
    drift: Arc<DriftMonitor>,
    ending_s: u64,
    measured: campaigns::Cache,
}

impl Fleet {
    pub(crate) fn new(store: &StoreUrl, ending_s: u64) -> Self {
        Self {
            reader: StoreReader::new(store),
            drift: DriftMonitor::new(store),
            ending_s,
            measured: campaigns::Cache::default(),
        }
    }

    pub(crate) async fn agents(&self, query: &AgentQuery) -> Result<AgentList, ReadError> {
        let (filter, now_s) = (query.filter(), clock::now_s());
        let query = move |handle: &StoreHandle| {
            let counts = Counts::of(&handle.agent_counts()?);
            let page = handle.agent_page(&filter)?;
            let agents = page.agents.iter().map(|row| AgentView::new(row, now_s)).collect();
            Ok(AgentList { counts, agents, next: page.next, cut: false })
        };
        self.reader.read(query).await
    }

    /// One agent and its update reports.
    pub(crate) async fn agent(&self, name: &str) -> Result<Option<(AgentView, Vec<UpdateView>)>, ReadError> {
        let (name, now_s) = (name.to_owned(), clock::now_s());
        let query = move |handle: &StoreHandle| {
            let Some(row) = handle.agent_row(&name)? else { return Ok(None) };
            let updates = handle.updates_of(&name, HISTORY)?.iter().filter_map(UpdateView::new).collect();
            Ok(Some((AgentView::new(&row, now_s), updates)))
        };
        self.reader.read(query).await
    }

    pub(crate) async fn alerts(&self, query: &AlertQuery) -> Result<AlertList, ReadError> {
        let filter = query.filter();
        let query = move |handle: &StoreHandle| {
            let page = handle.episodes(&filter)?;
            Ok(AlertList { alerts: page.episodes.iter().map(AlertView::new).collect(), next: page.next })
        };
        self.reader.read(query).await
    }

    pub(crate) async fn alert(&self, agent: &str, episode: u64) -> Result<Option<AlertDetails>, ReadError> {
        let agent = agent.to_owned();
        let query = move |handle: &StoreHandle| {
            let details = handle.episode(&agent, episode, HISTORY)?;
            Ok(details.map(|(line, messages)| (AlertView::new(&line), messages)))
        };
        self.reader.read(query).await
    }

    pub(crate) async fn incidents(&self, query: &IncidentQuery) -> Result<IncidentList, ReadError> {
        let filter = query.filter();
        let query = move |handle: &StoreHandle| {
            let more = IncidentFilter { limit: filter.limit.saturating_add(1), ..filter.clone() };
            let mut found = handle.incidents(&more)?;
            let has_more = found.len() > filter.limit as usize;
            found.truncate(filter.limit as usize);
            let next = found.last().filter(|_| has_more).map(|last| last.id);
            Ok(IncidentList { incidents: found.iter().map(IncidentView::from).collect(), next })
        };
        self.reader.read(query).await
    }

    /// At most `limit` incidents that no operator has seen, newest first.
    pub(crate) async fn unseen(&self, limit: u32) -> Result<Vec<IncidentView>, ReadError> {
        let filter = IncidentFilter { unseen: true, limit, ..IncidentFilter::default() };
        let query = move |handle: &StoreHandle| Ok(handle.incidents(&filter)?.iter().map(IncidentView::from).collect());
        self.reader.read(query).await
    }

    /// One incident with its sites, episodes and notes.
    pub(crate) async fn incident(&self, id: i64) -> Result<Option<IncidentDetails>, ReadError> {
        let query = move |handle: &StoreHandle| {
            let Some(one) = handle.incident(id)? else { return Ok(None) };
            let campaign =
                if one.is_of_release() { handle.campaign_of_release(&one.group, one.release)? } else { None };
            Ok(Some(IncidentDetails {
                incident: (&one).into(),
                advice: one.advice(),
                campaign,
                site_list: handle.incident_sites(id, MEMBERS_SHOWN)?.into_iter().map(Into::into).collect(),
                members: handle.incident_members(id, MEMBERS_SHOWN)?.into_iter().map(Into::into).collect(),
                notes: handle.incident_notes(id)?.into_iter().map(Into::into).collect(),
            }))
        };
        self.reader.read(query).await
    }

    /// The incident of an alert.
    pub(crate) async fn incident_of(&self, agent: &str, episode: u64) -> Result<Option<IncidentView>, ReadError> {
        let agent = agent.to_owned();
        let query = move |handle: &StoreHandle| Ok(handle.incident_of(&agent, episode)?.as_ref().map(Into::into));
        self.reader.read(query).await
    }

    pub(crate) async fn incident_numbers(&self) -> Result<IncidentNumbers, ReadError> {
        let limits = [
            ("open-incidents", Counter::IncidentsRefused),
            ("episodes-per-incident", Counter::IncidentEpisodesRefused),
            ("candidates-per-pass", Counter::IncidentCandidatesSkipped),
            ("incidents-kept", Counter::IncidentsDropped),
            ("notes-per-incident", Counter::NotesDropped),
        ];
        let query = move |handle: &StoreHandle| {
            let limits = limits.map(|(name, counter)| Ok((name, handle.counter(counter)?)));
            let limits = limits.into_iter().collect::<Result<_, StoreError>>()?;
            Ok(IncidentNumbers { states: handle.incident_counts()?, limits })
        };
        self.reader.read(query).await
    }

    pub(crate) async fn releases(&self) -> Result<ReleaseList, ReadError> {
        let now_s = clock::now_s();
        let query = move |handle: &StoreHandle| {
            let made = handle.all_releases(RELEASES_READ)?;
            let agents = handle.agent_counts()?;
            let waiting = handle.waiting_releases(RELEASES_SHOWN as u32)?;
            let newest = handle.campaigns(None, CAMPAIGNS_SHOWN)?.into_iter();
            let campaigns = newest.map(|stored| campaigns::line(handle, stored)).collect::<Result<_, _>>()?;
            let mut releases = list_releases(&made, &agents, RELEASES_SHOWN);
            let mut groups = Groups::default();
            for release in &mut releases {
                release.place = groups.of(handle, &release.group)?.text(release.version);
            }
            Ok((releases, made.into_iter().next(), waiting, campaigns))
        };
        let (releases, newest, waiting, campaigns) = self.reader.read(query).await?;
        let waiting = waiting.into_iter().map(WaitingView::from).collect();
        Ok(ReleaseList { releases, drift: self.drift.latest(newest.as_ref(), now_s), waiting, campaigns })
    }

    pub(crate) async fn audit(&self, query: &AuditQuery) -> Result<AuditList, ReadError> {
        let filter = query.filter();
        let page = self.reader.read(move |handle: &StoreHandle| handle.audit(&filter)).await?;
        Ok(AuditList { entries: page.records, next: page.next })
    }

    pub(crate) async fn identities(&self, query: &IdentityQuery) -> Result<IdentityList, ReadError> {
        let (now_s, ending_s) = (clock::now_s(), self.ending_s);
        let filter = query.filter(now_s.saturating_add(ending_s));
        let query = move |handle: &StoreHandle| {
            let counts = handle.identity_counts(now_s, ending_s)?;
            let view = |identity| IdentityView::new(identity, now_s, ending_s);
            let identities: Vec<_> = handle.identities(&filter)?.into_iter().map(view).collect();
            let is_full = identities.len() == filter.limit as usize;
            let next = identities.last().filter(|_| is_full).map(|last| last.name.clone());
            Ok(IdentityList { counts, identities, next })
        };
        self.reader.read(query).await
    }

    /// One identity.
    pub(crate) async fn identity(&self, name: &str) -> Result<IdentityView, ReadError> {
        let (name, now_s, ending_s) = (name.to_owned(), clock::now_s(), self.ending_s);
        let query = move |handle: &StoreHandle| Ok(IdentityView::new(handle.identity(&name)?, now_s, ending_s));
        self.reader.read(query).await
    }

    /// At most `limit` entries of the audit log after a number, oldest first.
    pub(crate) async fn audit_after(&self, number: u64, limit: u32) -> Result<Vec<AuditRecord>, ReadError> {
        self.reader.read(move |handle: &StoreHandle| handle.audit_after(number, limit)).await
    }

    /// Checks the audit log.
    pub(crate) async fn check_audit(&self) -> Result<AuditCheck, ReadError> {
        self.reader.read(|handle: &StoreHandle| handle.check_audit(None)).await
    }

    /// Numbers of identities.
    pub(crate) async fn identity_counts(&self) -> Result<IdentityCounts, ReadError> {
        let (now_s, ending_s) = (clock::now_s(), self.ending_s);
        self.reader.read(move |handle: &StoreHandle| handle.identity_counts(now_s, ending_s)).await
    }

    pub(crate) async fn groups(&self) -> Result<GroupList, ReadError> {
        self.reader.read(groups).await
    }

    /// Path of the model card of a release.
    pub(crate) async fn card(&self, group: &str, version: u64) -> Result<Option<PathBuf>, ReadError> {
        let group = group.to_owned();
        let query = move |handle: &StoreHandle| Ok(handle.release(&group, version)?.map(|line| line.file));
        Ok(self.reader.read(query).await?.map(|file| file.with_extension("card.html")))
    }

    /// Alerts per day, of every agent or of one.
    pub(crate) async fn days(&self, agent: Option<&str>) -> Result<Days, ReadError> {
        let (agent, today) = (agent.map(str::to_owned), (clock::now_s() / 86_400).cast_signed());
        self.reader.read(move |handle| days(handle, agent.as_deref(), today)).await
    }
}

impl Counts {
    fn of(groups: &[AgentCount]) -> Self {
        let mut counts = Self::default();
        for AgentCount { state, release, agents, open_alerts, .. } in groups {
            *match state {
                AgentState::Offline => &mut counts.offline,
                AgentState::Silent => &mut counts.silent,
                AgentState::Unknown => &mut counts.unknown,
                AgentState::Degraded => &mut counts.degraded,
                AgentState::Online => &mut counts.online,
            } += agents;
            counts.agents += agents;
            // A last will is as old as the connection: an agent that has gone may have had a release by then.
            let lacks_release = *release == 0 && *state != AgentState::Offline;
            counts.without_release += if lacks_release { *agents } else { 0 };
            counts.open_alerts += open_alerts;
        }
        counts
    }
}

fn days(handle: &StoreHandle, agent: Option<&str>, today: i64) -> Result<Days, StoreError> {
    let mut last = today;
    let mut opened = handle.opened_by_day(last - DAYS + 1..=last, agent)?;
    let mut note = format!("Alerts by start day, last {DAYS} days, UTC, by the agents' clocks.");
    if opened.is_empty()
        && let Some(newest) = handle.newest_day(agent)?
    {
        last = newest;
        opened = handle.opened_by_day(last - DAYS + 1..=last, agent)?;
        note = format!("No alerts in the last {DAYS} days; shown are the {DAYS} days up to the newest alert, UTC.");
    }
    let first = last - DAYS + 1;
    let mut series: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for DayCount { day, agent, episodes } in opened {
        let counts = series.entry(agent).or_insert_with(|| vec![0; DAYS as usize]);
        if let Some(count_of_day) = usize::try_from(day - first).ok().and_then(|index| counts.get_mut(index)) {
            *count_of_day += episodes;
        }
    }
    let name = |day: i64| lapwing_common::format::day(u64::try_from(day).unwrap_or(0) * 86_400).split_off(5);
    Ok(Days {
        title: "Alerts per day".into(),
        counted: "alerts".into(),
        note,
        days: (first..=last).map(name).collect(),
        series: series.into_iter().map(|(name, counts)| DaySeries { name, counts }).collect(),
    })
}

const _: () = assert!(MAX_NAMES_SEARCHED == 5_000, "a description above states it");
