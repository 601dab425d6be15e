//! Signing in and out, labels and people on pages, and requests of other sites.

use super::{FORM, OWN, PASSWORD, Scene, cookie_of};
use crate::Login;
use crate::testing::send;
use lapwing_people::{ATTEMPTS, Role, Secret};

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
    assert_eq!(scene.get("/", &format!("{cookie}; {cookie}")).0, 303, "two cookies count as no session");
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
    assert_eq!(scene.get("/", &chosen).0, 303, "a session that an attacker chose does not exist");
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
    let token = scene.token("ann", Role::Viewer, 1);
    let metrics = scene.with_token("GET /metrics", &token, "").2;
    for line in ["sign_ins_failed_total 10", "sign_ins_limited_total 2"] {
        assert!(metrics.contains(&format!("\nlapwing_trainer_{line}\n")), "{metrics}");
    }
    let failures = scene.audit().iter().filter(|it| it.action == "sign-in-failed").count();
    assert_eq!(failures, ATTEMPTS as usize);
    scene.end();
}

#[test]
fn neither_right_passwords_nor_used_links_count_towards_the_limits() {
    let scene = Scene::new(&[("ann", Role::Administrator), ("bob", Role::Viewer)]);
    for number in 0..=ATTEMPTS {
        assert_eq!(scene.try_sign_in(["ann", "bob"][number as usize % 2], PASSWORD).0, 303, "sign-in {number}");
    }
    let cookie = scene.sign_in("ann");
    for number in 0..=ATTEMPTS {
        let page = scene.form("/people/bob/reset", &cookie, "").2;
        let code = &page.split("/link/").nth(1).unwrap()[..64];
        let body = format!("code={code}&name=bob&password={PASSWORD}&again={PASSWORD}").replace(' ', "+");
        assert_eq!(scene.form("/link", "", &body).0, 200, "link {number}");
    }
    // Only these count.
    for _ in 0..ATTEMPTS {
        assert_eq!(scene.try_sign_in("eve", PASSWORD).0, 401);
    }
    assert_eq!(scene.try_sign_in("ann", PASSWORD).0, 429);
    scene.end();
}

#[test]
fn a_link_ends_the_limit_of_a_name() {
    let login = Login { trusted_proxies: vec!["127.0.0.1".parse().unwrap()], ..Login::default() };
    let scene = Scene::with(&[("ann", Role::Administrator), ("bob", Role::Viewer)], login);
    let sign_in = |client: &str, password: &str| {
        let body = format!("name=bob&password={}", password.replace(' ', "+"));
        scene.send("POST /login", &[OWN, FORM, ("X-Forwarded-For", client)], &body).0
    };
    for _ in 0..ATTEMPTS {
        assert_eq!(sign_in("192.0.2.7", "a wrong password"), 401);
    }
    assert_eq!(sign_in("192.0.2.8", PASSWORD), 429);
    // As `people reset` does, beside the server.
    let secret = Secret::new([1; 32]);
    scene.handle.reset_person("bob", &secret.sha256(), "root", lapwing_common::clock::now_s()).unwrap();
    let body = format!("code={}&name=bob&password={PASSWORD}&again={PASSWORD}", secret.text()).replace(' ', "+");
    assert_eq!(scene.send("POST /link", &[OWN, FORM, ("X-Forwarded-For", "192.0.2.8")], &body).0, 200);
    assert_eq!(sign_in("192.0.2.8", PASSWORD), 303);
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
    // A login from elsewhere would sign a person in as another person.
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
