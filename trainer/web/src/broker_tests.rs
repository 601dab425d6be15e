//! Links to brokers on the overview, in JSON and in the metrics.

use super::tests::{Stage, fleet};

#[test]
fn the_link_to_each_broker_is_on_the_overview_in_json_and_in_the_metrics() {
    let stage = Stage::new(&fleet());
    let page = stage.page("/");
    assert!(page.contains("<h2>Brokers</h2>") && page.contains("No connection to mqtt://two"), "{page}");
    let brokers = stage.json("/api/v1/brokers")["brokers"].clone();
    assert_eq!((&brokers[0]["broker"], &brokers[1]["connected"]), (&"mqtt://one".into(), &false.into()));
    let metrics = stage.page("/metrics");
    assert!(metrics.contains("lapwing_trainer_broker_connected{broker=\"mqtt://two\"} 0\n"), "{metrics}");
    stage.end();
}
