//! The OpenAPI document of the whole API.

use crate::actions::{LinkView, NewTokenView};
use crate::drift::{DriftColumn, DriftView};
use crate::predict::{self, Problem};
use crate::queries::{AgentList, AlertList, AuditList, Counts, IdentityList, IncidentList, ReleaseList};
use crate::views::agents::{AgentView, HealthView, ReleaseState, UpdateView};
use crate::views::alerts::{AlertView, PeerView, ReasonView};
use crate::views::brokers::BrokerList;
use crate::views::campaigns::{CampaignLine, CampaignList};
use crate::views::groups::{GroupList, GroupView};
use crate::views::identities::IdentityView;
use crate::views::incidents::{IncidentDetails, IncidentView, MemberView, NoteView, SiteView};
use crate::views::releases::{HeldView, ReleaseDetails, ReleaseView, WaitingView};
use crate::views::standing::Standing;
use crate::{api, api_actions};
use lapwing_campaigns::history::Change;
use lapwing_campaigns::view::{CampaignReport, CampaignView, NamedAgent, StageView, TallyView, WaveView};
use lapwing_fleet::campaign::gates::{Finding, Gate, Verdict};
use lapwing_fleet::campaign::{AgentStage, CampaignState, WaveState};
use lapwing_fleet::incident::{IncidentState, Rule, Severity};
use lapwing_fleet::{AuditRecord, BrokerLink, GroupProblem, IdentityCounts, LeaseState, ProcessState};
use lapwing_models::{Prediction, Suspicious};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

/// The OpenAPI document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Lapwing trainer",
        description = "Lists agents, alerts and releases of the fleet, acts on them, and classifies flow rows with a saved model. On a loopback server whose store has no people, everyone reads and no one acts; otherwise every route needs an API token or a session."
    ),
    paths(
        predict::predict,
        predict::about,
        api::agents,
        api::alerts,
        api::incidents,
        api::incident,
        api::releases,
        api::release,
        api::campaigns,
        api::campaign,
        api::groups,
        api::audit,
        api::identities,
        api::brokers,
        api::process,
        api_actions::export,
        api_actions::verify,
        api_actions::label,
        api_actions::accept,
        api_actions::revoke,
        api_actions::pause_campaign,
        api_actions::resume_campaign,
        api_actions::approve_campaign,
        api_actions::abort_campaign,
        api_actions::start_campaign,
        api_actions::people::people,
        api_actions::people::create_person,
        api_actions::people::change_role,
        api_actions::people::reset,
        api_actions::people::delete_person,
        api_actions::people::tokens,
        api_actions::people::create_token,
        api_actions::people::delete_token,
    ),
    modifiers(&Security),
    security(("token" = []), ("session" = []), ("session-without-tls" = [])),
    components(schemas(
        predict::Batch,
        predict::Answer,
        Prediction,
        Suspicious,
        Problem,
        predict::About,
        predict::AboutFeature,
        AgentList,
        Counts,
        AgentView,
        HealthView,
        UpdateView,
        ReleaseState,
        AlertList,
        AlertView,
        PeerView,
        ReasonView,
        ReleaseList,
        ReleaseView,
        WaitingView,
        ReleaseDetails,
        HeldView,
        Standing,
        CampaignLine,
        CampaignList,
        CampaignReport,
        CampaignView,
        WaveView,
        TallyView,
        StageView,
        NamedAgent,
        Change,
        AgentStage,
        CampaignState,
        WaveState,
        Finding,
        Gate,
        Verdict,
        DriftView,
        DriftColumn,
        BrokerList,
        BrokerLink,
        ProcessState,
        GroupList,
        GroupView,
        GroupProblem,
        AuditList,
        AuditRecord,
        IdentityList,
        IdentityView,
        IdentityCounts,
        IncidentList,
        IncidentView,
        IncidentDetails,
        SiteView,
        MemberView,
        NoteView,
        Rule,
        IncidentState,
        lapwing_fleet::incident::Verdict,
        Severity,
        LeaseState,
        LinkView,
        NewTokenView,
        api_actions::LabelBody,
        api_actions::IdentityBody,
        api_actions::DecisionBody,
        api_actions::DecisionView,
        api_actions::StartBody,
        api_actions::StartView,
        api_actions::people::PersonBody,
        api_actions::people::RoleBody,
        api_actions::people::TokenBody,
        api_actions::people::PersonView,
        api_actions::people::PeopleList,
        api_actions::people::TokenView,
        api_actions::people::TokenList,
        api_actions::AuditCheckView
    ))
)]
pub struct Document;

/// How callers prove who they are.
struct Security;

impl Modify for Security {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("lw_…").build();
        components.add_security_scheme("token", SecurityScheme::Http(token));
        for (name, cookie) in [("session", "__Host-lapwing"), ("session-without-tls", "lapwing-session")] {
            components.add_security_scheme(name, SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(cookie))));
        }
    }
}
