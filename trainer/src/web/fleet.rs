//! Questions that JSON and pages share, each asked of the store once.

use super::drift::{DriftView, DriftWatch};
use super::query::{AgentQuery, AgentState, AlertQuery};
use super::reader::{ReadError, Reader};
use super::releases::{ReleaseView, releases};
use super::views::{AgentView, AlertView, UpdateView};
use crate::clock;
use crate::store::{AGENTS, Desk, LOOKED_AT, StoreError, Told};
use lapwing_report::charts::{DaySeries, Days};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use utoipa::ToSchema;

/// Releases that the store is asked for, and those that are shown.
const RELEASES: (u32, usize) = (1_000, 100);
/// Messages of an episode, updates of an agent that a page tells.
const HISTORY: u32 = 50;
/// Days of the chart.
const DAYS: i64 = 14;

/// Agents, the most troubling first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AgentList {
    /// How many agents are in each state, before any filter.
    pub counts: Counts,
    /// Those that were asked for.
    pub agents: Vec<AgentView>,
    /// `after` of the next page; nothing at the end.
    pub next: Option<u32>,
    /// More than 20,000 agents are stored; only the first of them, by name, were looked at.
    pub cut: bool,
}

/// How many agents are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Counts {
    /// All of them.
    pub agents: u64,
    /// Offline ones.
    pub offline: u64,
    /// Silent ones.
    pub silent: u64,
    /// Those that never told a status.
    pub unknown: u64,
    /// Those that see too little.
    pub degraded: u64,
    /// Those that are well.
    pub online: u64,
    /// Agents without a release: they detect nothing.
    pub without_release: u64,
    /// Open alert episodes.
    pub open_alerts: u64,
}

/// Alerts, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AlertList {
    /// The alerts.
    pub alerts: Vec<AlertView>,
    /// `before` of the next page; nothing at the end. One look reads 50,000 messages at the most, so a page may be short,
    /// or empty, and yet have a next one.
    pub next: Option<i64>,
}

/// Releases, newest first.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReleaseList {
    /// The releases, 100 at the most.
    pub releases: Vec<ReleaseView>,
    /// Drift since the newest one; nothing before it is measured.
    pub drift: Option<DriftView>,
}

/// An alert with the messages that told of it, newest first.
pub(super) type AlertFound = (AlertView, Vec<Told>);

/// The store and what watches it.
pub(super) struct Fleet {
    pub(super) reader: Arc<Reader>,
    drift: Arc<DriftWatch>,
}

impl Fleet {
    pub(super) fn new(store: &Path) -> Self {
        Self { reader: Reader::new(store), drift: DriftWatch::new(store) }
    }

    pub(super) async fn agents(&self, query: &AgentQuery) -> Result<AgentList, ReadError> {
        let (query, now_s) = (query.clone(), clock::now_s());
        self.reader.ask(move |desk| Ok(list(all_agents(desk, now_s)?, &query))).await
    }

    /// One agent, and the steps of its updates.
    pub(super) async fn agent(&self, name: &str) -> Result<Option<(AgentView, Vec<UpdateView>)>, ReadError> {
        let (name, now_s) = (name.to_owned(), clock::now_s());
        let ask = move |desk: &Desk| {
            let Some(row) = desk.agent_rows(Some(&name))?.pop() else { return Ok(None) };
            let updates = desk.updates_of(&name, HISTORY)?.iter().map(UpdateView::new).collect();
            Ok(Some((AgentView::new(&row, now_s), updates)))
        };
        self.reader.ask(ask).await
    }

    pub(super) async fn alerts(&self, query: &AlertQuery) -> Result<AlertList, ReadError> {
        let filter = query.filter();
        let ask = move |desk: &Desk| {
            let page = desk.episodes(&filter)?;
            Ok(AlertList { alerts: page.lines.iter().map(AlertView::new).collect(), next: page.next })
        };
        self.reader.ask(ask).await
    }

    pub(super) async fn alert(&self, agent: &str, episode: u64) -> Result<Option<AlertFound>, ReadError> {
        let agent = agent.to_owned();
        let ask = move |desk: &Desk| {
            let found = desk.episode(&agent, episode, HISTORY)?;
            Ok(found.map(|(line, messages)| (AlertView::new(&line), messages)))
        };
        self.reader.ask(ask).await
    }

