//! The own account and tokens: `/account` and `/tokens`.

use super::layout::Layout;
use super::{error_page, page};
use crate::Shared;
use crate::access::{Client, Known, ended_cookie};
use crate::actions::{NewTokenView, add_token, change_password, end_token};
use crate::api::RequestError;
use crate::forms::form;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, header};
use axum::response::{IntoResponse, Redirect, Response};
use lapwing_common::clock;
use lapwing_common::format::when;
use lapwing_fleet::{Way, one_line};
use lapwing_people::{PASSWORD_RULE, Permission, Role};
use lapwing_store::{ApiToken, StoreHandle};
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    layout: Layout,
    name: String,
    role: Role,
    has_password: bool,
    rule: &'static str,
}

/// `GET /account`.
pub(crate) async fn account(Extension(known): Extension<Known>) -> Response {
    page(async {
        let Known { name, role, way, .. } = known;
        let layout = Layout::new("Account", "/account", None, "");
        Ok(AccountPage { layout, name, role, has_password: way == Way::Page, rule: PASSWORD_RULE })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Passwords {
    present: String,
    password: String,
    again: String,
}

/// `POST /account/password`.
pub(crate) async fn password(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(known): Extension<Known>,
    request: Request<Body>,
) -> Response {
    let answer = async {
        let Passwords { present, password, again } = form(request).await?;
        change_password(&shared, &known, (present, password, again), client.address).await
    };
    match answer.await {
        Ok(()) => ([(header::SET_COOKIE, ended_cookie(client.is_secure))], Redirect::to("/login")).into_response(),
        Err(error) => error_page(&error),
    }
}

struct TokenRow {
    token: ApiToken,
    created: String,
    until: String,
    used: String,
}

impl TokenRow {
    fn new(token: ApiToken) -> Self {
        // An older version stored other characters, too.
        let token = ApiToken { label: one_line(&token.label), ..token };
        let used = if token.used_s == 0 { "never".into() } else { when(token.used_s) };
        Self { created: when(token.created_s), until: when(token.until_s), used, token }
    }
}

#[derive(Template)]
#[template(path = "tokens.html")]
struct TokensPage {
    layout: Layout,
    roles: Vec<Role>,
    /// The token that was just made.
    new: Option<NewTokenView>,
    is_of_all: bool,
    tokens: Vec<TokenRow>,
}

async fn tokens_page(shared: &Shared, known: &Known, new: Option<NewTokenView>) -> Result<TokensPage, RequestError> {
    let is_of_all = known.role.may(Permission::ManagePeople);
    let (owner, now_s) = ((!is_of_all).then(|| known.name.clone()), clock::now_s());
    let tokens = shared.change(move |handle: &StoreHandle| handle.api_tokens(owner.as_deref(), now_s)).await?;
    Ok(TokensPage {
        layout: Layout::new("Tokens", "/tokens", None, ""),
        roles: Role::ALL.into_iter().filter(|role| *role <= known.role).collect(),
        new,
        is_of_all,
        tokens: tokens.into_iter().map(TokenRow::new).collect(),
    })
}

/// `GET /tokens`: the caller's own, or everybody's with the permission to manage people.
pub(crate) async fn tokens(State(shared): State<Arc<Shared>>, Extension(known): Extension<Known>) -> Response {
    page(tokens_page(&shared, &known, None)).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WantedToken {
    label: String,
    role: Role,
    days: u64,
}

/// `POST /tokens`: the page that answers shows the token, once.
pub(crate) async fn create_token(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    request: Request<Body>,
) -> Response {
    page(async {
        let WantedToken { label, role, days } = form(request).await?;
        let new = add_token(&shared, &known, (&label, role, days)).await?;
        tokens_page(&shared, &known, Some(new)).await
    })
    .await
}

/// `POST /tokens/{id}/revoke`.
pub(crate) async fn revoke_token(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(id): Path<u32>,
) -> Response {
    match end_token(&shared, &known, id).await {
        Ok(()) => Redirect::to("/tokens").into_response(),
        Err(error) => error_page(&error),
    }
}
