//! Identities of agents → their list, `/identities`, and a page for each, `/identities/NAME`, on which they are accepted or
//! revoked.

use super::filters;
use super::layout::Layout;
use super::{Fact, error_page, page};
use crate::Shared;
use crate::access::Known;
use crate::actions::decide_identity;
use crate::api::{fleet, query};
use crate::forms::form;
use crate::params::{IdentityChoice, IdentityQuery, with_parameter};
use crate::views::identities::{IdentityView, warnings};
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use lapwing_common::format::count;
use lapwing_fleet::IdentityState;
use lapwing_people::Permission;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "identities.html")]
struct IdentitiesPage {
    layout: Layout,
    may_decide: bool,
    chosen: Option<IdentityChoice>,
    states: [IdentityChoice; 4],
    summary: String,
    warnings: Vec<String>,
    identities: Vec<IdentityView>,
    empty: &'static str,
    next: Option<String>,
}

impl IdentitiesPage {
    fn is_chosen(&self, state: &IdentityChoice) -> bool {
        self.chosen.as_ref() == Some(state)
    }
}

/// `/identities`.
pub(crate) async fn identities(State(shared): State<Arc<Shared>>, uri: Uri) -> Response {
    page(async {
        let parameters: IdentityQuery = query(&uri)?;
        let list = fleet(&shared)?.identities(&parameters).await?;
        let (text, counts) = (uri.query().unwrap_or_default(), list.counts);
        let all = counts.waiting + counts.accepted + counts.revoked;
        let is_filtered = parameters.state.is_some() || parameters.after.is_some();
        let layout = Layout::new("Identities", "/identities", parameters.refresh(), text);
        Ok(IdentitiesPage {
            may_decide: layout.may(Permission::RevokeAgent),
            layout,
            chosen: parameters.state,
            states: IdentityChoice::ALL,
            summary: format!(
                "{} identities: {} accepted, {} waiting, {} revoked.",
                count(all),
                count(counts.accepted),
                count(counts.waiting),
                count(counts.revoked)
            ),
            warnings: warnings(&counts),
            identities: list.identities,
            empty: if is_filtered {
                "No identities match."
            } else {
                "No agent is enrolled. To create a token, run `lapwing-trainer enroll`."
            },
            next: list.next.map(|next| with_parameter(text, "after", &next)),
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "identity.html")]
struct IdentityPage {
    layout: Layout,
    identity: IdentityView,
    facts: Vec<Fact>,
    may_accept: bool,
    may_revoke: bool,
}

/// `GET /identities/{name}`: what a decision is about, and what it does.
pub(crate) async fn identity(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    page(async {
        let identity = fleet(&shared)?.identity(&name).await?;
        let facts = vec![
            ("state", identity.state.to_owned()),
            ("group", identity.group.clone()),
            ("key", identity.fingerprint.clone()),
            ("certificate until", identity.until()),
            ("certificates", identity.certificates.to_string()),
            ("by", identity.who.clone()),
        ];
        let layout = Layout::new(&identity.name, "/identities", None, "");
        let (is_waiting, is_revoked) = (identity.state == "waiting", identity.state == "revoked");
        Ok(IdentityPage {
            may_accept: is_waiting && layout.may(Permission::AcceptAgent),
            may_revoke: !is_revoked && layout.may(Permission::RevokeAgent),
            layout,
            identity,
            facts,
        })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    /// The whole fingerprint that the page showed.
    key: String,
}

async fn decide(
    shared: &Shared,
    known: &Known,
    name: String,
    state: IdentityState,
    request: Request<Body>,
) -> Response {
    let done = async {
        let Shown { key } = form(request).await?;
        decide_identity(shared, known, (name, key), state).await
    };
    done.await.map_or_else(|error| error_page(&error), |()| Redirect::to("/identities").into_response())
}

/// `POST /identities/{name}/accept`.
pub(crate) async fn accept(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    decide(&shared, &known, name, IdentityState::Accepted, request).await
}

/// `POST /identities/{name}/revoke`.
pub(crate) async fn revoke(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    decide(&shared, &known, name, IdentityState::Revoked, request).await
}
