//! People and tokens in the API.

use super::done;
use crate::Shared;
use crate::access::Known;
use crate::actions::{LinkView, NewTokenView, add_person, add_token, end_token, remove_person, reset_person, set_role};
use crate::api::json;
use crate::forms::json_body;
use crate::predict::Problem;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::Request;
use axum::response::Response;
use lapwing_common::clock;
use lapwing_people::{Permission, Role};
use lapwing_store::{ApiToken, Person, StoreHandle};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// A person to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PersonBody {
    /// Name: 1 to 40 of `a-z 0-9 - _ . + @`.
    pub(crate) name: String,
    /// `viewer`, `operator` or `administrator`.
    #[schema(value_type = String)]
    pub(crate) role: Role,
}

/// A role.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleBody {
    /// `viewer`, `operator` or `administrator`.
    #[schema(value_type = String)]
    pub(crate) role: Role,
}

/// A token to make.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenBody {
    /// What it is for, 1 to 64 characters, without control characters and marks of the writing direction.
    pub(crate) label: String,
    /// At most the caller's role.
    #[schema(value_type = String)]
    pub(crate) role: Role,
    /// Days until it ends, 1 to 730; it ends no later than the token with which it is made.
    pub(crate) days: u64,
}

/// A person.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PersonView {
    /// Name.
    name: String,
    /// `viewer`, `operator` or `administrator`.
    role: &'static str,
    /// False until the person has set one with a link.
    has_password: bool,
    /// When the person was added, seconds since the epoch.
    created_s: u64,
    /// Who added the person.
    who: String,
    /// Sessions that have not ended.
    sessions: u64,
    /// Tokens that have not ended.
    tokens: u64,
}

/// Everybody, by name.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PeopleList {
    /// At most 1,000.
    people: Vec<PersonView>,
}

/// A token without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenView {
    /// Number.
    id: u32,
    /// Whose it is.
    person: String,
    /// What it is for.
    label: String,
    /// The lower one of its role and of its person's.
    role: &'static str,
    /// When it was made, seconds since the epoch.
    created_s: u64,
    /// When it ends.
    until_s: u64,
    /// Its last use, to the minute; null before the first one.
    used_s: Option<u64>,
}

/// Tokens that have not ended, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TokenList {
    /// The caller's own; everybody's for an administrator.
    tokens: Vec<TokenView>,
}

impl From<Person> for PersonView {
    fn from(person: Person) -> Self {
        let Person { name, role, has_password, created_s, who, sessions, tokens } = person;
        Self { name, role: role.as_str(), has_password, created_s, who, sessions, tokens }
    }
}

impl From<ApiToken> for TokenView {
    fn from(token: ApiToken) -> Self {
        let ApiToken { id, person, label, role, created_s, until_s, used_s } = token;
        let used_s = Some(used_s).filter(|used_s| *used_s > 0);
        Self { id, person, label, role: role.as_str(), created_s, until_s, used_s }
    }
}

/// Lists people by name.
#[utoipa::path(
    get,
    path = "/api/v1/people",
    security(("token" = [])),
    responses(
        (status = 200, description = "People.", body = PeopleList),
        (status = 403, description = "Needs the role administrator.", body = Problem),
    )
)]
pub(crate) async fn people(State(shared): State<Arc<Shared>>) -> Response {
    json(async {
        let now_s = clock::now_s();
        let people = shared.change(move |handle: &StoreHandle| handle.people(now_s)).await?;
        Ok(PeopleList { people: people.into_iter().map(PersonView::from).collect() })
    })
    .await
}

/// Adds a person, and makes the link that sets a password, unless a proxy signs people in.
#[utoipa::path(
    post,
    path = "/api/v1/people",
    request_body = PersonBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "The link.", body = LinkView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 409, description = "The name is taken, or there are too many people.", body = Problem),
    )
)]
pub(crate) async fn create_person(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    request: Request<Body>,
) -> Response {
    json(async {
        let PersonBody { name, role } = json_body(request).await?;
        add_person(&shared, &known, &name, role).await
    })
    .await
}

/// Sets the role of a person and ends the sessions.
#[utoipa::path(
    post,
    path = "/api/v1/people/{name}/role",
    params(("name" = String, Path, description = "Name of the person.")),
    request_body = RoleBody,
    security(("token" = [])),
    responses(
        (status = 204, description = "The person has the role."),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "No such person.", body = Problem),
        (status = 409, description = "The last administrator.", body = Problem),
    )
)]
pub(crate) async fn change_role(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    let work = async {
        let RoleBody { role } = json_body(request).await?;
        set_role(&shared, &known, name, role).await
    };
    done(work.await)
}

/// Removes the password of a person, ends the sessions, and makes the link that sets another password.
#[utoipa::path(
    post,
    path = "/api/v1/people/{name}/reset",
    params(("name" = String, Path, description = "Name of the person.")),
    security(("token" = [])),
    responses(
        (status = 200, description = "The link.", body = LinkView),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "No such person, or a proxy signs people in.", body = Problem),
    )
)]
pub(crate) async fn reset(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
) -> Response {
    json(reset_person(&shared, &known, name)).await
}

/// Removes a person with sessions and tokens.
#[utoipa::path(
    delete,
    path = "/api/v1/people/{name}",
    params(("name" = String, Path, description = "Name of the person.")),
    security(("token" = [])),
    responses(
        (status = 204, description = "The person is removed."),
        (status = 403, description = "Needs the role administrator.", body = Problem),
        (status = 404, description = "No such person.", body = Problem),
        (status = 409, description = "The last administrator.", body = Problem),
    )
)]
pub(crate) async fn delete_person(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
) -> Response {
    done(remove_person(&shared, &known, name).await)
}

/// Lists tokens, newest first.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    security(("token" = [])),
    responses(
        (status = 200, description = "Tokens.", body = TokenList),
        (status = 403, description = "No one signs in on this server.", body = Problem),
    )
)]
pub(crate) async fn tokens(State(shared): State<Arc<Shared>>, Extension(known): Extension<Known>) -> Response {
    json(async {
        let owner = (!known.role.may(Permission::ManagePeople)).then(|| known.name.clone());
        let now_s = clock::now_s();
        let tokens = shared.change(move |handle: &StoreHandle| handle.api_tokens(owner.as_deref(), now_s)).await?;
        Ok(TokenList { tokens: tokens.into_iter().map(TokenView::from).collect() })
    })
    .await
}

/// Makes a token of the caller.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    request_body = TokenBody,
    security(("token" = [])),
    responses(
        (status = 200, description = "The token.", body = NewTokenView),
        (status = 400, description = "The body is invalid.", body = Problem),
        (status = 403, description = "More rights than the caller has.", body = Problem),
        (status = 409, description = "The person has too many tokens.", body = Problem),
    )
)]
pub(crate) async fn create_token(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    request: Request<Body>,
) -> Response {
    json(async {
        let TokenBody { label, role, days } = json_body(request).await?;
        add_token(&shared, &known, (&label, role, days)).await
    })
    .await
}

/// Ends a token: an own one, or any with the role administrator.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    params(("id" = u32, Path, description = "Number of the token.")),
    security(("token" = [])),
    responses(
        (status = 204, description = "The token has ended."),
        (status = 403, description = "No one signs in on this server.", body = Problem),
        (status = 404, description = "No such token of the caller.", body = Problem),
    )
)]
pub(crate) async fn delete_token(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(id): Path<u32>,
) -> Response {
    done(end_token(&shared, &known, id).await)
}
