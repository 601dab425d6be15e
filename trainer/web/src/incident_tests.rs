//! Incidents on pages, in JSON and in metrics.

use super::testing::{ask, documented};
use super::tests::{HOSTILE_NAME, Stage, received_from};
use lapwing_common::clock;
use lapwing_fleet::incident::{IncidentAction, Verdict};
use lapwing_store::contract::incidents::attack;
use lapwing_store::testing::status;
use lapwing_store::{IncidentPass, Received, StoreHandle};

/// A server of a store in which three sites have an incident, number 1, and one site has an alert of its own.
fn stage() -> (Stage, StoreHandle, u64) {
    let now_s = clock::now_s();
    let since_s = now_s - 600;
    let hostile = Received { agent: received_from(HOSTILE_NAME, &status(1)).agent, ..attack("x", 1, 4, 9, since_s) };
    let batch = [
        attack("gw-1", 1, 1, 7, since_s),
        attack("gw-2", 1, 2, 8, since_s + 60),
        hostile,
        attack("gw-3", 1, 3, 7, since_s - 90_000),
        lapwing_store::testing::received("gw-1", &status(1)),
    ];
    let stage = Stage::new(&batch);
    let handle = stage.store.handle().unwrap();
    assert_eq!(IncidentPass::default().pass(&*handle, false, now_s).unwrap().episodes, 3);
    (stage, handle, now_s)
}

#[test]
fn an_incident_is_on_the_overview_until_an_operator_has_seen_it_and_its_alerts_name_it() {
    let (stage, handle, now_s) = stage();
    let title = "at 3 sites with peers in 203.0.113.0/24</a>";
    assert!(stage.page("/").contains(title) && stage.page("/").contains("Unseen incidents"));
    assert!(stage.page("/alerts/gw-1/1").contains("<a href=\"/incidents/1\">"));
    assert!(!stage.page("/alerts/gw-3/3").contains("/incidents/"));
    handle.change_incident(1, &IncidentAction::See, "ann", now_s).unwrap();
    assert!(!stage.page("/").contains("Unseen incidents"));
    stage.end();
}

#[test]
fn the_page_of_an_incident_has_the_sentence_of_every_join_and_what_people_did() {
    let (stage, handle, now_s) = stage();
    handle.change_incident(1, &IncidentAction::Note("<b>check</b> it".into()), "<i>ann", now_s).unwrap();
    handle.change_incident(1, &IncidentAction::Assign(Some("bob".into())), "ann", now_s).unwrap();
    for text in ["zinc first", "amber second"] {
        handle.change_incident(1, &IncidentAction::Note(text.into()), "ann", now_s).unwrap();
    }
    let page = stage.page("/incidents/1");
    let (timeline, _) = page.split_once("<h2>Notes").unwrap();
    assert!(timeline.find("zinc first").unwrap() < timeline.find("amber second").unwrap(), "{timeline}");
    for text in [
        "One of 3 sites with the same cause and an outside peer in 203.0.113.0/24, here 203.0.113.8.",
        "href=\"/alerts/gw-2/2\"",
        "first alert at gw-1",
        "&#60;i&#62;ann: &#60;b&#62;check&#60;/b&#62; it",
        "<dt>assigned to</dt><dd>bob</dd>",
        "lapwing-trainer incidents resolve 1 attack",
        "Find out what uses 203.0.113.0/24.",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<script>alert") && !page.contains("<b>check"), "{page}");
    handle.change_incident(1, &IncidentAction::Resolve(Verdict::Attack), "ann", now_s).unwrap();
    assert!(stage.page("/incidents").contains("resolved: attack"));
    for missing in ["/incidents/2", "/incidents/-1", "/incidents/x", "/incidents/99999999999999999999"] {
        assert_eq!(stage.page_or_error(missing).0, 404, "{missing}");
    }
    stage.end();
}

#[test]
fn incidents_are_filtered_and_paged_and_their_json_matches_the_document() {
    let (stage, handle, now_s) = stage();
    let raised = handle.raise_incident("gw-3", 3, "ann", now_s).unwrap();
    let document = stage.json("/api/v1/openapi.json");
    let ids = |query: &str| -> Vec<i64> {
        let answer = ask(stage.server.address, "GET", &format!("/api/v1/incidents?{query}"), "");
        documented(&document, "/api/v1/incidents", "get", &answer).unwrap();
        answer.1["incidents"].as_array().unwrap().iter().map(|one| one["id"].as_i64().unwrap()).collect()
    };
    assert_eq!((ids(""), ids("state=open"), ids("state=seen")), (vec![raised, 1], vec![1], vec![raised]));
    assert_eq!((ids("severity=high"), ids("group=home"), ids("group=shop")), (vec![], vec![1], vec![]));
    let first = stage.json("/api/v1/incidents?limit=1");
    assert_eq!((ids("limit=1"), first["next"].as_i64()), (vec![raised], Some(raised)));
    assert_eq!(ids(&format!("limit=1&before={raised}")), [1]);
    assert!(stage.page("/incidents?limit=1").contains("Older incidents"));
    assert!(stage.page("/incidents?state=quiet").contains("No incidents match these filters."));
    for (path, query, status) in [
        ("/api/v1/incidents/{id}", "/api/v1/incidents/1", 200),
        ("/api/v1/incidents/{id}", "/api/v1/incidents/7", 404),
        ("/api/v1/incidents", "/api/v1/incidents?state=lost", 400),
        ("/api/v1/incidents", "/api/v1/incidents?severity=9", 400),
    ] {
        let answer = ask(stage.server.address, "GET", query, "");
        assert_eq!(answer.0, status, "{query}: {answer:?}");
        documented(&document, path, "get", &answer).unwrap();
    }
    let metrics = stage.page("/metrics");
    for line in
        ["lapwing_incidents{state=\"open\"} 1\n", "lapwing_incident_limit_hits_total{limit=\"open-incidents\"} 0\n"]
    {
        assert!(metrics.contains(line), "{metrics}");
    }
    stage.end();
}
