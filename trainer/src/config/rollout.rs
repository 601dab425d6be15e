//! `[rollout]` and `[groups.rollout]` → how the releases of each group reach its agents.

use super::{Config, ConfigError};
use lapwing_fleet::campaign::{Plan, ROWS_PER_DAY};
use serde::Deserialize;
use std::path::PathBuf;

/// What begins a campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum CampaignStart {
    /// Each new release, as soon as no other campaign of its group runs.
    #[default]
    Automatic,
    /// `lapwing-trainer rollout start`.
    Manual,
}

/// `[rollout]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RolloutSection {
    /// Secret key that signs rollouts. Default: none (a release reaches its whole group at once).
    pub(crate) key: Option<PathBuf>,
    /// TOML file with the plan of campaigns. Default: the built-in plan.
    pub(crate) plan: Option<PathBuf>,
    /// What begins a campaign.
    pub(crate) start: CampaignStart,
    /// Feature rows per day that the agents of a group send in all, at most. 0: none.
    pub(crate) rows_per_day: u64,
}

impl Default for RolloutSection {
    fn default() -> Self {
        Self { key: None, plan: None, start: CampaignStart::default(), rows_per_day: ROWS_PER_DAY }
    }
}

/// `[groups.rollout]`. Keys that are not set have the value of `[rollout]`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GroupRolloutSection {
    /// Secret key that signs the group's rollouts.
    pub(crate) key: Option<PathBuf>,
    /// TOML file with the plan of its campaigns.
    pub(crate) plan: Option<PathBuf>,
    /// What begins its campaigns.
    pub(crate) start: Option<CampaignStart>,
    /// Feature rows per day that its agents send in all, at most.
    pub(crate) rows_per_day: Option<u64>,
}

impl GroupRolloutSection {
    fn resolved(&self, defaults: &RolloutSection) -> RolloutSection {
        RolloutSection {
            key: self.key.clone().or_else(|| defaults.key.clone()),
            plan: self.plan.clone().or_else(|| defaults.plan.clone()),
            start: self.start.unwrap_or(defaults.start),
            rows_per_day: self.rows_per_day.unwrap_or(defaults.rows_per_day),
        }
    }
}

impl RolloutSection {
    /// The plan of campaigns.
    ///
    /// # Errors
    /// When the file cannot be read, or is no valid plan.
    pub(crate) fn plan(&self) -> Result<Plan, ConfigError> {
        let Some(path) = &self.plan else { return Ok(Plan::default()) };
        let plan: Plan = lapwing_config::read(path)?;
        let invalid = |error| ConfigError::Parse { path: path.clone(), message: format!("{error}") };
        plan.validate().map_err(invalid)?;
        Ok(plan)
    }
}

impl Config {
    /// How releases of a group reach its agents.
    pub(crate) fn rollout_of(&self, group: &str) -> RolloutSection {
        let own = self.groups.iter().find(|own| own.name == group);
        own.map_or_else(|| self.rollout.clone(), |own| own.rollout.resolved(&self.rollout))
    }

    /// Checks that no group uses one key for releases and rollouts: the rollout key is on the server, so that whoever takes it
    /// must not be able to sign releases.
    ///
    /// # Errors
    /// The first group with such a key.
    pub(super) fn check_rollouts(&self) -> Result<(), ConfigError> {
        for group in self.groups() {
            let key = self.rollout_of(&group.group).key;
            if let Some(key) = key.filter(|key| Some(key) == group.key.as_ref()) {
                let expected = format!(
                    "expected another key than the one that signs releases of group {}; create one with `lapwing-trainer \
                     keys new`",
                    group.group
                );
                return Err(ConfigError::value("rollout.key", key.display(), expected));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;
    use lapwing_store::testing::Folder;
    use std::path::Path;

    #[test]
    fn a_group_has_its_own_rollout_settings_and_the_common_ones() {
        let config = load(
            "[rollout]\nkey = 'all.key'\nplan = 'plan.toml'\n\
             [[groups]]\nname = 'home'\n\
             [[groups]]\nname = 'shop'\n[groups.rollout]\nkey = 'shop.key'\nstart = 'manual'\nrows-per-day = 9\n",
        )
        .unwrap();
        let (home, shop) = (config.rollout_of("home"), config.rollout_of("shop"));
        assert_eq!(home, config.rollout);
        assert_eq!(home.start, CampaignStart::Automatic);
        assert_eq!((shop.key.as_deref(), shop.start), (Some(Path::new("shop.key")), CampaignStart::Manual));
        assert_eq!(shop.plan.as_deref(), Some(Path::new("plan.toml")));
        assert_eq!((home.rows_per_day, shop.rows_per_day), (2_000_000, 9));
        assert_eq!(load("").unwrap().rollout_of("default").key, None);
    }

    #[test]
    fn invalid_settings_name_the_key() {
        let error = |text: &str| load(text).unwrap_err().to_string();
        assert!(error("[rollout]\nkeys = 'x'\n").contains("did you mean `key`?"));
        assert!(error("[rollout]\nstart = 'now'\n").contains("expected `automatic` or `manual`"));
        let both = error("[retrain]\nkey = 'site.key'\n[rollout]\nkey = 'site.key'\n");
        assert!(both.starts_with("rollout.key = site.key: expected another key"), "{both}");
        let group = error("[rollout]\nkey = 'a'\n[[groups]]\nname = 'shop'\nkey = 'a'\n");
        assert!(group.contains("releases of group shop"), "{group}");
    }

    #[test]
    fn a_plan_is_read_and_checked() {
        let folder = Folder::new();
        let section = |text: &str| {
            let path = folder.path().join("plan.toml");
            std::fs::write(&path, text).unwrap();
            RolloutSection { plan: Some(path), ..RolloutSection::default() }
        };
        assert_eq!(RolloutSection::default().plan().unwrap(), Plan::default());
        assert_eq!(section("spread-s = 60\n").plan().unwrap(), Plan { spread_s: 60, ..Plan::default() });
        let error = section("spread-s = 99999\n").plan().unwrap_err().to_string();
        assert!(error.contains("plan.toml") && error.contains("spread-s: expected 0 to 86400"), "{error}");
        let missing = RolloutSection { plan: Some("/nowhere/plan.toml".into()), ..RolloutSection::default() };
        assert!(missing.plan().unwrap_err().to_string().contains("/nowhere/plan.toml"));
    }
}
