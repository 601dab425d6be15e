//! Campaigns of the groups → their next state, every ten seconds (every minute in large groups), in the process that publishes.
//!
//! The role `publish` does this under its lease: one process decides, signs and publishes, and only its machine needs the key
//! for rollouts. A step is stored before its rollout is published, and what is published is what the store has: a process that
//! ends in between leaves nothing to repair, and the next holder of the lease continues.
//!
//! A new release waits for the end of an open campaign. If it superseded the campaign, a group that trains every day would
//! never complete one, and most of its agents would never get a release. Of several that wait, the newest begins.

use super::assignments::set_aside;
use super::key_check::{KeyCheck, KeyOf};
use super::obstacle::{News, Obstacle};
use super::roles::Role;
use super::rollouts::decoded;
use super::{ReleaseDir, ServeError};
use crate::config::{CampaignStart, Config, ConfigError, RetrainSection, RolloutSection};
use lapwing_campaigns::{ChangeError, FactsReader, Order, advance, start};
use lapwing_collect::Counts;
use lapwing_common::clock::Moment;
use lapwing_fleet::campaign::{CampaignState, Outcome, Plan, Standing};
use lapwing_fleet::{GroupProblem, SERVE};
use lapwing_pipeline::gate::replay::replay;
use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::release::name::parse_name;
use lapwing_shared::release::root::Purpose;
use lapwing_shared::rollout::message::Rollout;
use lapwing_store::StoreHandle;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Interval between two looks at the groups.
const INTERVAL: Duration = Duration::from_secs(10);
/// Longest interval between two steps of a campaign.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// Agents whose campaign is stepped every [`INTERVAL`]. Those of larger groups send their health less often.
const AGENTS: u32 = 1_000;

/// Interval between two steps of a campaign.
fn interval(agents: usize) -> Duration {
    let thousands = u32::try_from(agents).unwrap_or(u32::MAX).div_ceil(AGENTS);
    INTERVAL.saturating_mul(thousands.max(1)).min(LONGEST_INTERVAL)
}
/// Interval between two looks whether a rollout must be renewed, and which agents are set aside.
const RENEWAL: Duration = Duration::from_secs(600);

/// The campaigns of one group.
struct Group {
    name: String,
    releases: ReleaseDir,
    settings: RolloutSection,
    plan: Plan,
    /// Releases that detect less wait for a person.
    has_gate: bool,
    obstacle: Obstacle,
    reader: FactsReader,
    /// When it was last stepped.
    stepped: Option<Instant>,
    /// When it was last decided whether the rollout must be renewed.
    looked: Option<Instant>,
    /// When it was last decided which agents are set aside.
    set_aside: Option<Instant>,
}

/// See the module.
pub(super) struct Campaigns {
    groups: Vec<Group>,
    key_check: KeyCheck,
    stepped: Option<Instant>,
}

impl Campaigns {
    /// The campaigns of every configured group.
    ///
    /// # Errors
    /// When a plan cannot be read.
    pub(super) fn new(config: &Config) -> Result<Self, ConfigError> {
        let group = |retrain: RetrainSection| {
            let settings = config.rollout_of(&retrain.group);
            let releases = ReleaseDir::new(&retrain.releases, &retrain.group);
            let (name, has_gate, plan) = (retrain.group, retrain.gate, settings.plan()?);
            let (obstacle, reader) = (Obstacle::default(), FactsReader::default());
            let (stepped, looked, set_aside) = (None, None, None);
            Ok(Group { plan, has_gate, name, releases, settings, obstacle, reader, stepped, looked, set_aside })
        };
        let groups = config.groups().into_iter().map(group);
        let key_check = KeyCheck::new(Role::Publish, Purpose::Rollout);
        Ok(Self { groups: groups.collect::<Result<_, _>>()?, key_check, stepped: None })
    }

