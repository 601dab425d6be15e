//! What pages and API do with campaigns, by the same functions as the commands.

use crate::access::Known;
use crate::api::RequestError;
use crate::{GroupPlan, Shared};
use axum::http::Uri;
use lapwing_campaigns::decisions::{Decision, Reach, decide, reach};
use lapwing_campaigns::outline::Outline;
use lapwing_campaigns::{ChangeError, Order, propose, start};
use lapwing_common::clock;
use lapwing_pipeline::gate::replay::replay;
use lapwing_store::StoreHandle;

/// The last part of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CampaignAction {
    Pause,
    Resume,
    Approve,
    Abort,
}

impl CampaignAction {
    const ALL: [Self; 4] = [Self::Pause, Self::Resume, Self::Approve, Self::Abort];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Approve => "approve",
            Self::Abort => "abort",
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Approve => "Approve",
            Self::Abort => "Abort",
        }
    }

    /// Decisions among which a person chooses.
    pub(crate) const fn decisions(self) -> &'static [Decision] {
        match self {
            Self::Pause => &[Decision::Pause],
            Self::Resume => &[Decision::Resume],
            Self::Approve => &[Decision::Approve, Decision::Refuse],
            Self::Abort => &[Decision::Withdraw, Decision::Stop],
        }
    }

    /// The action of a route, which ends with its name.
    ///
    /// # Errors
    /// For another path.
    pub(crate) fn of(uri: &Uri) -> Result<Self, RequestError> {
        let name = uri.path().rsplit('/').next().unwrap_or_default();
        let found = Self::ALL.into_iter().find(|action| action.as_str() == name);
        found.ok_or_else(|| RequestError::Missing(format!("There is no action {name}.")))
    }

    /// One of the decisions of this action: its route has its permission, and no other.
    ///
    /// # Errors
    /// For another decision.
    pub(crate) fn parse(self, text: &str) -> Result<Decision, RequestError> {
        let found = self.decisions().iter().find(|decision| decision.as_str() == text);
        let names = || self.decisions().iter().map(|decision| decision.as_str()).collect::<Vec<_>>().join(" or ");
        found.copied().ok_or_else(|| RequestError::Body(format!("invalid decision `{text}`, expected {}", names())))
    }
}

/// A campaign to start.
pub(crate) struct Wanted {
    pub(crate) group: String,
    pub(crate) version: u64,
    pub(crate) supersede: bool,
}

fn refused(error: ChangeError) -> RequestError {
    match error {
        ChangeError::Store(error) => RequestError::Read(error.into()),
        other @ (ChangeError::None { .. } | ChangeError::NoRelease { .. }) => RequestError::Missing(other.to_string()),
        other => RequestError::Refused(other.to_string()),
    }
}

impl Shared {
    async fn change_campaign<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StoreHandle) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, RequestError> {
        self.change(move |handle| Ok(work(handle))).await?.map_err(refused)
    }

    fn plan(&self, group: &str) -> Result<GroupPlan, RequestError> {
        let plans = self.plans.as_ref();
        plans.map_or_else(|| Ok(GroupPlan::default()), |plans| plans(group)).map_err(RequestError::Refused)
    }
}

/// What the release detects worse than the one that the group runs. As for commands, a replay that fails finds nothing.
fn findings(handle: &StoreHandle, group: &str, version: u64, has_gate: bool) -> Vec<String> {
    if !has_gate {
        return Vec::new();
    }
    match replay(handle, group, version) {
        Ok(report) => report.map(|report| report.findings).unwrap_or_default(),
        Err(error) => {
            tracing::warn!(%error, "attacks are not replayed");
            Vec::new()
        }
    }
}

/// What a decision about the open campaign of a group would be about.
pub(crate) async fn reach_of(shared: &Shared, group: String) -> Result<Reach, RequestError> {
    let now_s = clock::now_s();
    shared.change_campaign(move |handle| reach(handle, &group, now_s)).await
}

/// Carries out a decision.
pub(crate) async fn decide_campaign(
    shared: &Shared,
    known: &Known,
    (group, decision): (String, Decision),
    shown: Option<(i64, u64)>,
) -> Result<Reach, RequestError> {
    let (who, now_s) = (known.who(), clock::now_s());
    shared
        .change_campaign(move |handle| decide(handle, (&group, decision), shown, &who, now_s).map(|(reach, _)| reach))
        .await
}

/// What a campaign with the group's plan would do. It may supersede the open one.
pub(crate) async fn outline(
    shared: &Shared,
    known: &Known,
    (group, version): (String, u64),
) -> Result<Outline, RequestError> {
    let (GroupPlan { plan, has_gate }, who, now_s) = (shared.plan(&group)?, known.who(), clock::now_s());
    let work = move |handle: &StoreHandle| {
        let findings = findings(handle, &group, version, has_gate);
        let order = Order { group: &group, version, plan, who: &who, supersede: true, findings: &findings };
        Ok(Outline::of(&propose(handle, &order, now_s)?))
    };
    shared.change_campaign(work).await
}

/// Starts a campaign with the group's plan; returns its number.
pub(crate) async fn start_campaign(shared: &Shared, known: &Known, wanted: Wanted) -> Result<i64, RequestError> {
    let Wanted { group, version, supersede } = wanted;
    let (GroupPlan { plan, has_gate }, who, now_s) = (shared.plan(&group)?, known.who(), clock::now_s());
    let work = move |handle: &StoreHandle| {
        let findings = findings(handle, &group, version, has_gate);
        let order = Order { group: &group, version, plan, who: &who, supersede, findings: &findings };
        Ok(start(handle, &order, now_s)?.0.id)
    };
    shared.change_campaign(work).await
}
