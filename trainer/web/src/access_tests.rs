//! Callers × routes: who may do what, and how requests of others fail.

mod others;
mod sessions;

use super::check::Access;
use super::routes::{Route, routes};
use super::testing::{ask, send};
use super::tests::{HOSTILE_NAME, fleet, received_from};
use super::{Login, Site, WebServer};
use crate::predict::ApiLimits;
use lapwing_fleet::AuditRecord;
use lapwing_people::{Role, SALT_BYTES, Secret, hash_password};
use lapwing_store::testing::{Folder, status};
use lapwing_store::{AuditFilter, Limits, NewToken, Store, StoreHandle};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use utoipa::OpenApi as _;

const PASSWORD: &str = "correct horse battery";
const OWN: (&str, &str) = ("Sec-Fetch-Site", "same-origin");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// The lowest role for every route; `None`: no login. A route without an entry fails the test of the table.
const TABLE: &[(&str, &str, Option<Role>)] = {
    const V: Option<Role> = Some(Role::Viewer);
    const O: Option<Role> = Some(Role::Operator);
    const A: Option<Role> = Some(Role::Administrator);
    &[
        ("GET", "/style.css", None),
        ("GET", "/login", None),
        ("POST", "/login", None),
        ("GET", "/link/{code}", None),
        ("POST", "/link", None),
        ("GET", "/", V),
        ("GET", "/incidents", V),
        ("GET", "/incidents/{id}", V),
        ("GET", "/api/v1/incidents", V),
        ("GET", "/api/v1/incidents/{id}", V),
        ("GET", "/agents", V),
        ("GET", "/agents/{name}", V),
        ("GET", "/alerts", V),
        ("GET", "/alerts/{agent}/{episode}", V),
        ("GET", "/releases", V),
        ("GET", "/releases/{group}/{version}/card", V),
        ("GET", "/releases/{group}/{version}", V),
        ("GET", "/campaigns", V),
        ("GET", "/campaigns/{id}", V),
        ("GET", "/audit", V),
        ("GET", "/identities", V),
        ("GET", "/identities/{name}", V),
        ("GET", "/metrics", V),
        ("POST", "/logout", V),
        ("GET", "/account", V),
        ("POST", "/account/password", V),
        ("GET", "/tokens", V),
        ("POST", "/tokens", V),
        ("POST", "/tokens/{id}/revoke", V),
        ("POST", "/alerts/{agent}/{episode}/label", O),
        ("GET", "/campaigns/{group}/pause", O),
        ("POST", "/campaigns/{group}/pause", O),
        ("GET", "/campaigns/{group}/abort", O),
        ("POST", "/campaigns/{group}/abort", O),
        ("GET", "/campaigns/{group}/resume", A),
        ("POST", "/campaigns/{group}/resume", A),
        ("GET", "/campaigns/{group}/approve", A),
        ("POST", "/campaigns/{group}/approve", A),
        ("GET", "/campaigns/{group}/start/{version}", A),
        ("POST", "/campaigns/{group}/start/{version}", A),
        ("POST", "/identities/{name}/accept", A),
        ("POST", "/identities/{name}/revoke", A),
        ("GET", "/people", A),
        ("POST", "/people", A),
        ("GET", "/people/{name}", A),
        ("POST", "/people/{name}/role", A),
        ("POST", "/people/{name}/reset", A),
        ("POST", "/people/{name}/remove", A),
        ("GET", "/api/v1/agents", V),
        ("GET", "/api/v1/alerts", V),
        ("GET", "/api/v1/releases", V),
        ("GET", "/api/v1/releases/{group}/{version}", V),
        ("GET", "/api/v1/campaigns", V),
        ("GET", "/api/v1/campaigns/{id}", V),
        ("GET", "/api/v1/groups", V),
        ("GET", "/api/v1/audit", V),
        ("GET", "/api/v1/audit/export", V),
        ("GET", "/api/v1/audit/verify", V),
        ("GET", "/api/v1/identities", V),
        ("GET", "/api/v1/brokers", V),
        ("GET", "/api/v1/process", V),
        ("GET", "/api/v1/openapi.json", V),
        ("POST", "/api/v1/alerts/{agent}/{episode}/label", O),
        ("POST", "/api/v1/campaigns/{group}/pause", O),
        ("POST", "/api/v1/campaigns/{group}/abort", O),
        ("POST", "/api/v1/campaigns/{group}/resume", A),
        ("POST", "/api/v1/campaigns/{group}/approve", A),
        ("POST", "/api/v1/campaigns/{group}/start", A),
        ("POST", "/api/v1/identities/{name}/accept", A),
        ("POST", "/api/v1/identities/{name}/revoke", A),
        ("GET", "/api/v1/people", A),
        ("POST", "/api/v1/people", A),
        ("POST", "/api/v1/people/{name}/role", A),
        ("POST", "/api/v1/people/{name}/reset", A),
        ("DELETE", "/api/v1/people/{name}", A),
        ("GET", "/api/v1/tokens", V),
        ("POST", "/api/v1/tokens", V),
        ("DELETE", "/api/v1/tokens/{id}", V),
        ("POST", "/api/v1/predict", V),
        ("GET", "/api/v1/model", V),
    ]
};

