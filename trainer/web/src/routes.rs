//! Every route with what it needs: the one table by which requests are answered, and which a test compares with the roles.

use crate::access::Gate;
use crate::check::{Access, check};
use crate::predict::{self, ApiLimits};
use crate::{Shared, api, api_actions, counters, openapi, pages};
use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::middleware::from_fn_with_state;
use axum::response::Json;
use axum::routing::{MethodRouter, delete, get, post};
use lapwing_models::Model;
use lapwing_people::Permission;
use std::sync::Arc;
use utoipa::OpenApi;

/// A path and a method.
pub(crate) struct Route {
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the roles"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) access: Access,
    answer: MethodRouter<Arc<Shared>>,
}

fn route(method: Method, path: &'static str, access: Access, answer: MethodRouter<Arc<Shared>>) -> Route {
    Route { method, path, access, answer }
}

/// A page or list.
fn read(path: &'static str, answer: MethodRouter<Arc<Shared>>) -> Route {
    needs(Method::GET, path, Permission::Read, answer)
}

fn needs(method: Method, path: &'static str, permission: Permission, answer: MethodRouter<Arc<Shared>>) -> Route {
    route(method, path, Access::Needs(permission), answer)
}

/// An action.
fn act(path: &'static str, permission: Permission, answer: MethodRouter<Arc<Shared>>) -> Route {
    needs(Method::POST, path, permission, answer)
}

/// Pages, and forms on them.
fn page_routes() -> Vec<Route> {
    use Permission::{
        AbortCampaign, AcceptAgent, ApproveCampaign, Label, ManagePeople, OwnAccount, PauseCampaign, ResumeCampaign,
        RevokeAgent, StartCampaign,
    };
    use pages::{account, alerts, decide, identities, people, sign_in};
    vec![
        route(Method::GET, "/style.css", Access::Public, get(pages::style)),
        route(Method::GET, "/login", Access::Public, get(sign_in::login)),
        route(Method::POST, "/login", Access::Public, post(sign_in::start_session)),
        route(Method::GET, "/link/{code}", Access::Public, get(sign_in::link)),
        route(Method::POST, "/link", Access::Public, post(sign_in::use_link)),
        read("/", get(pages::overview::overview)),
        read("/agents", get(pages::agents::agents)),
        read("/agents/{name}", get(pages::agents::agent)),
        read("/alerts", get(alerts::alerts)),
        read("/alerts/{agent}/{episode}", get(alerts::alert)),
        read("/incidents", get(pages::incidents::incidents)),
        read("/incidents/{id}", get(pages::incidents::incident)),
        read("/releases", get(pages::releases::releases)),
        read("/releases/{group}/{version}", get(pages::releases::release)),
        read("/campaigns", get(pages::campaigns::campaigns)),
        read("/campaigns/{id}", get(pages::campaigns::campaign)),
        read("/releases/{group}/{version}/card", get(pages::releases::card)),
        read("/audit", get(pages::audit::audit)),
        read("/identities", get(identities::identities)),
        read("/identities/{name}", get(identities::identity)),
        read("/metrics", get(counters::metrics)),
        act("/logout", OwnAccount, post(sign_in::logout)),
        needs(Method::GET, "/account", OwnAccount, get(account::account)),
        act("/account/password", OwnAccount, post(account::password)),
        needs(Method::GET, "/tokens", OwnAccount, get(account::tokens)),
        act("/tokens", OwnAccount, post(account::create_token)),
        act("/tokens/{id}/revoke", OwnAccount, post(account::revoke_token)),
        act("/alerts/{agent}/{episode}/label", Label, post(alerts::set_label)),
        needs(Method::GET, "/campaigns/{group}/pause", PauseCampaign, get(decide::confirm)),
        act("/campaigns/{group}/pause", PauseCampaign, post(decide::decide)),
        needs(Method::GET, "/campaigns/{group}/abort", AbortCampaign, get(decide::confirm)),
        act("/campaigns/{group}/abort", AbortCampaign, post(decide::decide)),
        needs(Method::GET, "/campaigns/{group}/resume", ResumeCampaign, get(decide::confirm)),
        act("/campaigns/{group}/resume", ResumeCampaign, post(decide::decide)),
        needs(Method::GET, "/campaigns/{group}/approve", ApproveCampaign, get(decide::confirm)),
        act("/campaigns/{group}/approve", ApproveCampaign, post(decide::decide)),
        needs(Method::GET, "/campaigns/{group}/start/{version}", StartCampaign, get(decide::confirm_start)),
        act("/campaigns/{group}/start/{version}", StartCampaign, post(decide::begin)),
        act("/identities/{name}/accept", AcceptAgent, post(identities::accept)),
        act("/identities/{name}/revoke", RevokeAgent, post(identities::revoke)),
        needs(Method::GET, "/people", ManagePeople, get(people::people)),
        act("/people", ManagePeople, post(people::add)),
        needs(Method::GET, "/people/{name}", ManagePeople, get(people::person)),
        act("/people/{name}/role", ManagePeople, post(people::role)),
        act("/people/{name}/reset", ManagePeople, post(people::reset)),
        act("/people/{name}/remove", ManagePeople, post(people::remove)),
    ]
}

