//! Callers × routes: who may do what, and how requests of others fail.

use super::access::Access;
use super::routes::{Route, routes};
use super::testing::{ask, send};
use super::tests::{HOSTILE_NAME, fleet, received_from};
use super::{Login, Site, WebServer};
use crate::forms::BODY_BYTES;
use crate::predict::ApiLimits;
use axum::http::Method;
use lapwing_fleet::{AuditRecord, parse_export_line};
use lapwing_people::{ATTEMPTS, Role, SALT_BYTES, Secret, hash_password};
use lapwing_store::testing::{Folder, status};
use lapwing_store::{AuditFilter, Limits, NewToken, Store, StoreHandle};
use std::collections::BTreeMap;
use std::net::SocketAddr;

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
        .replace("{name}", "nobody")
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
fn nobody_gets_anything_but_the_login_once_there_are_people() {
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
    // An unknown path is no different.
    assert_eq!((scene.get("/nothing", "").0, scene.get("/api/v1/nothing", "").0), (303, 401));
    scene.end();
}

#[test]
fn a_loopback_server_without_people_reads_and_changes_nothing() {
    let scene = Scene::new(&[]);
    for (method, path, needed) in TABLE {
        let status = scene.send(&format!("{method} {}", filled(path)), &[OWN, FORM], "").0;
        let may = needed.is_none() || (*needed == Some(Role::Viewer) && TABLE_OF_READERS.contains(path) == false);
        assert_eq!(status != 403, may, "{method} {path}: {status}");
    }
    assert_eq!(ask(scene.address(), "GET", "/api/v1/agents", "").0, 200);
    let (status, _, page) = scene.get("/", "");
    assert!(status == 200 && page.contains("people add NAME --role administrator"), "{page}");
    assert!(!page.contains("href=\"/account\"") && !page.contains("href=\"/people\""));
    scene.end();
}

/// Routes that need a person.
const TABLE_OF_READERS: [&str; 9] = [
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

#[test]
fn a_session_begins_with_the_password_and_ends_with_the_logout() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    assert_eq!(scene.try_sign_in("ann", "another password").0, 401);
    assert_eq!(scene.try_sign_in("eve", PASSWORD).0, 401);
    let (status, head, _) = scene.try_sign_in("ANN", PASSWORD);
    assert_eq!(status, 303);
    assert!(head.contains("HttpOnly; SameSite=Lax") && !head.contains("Secure"), "{head}");
    let cookie = cookie_of(&head);
    let (status, _, page) = scene.get("/", &cookie);
    assert!(status == 200 && page.contains("Signed in as ann (administrator)"), "{page}");
    assert_eq!(scene.get("/", &format!("{cookie}; {cookie}")).0, 303, "two cookies are none");
    let (status, head, _) = scene.form("/logout", &cookie, "");
    assert!(status == 303 && head.contains("lapwing-session=; Path=/; Max-Age=0"), "{head}");
    assert_eq!(scene.get("/", &cookie).0, 303);
    let actions: Vec<_> =
        scene.audit().into_iter().rev().skip(2).map(|it| format!("{} {} {}", it.who, it.action, it.object)).collect();
    let expected = [
        "serve sign-in-failed ann",
        "serve sign-in-failed an unknown name",
        "ann (page) sign-in ann",
        "ann (page) sign-out ann",
    ];
    assert_eq!(actions, expected);
    scene.end();
}

#[test]
fn a_login_has_a_new_session_and_ends_the_one_that_the_browser_had() {
    let scene = Scene::new(&[("ann", Role::Administrator), ("eve", Role::Viewer)]);
    let chosen = format!("lapwing-session={}", "a".repeat(64));
    let body = format!("name=ann&password={}", PASSWORD.replace(' ', "+"));
    let (_, head, _) = scene.form("/login", &chosen, &body);
    assert_ne!(cookie_of(&head), chosen);
    assert_eq!(scene.get("/", &chosen).0, 303, "a session that somebody chose is none");
    let of_eve = scene.sign_in("eve");
    let (_, head, _) = scene.form("/login", &of_eve, &body);
    assert_eq!((scene.get("/", &of_eve).0, scene.get("/", &cookie_of(&head)).0), (303, 200));
    scene.end();
}