/// A server with a store, and people of these names and roles.
struct Scene {
    handle: StoreHandle,
    store: Store,
    server: WebServer,
    _folder: Folder,
}

impl Scene {
    fn new(people: &[(&str, Role)]) -> Self {
        Self::with(people, Login::default())
    }

    fn with(people: &[(&str, Role)], login: Login) -> Self {
        let folder = Folder::new();
        let mut store = Store::open(folder.store(), Limits::default()).unwrap();
        let hostile = received_from(HOSTILE_NAME, &status(1));
        store.commit(&[fleet(), vec![hostile]].concat(), lapwing_common::clock::now_s()).unwrap();
        let handle = store.handle().unwrap();
        for (name, role) in people {
            let link = lapwing_shared::release::digest::sha256(name.as_bytes());
            let hashed = hash_password(name, PASSWORD, [7; SALT_BYTES]).unwrap();
            let now_s = lapwing_common::clock::now_s();
            handle.add_person(name, *role, &link, "root", now_s).unwrap();
            handle.use_link(&link, name, &hashed, now_s).unwrap();
        }
        let site = Site { store: Some(folder.store().into()), login, ..Site::default() };
        let server = WebServer::start(site, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { handle, store, server, _folder: folder }
    }

    fn address(&self) -> SocketAddr {
        self.server.address
    }

    fn send(&self, line: &str, headers: &[(&str, &str)], body: &str) -> (u16, String, String) {
        let host = self.address().to_string();
        let headers = [&[("Host", host.as_str())], headers].concat();
        send(self.address(), line, &headers, body)
    }

    /// Sends a form as a browser does, with the cookie of a session.
    fn form(&self, path: &str, cookie: &str, body: &str) -> (u16, String, String) {
        self.send(&format!("POST {path}"), &[OWN, FORM, ("Cookie", cookie)], body)
    }

    fn get(&self, path: &str, cookie: &str) -> (u16, String, String) {
        self.send(&format!("GET {path}"), &[("Cookie", cookie)], "")
    }

    fn try_sign_in(&self, name: &str, password: &str) -> (u16, String, String) {
        self.form("/login", "", &format!("name={name}&password={}", password.replace(' ', "+")))
    }

    /// Signs in; returns the cookie.
    fn sign_in(&self, name: &str) -> String {
        let answer = self.try_sign_in(name, PASSWORD);
        assert_eq!(answer.0, 303, "{answer:?}");
        cookie_of(&answer.1)
    }

    /// A token of a person.
    fn token(&self, person: &str, role: Role, number: u8) -> String {
        let secret = Secret::new([number; 32]);
        let until_s = lapwing_common::clock::now_s() + 600;
        let new = NewToken { secret: &secret.sha256(), person, label: "test", role, until_s };
        self.handle.add_api_token(&new, person, lapwing_common::clock::now_s()).unwrap();
        format!("Bearer {}", secret.token())
    }

    fn with_token(&self, line: &str, token: &str, body: &str) -> (u16, String, String) {
        self.send(line, &[("Authorization", token), ("Content-Type", "application/json")], body)
    }

    fn audit(&self) -> Vec<AuditRecord> {
        self.handle.audit(&AuditFilter { limit: 500, ..AuditFilter::default() }).unwrap().records
    }

    fn end(self) {
        self.server.stop().unwrap();
        self.store.close().unwrap();
    }
}

fn cookie_of(head: &str) -> String {
    let line = head.lines().find_map(|line| line.strip_prefix("set-cookie: ")).unwrap();
    line.split(';').next().unwrap().to_owned()
}

/// A path of the table with something in its places.
fn filled(path: &str) -> String {
    path.replace("{agent}/{episode}", "gw-1/77")
        .replace("{name}", "no-one")
        .replace("{group}/{version}", "home/1")
        .replace("{group}/start/{version}", "home/start/9")
        .replace("{group}", "home")
        .replace("{id}", "999")
        .replace("{code}", &"0".repeat(64))
}

#[test]
fn every_route_is_in_the_table_and_needs_what_it_says() {
    let found: BTreeMap<(String, &str), Option<Role>> = routes(None, ApiLimits::default())
        .iter()
        .map(|Route { method, path, access, .. }| {
            let role = match access {
                Access::Public => None,
                Access::Needs(permission) => Some(permission.role()),
            };
            ((method.to_string(), *path), role)
        })
        .collect();
    let expected = TABLE.iter().map(|(method, path, role)| (((*method).to_owned(), *path), *role)).collect();
    assert_eq!(found, expected);
    assert!(found.keys().all(|(method, _)| ["GET", "POST", "DELETE"].contains(&method.as_str())));
}

#[test]
fn every_route_of_the_api_is_in_the_openapi_document_with_its_ways_to_prove_who_calls() {
    let document = serde_json::to_value(crate::openapi::Document::openapi()).unwrap();
    for (method, path, _) in TABLE.iter().filter(|(_, path, _)| path.starts_with("/api/") && !path.ends_with(".json")) {
        let operation = &document["paths"][*path][method.to_lowercase()];
        assert!(operation["responses"].is_object(), "{method} {path}");
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["token"]["scheme"], &schemes["session"]["name"]),
        (&"bearer".into(), &"__Host-lapwing".into())
    );
    assert!(document["security"].as_array().is_some_and(|ways| ways.len() == 3));
}

