//! Rollout and campaign of a group → where one of its releases is.

use lapwing_fleet::campaign::CampaignState;
use lapwing_shared::rollout::message::Rollout;
use lapwing_store::traits::StoredCampaign;
use lapwing_store::{StoreError, StoreHandle};
use serde::Serialize;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use utoipa::ToSchema;

/// Where a release is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// The group runs it.
    Current,
    /// A campaign brings it to the group.
    Campaign,
    /// Its campaign withdrew it: agents go back, and none installs it again.
    Withdrawn,
    /// It is newer than the one that the group runs, and has no open campaign.
    Next,
    /// The group runs a newer one.
    Replaced,
}

/// What decides where the releases of a group are.
#[derive(Clone, Debug, Default)]
pub(crate) struct GroupReleases {
    /// Its newest rollout; `None` without one, or if the stored one is damaged.
    rollout: Option<Rollout>,
    open: Option<(u64, CampaignState, Option<usize>)>,
    /// Its newest published release.
    newest: u64,
}

impl GroupReleases {
    pub(crate) fn read(handle: &StoreHandle, group: &str) -> Result<Self, StoreError> {
        let rollout = handle.newest_rollout(group)?.and_then(|stored| stored.rollout().ok());
        let open = handle.open_campaign(group)?.map(|StoredCampaign { campaign, .. }| {
            (campaign.version(), campaign.state(), campaign.wave().map(|wave| wave.number + 1))
        });
        let newest = handle.releases(group, 1)?.first().map_or(0, |release| release.version);
        Ok(Self { rollout, open, newest })
    }

    /// Where a release is.
    pub(crate) fn standing(&self, version: u64) -> Standing {
        if self.rollout.as_ref().is_some_and(|rollout| rollout.is_withdrawn(version)) {
            return Standing::Withdrawn;
        }
        if self.open.is_some_and(|(open, ..)| open == version) {
            return Standing::Campaign;
        }
        // Without rollouts, the newest release is for the whole group.
        let base = self.rollout.as_ref().map_or(self.newest, |rollout| rollout.base);
        match version {
            _ if version == base => Standing::Current,
            _ if version > base => Standing::Next,
            _ => Standing::Replaced,
        }
    }

    /// The same in words.
    pub(crate) fn text(&self, version: u64) -> String {
        match (self.standing(version), self.open) {
            (Standing::Current, _) => "the group's release".into(),
            (Standing::Campaign, Some((_, state, Some(wave)))) => format!("campaign {}, wave {wave}", state.as_str()),
            (Standing::Campaign, Some((_, state, None))) => format!("campaign {}", state.as_str()),
            (Standing::Campaign, None) => "campaign".into(),
            (Standing::Withdrawn, _) => "withdrawn".into(),
            (Standing::Next, _) => "no open campaign".into(),
            (Standing::Replaced, _) => "replaced by a newer one".into(),
        }
    }
}

/// Groups, each read once.
#[derive(Default)]
pub(crate) struct Groups(BTreeMap<String, GroupReleases>);

impl Groups {
    pub(crate) fn of(&mut self, handle: &StoreHandle, group: &str) -> Result<&GroupReleases, StoreError> {
        Ok(match self.0.entry(group.to_owned()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(GroupReleases::read(handle, group)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_campaigns::testing::{BASE, NEXT, Stage};
    use lapwing_campaigns::{Order, act, start};
    use lapwing_fleet::campaign::{AbortMode, Action, Plan};

    #[test]
    fn a_release_is_where_its_group_and_its_campaign_are() {
        let stage = Stage::new(3, 1_800_000_000);
        let of = |version| {
            let group = GroupReleases::read(&stage.handle, "home").unwrap();
            (group.standing(version), group.text(version))
        };
        assert_eq!(of(BASE), (Standing::Current, "the group's release".into()));
        assert_eq!(of(NEXT), (Standing::Next, "no open campaign".into()));
        assert_eq!(of(BASE - 1).0, Standing::Replaced);
        let order =
            Order { group: "home", version: NEXT, plan: Plan::default(), who: "ann", supersede: false, findings: &[] };
        start(&stage.handle, &order, stage.now_s).unwrap();
        assert_eq!(of(NEXT), (Standing::Campaign, "campaign running, wave 1".into()));
        act(&stage.handle, "home", Action::Abort(AbortMode::Withdraw), "ann", stage.now_s).unwrap();
        assert_eq!(of(NEXT), (Standing::Withdrawn, "withdrawn".into()));
    }

    #[test]
    fn without_rollouts_the_newest_release_is_the_groups() {
        let group = GroupReleases { newest: 5, ..GroupReleases::default() };
        assert_eq!((group.standing(5), group.standing(4)), (Standing::Current, Standing::Replaced));
    }
}