#[test]
fn guesses_are_limited_by_name_and_by_address_and_cost_the_right_password_too() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    for _ in 0..ATTEMPTS {
        assert_eq!(scene.try_sign_in("ann", "a wrong password").0, 401);
    }
    let (status, head, page) = scene.try_sign_in("ann", PASSWORD);
    assert!(status == 429 && page.contains("too many attempts"), "{status} {page}");
    let wait_s: u64 = head.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait_s));
    assert_eq!(scene.try_sign_in("eve", PASSWORD).0, 429, "the address");
    let failures = scene.audit().iter().filter(|it| it.action == "sign-in-failed").count();
    assert_eq!(failures, ATTEMPTS as usize);
    scene.end();
}

#[test]
fn other_sites_and_requests_without_a_sign_of_their_site_change_nothing() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let cookie = scene.sign_in("ann");
    let host = scene.address().to_string();
    let (own_origin, label) = (format!("http://{host}"), "POST /alerts/gw-1/77/label");
    let post = |headers: &[(&str, &str)]| {
        scene.send(label, &[&[FORM, ("Cookie", cookie.as_str())], headers].concat(), "label=benign").0
    };
    for refused in [
        &[][..],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("Sec-Fetch-Site", "same-site")],
        &[("Origin", "http://evil.example")],
        &[("Origin", "null")],
        &[("Sec-Fetch-Site", "cross-site"), ("Origin", &own_origin)],
    ] {
        assert_eq!(post(refused), 403, "{refused:?}");
    }
    let is_labelled = || scene.handle.episode("gw-1", 77, 1).unwrap().unwrap().0.label.is_some();
    assert!(!is_labelled());
    // Rebinding: the browser believes that it talks to another host.
    let headers = [("Host", "evil.example"), OWN, FORM, ("Cookie", cookie.as_str())];
    assert_eq!(send(scene.address(), label, &headers, "label=benign").0, 421);
    // A login from elsewhere would sign a person in as somebody else.
    let login = format!("name=ann&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(scene.send("POST /login", &[FORM], &login).0, 403);
    assert_eq!(scene.send("POST /login", &[FORM, ("Origin", "http://evil.example")], &login).0, 403);
    assert!(!is_labelled());
    assert_eq!(post(&[("Origin", &own_origin)]), 303);
    assert!(is_labelled());
    scene.end();
}

#[test]
fn a_label_from_a_page_and_from_the_api_names_the_person_and_the_way() {
    let scene = Scene::new(&[("olga", Role::Operator), ("ann", Role::Administrator)]);
    let cookie = scene.sign_in("olga");
    let page = scene.get("/alerts/gw-1/77", &cookie).2;
    assert!(page.contains("action=\"/alerts/gw-1/77/label\"") && page.contains("value=\"attack\""), "{page}");
    assert_eq!(scene.form("/alerts/gw-1/77/label", &cookie, "label=attack").0, 303);
    let token = scene.token("olga", Role::Operator, 5);
    let line = "POST /api/v1/alerts/gw-1/77/label";
    assert_eq!(scene.with_token(line, &token, "{\"label\": \"benign\"}").0, 204);
    assert_eq!(scene.with_token(line, &token, "{\"label\": \"odd\"}").0, 400);
    assert_eq!(scene.with_token("POST /api/v1/alerts/gw-1/78/label", &token, "{\"label\": \"benign\"}").0, 404);
    let who: Vec<_> = scene.audit().into_iter().filter(|it| it.action == "label").map(|it| it.who).collect();
    assert!(who[0].starts_with("olga (token ") && who[1] == "olga (page)", "{who:?}");
    let filtered = scene.get("/audit?who=olga&action=label", &cookie).2;
    assert_eq!(filtered.matches("<tr><td data-label=\"entry\"").count(), 2, "{filtered}");
    scene.end();
}

