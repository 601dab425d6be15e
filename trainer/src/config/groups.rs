//! `[retrain]` and `[[groups]]` → the settings of each group.

use super::{Config, ConfigError, GroupRolloutSection, NAME_RULE, RetrainSection, SigningPlace, Span, millis};
use lapwing_shared::release::name::parse_name;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Most groups: a release of each is in memory, at most 4 MiB, and another one during a campaign.
const MAX_GROUPS: usize = 64;

/// One of `[[groups]]`. Keys that are not set have the value of `[retrain]`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GroupSection {
    /// The group that its agents have in their configuration.
    pub(crate) name: String,
    /// Where its releases are signed.
    pub(crate) sign: Option<SigningPlace>,
    /// Secret key that signs its releases.
    pub(crate) key: Option<PathBuf>,
    /// Folder for its release files.
    pub(crate) releases: Option<PathBuf>,
    /// Retraining interval.
    pub(crate) every: Option<Span>,
    /// Retrain after this many new feature rows of its agents; 0 disables it.
    pub(crate) after_rows: Option<u64>,
    /// Minimum number of feature rows for training.
    pub(crate) min_rows: Option<u64>,
    /// Back-off after a failed training.
    pub(crate) retry_pause: Option<Span>,
    /// Time after which agents reject a release.
    pub(crate) expires_after: Option<Span>,
    /// Lowest version to which agents that accept a release ever go back; 0: none.
    pub(crate) floor: Option<u64>,
    /// Random seed for training.
    pub(crate) seed: Option<u64>,
    /// Maximum share of rows of one agent in a training.
    pub(crate) max_agent_share: Option<f64>,
    /// Rows from which the others may be cut to an agent's size.
    pub(crate) min_agent_rows: Option<usize>,
    /// Hold a release back until an operator approves it.
    pub(crate) gate: Option<bool>,
    /// Rollouts of its releases.
    #[serde(default)]
    pub(crate) rollout: GroupRolloutSection,
}

impl GroupSection {
    /// Its settings, by `defaults` where it has none.
    fn resolved(&self, defaults: &RetrainSection) -> RetrainSection {
        let Self { name, key, releases, every, after_rows, min_rows, retry_pause, expires_after, .. } = self.clone();
        RetrainSection {
            group: name,
            sign: self.sign.unwrap_or(defaults.sign),
            key: key.or_else(|| defaults.key.clone()),
            releases: releases.unwrap_or_else(|| defaults.releases.clone()),
            every: every.or(defaults.every),
            after_rows: after_rows.unwrap_or(defaults.after_rows),
            min_rows: min_rows.unwrap_or(defaults.min_rows),
            retry_pause: retry_pause.unwrap_or(defaults.retry_pause),
            expires_after: expires_after.unwrap_or(defaults.expires_after),
            floor: self.floor.unwrap_or(defaults.floor),
            seed: self.seed.unwrap_or(defaults.seed),
            max_agent_share: self.max_agent_share.unwrap_or(defaults.max_agent_share),
            min_agent_rows: self.min_agent_rows.unwrap_or(defaults.min_agent_rows),
            gate: self.gate.unwrap_or(defaults.gate),
        }
    }
}

impl Config {
    /// The settings of each group; without `[[groups]]`, those of the only one.
    pub(crate) fn groups(&self) -> Vec<RetrainSection> {
        if self.groups.is_empty() {
            return vec![self.retrain.clone()];
        }
        self.groups.iter().map(|group| group.resolved(&self.retrain)).collect()
    }

    /// Whether releases of a group that detect less wait for a person.
    pub(crate) fn has_gate(&self, group: &str) -> bool {
        self.groups().into_iter().find(|own| own.group == group).map_or(self.retrain.gate, |own| own.gate)
    }

    /// True if the server has one group, to which every agent belongs, whatever its status reports.
    pub(crate) fn has_one_group(&self) -> bool {
        self.groups.is_empty()
    }

