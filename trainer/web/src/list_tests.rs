//! Lists of alerts and agents: filters, pages, searches.

use super::tests::Stage;
use lapwing_shared::messages::AlertState;
use lapwing_store::testing::{alert, received, status};

#[test]
fn lists_are_filtered_and_paged() {
    let opened = |number: u64| {
        let agent = ["gw-1", "gw-2", "gw-3"][number as usize % 3];
        received(agent, &alert(1, number, number, AlertState::Opened, (number * 3_600, number * 3_600 + 5)))
    };
    let stage = Stage::new(&(1..=30).map(opened).collect::<Vec<_>>());
    let episodes = |path: &str| -> (Vec<String>, Option<i64>) {
        let list = stage.json(path);
        let alerts = list["alerts"].as_array().unwrap();
        (alerts.iter().map(|alert| alert["episode"].as_str().unwrap().to_owned()).collect(), list["next"].as_i64())
    };
    assert_eq!(episodes("/api/v1/alerts").0.len(), 30);
    let mut seen = Vec::new();
    let mut path = "/api/v1/alerts?agent=gw-2&limit=4".to_owned();
    loop {
        let (mut page, next) = episodes(&path);
        assert!(page.len() <= 4);
        seen.append(&mut page);
        let Some(next) = next else { break };
        path = format!("/api/v1/alerts?agent=gw-2&limit=4&before={next}");
    }
    let of_gw_2: Vec<String> =
        (1..=30).rev().filter(|number| number % 3 == 1).map(|number: u64| number.to_string()).collect();
    assert_eq!(seen, of_gw_2, "each once, newest first");
    assert_eq!(episodes("/api/v1/alerts?from=1970-01-02&to=1970-01-02T02:00").0, ["26", "25", "24"]);
    assert_eq!(episodes("/api/v1/alerts?kind=unknown&state=open&limit=500").0.len(), 30);
    assert!(episodes("/api/v1/alerts?state=closed").0.is_empty() && episodes("/api/v1/alerts?kind=x").0.is_empty());
    assert!(stage.page("/alerts?kind=x").contains("match these filters"));
    assert!(
        stage.page("/alerts?agent=gw-2&limit=4").contains("agent=gw-2&#38;limit=4&#38;before="),
        "link to the next page"
    );
    stage.end();
}

#[test]
fn a_filter_finds_the_oldest_alert_among_many_others() {
    let opened = |number: u64| received("gw-1", &alert(1, number, number, AlertState::Opened, (50, 60)));
    let mut batch = vec![received("gw-2", &alert(1, 1, 1, AlertState::Closed, (10, 20)))];
    batch.extend((1..=6_000).map(opened));
    let stage = Stage::new(&batch);
    assert_eq!(stage.json("/api/v1/agents")["counts"]["open_alerts"], 6_000);
    for query in ["state=closed", "agent=gw-2", "agent=gw-2&state=closed&kind=unknown", "state=closed&from=1970-01-01"]
    {
        let page = stage.json(&format!("/api/v1/alerts?{query}"));
        let found: Vec<_> = page["alerts"].as_array().unwrap().iter().map(|alert| alert["agent"].as_str()).collect();
        assert_eq!((found, page["next"].as_i64()), (vec![Some("gw-2")], None), "{query}");
    }
    let none = stage.json("/api/v1/alerts?agent=gw-2&state=open");
    assert!(none["alerts"].as_array().unwrap().is_empty() && none["next"].is_null());
    stage.end();
}