#[test]
fn people_are_managed_on_pages_and_a_role_change_signs_out_everywhere() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let cookie = scene.sign_in("ann");
    let (status, _, page) = scene.form("/people", &cookie, "name=Bob&role=viewer");
    assert_eq!(status, 200, "{page}");
    let link = page.split("/link/").nth(1).unwrap()[..64].to_owned();
    let (status, _, form) = scene.get(&format!("/link/{link}"), "");
    assert!(status == 200 && form.contains("For bob"), "{form}");
    let chosen = |name: &str, password: &str| {
        scene.form("/link", "", &format!("code={link}&name={name}&password={password}&again={password}"))
    };
    assert_eq!(chosen("bob", "short").0, 400);
    assert_eq!(chosen("ann", "a-long-password").0, 409, "the link is bob's");
    assert_eq!(chosen("bob", "a-long-password").0, 200);
    assert_eq!((chosen("bob", "a-long-password").0, scene.get(&format!("/link/{link}"), "").0), (404, 404), "used");
    let sessions = [scene.try_sign_in("bob", "a-long-password"), scene.try_sign_in("bob", "a-long-password")];
    let sessions = sessions.map(|(_, head, _)| cookie_of(&head));
    assert!(sessions.iter().all(|session| scene.get("/", session).0 == 200));
    assert!(scene.get("/people/bob", &cookie).2.contains("This ends 2 sessions of bob"));
    assert_eq!(scene.form("/people/bob/role", &cookie, "role=operator").0, 303);
    assert!(sessions.iter().all(|session| scene.get("/", session).0 == 303), "signed out everywhere");
    assert_eq!(scene.form("/people/ann/role", &cookie, "role=viewer").0, 409, "the last administrator");
    let (status, _, page) = scene.form("/people/bob/reset", &cookie, "");
    assert!(status == 200 && page.contains("/link/"), "{page}");
    assert_eq!(scene.try_sign_in("bob", "a-long-password").0, 401, "void at once");
    assert_eq!(scene.form("/people/bob/remove", &cookie, "").0, 303);
    assert_eq!(scene.get("/people/bob", &cookie).0, 404);
    scene.end();
}

#[test]
fn a_password_is_changed_with_the_present_one_and_ends_every_session() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let (cookie, other) = (scene.sign_in("ann"), scene.sign_in("ann"));
    let change = |present: &str, new: &str, again: &str| {
        let body = format!("present={present}&password={new}&again={again}").replace(' ', "+");
        scene.form("/account/password", &cookie, &body).0
    };
    assert_eq!(change("a wrong password", "another password", "another password"), 400);
    assert_eq!(change(PASSWORD, "another password", "a third password"), 400);
    assert_eq!(change(PASSWORD, "too short", "too short"), 400);
    assert_eq!(change(PASSWORD, "another password", "another password"), 303);
    assert_eq!((scene.get("/", &cookie).0, scene.get("/", &other).0), (303, 303));
    assert_eq!((scene.try_sign_in("ann", PASSWORD).0, scene.try_sign_in("ann", "another password").0), (401, 303));
    scene.end();
}

