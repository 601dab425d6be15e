//! Tokens, hostile texts and bodies, proxies, the audit log, and the first person.

use super::{FORM, OWN, PASSWORD, Scene, cookie_of};
use crate::forms::BODY_BYTES;
use crate::testing::{ask, send};
use crate::tests::HOSTILE_NAME;
use crate::{Login, Site, WebServer};
use axum::http::Method;
use lapwing_fleet::{Claim, IdentityState, TokenTerms, parse_export_line};
use lapwing_people::{ATTEMPTS, Role, Secret};
use lapwing_store::NewToken;
use lapwing_store::testing::name;
use std::net::SocketAddr;

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
    // Not the browser is at fault, so the answer does not speak of the site.
    for line in ["POST /api/v1/alerts/gw-1/77/label", "DELETE /api/v1/people/ann", "POST /api/v1/nothing"] {
        let (status, head, body) = scene.with_token(line, &old, "{}");
        assert!(status == 401 && head.contains("www-authenticate: Bearer"), "{line}: {status} {body}");
    }
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
    // As if another program had written it to the store.
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
    let token = scene.token("ann", Role::Viewer, 1);
    for label in ["\\u001b]0;owned\\u0007", "a\\r\\nb", "a\\u202eb"] {
        let body = format!("{{\"label\": \"{label}\", \"role\": \"viewer\", \"days\": 1}}");
        let (status, _, answer) = scene.with_token("POST /api/v1/tokens", &token, &body);
        assert!(status == 400 && answer.contains("without control characters"), "{label}: {status} {answer}");
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
        assert!(scene.send("GET /people", headers, "").2.contains("people add NAME"), "{headers:?}");
    }
    // There are no passwords, so there are no links, and no sign-out.
    assert_eq!(scene.send("POST /people", &[user, OWN, FORM], "name=bob&role=viewer").0, 303);
    assert_eq!(scene.send("POST /people/bob/reset", &[user, OWN, FORM], "").0, 404);
    let pages = ["/people/bob", "/account"].map(|path| scene.send(&format!("GET {path}"), &[user], "").2);
    assert!(!pages[0].contains("Reset password") && !pages[1].contains("Sign out"), "{pages:?}");
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
    // Not the proxy: its password, session or token would have come in plain text.
    for line in ["GET /metrics", "GET /login", "GET /style.css", "GET /api/v1/process", "POST /login"] {
        let headers = [("Host", "127.0.0.1"), OWN, FORM, ("X-Forwarded-For", "192.0.2.1")];
        let (status, _, body) = send(address, line, &headers, "name=ann&password=x");
        assert!(status == 403 && body.contains("http.trusted-proxies"), "{line}: {status} {body}");
    }
    server.stop().unwrap();
    let server = start(Login { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..Login::default() }).unwrap();
    let address = SocketAddr::new("127.0.0.1".parse().unwrap(), server.address.port());
    assert_eq!(ask(address, "GET", "/api/v1/process", "").0, 401, "beyond the loopback, every caller signs in");
    server.stop().unwrap();
}

#[test]
fn behind_a_trusted_proxy_the_cookie_is_secure_and_attempts_count_by_client() {
    let login = Login { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..Login::default() };
    let empty = Scene::with(&[], login.clone());
    assert_eq!(empty.get("/", "").0, 303, "others than this machine reach the loopback");
    empty.end();
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

#[test]
fn an_agent_is_accepted_and_revoked_by_the_key_that_was_shown() {
    let scene = Scene::new(&[("ann", Role::Administrator)]);
    let now_s = lapwing_common::clock::now_s();
    let terms = TokenTerms {
        group: "home".into(),
        name: None,
        uses: 9,
        until_s: now_s + 60,
        must_be_accepted: true,
        replaces: false,
        who: "root".into(),
    };
    let token = scene.handle.add_token(&[5; 16], &terms, now_s).unwrap();
    let claim = Claim { token: Some(token), name: name("attic"), fingerprint: [0xab; 32] };
    scene.handle.enrol(&claim, 60, now_s).unwrap();
    let (cookie, key) = (scene.sign_in("ann"), "ab".repeat(32));
    let page = scene.get("/identities/attic", &cookie).2;
    assert!(page.contains("action=\"/identities/attic/accept\"") && page.contains(&key), "{page}");
    let state = || scene.handle.identity("attic").unwrap().state;
    assert_eq!(scene.form("/identities/attic/accept", &cookie, &format!("key={}", "cd".repeat(32))).0, 409);
    assert_eq!(state(), IdentityState::Waiting);
    assert_eq!(scene.form("/identities/attic/accept", &cookie, &format!("key={key}")).0, 303);
    assert_eq!(state(), IdentityState::Accepted);
    let bearer = scene.token("ann", Role::Administrator, 3);
    let revoke = |body: &str| scene.with_token("POST /api/v1/identities/attic/revoke", &bearer, body).0;
    assert_eq!((revoke("{}"), revoke(&format!("{{\"fingerprint\": \"{key}\"}}"))), (400, 204));
    assert_eq!(state(), IdentityState::Revoked);
    assert_eq!(revoke(&format!("{{\"fingerprint\": \"{key}\"}}")), 409, "revoked already");
    assert!(!scene.get("/identities/attic", &cookie).2.contains("<button>Accept"));
    let actions: Vec<_> = scene.audit().into_iter().take(2).map(|it| (it.action, it.object)).collect();
    assert_eq!(actions[0], ("revoke-identity".to_owned(), "attic".to_owned()));
    scene.end();
}