    pub(super) async fn releases(&self) -> Result<ReleaseList, ReadError> {
        let now_s = clock::now_s();
        let ask = move |desk: &Desk| {
            let made = desk.all_releases(RELEASES.0)?;
            let agents = all_agents(desk, now_s)?;
            Ok((releases(&made, &agents, RELEASES.1), made.into_iter().next()))
        };
        let (releases, newest) = self.reader.ask(ask).await?;
        Ok(ReleaseList { releases, drift: self.drift.look(newest.as_ref(), now_s) })
    }

    /// Where a release's card lies.
    pub(super) async fn card(&self, group: &str, version: u64) -> Result<Option<PathBuf>, ReadError> {
        let group = group.to_owned();
        let ask = move |desk: &Desk| Ok(desk.release(&group, version)?.map(|line| line.file));
        Ok(self.reader.ask(ask).await?.map(|file| file.with_extension("card.html")))
    }

    /// Alerts a day of every agent, or of one.
    pub(super) async fn days(&self, agent: Option<&str>) -> Result<Days, ReadError> {
        let (agent, today) = (agent.map(str::to_owned), (clock::now_s() / 86_400).cast_signed());
        self.reader.ask(move |desk| days(desk, agent.as_deref(), today)).await
    }
}

fn all_agents(desk: &Desk, now_s: u64) -> Result<Vec<AgentView>, StoreError> {
    Ok(desk.agent_rows(None)?.iter().map(|row| AgentView::new(row, now_s)).collect())
}

fn list(mut agents: Vec<AgentView>, query: &AgentQuery) -> AgentList {
    let cut = agents.len() >= AGENTS as usize;
    let mut counts = Counts { agents: agents.len() as u64, ..Counts::default() };
    for agent in &agents {
        *match agent.state {
            AgentState::Offline => &mut counts.offline,
            AgentState::Silent => &mut counts.silent,
            AgentState::Unknown => &mut counts.unknown,
            AgentState::Degraded => &mut counts.degraded,
            AgentState::Online => &mut counts.online,
        } += 1;
        counts.without_release += u64::from(agent.release == 0);
        counts.open_alerts += agent.open_alerts;
    }
    agents.retain(|agent| {
        query.agent.as_ref().is_none_or(|part| agent.name.contains(part.as_str()))
            && query.group.as_ref().is_none_or(|group| agent.group == *group)
            && query.state.is_none_or(|state| agent.state == state)
    });
    // Agents come by name, and the sort keeps that.
    agents.sort_by_key(trouble);
    let (after, limit) = (query.after.unwrap_or(0), query.limit());
    let next = after.saturating_add(limit);
    let next = ((next as usize) < agents.len()).then_some(next);
    let agents = agents.into_iter().skip(after as usize).take(limit as usize).collect();
    AgentList { counts, agents, next, cut }
}

/// Most open alerts first, then what is wrong; of those that are gone the one first that was here last, since what is
/// long gone is known.
fn trouble(agent: &AgentView) -> (Reverse<u64>, AgentState, Reverse<u64>) {
    let gone = matches!(agent.state, AgentState::Offline | AgentState::Silent | AgentState::Unknown);
    (Reverse(agent.open_alerts), agent.state, Reverse(if gone { agent.last_seen_s } else { 0 }))
}

fn days(desk: &Desk, agent: Option<&str>, today: i64) -> Result<Days, StoreError> {
    let mut last = today;
    let mut counted = desk.opened_by_day((last - DAYS + 1, last), agent)?;
    let mut note = format!("Alerts that began on these {DAYS} days, by the agents' clocks, UTC.");
    if counted.is_empty()
        && let Some(newest) = desk.newest_day(agent)?
    {
        last = newest;
        counted = desk.opened_by_day((last - DAYS + 1, last), agent)?;
        note = format!("There was none in the last {DAYS} days; these are the days up to the newest alert, UTC.");
    }
    let first = last - DAYS + 1;
    let mut series: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (day, agent, count) in counted {
        let counts = series.entry(agent).or_insert_with(|| vec![0; DAYS as usize]);
        if let Some(place) = usize::try_from(day - first).ok().and_then(|place| counts.get_mut(place)) {
            *place += count;
        }
    }
    let name = |day: i64| crate::card::day(u64::try_from(day).unwrap_or(0) * 86_400).split_off(5);
    Ok(Days {
        title: "Alerts a day".into(),
        counted: "alerts".into(),
        note,
        days: (first..=last).map(name).collect(),
        series: series.into_iter().map(|(name, counts)| DaySeries { name, counts }).collect(),
    })
}

const _: () = assert!(AGENTS == 20_000 && LOOKED_AT == 50_000, "the texts above name them");