#[test]
fn a_token_is_shown_once_and_has_no_more_rights_than_its_maker() {
    let scene = Scene::new(&[("olga", Role::Operator), ("ann", Role::Administrator)]);
    let cookie = scene.sign_in("olga");
    assert_eq!(scene.form("/tokens", &cookie, "label=x&role=administrator&days=9").0, 403);
    assert_eq!(scene.form("/tokens", &cookie, "label=x&role=viewer&days=731").0, 400);
    let (status, _, page) = scene.form("/tokens", &cookie, "label=backup&role=viewer&days=9");
    assert_eq!(status, 200, "{page}");
    let token = format!("Bearer lw_{}", &page.split("<pre>lw_").nth(1).unwrap()[..64]);
    assert!(!scene.get("/tokens", &cookie).2.contains(&token[7..]), "shown once");
    let agents = || scene.with_token("GET /api/v1/agents", &token, "").0;
    assert_eq!(agents(), 200);
    let label = scene.with_token("POST /api/v1/alerts/gw-1/77/label", &token, "{\"label\": \"benign\"}");
    assert_eq!(label.0, 403, "a viewer's token of an operator");
    // A token that a token makes ends with it.
    let mine = &scene.handle.api_tokens(Some("olga"), lapwing_common::clock::now_s()).unwrap()[0];
    let body = "{\"label\": \"more\", \"role\": \"viewer\", \"days\": 700}";
    let made: serde_json::Value =
        serde_json::from_str(&scene.with_token("POST /api/v1/tokens", &token, body).2).unwrap();
    assert_eq!(made["until_s"].as_u64(), Some(mine.until_s));
    // Olga's token is not for others to end, but for her and administrators.
    let of_ann = scene.token("ann", Role::Administrator, 9);
    let (_, _, list) = scene.with_token("GET /api/v1/tokens", &token, "");
    assert!(list.contains("backup") && !list.contains("\"ann\""), "{list}");
    let anns = scene.handle.api_tokens(Some("ann"), 0).unwrap()[0].id;
    assert_eq!(scene.form(&format!("/tokens/{anns}/revoke"), &cookie, "").0, 404);
    assert_eq!(scene.with_token(&format!("DELETE /api/v1/tokens/{}", mine.id), &of_ann, "").0, 204);
    assert_eq!(agents(), 401, "revoked");
    scene.end();
}

#[test]
fn a_token_that_has_ended_or_stands_twice_is_none() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let secret = Secret::new([3; 32]);
    let new = NewToken { secret: &secret.sha256(), person: "ann", label: "old", role: Role::Viewer, until_s: 5 };
    scene.handle.add_api_token(&new, "ann", 1).unwrap();
    let old = format!("Bearer {}", secret.token());
    assert_eq!(scene.with_token("GET /api/v1/agents", &old, "").0, 401);
    let (valid, cookie) = (scene.token("ann", Role::Viewer, 4), scene.sign_in("ann"));
    let get = |headers: &[(&str, &str)]| scene.send("GET /api/v1/agents", headers, "").0;
    assert_eq!(get(&[("Authorization", &valid)]), 200);
    assert_eq!(get(&[("Authorization", &valid), ("Authorization", &old)]), 401);
    assert_eq!(get(&[("Authorization", &old), ("Cookie", &cookie)]), 401, "the cookie does not help a bad token");
    scene.end();
}

#[test]
fn names_and_labels_are_escaped_wherever_they_are_shown() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let cookie = scene.sign_in("ann");
    let hostile = "%3Cscript%3Ealert('1')%3C%2Fscript%3E%22%3E";
    assert_eq!(scene.form("/people", &cookie, &format!("name={hostile}&role=viewer")).0, 400, "no person's name");
    assert_eq!(scene.form("/tokens", &cookie, &format!("label={hostile}&role=viewer&days=1")).0, 200);
    // As if somebody had written it to the store.
    scene
        .handle
        .add_person(HOSTILE_NAME, Role::Viewer, &[1; 32], HOSTILE_NAME, lapwing_common::clock::now_s())
        .unwrap();
    let name = "%3Cscript%3Ealert%28%271%27%29%3C%2Fscript%3E%26%22";
    for path in ["/people", "/tokens", "/audit", "/agents", &format!("/people/{name}"), "/audit?who=%3Cscript%3E%22"] {
        let (status, _, page) = scene.get(path, &cookie);
        assert_eq!(status, 200, "{path}: {page}");
        assert!(page.contains("&#60;script&#62;") && !page.contains("<script"), "{path}: {page}");
    }
    for path in ["/people/%3Cscript%3E", "/alerts/%3Cscript%3E/1", "/identities/%3Cscript%3E", "/link/%3Cscript%3E"] {
        assert!(!scene.get(path, &cookie).2.contains("<script"), "{path}");
    }
    let label = scene.form("/alerts/gw-1/77/label", &cookie, "label=%3Cscript%3E");
    assert!(label.0 == 400 && !label.2.contains("<script"), "{}", label.2);
    scene.end();
}

