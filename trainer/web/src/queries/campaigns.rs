//! Campaigns and single releases from the store.

use super::{Fleet, HELD_READ};
use crate::params::CampaignQuery;
use crate::store_reader::ReadError;
use crate::views::campaigns::{CampaignLine, CampaignList, Measured, OpenCampaign};
use crate::views::releases::{HeldView, ReleaseDetails, list_releases};
use crate::views::standing::GroupReleases;
use lapwing_campaigns::facts::load_agents;
use lapwing_campaigns::history::changes;
use lapwing_campaigns::scope_of;
use lapwing_campaigns::view::CampaignReport;
use lapwing_common::clock;
use lapwing_fleet::campaign::AgentStage;
use lapwing_store::traits::{CampaignFilter, StoredCampaign};
use lapwing_store::{StoreError, StoreHandle};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Open campaigns that pages and metrics show, at most: one for each group.
const OPEN: u32 = 50;
/// Campaigns of one release on its page.
const OF_RELEASE: u32 = 20;
/// Newest changes among which the reason of a campaign's state is looked for.
const CHANGES: u32 = 10;

/// Interval at which metrics of campaigns are read from the store, at most: that at which `serve` changes campaigns, seconds.
const CACHE_S: u64 = 10;

/// Measured campaigns, and when they were read.
#[derive(Default)]
pub(super) struct Cache(Mutex<Option<(u64, Vec<Measured>)>>);

impl Cache {
    fn newer_than(&self, from_s: u64, now_s: u64) -> Option<Vec<Measured>> {
        let cached = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A clock that went back makes what was read before invalid.
        cached.as_ref().filter(|(at_s, _)| *at_s > from_s && *at_s <= now_s).map(|(_, measured)| measured.clone())
    }

    fn put(&self, now_s: u64, measured: &[Measured]) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((now_s, measured.to_vec()));
    }
}

/// A campaign with the reason of its state.
pub(super) fn line(handle: &StoreHandle, stored: StoredCampaign) -> Result<CampaignLine, StoreError> {
    let changes = changes(handle, stored.id, CHANGES)?;
    Ok(CampaignLine::new(stored, &changes))
}

/// Campaigns that have not ended, with the results of their gates.
fn open(handle: &StoreHandle) -> Result<Vec<(OpenCampaign, StoredCampaign)>, StoreError> {
    let filter = CampaignFilter { is_open: true, limit: OPEN, ..CampaignFilter::default() };
    let with_gates = |stored: StoredCampaign| {
        let wave = stored.campaign.wave().map(|wave| wave.number);
        let results = handle.newest_gate_results(stored.id)?.into_iter().filter(|result| Some(result.wave) == wave);
        let gates = results.map(|result| result.finding).collect();
        Ok((OpenCampaign { line: line(handle, stored.clone())?, gates }, stored))
    };
    handle.campaign_page(&filter)?.into_iter().map(with_gates).collect()
}

/// Open campaigns with the number of agents in each stage.
fn measured(handle: &StoreHandle, now_s: u64) -> Result<Vec<Measured>, StoreError> {
    let with_stages = |(open, stored): (OpenCampaign, StoredCampaign)| {
        let facts = load_agents(handle, &scope_of(&stored), &stored.group, now_s)?;
        let mut counts: HashMap<AgentStage, usize> = HashMap::new();
        for stage in facts.agents.iter().filter_map(|agent| agent.stage(&stored.campaign, now_s)) {
            *counts.entry(stage).or_default() += 1;
        }
        Ok((open, AgentStage::ALL.map(|stage| (stage, counts.get(&stage).copied().unwrap_or(0))).to_vec()))
    };
    open(handle)?.into_iter().map(with_stages).collect()
}

fn release(handle: &StoreHandle, group: &str, version: u64) -> Result<Option<ReleaseDetails>, StoreError> {
    let made = handle.release(group, version)?;
    let mut agents = handle.agent_counts()?;
    agents.retain(|count| count.group == group);
    let releases = list_releases(made.as_slice(), &agents, usize::MAX);
    let mut release = releases.into_iter().find(|release| release.version == version);
    let held = handle.held_releases(group, HELD_READ)?.into_iter().find(|held| held.version == version);
    if release.is_none() && held.is_none() {
        return Ok(None);
    }
    let of_it = CampaignFilter {
        group: Some(group.to_owned()),
        version: Some(version),
        limit: OF_RELEASE,
        ..CampaignFilter::default()
    };
    let campaigns = handle.campaign_page(&of_it)?.into_iter().map(|stored| line(handle, stored));
    let campaigns = campaigns.collect::<Result<Vec<_>, _>>()?;
    let places = GroupReleases::read(handle, group)?;
    let standing = release.is_some().then(|| places.standing(version));
    let place = release.as_ref().map(|_| places.text(version));
    if let (Some(release), Some(place)) = (&mut release, &place) {
        release.place.clone_from(place);
    }
    Ok(Some(ReleaseDetails {
        group: group.to_owned(),
        version,
        place,
        standing,
        release,
        held: held.map(HeldView::from),
        campaigns,
    }))
}

impl Fleet {
    pub(crate) async fn campaigns(&self, query: &CampaignQuery) -> Result<CampaignList, ReadError> {
        let filter = query.filter();
        let query = move |handle: &StoreHandle| {
            let stored = handle.campaign_page(&filter)?;
            let is_full = stored.len() == filter.limit as usize;
            let next = stored.last().filter(|_| is_full).map(|last| last.id);
            let campaigns = stored.into_iter().map(|stored| line(handle, stored)).collect::<Result<_, _>>()?;
            Ok(CampaignList { campaigns, next })
        };
        self.reader.read(query).await
    }

    /// A campaign by its number.
    pub(crate) async fn campaign(&self, id: i64) -> Result<Option<CampaignReport>, ReadError> {
        let now_s = clock::now_s();
        let query = move |handle: &StoreHandle| {
            let stored = handle.campaign(id)?;
            stored.map(|stored| CampaignReport::read(handle, &stored, now_s)).transpose()
        };
        self.reader.read(query).await
    }

    /// Campaigns that have not ended.
    pub(crate) async fn open_campaigns(&self) -> Result<Vec<OpenCampaign>, ReadError> {
        let query = |handle: &StoreHandle| Ok(open(handle)?.into_iter().map(|(open, _)| open).collect());
        self.reader.read(query).await
    }

    /// The same with the number of agents in each stage, as it was at most [`CACHE_S`] ago: it reads every agent of their
    /// groups, and several monitors may ask.
    pub(crate) async fn measured_campaigns(&self) -> Result<Vec<Measured>, ReadError> {
        let now_s = clock::now_s();
        if let Some(cached) = self.measured.newer_than(now_s.saturating_sub(CACHE_S), now_s) {
            return Ok(cached);
        }
        let measured = self.reader.read(move |handle: &StoreHandle| measured(handle, now_s)).await?;
        self.measured.put(now_s, &measured);
        Ok(measured)
    }

    /// One release and its way through the group.
    pub(crate) async fn release(&self, group: &str, version: u64) -> Result<Option<ReleaseDetails>, ReadError> {
        let group = group.to_owned();
        self.reader.read(move |handle: &StoreHandle| release(handle, &group, version)).await
    }
}
