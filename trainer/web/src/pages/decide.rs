//! Actions on the campaign of a group: a page that shows what each choice would do, `/campaigns/GROUP/pause` and so on, and
//! its form.

use super::layout::Layout;
use super::{error_page, page, path_segment};
use crate::Shared;
use crate::access::Known;
use crate::api::RequestError;
use crate::campaign_actions::{CampaignAction, Wanted, decide_campaign, outline, reach_of, start_campaign};
use crate::forms::form;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use lapwing_campaigns::decisions::Decision;
use lapwing_campaigns::outline::Outline;
use serde::Deserialize;
use std::sync::Arc;

/// A button with what it does.
struct Choice {
    decision: &'static str,
    effect: String,
    button: &'static str,
}

const fn button(decision: Decision) -> &'static str {
    match decision {
        Decision::Pause => "Pause",
        Decision::Resume => "Resume",
        Decision::Approve => "Approve",
        Decision::Refuse => "Refuse",
        Decision::Stop => "Stop, and keep the release where it is",
        Decision::Withdraw => "Withdraw the release",
    }
}

#[derive(Template)]
#[template(path = "decide.html")]
struct DecidePage {
    layout: Layout,
    group: String,
    id: i64,
    revision: u64,
    version: u64,
    state: &'static str,
    path: String,
    choices: Vec<Choice>,
}

/// `GET /campaigns/{group}/{pause, resume, approve, abort}`.
pub(crate) async fn confirm(State(shared): State<Arc<Shared>>, Path(group): Path<String>, uri: Uri) -> Response {
    page(async {
        let action = CampaignAction::of(&uri)?;
        let reach = reach_of(&shared, group.clone()).await?;
        let title = format!("{} release {} of {group}", action.title(), reach.version);
        let choice = |decision: &Decision| Choice {
            decision: decision.as_str(),
            effect: reach.effect(*decision),
            button: button(*decision),
        };
        Ok(DecidePage {
            layout: Layout::new(&title, "/campaigns", None, ""),
            id: reach.id,
            revision: reach.revision,
            version: reach.version,
            state: reach.state.as_str(),
            path: format!("/campaigns/{}/{}", path_segment(&group), action.as_str()),
            choices: action.decisions().iter().map(choice).collect(),
            group,
        })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    decision: String,
    id: i64,
    revision: u64,
}

/// `POST /campaigns/{group}/{pause, resume, approve, abort}`.
pub(crate) async fn decide(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(group): Path<String>,
    request: Request<Body>,
) -> Response {
    let work = async {
        let action = CampaignAction::of(request.uri())?;
        let Chosen { decision, id, revision } = form(request).await?;
        let decision = action.parse(&decision)?;
        decide_campaign(&shared, &known, (group, decision), Some((id, revision))).await?;
        Ok::<_, RequestError>(id)
    };
    match work.await {
        Ok(id) => Redirect::to(&format!("/campaigns/{id}")).into_response(),
        Err(error) => error_page(&error),
    }
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage {
    layout: Layout,
    outline: Outline,
    path: String,
    /// The campaign that this one ends.
    supersedes: bool,
}

/// `GET /campaigns/{group}/start/{version}`: what a campaign with the group's plan would do.
pub(crate) async fn confirm_start(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path((group, version)): Path<(String, u64)>,
) -> Response {
    page(async {
        let path = format!("/campaigns/{}/start/{version}", path_segment(&group));
        let outline = outline(&shared, &known, (group, version)).await?;
        let title = format!("Start release {version} of {}", outline.group);
        let supersedes = outline.supersedes.is_some();
        Ok(StartPage { layout: Layout::new(&title, "/campaigns", None, ""), outline, path, supersedes })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    #[serde(default)]
    supersede: bool,
}

/// `POST /campaigns/{group}/start/{version}`.
pub(crate) async fn begin(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path((group, version)): Path<(String, u64)>,
    request: Request<Body>,
) -> Response {
    let work = async {
        let Start { supersede } = form(request).await?;
        start_campaign(&shared, &known, Wanted { group, version, supersede }).await
    };
    match work.await {
        Ok(id) => Redirect::to(&format!("/campaigns/{id}")).into_response(),
        Err(error) => error_page(&error),
    }
}