/// The API.
fn api_routes() -> Vec<Route> {
    use Permission::{
        AbortCampaign, AcceptAgent, ApproveCampaign, Label, ManagePeople, OwnAccount, PauseCampaign, ResumeCampaign,
        RevokeAgent, StartCampaign,
    };
    use api_actions as actions;
    vec![
        read("/api/v1/agents", get(api::agents)),
        read("/api/v1/alerts", get(api::alerts)),
        read("/api/v1/incidents", get(api::incidents)),
        read("/api/v1/incidents/{id}", get(api::incident)),
        read("/api/v1/releases", get(api::releases)),
        read("/api/v1/releases/{group}/{version}", get(api::release)),
        read("/api/v1/campaigns", get(api::campaigns)),
        read("/api/v1/campaigns/{id}", get(api::campaign)),
        read("/api/v1/groups", get(api::groups)),
        read("/api/v1/audit", get(api::audit)),
        read("/api/v1/audit/export", get(actions::export)),
        read("/api/v1/audit/verify", get(actions::verify)),
        read("/api/v1/identities", get(api::identities)),
        read("/api/v1/brokers", get(api::brokers)),
        read("/api/v1/process", get(api::process)),
        read("/api/v1/openapi.json", get(async || Json(openapi::Document::openapi()))),
        act("/api/v1/alerts/{agent}/{episode}/label", Label, post(actions::label)),
        act("/api/v1/campaigns/{group}/pause", PauseCampaign, post(actions::pause_campaign)),
        act("/api/v1/campaigns/{group}/abort", AbortCampaign, post(actions::abort_campaign)),
        act("/api/v1/campaigns/{group}/resume", ResumeCampaign, post(actions::resume_campaign)),
        act("/api/v1/campaigns/{group}/approve", ApproveCampaign, post(actions::approve_campaign)),
        act("/api/v1/campaigns/{group}/start", StartCampaign, post(actions::start_campaign)),
        act("/api/v1/identities/{name}/accept", AcceptAgent, post(actions::accept)),
        act("/api/v1/identities/{name}/revoke", RevokeAgent, post(actions::revoke)),
        needs(Method::GET, "/api/v1/people", ManagePeople, get(actions::people::people)),
        act("/api/v1/people", ManagePeople, post(actions::people::create_person)),
        act("/api/v1/people/{name}/role", ManagePeople, post(actions::people::change_role)),
        act("/api/v1/people/{name}/reset", ManagePeople, post(actions::people::reset)),
        needs(Method::DELETE, "/api/v1/people/{name}", ManagePeople, delete(actions::people::delete_person)),
        needs(Method::GET, "/api/v1/tokens", OwnAccount, get(actions::people::tokens)),
        act("/api/v1/tokens", OwnAccount, post(actions::people::create_token)),
        needs(Method::DELETE, "/api/v1/tokens/{id}", OwnAccount, delete(actions::people::delete_token)),
    ]
}

/// Every route.
pub(crate) fn routes(model: Option<Arc<Model>>, limits: ApiLimits) -> Vec<Route> {
    let predict = Arc::new(predict::Shared::new(model, limits));
    let predicts = [
        act("/api/v1/predict", Permission::Read, post(predict::predict).with_state(Arc::clone(&predict))),
        read("/api/v1/model", get(predict::about).with_state(predict)),
    ];
    page_routes().into_iter().chain(api_routes()).chain(predicts).collect()
}

/// The routes, each behind its check. Any other path needs a reader, so that no one else finds out which ones there are.
pub(crate) fn router(routes: Vec<Route>, gate: &Arc<Gate>) -> Router<Arc<Shared>> {
    let checked = |access| from_fn_with_state((Arc::clone(gate), access), check);
    let add = |router: Router<Arc<Shared>>, route: Route| {
        // Around other methods, too: their answer shows that there is a route.
        router.route(route.path, route.answer.layer(checked(route.access)))
    };
    let other = pages::not_found.layer(checked(Access::Needs(Permission::Read)));
    routes.into_iter().fold(Router::new(), add).fallback(other)
}
