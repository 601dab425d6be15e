//! People: the list, `/people`, and a page for each, `/people/NAME`, which shows what each change ends.

use super::layout::Layout;
use super::{error_page, page, path_segment};
use crate::Shared;
use crate::access::{Client, Known};
use crate::actions::{LinkView, add_person, remove_person, reset_person, set_role};
use crate::api::RequestError;
use crate::forms::form;
use askama::Template;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, header};
use axum::response::{IntoResponse, Redirect, Response};
use lapwing_common::clock;
use lapwing_common::format::{count, when};
use lapwing_people::{NAME_CHARS, Role};
use lapwing_store::{Person, StoreHandle};
use serde::Deserialize;
use std::sync::Arc;

struct PersonRow {
    person: Person,
    href: String,
    created: String,
}

impl PersonRow {
    fn new(person: Person) -> Self {
        let (href, created) = (format!("/people/{}", path_segment(&person.name)), when(person.created_s));
        Self { person, href, created }
    }
}

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    layout: Layout,
    roles: [Role; 3],
    name_chars: usize,
    people: Vec<PersonRow>,
}

/// `GET /people`.
pub(crate) async fn people(State(shared): State<Arc<Shared>>) -> Response {
    page(async {
        let now_s = clock::now_s();
        let people = shared.change(move |handle: &StoreHandle| handle.people(now_s)).await?;
        Ok(PeoplePage {
            layout: Layout::new("People", "/people", None, ""),
            roles: Role::ALL,
            name_chars: NAME_CHARS,
            people: people.into_iter().map(PersonRow::new).collect(),
        })
    })
    .await
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    layout: Layout,
    row: PersonRow,
    /// What ends with a change.
    ends: String,
    roles: Vec<Role>,
    /// A proxy signs people in, so there are no passwords.
    is_by_proxy: bool,
}

fn number(count_of: u64, one: &str) -> String {
    if count_of == 1 { format!("1 {one}") } else { format!("{} {one}s", count(count_of)) }
}

/// `GET /people/{name}`.
pub(crate) async fn person(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    page(async {
        let now_s = clock::now_s();
        let person = shared.change(move |handle: &StoreHandle| handle.person(&name, now_s)).await?;
        let ends = number(person.sessions, "session");
        Ok(PersonPage {
            layout: Layout::new(&person.name, "/people", None, ""),
            ends,
            is_by_proxy: shared.gate.is_by_proxy(),
            roles: Role::ALL.into_iter().filter(|role| *role != person.role).collect(),
            row: PersonRow::new(person),
        })
    })
    .await
}

impl PersonPage {
    fn tokens(&self) -> String {
        number(self.row.person.tokens, "token")
    }
}

#[derive(Template)]
#[template(path = "made_link.html")]
struct MadeLinkPage {
    layout: Layout,
    link: LinkView,
    url: String,
    until: String,
}

/// The page that shows a link, once. The guard has checked the name of the host.
fn made_link(link: LinkView, client: Client, headers: &HeaderMap) -> MadeLinkPage {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let scheme = if client.is_secure { "https" } else { "http" };
    let path = link.link.as_deref().unwrap_or_default();
    let (url, until) = (format!("{scheme}://{host}{path}"), when(link.until_s.unwrap_or_default()));
    MadeLinkPage { layout: Layout::new(&format!("Link for {}", link.name), "/people", None, ""), link, url, until }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPerson {
    name: String,
    role: Role,
}

/// `POST /people`.
pub(crate) async fn add(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(known): Extension<Known>,
    request: Request<Body>,
) -> Response {
    if shared.gate.is_by_proxy() {
        let added = async {
            let NewPerson { name, role } = form(request).await?;
            add_person(&shared, &known, &name, role).await.map(drop)
        };
        return back(added.await);
    }
    page(async {
        let headers = request.headers().clone();
        let NewPerson { name, role } = form(request).await?;
        Ok(made_link(add_person(&shared, &known, &name, role).await?, client, &headers))
    })
    .await
}

/// `POST /people/{name}/reset`.
pub(crate) async fn reset(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    page(async { Ok(made_link(reset_person(&shared, &known, name).await?, client, &headers)) }).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewRole {
    role: Role,
}

fn back(done: Result<(), RequestError>) -> Response {
    done.map_or_else(|error| error_page(&error), |()| Redirect::to("/people").into_response())
}

/// `POST /people/{name}/role`.
pub(crate) async fn role(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Response {
    let change = async {
        let NewRole { role } = form(request).await?;
        set_role(&shared, &known, name, role).await
    };
    back(change.await)
}

/// `POST /people/{name}/remove`.
pub(crate) async fn remove(
    State(shared): State<Arc<Shared>>,
    Extension(known): Extension<Known>,
    Path(name): Path<String>,
) -> Response {
    back(remove_person(&shared, &known, name).await)
}