#[test]
fn each_role_may_do_what_the_table_says_on_every_route() {
    let people = [("vera", Role::Viewer), ("olga", Role::Operator), ("ann", Role::Administrator)];
    let scene = Scene::new(&people);
    for (number, (name, role)) in people.into_iter().enumerate() {
        let token = scene.token(name, Role::Administrator, number as u8 + 1);
        for (method, path, needed) in TABLE {
            // It would end the session of the next route.
            if *path == "/logout" {
                continue;
            }
            let line = format!("{method} {}", filled(path));
            // An empty form or body changes nothing.
            let by_token = scene.with_token(&line, &token, "").0;
            let cookie = scene.sign_in_quietly(name);
            let by_session = scene.send(&line, &[OWN, FORM, ("Cookie", &cookie)], "").0;
            let may = needed.is_none_or(|needed| role >= needed);
            for (way, status) in [("token", by_token), ("session", by_session)] {
                assert_eq!(status != 403 && status != 401, may, "{name} by {way}: {line} gave {status}");
            }
        }
    }
    scene.end();
}

impl Scene {
    /// A session without the login, which limits attempts.
    fn sign_in_quietly(&self, name: &str) -> String {
        let secret = Secret::new(lapwing_authority::random().unwrap());
        let verified = self.handle.password(name).unwrap().unwrap();
        let now_s = lapwing_common::clock::now_s();
        assert!(self.handle.open_session(name, &verified, &secret.sha256(), name, now_s).unwrap());
        format!("lapwing-session={}", secret.text())
    }
}

#[test]
fn without_a_session_there_is_only_the_login_once_there_are_people() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    for (method, path, needed) in TABLE {
        let path = filled(path);
        for headers in [
            &[OWN, FORM][..],
            &[OWN, FORM, ("Cookie", "lapwing-session=00")],
            &[OWN, FORM, ("Authorization", "Bearer lw_00")],
        ] {
            let (status, head, body) = scene.send(&format!("{method} {path}"), headers, "");
            let is_api = path.starts_with("/api/") || path == "/metrics";
            match needed {
                None => assert!(![401, 500].contains(&status) || path == "/login", "{method} {path}: {status}"),
                Some(_) if is_api => {
                    assert_eq!(status, 401, "{method} {path}");
                    assert!(head.contains("www-authenticate: Bearer"), "{head}");
                }
                Some(_) => {
                    assert_eq!(status, 303, "{method} {path}: {body}");
                    assert!(head.contains("location: /login"), "{head}");
                }
            }
            assert!(head.contains("cache-control: no-store"), "{path}: {head}");
        }
    }
    // An unknown path is no different, nor are other methods, and requests without a sign of their site.
    for method in ["GET", "POST", "PUT", "DELETE"] {
        let [real, none] = ["/people", "/nothing"].map(|path| {
            let (status, head, _) = scene.send(&format!("{method} {path}"), &[], "");
            (status, head.to_ascii_lowercase().contains("allow:"))
        });
        assert_eq!((real, none), ((303, false), (303, false)), "{method}");
    }
    assert_eq!((scene.get("/nothing", "").0, scene.get("/api/v1/nothing", "").0), (303, 401));
    scene.end();
}

#[test]
fn a_loopback_server_without_people_reads_and_changes_nothing() {
    let scene = Scene::new(&[]);
    for (method, path, needed) in TABLE {
        let status = scene.send(&format!("{method} {}", filled(path)), &[OWN, FORM], "").0;
        let may = needed.is_none() || (*needed == Some(Role::Viewer) && !PERSONAL.contains(path));
        assert_eq!(status != 403, may, "{method} {path}: {status}");
    }
    assert_eq!(ask(scene.address(), "GET", "/api/v1/agents", "").0, 200);
    let (status, _, page) = scene.get("/", "");
    assert!(status == 200 && page.contains("people add NAME --role administrator"), "{page}");
    assert!(!page.contains("href=\"/account\"") && !page.contains("href=\"/people\""));
    scene.end();
}

/// Routes that need a person.
const PERSONAL: [&str; 9] = [
    "/logout",
    "/account",
    "/account/password",
    "/tokens",
    "/tokens/{id}/revoke",
    "/api/v1/tokens",
    "/api/v1/tokens/{id}",
    "/people",
    "/people/{name}",
];