    /// Steps the campaign of each group, and starts those that are due; call about twice a second, while this process has the
    /// lease.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub(super) fn pass(&mut self, handle: &StoreHandle, counts: &Counts, now: Moment) -> Result<(), ServeError> {
        if self.stepped.is_some_and(|at| now.monotonic.saturating_duration_since(at) < INTERVAL) {
            return Ok(());
        }
        self.stepped = Some(now.monotonic);
        let keys = self
            .groups
            .iter()
            .filter_map(|Group { name, settings, .. }| settings.key.as_deref().map(|path| KeyOf { group: name, path }));
        self.key_check.pass(handle, keys, now.wall_s, now.monotonic)?;
        for group in &mut self.groups {
            if group.obstacle.is_pausing(now.monotonic) || !group.is_due(now.monotonic) {
                continue;
            }
            group.stepped = Some(now.monotonic);
            let result = group.step(handle, counts, now);
            // Any other error, such as a damaged campaign, is a problem of its group alone.
            if matches!(&result, Err(ServeError::Store(error)) if error.is_temporary()) {
                return result;
            }
            let name = &group.name;
            match group.obstacle.note(result, now.monotonic) {
                Some(News::Failed(problem)) => tracing::warn!(group = name, problem, "rollouts need attention"),
                Some(News::Recovered) => tracing::info!(group = name, "rollouts work again"),
                None => {}
            }
        }
        Ok(())
    }

    /// Begins anew: this process has got the lease, or another one steps the campaigns now and shows their problems.
    pub(super) fn reset(&mut self) {
        self.stepped = None;
        for group in &mut self.groups {
            (group.obstacle, group.reader) = (Obstacle::default(), FactsReader::default());
            (group.stepped, group.looked, group.set_aside) = (None, None, None);
        }
    }

    /// What keeps groups from campaigns, and campaigns that wait for a person.
    pub(super) fn problems(&self) -> impl Iterator<Item = GroupProblem> {
        let of_groups = self.groups.iter().filter_map(|Group { name, obstacle, .. }| {
            let (group, problem) = (name.clone(), obstacle.problem()?.to_owned());
            Some(GroupProblem { role: Role::Publish.as_str(), group, problem })
        });
        of_groups.chain(self.key_check.problems())
    }
}

impl Group {
    fn error(&self, reason: impl Into<String>) -> ServeError {
        ServeError::Campaign { group: self.name.clone(), reason: reason.into() }
    }

