//! Identities of agents → their page, `/identities`.

use super::filters;
use super::layout::Layout;
use super::page;
use crate::Shared;
use crate::api::{fleet, query};
use crate::params::{IdentityChoice, IdentityQuery, with_parameter};
use crate::views::identities::{IdentityView, warnings};
use askama::Template;
use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use lapwing_common::format::count;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "identities.html")]
struct IdentitiesPage {
    layout: Layout,
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
        Ok(IdentitiesPage {
            layout: Layout::new("Identities", "/identities", parameters.refresh(), text),
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
