//! Groups of agents → their sizes, rows and newest releases.

use lapwing_store::{StoreError, StoreHandle};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Most groups in the list: those with most agents, and every group that the trainer counts.
const GROUPS: u32 = 100;

/// A group of agents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GroupView {
    /// Name.
    pub(crate) group: String,
    /// Its agents.
    pub(crate) agents: u64,
    /// Feature rows of its agents since the trainer serves it; null unless it is one of several that the trainer serves.
    pub(crate) rows: Option<u64>,
    /// Rows among them since training of its last release began.
    pub(crate) new_rows: Option<u64>,
    /// Its newest release; null without one.
    pub(crate) release: Option<u64>,
}

/// Response of `GET /api/v1/groups`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct GroupList {
    /// By name.
    pub(crate) groups: Vec<GroupView>,
}

/// Groups that agents report, or that the trainer serves as one of several, by name.
pub(crate) fn groups(handle: &StoreHandle) -> Result<GroupList, StoreError> {
    let mut views: BTreeMap<String, GroupView> = BTreeMap::new();
    for line in handle.agents_by_group(GROUPS)? {
        views.entry(line.group).or_default().agents = line.agents;
    }
    for (group, rows) in handle.group_rows()? {
        let view = views.entry(group).or_default();
        view.rows = Some(rows.stored);
        view.new_rows = Some(rows.stored.saturating_sub(rows.trained));
    }
    let named = |(group, view): (String, GroupView)| {
        let release = handle.releases(&group, 1)?.first().map(|release| release.version);
        Ok(GroupView { group, release, ..view })
    };
    Ok(GroupList { groups: views.into_iter().map(named).collect::<Result<_, StoreError>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_store::testing::{Folder, received, samples, status};
    use lapwing_store::{Limits, Store};

    #[test]
    fn a_group_has_its_agents_rows_and_newest_release() {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        store.commit(&[received("gw-1", &status(1)), received("gw-1", &samples(1, 1, &[(1, false); 3]))], 5).unwrap();
        let handle = store.handle().unwrap();
        let home = GroupView { group: "home".into(), agents: 1, ..GroupView::default() };
        assert_eq!(
            groups(&handle).unwrap().groups,
            std::slice::from_ref(&home),
            "rows are not counted for the only group"
        );
        handle.add_groups(&["home", "shop"]).unwrap();
        handle.set_trained_rows("home", 2).unwrap();
        let shop = GroupView { group: "shop".into(), rows: Some(0), new_rows: Some(0), ..GroupView::default() };
        assert_eq!(groups(&handle).unwrap().groups, [GroupView { rows: Some(3), new_rows: Some(1), ..home }, shop]);
    }
}