    fn changed(&self, error: ChangeError) -> ServeError {
        match error {
            ChangeError::Store(error) => error.into(),
            error => self.error(error.to_string()),
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.stepped.is_none_or(|at| now.saturating_duration_since(at) >= interval(self.reader.agents()))
    }

    fn step(&mut self, handle: &StoreHandle, counts: &Counts, now: Moment) -> Result<(), ServeError> {
        let now_s = now.wall_s;
        let newest = handle.newest_rollout(&self.name)?;
        let Some(key) = &self.settings.key else {
            // Agents with a rollout do not look at the release of the whole group any more.
            let is_valid = newest.is_some_and(|newest| decoded(&newest).is_ok_and(|newest| newest.expires_s > now_s));
            let reason = "the group's agents follow rollouts, but rollout.key is not set: they install no new release";
            return if is_valid { Err(self.error(reason)) } else { Ok(()) };
        };
        // Without it, no rollout could be published: agents must not count as silent for that.
        ReleaseKey::load(key).map_err(|error| self.error(error.to_string()))?;
        let Some(newest) = newest.as_ref().map(decoded).transpose()? else {
            return self.make_first(handle, now_s);
        };
        if self.set_aside.is_none_or(|at| now.monotonic.saturating_duration_since(at) >= RENEWAL) {
            set_aside(handle, &self.name, now_s)?;
            self.set_aside = Some(now.monotonic);
        }
        if let Some(outcome) =
            advance(handle, &mut self.reader, &self.name, now_s).map_err(|error| self.changed(error))?
        {
            counts.campaigns_stepped.add(1);
            self.log(&outcome);
            let published = outcome.campaign.rollout().serial;
            if published > newest.serial.saturating_add(1) {
                self.warn_newer(newest.serial, published.saturating_sub(1));
            }
            return self.waits_for_person(&outcome);
        }
        if self.renew(handle, &newest, now)? {
            return Ok(());
        }
        self.start_if_due(handle, &newest, now_s)
    }

    /// Replaces a rollout before it expires, or if agents have a newer one; returns whether it did.
    fn renew(&mut self, handle: &StoreHandle, newest: &Rollout, now: Moment) -> Result<bool, ServeError> {
        if self.looked.is_some_and(|at| now.monotonic.saturating_duration_since(at) < RENEWAL) {
            return Ok(false);
        }
        let standing = self.standing(handle, now.wall_s)?;
        self.looked = Some(now.monotonic);
        let Some(renewed) = standing.renewed(newest) else { return Ok(false) };
        if standing.has_newer(newest) {
            self.warn_newer(newest.serial, standing.reported);
        }
        Ok(handle.add_rollout(&renewed)?)
    }

    fn warn_newer(&self, stored: u64, reported: u64) {
        let group = &self.name;
        tracing::warn!(group, stored, reported, "agents have a newer rollout than the store; was it restored?");
    }

    /// Every change of a campaign, with its reason; the audit log has it, too.
    fn log(&self, outcome: &Outcome) {
        let (group, version) = (&self.name, outcome.campaign.version());
        for transition in &outcome.transitions {
            let (state, wave) = (transition.state.as_str(), transition.wave.map(|(number, _)| number + 1));
            tracing::info!(group, version, state, wave, reason = transition.why, "campaign");
        }
    }

    /// A paused campaign is a problem: nothing happens until a person resumes or ends it.
    fn waits_for_person(&self, outcome: &Outcome) -> Result<(), ServeError> {
        let version = outcome.campaign.version();
        match outcome.campaign.state() {
            CampaignState::Paused => Err(self.error(format!(
                "the campaign of release {version} is paused; see `lapwing-trainer rollout status`, then resume or abort it"
            ))),
            _ => Ok(()),
        }
    }

    fn standing(&self, handle: &StoreHandle, now_s: u64) -> Result<Standing, ServeError> {
        let agents = handle.agents_of_group(&self.name)?.len() as u64;
        let reported = handle.release_health(&self.name)?.iter().map(|row| row.release.serial).max().unwrap_or(0);
        Ok(Standing { agents, rows_per_day: self.settings.rows_per_day, reported, now_s })
    }

    /// The group's first rollout names its newest release. It waits for the first release, because a group that runs nothing
    /// has nothing with which a campaign could compare.
    fn make_first(&self, handle: &StoreHandle, now_s: u64) -> Result<(), ServeError> {
        let stored = handle.releases(&self.name, 1)?.first().map(|release| release.version);
        let base = if stored.is_some() { stored } else { self.base_of_lost_store(handle)? };
        let Some(base) = base else { return Ok(()) };
        let name = parse_name(&self.name).ok_or_else(|| self.error("invalid name"))?;
        let rollout = self.standing(handle, now_s)?.first(name, base, self.plan.spread_s);
        if handle.add_rollout(&rollout)? {
            tracing::info!(group = self.name, base, "first rollout: later releases reach the group in waves");
        }
        Ok(())
    }

    /// The release on disk that most agents run, or the newest one: a newer one may have been withdrawn.
    fn base_of_lost_store(&self, handle: &StoreHandle) -> Result<Option<u64>, ServeError> {
        let versions = self.releases.versions();
        let mut agents: BTreeMap<u64, u32> = BTreeMap::new();
        for row in handle.release_health(&self.name)?.iter().filter(|row| versions.contains(&row.release.version)) {
            *agents.entry(row.release.version).or_default() += 1;
        }
        let common = agents.into_iter().max_by_key(|(version, agents)| (*agents, *version));
        Ok(common.map(|(version, _)| version).or(versions.last().copied()))
    }

    /// What a release detects worse than the one that the group runs.
    fn findings(&self, handle: &StoreHandle, version: u64) -> Vec<String> {
        if !self.has_gate {
            return Vec::new();
        }
        let group = &self.name;
        match replay(handle, group, version) {
            Ok(None) => Vec::new(),
            Ok(Some(report)) => {
                tracing::info!(group, version, gate = report.summary(), "attacks replayed before the campaign");
                report.findings
            }
            Err(error) => {
                tracing::warn!(group, version, %error, "attacks are not replayed before the campaign; a person must approve it");
                vec![format!("attacks could not be replayed: {error}")]
            }
        }
    }

    /// Starts a campaign of the newest release, if no campaign was for it or a later one.
    fn start_if_due(&self, handle: &StoreHandle, newest: &Rollout, now_s: u64) -> Result<(), ServeError> {
        if self.settings.start == CampaignStart::Manual {
            return Ok(());
        }
        let Some(release) = handle.releases(&self.name, 1)?.into_iter().next() else { return Ok(()) };
        let last = handle.campaigns(Some(&self.name), 1)?.first().map_or(0, |last| last.campaign.version());
        let tried = last.max(newest.base).max(newest.withdrawn.first().copied().unwrap_or(0));
        if release.version <= tried {
            return Ok(());
        }
        let (group, version, plan) = (self.name.as_str(), release.version, self.plan.clone());
        let findings = self.findings(handle, version);
        let order = Order { group, version, plan, who: SERVE, supersede: false, findings: &findings };
        let started = start(handle, &order, now_s).map_err(|error| match self.changed(error) {
            ServeError::Campaign { reason, .. } => self.error(format!("release {version} waits: {reason}")),
            error => error,
        });
        self.log(&started?.1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_groups_are_stepped_less_often() {
        let seconds = [0, 1, 1_000, 1_001, 10_000, usize::MAX].map(|agents| interval(agents).as_secs());
        assert_eq!(seconds, [10, 10, 10, 20, 60, 60]);
    }
}