#[test]
fn agents_are_found_by_the_beginning_or_a_part_of_their_name() {
    let batch: Vec<_> =
        ["gw-1", "gw-10", "gw-2", "north-gw-1"].iter().map(|agent| received(agent, &status(1))).collect();
    let stage = Stage::new(&batch);
    let names = |query: &str| -> Vec<String> {
        let list = stage.json(&format!("/api/v1/agents?{query}"));
        assert_eq!((list["counts"]["agents"].as_u64(), list["next"].as_i64()), (Some(4), None), "{query}");
        list["agents"].as_array().unwrap().iter().map(|agent| agent["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("prefix=gw-1"), ["gw-1", "gw-10"]);
    assert_eq!(names("agent=gw-1"), ["gw-1", "gw-10", "north-gw-1"]);
    assert_eq!(names("agent=gw-1&prefix=north&group=home&state=online"), ["north-gw-1"]);
    assert!(names("prefix=gw-1&state=offline").is_empty());
    stage.end();
}

#[test]
fn the_audit_log_is_listed_in_pages_with_hostile_names_escaped() {
    let stage = Stage::new(&[received("gw-1", &status(1))]);
    let handle = stage.store.handle().unwrap();
    for second in 1..=5 {
        handle.assign_group("gw-1", Some("shop"), "<b>ann</b>", second).unwrap();
    }
    let numbers = |path: &str| -> (Vec<u64>, Option<u64>) {
        let list = stage.json(path);
        let entries = list["entries"].as_array().unwrap();
        (entries.iter().map(|entry| entry["number"].as_u64().unwrap()).collect(), list["next"].as_u64())
    };
    assert_eq!(numbers("/api/v1/audit?limit=2"), (vec![5, 4], Some(4)));
    assert_eq!(numbers("/api/v1/audit?limit=3&before=4"), (vec![3, 2, 1], None));
    assert_eq!(numbers("/api/v1/audit?since=4"), (vec![5, 4], None));
    let page = stage.page("/audit?limit=2");
    assert!(page.contains("?limit=2&#38;before=4") && page.contains("assign-group"), "{page}");
    assert!(page.contains("&#60;b&#62;ann") && !page.contains("<b>ann"), "{page}");
    assert!(stage.page("/audit?since=9").contains("No entries match."));
    stage.end();
}

#[test]
fn a_revoked_agent_is_shown_as_revoked_though_it_is_connected() {
    use lapwing_fleet::{Claim, IdentityState, TokenTerms};
    let stage = Stage::new(&[received("gw-1", &status(1))]);
    let (handle, now_s) = (stage.store.handle().unwrap(), lapwing_common::clock::now_s());
    let terms = TokenTerms {
        group: "home".into(),
        name: None,
        uses: 1,
        until_s: now_s + 600,
        must_be_accepted: false,
        replaces: false,
        who: "ann".into(),
    };
    let token = handle.add_token(&[5; 16], &terms, now_s).unwrap();
    let claim = Claim { token: Some(token), name: "gw-1".try_into().unwrap(), fingerprint: [1; 32] };
    handle.enrol(&claim, 600, now_s).unwrap();
    let is_shown = |class: &str| {
        let mark = format!("<span class=\"mark {class}</span>");
        ["/agents", "/agents/gw-1"].map(|path| stage.page(path).contains(&mark))
    };
    assert_eq!(is_shown("online\">online"), [true; 2]);
    handle.set_identity_state(&handle.identity("gw-1").unwrap(), IdentityState::Revoked, "eve", now_s).unwrap();
    assert_eq!(is_shown("offline\">revoked"), [true; 2]);
    assert_eq!(stage.json("/api/v1/agents")["agents"][0]["revoked"], true);
}

#[test]
fn identities_are_listed_in_pages_and_ending_certificates_are_warned_of() {
    use lapwing_fleet::{Claim, IdentityState, TokenTerms};
    let stage = Stage::new(&[received("gw-1", &status(1))]);
    assert!(stage.page("/identities").contains("No agent is enrolled"));
    let (handle, now_s) = (stage.store.handle().unwrap(), lapwing_common::clock::now_s());
    let terms = TokenTerms {
        group: "home".into(),
        name: None,
        uses: 9,
        until_s: now_s + 600,
        must_be_accepted: false,
        replaces: false,
        who: "<b>ann</b>".into(),
    };
    let token = handle.add_token(&[5; 16], &terms, now_s).unwrap();
    let days = |days: u64| days * 86_400 + 60;
    for (key, (agent, life_s)) in [("attic", days(365)), ("cellar", days(12)), ("garage", days(365))].iter().enumerate()
    {
        let name = (*agent).try_into().unwrap();
        let claim = Claim { token: Some(token), name, fingerprint: [key as u8; 32] };
        handle.enrol(&claim, *life_s, now_s).unwrap();
    }
    handle.set_identity_state(&handle.identity("garage").unwrap(), IdentityState::Revoked, "eve", now_s).unwrap();
    let names = |query: &str| -> (Vec<String>, Option<String>) {
        let list = stage.json(&format!("/api/v1/identities?{query}"));
        assert_eq!((list["counts"]["accepted"].as_u64(), list["counts"]["ending"].as_u64()), (Some(2), Some(1)));
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        let identities = list["identities"].as_array().unwrap();
        (identities.iter().map(|identity| text(&identity["name"]).unwrap()).collect(), text(&list["next"]))
    };
    assert_eq!(names("limit=2"), (vec!["attic".into(), "cellar".into()], Some("cellar".into())));
    assert_eq!(names("limit=2&after=cellar"), (vec!["garage".into()], None));
    assert_eq!(names("state=ending"), (vec!["cellar".into()], None));
    assert_eq!(names("state=revoked").0, ["garage"]);
    let page = stage.page("/identities?limit=2");
    for text in
        ["ends in 12 days", "1 revoked", "?limit=2&#38;after=cellar", "&#60;b&#62;ann", "<code>0000000000000000</code>"]
    {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<b>ann"), "{page}");
    assert!(stage.page("/identities?state=waiting").contains("No identities match."));
    assert!(stage.page("/").contains("Agents whose certificate ends soon: 1;"));
    let metrics = stage.page("/metrics");
    assert!(metrics.contains("\nlapwing_trainer_identities_ending 1\n"), "{metrics}");
    stage.end();
}

#[test]
fn pages_and_api_show_pseudonyms_as_such_with_their_key() {
    use lapwing_shared::messages::{Body, Peer};
    use lapwing_shared::privacy::{AddressKey, Protection};
    use lapwing_shared::units::Address;
    let key = AddressKey::new([7; 32]);
    let protected = |number: u64, protection: Option<&Protection>| {
        let mut message = alert(1, number, number, AlertState::Opened, (10, 20));
        let Body::Alert(content) = &mut message.body else { unreachable!() };
        content.peers.push(Peer { address: Address::from_v4([192, 0, 2, 1]), flows: 3 }).unwrap();
        protection.map(|protection| protection.protect(content));
        received("gw-1", &message)
    };
    let (named, hidden) = (Protection::pseudonyms(key.clone()), Protection::hidden(AddressKey::new([8; 32])));
    let stage = Stage::new(&[protected(1, None), protected(2, Some(&named)), protected(3, Some(&hidden))]);
    let list = stage.json("/api/v1/alerts");
    let of =
        |episode: &str| list["alerts"].as_array().unwrap().iter().find(|alert| alert["episode"] == episode).unwrap();
    let id = key.id().to_string();
    for (episode, addresses, address_key, prefix) in
        [("1", "plain", None, "10.0.0.9"), ("2", "pseudonym", Some(id.as_str()), "p-"), ("3", "none", None, "h-")]
    {
        let alert = of(episode);
        assert_eq!((alert["addresses"].as_str(), alert["address_key"].as_str()), (Some(addresses), address_key));
        assert!(alert["host"].as_str().unwrap().starts_with(prefix), "{alert}");
        let is_plain = alert.to_string().contains("192.0.2.1");
        assert_eq!(is_plain, episode == "1", "{alert}");
    }
    let page = stage.page("/alerts/gw-1/2");
    assert!(page.contains(&format!("pseudonyms of key {id}")) && !page.contains("192.0.2.1"), "{page}");
    assert!(stage.page("/alerts/gw-1/3").contains("which no key resolves"));
    assert!(!stage.page("/alerts/gw-1/1").contains("pseudonym"));
    stage.end();
}
