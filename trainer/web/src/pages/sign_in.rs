//! Signing in and out: `/login`, `/logout`, and links for one use, `/link/SECRET`.

use super::layout::Layout;
use super::{error_page, page};
use crate::Shared;
use crate::access::{Client, Known, ended_cookie, session_cookie};
use crate::actions::{by_password, new_password, person_name, sign_in};
use crate::api::RequestError;
use crate::forms::form;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{Request, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use lapwing_common::clock;
use lapwing_people::{PASSWORD_RULE, Secret};
use lapwing_store::LinkTarget;
use serde::Deserialize;
use std::sync::Arc;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    layout: Layout,
    message: &'static str,
}

fn login_page(status: StatusCode, message: &'static str) -> Response {
    let page = LoginPage { layout: Layout::new("Sign in", "", None, ""), message };
    (status, Html(page.render().unwrap_or_default())).into_response()
}

/// `GET /login`.
pub(crate) async fn login(State(shared): State<Arc<Shared>>) -> Response {
    page(async {
        by_password(&shared)?;
        Ok(LoginPage { layout: Layout::new("Sign in", "", None, ""), message: "" })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    name: String,
    password: String,
}

/// `POST /login`. Each login has a new session; one that the browser had ends.
pub(crate) async fn start_session(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    known: Option<Extension<Known>>,
    request: Request<Body>,
) -> Response {
    let answer = async {
        by_password(&shared)?;
        let Credentials { name, password } = form(request).await?;
        // An invalid name is unknown; the attempt counts all the same.
        let name = person_name(&name).unwrap_or_default();
        let session = sign_in(&shared, &name, password, client.address).await?;
        if let (Some(_), Some(earlier)) = (&session, known.as_ref()) {
            end(&shared, earlier).await?;
        }
        Ok::<_, RequestError>(session)
    };
    match answer.await {
        Ok(Some(session)) => {
            let cookie = session_cookie(client.is_secure, &session);
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Ok(None) => login_page(StatusCode::UNAUTHORIZED, "Name or password is wrong."),
        Err(error) => error_page(&error),
    }
}

async fn end(shared: &Shared, known: &Known) -> Result<(), RequestError> {
    let Some(session) = known.session else { return Ok(()) };
    let (who, now_s) = (known.who(), clock::now_s());
    shared.change(move |handle| handle.end_session(&session, &who, now_s)).await
}

/// `POST /logout`.
pub(crate) async fn logout(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(known): Extension<Known>,
) -> Response {
    match end(&shared, &known).await {
        Ok(()) => ([(header::SET_COOKIE, ended_cookie(client.is_secure))], Redirect::to("/login")).into_response(),
        Err(error) => error_page(&error),
    }
}

#[derive(Template)]
#[template(path = "link.html")]
struct LinkPage {
    layout: Layout,
    code: String,
    /// Name of the person; `None`: the first person chooses it.
    name: Option<String>,
    rule: &'static str,
}

fn ended() -> RequestError {
    RequestError::Missing(lapwing_store::PersonError::Link.to_string())
}

/// `GET /link/{code}`: only looks; programs that preview links do that, too.
pub(crate) async fn link(State(shared): State<Arc<Shared>>, Path(code): Path<String>) -> Response {
    page(async {
        by_password(&shared)?;
        let (secret, now_s) = (Secret::parse(&code).ok_or_else(ended)?, clock::now_s());
        let sha256 = secret.sha256();
        let target = shared.change(move |handle| handle.link(&sha256, now_s)).await?.ok_or_else(ended)?;
        let name = match target {
            LinkTarget::First => None,
            LinkTarget::Person(name) => Some(name),
        };
        let layout = Layout::new("Choose a password", "", None, "");
        Ok(LinkPage { layout, code: secret.text(), name, rule: PASSWORD_RULE })
    })
    .await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Chosen {
    code: String,
    name: String,
    password: String,
    again: String,
}

/// `POST /link`.
pub(crate) async fn use_link(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    request: Request<Body>,
) -> Response {
    let answer = async {
        by_password(&shared)?;
        let Chosen { code, name, password, again } = form(request).await?;
        let (name, secret) = (person_name(&name)?, Secret::parse(&code).ok_or_else(ended)?);
        let (sha256, now_s) = (secret.sha256(), clock::now_s());
        // Only whoever has a link makes the server hash a password.
        let attempts = &shared.gate.attempts;
        let counted = format!("link {code}");
        attempts.attempt(&counted, client.address, now_s).map_err(RequestError::Wait)?;
        shared.change(move |handle| handle.link(&sha256, now_s)).await?.ok_or_else(ended)?;
        let hashed = new_password(&name, password, &again).await?;
        let person = name.clone();
        shared.change(move |handle| handle.use_link(&sha256, &name, &hashed, now_s)).await?;
        attempts.succeeded(&counted, client.address);
        attempts.forget(&person);
        Ok(())
    };
    match answer.await {
        Ok(()) => login_page(StatusCode::OK, "The password is set. Sign in with it."),
        Err(error) => error_page(&error),
    }
}