    /// Checks names and ranges of every group.
    ///
    /// # Errors
    /// The first key that is out of range.
    pub(super) fn check_groups(&self) -> Result<(), ConfigError> {
        if self.groups.is_empty() {
            return check_group(&self.retrain, KEYS[0], "");
        }
        if self.groups.len() > MAX_GROUPS {
            return Err(ConfigError::value(
                "groups",
                self.groups.len(),
                format!("expected at most {MAX_GROUPS} groups"),
            ));
        }
        if self.retrain.group != RetrainSection::default().group {
            let why = "a configuration with [[groups]] names its groups there; remove retrain.group (--group)";
            return Err(ConfigError::value("retrain.group", &self.retrain.group, why));
        }
        let mut names = BTreeSet::new();
        for group in self.groups() {
            check_group(&group, KEYS[1], &format!(" (group {})", group.group))?;
            if !names.insert(group.group.clone()) {
                return Err(ConfigError::value("groups.name", group.group, "expected each group once"));
            }
        }
        Ok(())
    }
}

/// Keys of `[retrain]` and of `[[groups]]`, for errors.
const KEYS: [[&str; 5]; 2] = [
    [
        "retrain.group",
        "retrain.min-rows",
        "retrain.min-agent-rows",
        "retrain.expires-after in ms",
        "retrain.max-agent-share",
    ],
    ["groups.name", "groups.min-rows", "groups.min-agent-rows", "groups.expires-after in ms", "groups.max-agent-share"],
];

/// Checks the settings of a group.
fn check_group(group: &RetrainSection, keys: [&'static str; 5], of: &str) -> Result<(), ConfigError> {
    let [name, min_rows, min_agent_rows, expires_after, max_agent_share] = keys;
    parse_name(&group.group).ok_or_else(|| ConfigError::value(name, &group.group, NAME_RULE))?;
    let ranges = [
        (min_rows, u128::from(group.min_rows), 1, 1 << 40),
        (min_agent_rows, group.min_agent_rows as u128, 1, 1 << 40),
        (expires_after, millis(group.expires_after), 1_000, 1 << 50),
    ];
    for (key, value, low, high) in ranges {
        if !(low..=high).contains(&value) {
            return Err(ConfigError::value(key, format!("{value}{of}"), format!("expected {low} to {high}")));
        }
    }
    let share = group.max_agent_share;
    if share > 0.0 && share <= 1.0 {
        return Ok(());
    }
    Err(ConfigError::value(max_agent_share, format!("{share}{of}"), "expected more than 0, at most 1"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::load;
    use super::*;
    use std::path::Path;

    #[test]
    fn a_group_has_its_own_settings_and_the_common_ones() {
        let config = load(
            "[retrain]\nkey = 'all.key'\nmin-rows = 7\nevery = '7d'\n\
             [[groups]]\nname = 'home'\n\
             [[groups]]\nname = 'shop'\nkey = 'shop.key'\nafter-rows = 5\nmax-agent-share = 0.1\nreleases = 'shops'\n",
        )
        .unwrap();
        let [home, shop] = &config.groups()[..] else { panic!("two groups expected") };
        assert_eq!(home, &RetrainSection { group: "home".into(), ..config.retrain.clone() });
        assert_eq!((shop.group.as_str(), shop.min_rows, shop.every, shop.after_rows), ("shop", 7, home.every, 5));
        assert_eq!(shop.key.as_deref(), Some(Path::new("shop.key")));
        assert_eq!((shop.releases.as_path(), shop.max_agent_share), (Path::new("shops"), 0.1));
        assert!(!config.has_one_group());
        let one = load("[retrain]\ngroup = 'home'\n").unwrap();
        assert!(one.has_one_group() && one.groups() == [one.retrain.clone()]);
    }

    #[test]
    fn groups_are_distinct_and_their_values_in_range() {
        let error = |text: &str| load(text).unwrap_err().to_string();
        let twice = error("[[groups]]\nname = 'a'\n[[groups]]\nname = 'a'\n");
        assert_eq!(twice, "groups.name = a: expected each group once");
        let both = error("[retrain]\ngroup = 'home'\n[[groups]]\nname = 'a'\n");
        assert!(both.contains("remove retrain.group (--group)"), "{both}");
        assert!(error("[[groups]]\nname = 'a b'\n").contains("groups.name = a b: expected 1 to 32"));
        let range = error("[[groups]]\nname = 'a'\nmin-rows = 0\n");
        assert!(range.starts_with("groups.min-rows = 0 (group a): expected 1 to"), "{range}");
        assert!(error("[[groups]]\nname = 'a'\nafter-row = 1\n").contains("did you mean `after-rows`?"));
        assert!(error("[[groups]]\nafter-rows = 1\n").contains("name"));
        let many: String = (0..65).map(|number| format!("[[groups]]\nname = 'g{number}'\n")).collect();
        assert!(error(&many).contains("at most 64 groups"));
    }
}