#[test]
fn bodies_that_are_too_long_or_of_another_type_are_refused() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let long = format!("name=ann&password={}", "a".repeat(BODY_BYTES));
    assert_eq!(scene.form("/login", "", &long).0, 413);
    let token = scene.token("ann", Role::Administrator, 1);
    let body = format!("{{\"name\": \"{}\", \"role\": \"viewer\"}}", "a".repeat(BODY_BYTES));
    assert_eq!(scene.with_token("POST /api/v1/people", &token, &body).0, 413);
    for kind in ["text/plain", "application/json", "multipart/form-data; boundary=x"] {
        assert_eq!(scene.send("POST /login", &[OWN, ("Content-Type", kind)], "name=ann&password=x").0, 400, "{kind}");
    }
    for body in ["", "name=ann", "name=ann&password=x&more=y", "name=ann&name=bob&password=x", "%ff=%00"] {
        assert!([400, 401].contains(&scene.form("/login", "", body).0), "{body}");
    }
    scene.end();
}

#[test]
fn a_proxy_signs_people_in_only_from_its_address_and_never_beside_passwords() {
    let user = ("X-Remote-User", "ann");
    let login = |proxy: &str| Login {
        trusted_proxies: vec![proxy.parse().unwrap()],
        user_header: Some("X-Remote-User".into()),
        ..Login::default()
    };
    let people = [("ann", Role::Administrator), ("vera", Role::Viewer)];
    let scene = Scene::with(&people, login("127.0.0.1"));
    let get = |headers: &[(&str, &str)]| scene.send("GET /people", headers, "").0;
    assert_eq!((get(&[user]), get(&[("X-Remote-User", "vera")])), (200, 403));
    for headers in [&[][..], &[("X-Remote-User", "eve")], &[("X-Remote-User", "")], &[user, ("X-Remote-User", "vera")]]
    {
        assert_eq!(get(headers), 401, "{headers:?}");
    }
    assert_eq!(scene.send("GET /login", &[], "").0, 404);
    let body = format!("name=ann&password={}", PASSWORD.replace(' ', "+"));
    assert_eq!(scene.send("POST /login", &[OWN, FORM], &body).0, 404);
    let session = scene.sign_in_quietly("ann");
    assert_eq!(get(&[("Cookie", &session)]), 401, "sessions count for nothing");
    assert_eq!(scene.send("POST /tokens", &[user, FORM], "label=x&role=viewer&days=1").0, 403, "no sign of the site");
    assert_eq!(scene.send("POST /tokens", &[user, OWN, FORM], "label=x&role=viewer&days=1").0, 200);
    assert_eq!(scene.audit()[0].who, "ann (proxy)");
    scene.end();
    let scene = Scene::with(&people, login("192.0.2.1"));
    assert_eq!(scene.send("GET /people", &[user], "").0, 401, "from another address");
    assert_eq!(scene.send("GET /people", &[user, ("X-Forwarded-For", "192.0.2.1")], "").0, 401);
    scene.end();
}

#[test]
fn without_tls_or_a_proxy_the_server_listens_on_the_loopback_only() {
    let start = |login: Login| WebServer::start(Site { login, ..Site::default() }, "0.0.0.0:0".parse().unwrap());
    let error = start(Login::default()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("listens on the loopback only") && error.contains("http.trusted-proxies"), "{error}");
    let server = start(Login { trusted_proxies: vec!["192.0.2.1".parse().unwrap()], ..Login::default() }).unwrap();
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), server.address.port());
    assert_eq!(ask(address, "GET", "/api/v1/process", "").0, 401, "beyond the loopback, nobody is unknown");
    server.stop().unwrap();
}

