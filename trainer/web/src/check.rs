//! Route and caller → the response of the route, or a refusal.

use crate::access::{CALLER, Caller, Claim, Gate, Peer, claim};
use crate::pages::error_page;
use crate::request_error::RequestError;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};
use lapwing_fleet::Way;
use lapwing_people::Permission;
use std::sync::Arc;

/// What a route needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Nothing: the login itself.
    Public,
    /// A caller with this permission.
    Needs(Permission),
}

/// Whether a request without any sign of where it comes from is refused. Browsers send such a sign; without one, only a token,
/// which no browser adds by itself, or a route that changes nothing proves that no other site is behind it.
fn needs_claim(caller: &Caller, access: Access) -> bool {
    let has_token = caller.known().is_some_and(|known| matches!(known.way, Way::Token(_)));
    !has_token && access != Access::Needs(Permission::Read)
}

/// Answers a request, or refuses it.
pub(crate) async fn check(
    State((gate, access)): State<(Arc<Gate>, Access)>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let is_api = ["/api/", "/metrics"].iter().any(|prefix| request.uri().path().starts_with(prefix));
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return refuse(&RequestError::Forbidden("the connection has no address".into()), is_api);
    };
    let client = gate.client(request.headers(), &peer);
    let caller = match gate.caller(request.headers(), &peer, &client).await {
        Ok(caller) => caller,
        Err(error) => return refuse(&error.into(), is_api),
    };
    // First, so that a token that has ended is named as the reason, and others do not learn which routes there are.
    if let (Caller::Unknown, Access::Needs(permission)) = (&caller, access) {
        return denied(&caller, permission, is_api, gate.is_by_proxy());
    }
    let is_unknown = claim(request.method(), request.headers()) == Claim::Unknown;
    if is_unknown && needs_claim(&caller, access) {
        let message = "the request does not say which site it comes from; use a current browser, or an API token";
        return refuse(&RequestError::Forbidden(message.into()), is_api);
    }
    if let Access::Needs(permission) = access
        && !caller.may(permission)
    {
        return denied(&caller, permission, is_api, gate.is_by_proxy());
    }
    if let Caller::Known(known) = &caller {
        request.extensions_mut().insert(known.clone());
    }
    request.extensions_mut().insert(client);
    CALLER.scope(caller, next.run(request)).await
}

fn denied(caller: &Caller, permission: Permission, is_api: bool, is_by_proxy: bool) -> Response {
    match caller {
        Caller::Open => {
            let message = "to act here, add a person: run `lapwing-trainer people add NAME --role administrator`";
            refuse(&RequestError::Forbidden(message.into()), is_api)
        }
        Caller::Known(known) => {
            let message =
                format!("this needs the role {}; {} has the role {}", permission.role(), known.name, known.role);
            refuse(&RequestError::Forbidden(message), is_api)
        }
        Caller::Unknown if is_api || is_by_proxy => {
            let error = if is_by_proxy { RequestError::Unlisted } else { RequestError::Unknown };
            let mut response = refuse(&error, is_api);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            response
        }
        Caller::Unknown => {
            let mut response = Redirect::to("/login").into_response();
            *response.status_mut() = StatusCode::SEE_OTHER;
            response
        }
    }
}

fn refuse(error: &RequestError, is_api: bool) -> Response {
    if is_api { error.json() } else { error_page(error) }
}