#[test]
fn behind_a_trusted_proxy_the_cookie_is_secure_and_attempts_count_by_client() {
    let login = Login { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..Login::default() };
    let scene = Scene::with(&[("ann", Role::Administrator)], login);
    let sign_in = |client: &str, name: &str| {
        let body = format!("name={name}&password={}", PASSWORD.replace(' ', "+"));
        scene.send("POST /login", &[OWN, FORM, ("X-Forwarded-For", client)], &body)
    };
    let (status, head, _) = sign_in("198.51.100.7", "ann");
    assert!(status == 303 && head.contains("__Host-lapwing=") && head.contains("; Secure"), "{head}");
    assert_eq!(scene.get("/", &cookie_of(&head)).0, 200);
    for number in 0..ATTEMPTS {
        assert_eq!(sign_in("203.0.113.9", &format!("eve{number}")).0, 401);
    }
    assert_eq!((sign_in("203.0.113.9", "ann").0, sign_in("198.51.100.7", "ann").0), (429, 303));
    assert_eq!(sign_in("198.51.100.8, 203.0.113.9", "ann").0, 429, "only the proxy's own part counts");
    scene.end();
}

#[test]
fn the_audit_log_is_exported_with_its_chain_and_checked() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let token = scene.token("ann", Role::Viewer, 1);
    let (status, head, text) = scene.with_token("GET /api/v1/audit/export", &token, "");
    assert!(status == 200 && head.contains("application/x-ndjson"), "{head}");
    let records: Vec<_> = text.lines().map(|line| parse_export_line(line).unwrap()).collect();
    assert_eq!(records, scene.audit().into_iter().rev().collect::<Vec<_>>());
    assert!(records.windows(2).all(|pair| pair[1].previous == pair[0].sha256()));
    let rest = scene.with_token(&format!("GET /api/v1/audit/export?after={}", records[0].number), &token, "").2;
    assert_eq!(rest.lines().count(), records.len() - 1);
    let check: serde_json::Value =
        serde_json::from_str(&scene.with_token("GET /api/v1/audit/verify", &token, "").2).unwrap();
    assert_eq!((check["entries"].as_u64(), &check["problems"]), (Some(records.len() as u64), &serde_json::json!([])));
    scene.end();
}

#[test]
fn the_first_person_comes_by_a_link_and_then_everybody_signs_in() {
    let scene = Scene::new(&[]);
    let secret = Secret::new([5; 32]);
    assert!(scene.handle.add_first_link(&secret.sha256(), lapwing_common::clock::now_s()).unwrap());
    let (status, _, page) = scene.get(&format!("/link/{}", secret.text()), "");
    assert!(status == 200 && page.contains("You are the first person here"), "{page}");
    assert_eq!(scene.get("/", "").0, 200);
    let body = format!("code={}&name=ann&password={PASSWORD}&again={PASSWORD}", secret.text()).replace(' ', "+");
    assert_eq!(scene.form("/link", "", &body).0, 200);
    assert_eq!(scene.get("/", "").0, 303);
    let cookie = scene.sign_in("ann");
    assert_eq!(scene.get("/people", &cookie).0, 200);
    scene.end();
}

#[test]
fn methods_other_than_those_of_the_table_change_nothing() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let token = scene.token("ann", Role::Administrator, 1);
    for method in [Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS, Method::TRACE] {
        for path in ["/people", "/api/v1/agents", "/login", "/api/v1/people"] {
            assert_eq!(scene.with_token(&format!("{method} {path}"), &token, "").0, 405, "{method} {path}");
        }
    }
    scene.end();
}
