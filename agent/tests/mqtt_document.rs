//! docs/mqtt.md ↔ the code: topics, fields in their order, limits and examples are the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests may panic")]

use lapwing_agent::output::alerts::{test_alert, to_json};
use lapwing_agent::publish::json;
use lapwing_shared::features::FEATURES;
use lapwing_shared::features::schema::{index_of, schema_id};
use lapwing_shared::messages::topics::{Kind, Topic};
use lapwing_shared::messages::{
    ACKNOWLEDGEMENT_BYTES, Acknowledgement, AddressForm, Alert, AlertState, Body, DeviceHealth, Health, MESSAGE_BYTES,
    Message, Peer, Reason, ReleaseHealth, Role, RowHosts, SampleRow, Samples, Status, Update, UpdateStep,
};
use lapwing_shared::packet::Refusal;
use lapwing_shared::release::file::ReleaseFile;
use lapwing_shared::release::manifest::{CHUNK_BYTES, Manifest};
use lapwing_shared::release::signature::{SIGNED_MANIFEST_BYTES, SignedManifest};
use lapwing_shared::release::testing::{grant, root};
use lapwing_shared::rollout::testing::{assignment, rollout};
use lapwing_shared::units::{Address, Timestamp};
use serde::Serialize;
use serde_json::Value;

const DOCUMENT: &str = include_str!("../../docs/mqtt.md");
const RELEASE: &[u8] = include_bytes!("../../tests/edge/data/release-1.lwr");

/// The text below a heading, up to the next heading.
fn section(heading: &str) -> &'static str {
    let start = ["## ", "### "].iter().find_map(|level| DOCUMENT.split_once(&format!("\n{level}{heading}\n")));
    let (_, text) = start.unwrap_or_else(|| panic!("docs/mqtt.md has no section `{heading}`"));
    text.split("\n#").next().unwrap()
}

/// First column of the first table of a section, without backquotes.
fn first_column(heading: &str) -> Vec<&'static str> {
    let lines = section(heading).lines().skip_while(|line| !line.starts_with('|'));
    let rows = lines.take_while(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('|').nth(1).unwrap().trim().trim_matches('`')).collect()
}

/// The fenced block after `<!-- example: NAME -->`.
fn example(name: &str) -> &'static str {
    let marker = format!("<!-- example: {name} -->\n```");
    let (_, text) = DOCUMENT.split_once(&marker).unwrap_or_else(|| panic!("docs/mqtt.md has no example `{name}`"));
    text.split_once('\n').unwrap().1.split("```").next().unwrap()
}

/// Names of the fields of a value in the order of its encoding.
fn fields(value: &impl Serialize) -> Vec<String> {
    let (mut names, mut depth) = (Vec::new(), 0);
    let text = serde_json::to_string(value).unwrap();
    let mut parts = text.split('"');
    while let Some(between) = parts.next() {
        depth += between.matches(['{', '[']).count();
        depth -= between.matches(['}', ']']).count();
        let Some(quoted) = parts.next() else { break };
        if depth == 1 && parts.clone().next().is_some_and(|after| after.starts_with(':')) {
            names.push(quoted.to_owned());
        }
    }
    names
}

fn alert() -> Alert {
    let peer = |address, flows| Peer { address, flows };
    let reason = |name, value, normal_high, share_permille| {
        let feature = index_of(name).unwrap() as u8;
        Reason { feature, value, normal_low: 0.0, normal_high, share_permille }
    };
    let mut v6 = [0; 16];
    v6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    v6[15] = 7;
    let peers = [peer(Address::from_v4([192, 168, 1, 1]), 12), peer(Address(v6), 9)];
    let reasons =
        [reason("source_peers_30s", 212.0, 14.5, 620), reason("source_unanswered_share", 0.968_75, 0.25, 210)];
    Alert {
        episode: 1_771_200_000 << 32 | 1,
        state: AlertState::Opened,
        host: Address::from_v4([192, 168, 1, 23]),
        role: Role::Source,
        since: Timestamp::from_nanos(1_771_243_198_500_000_000),
        at: Timestamp::from_nanos(1_771_243_200_500_000_000),
        evidence_nats: 21.5,
        peak_nats: 21.5,
        limit_nats: 18.75,
        flows: 40,
        odd_flows: 37,
        peers: peers.into_iter().collect(),
        service_port: 23,
        reasons: reasons.into_iter().collect(),
        resembles: "port-scan".try_into().ok(),
        release: 3,
        addresses: AddressForm::Plain,
        rows: heapless::Vec::new(),
    }
}

fn status() -> Status {
    Status {
        online: true,
        group: "home".try_into().unwrap(),
        agent_version: env!("CARGO_PKG_VERSION").try_into().unwrap(),
        engine: "int8".try_into().unwrap(),
        release: 3,
        on_trial: false,
        schema: schema_id(),
    }
}

/// Every key of an object and of the first element of its lists, in the document's notation.
fn keys(value: &Value) -> Vec<String> {
    let mut names = Vec::new();
    for (key, value) in value.as_object().unwrap() {
        names.push(key.clone());
        let nested = value.as_array().and_then(|list| list.first());
        names.extend(nested.into_iter().flat_map(keys).map(|inner| format!("{key}[].{inner}")));
    }
    names.sort();
    names
}

fn sorted(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_unstable();
    names
}

#[test]
fn the_topic_table_has_every_topic_and_no_other() {
    let mut topics = vec![
        Topic::Release("GROUP".try_into().unwrap()),
        Topic::Manifest("GROUP".try_into().unwrap(), 0),
        Topic::Rollout("GROUP".try_into().unwrap()),
        Topic::Root("GROUP".try_into().unwrap()),
        Topic::Chunk([0; 32], 0),
    ];
    topics.extend(Kind::ALL.map(|kind| Topic::Agent("AGENT".try_into().unwrap(), kind)));
    let template = |topic: Topic| match topic {
        Topic::Agent(..) => topic.name().replace("AGENT", "{agent}"),
        Topic::Manifest(..) => topic.name().replace("GROUP", "{group}").replace("/0", "/{version}"),
        Topic::Release(_) | Topic::Rollout(_) | Topic::Root(_) => topic.name().replace("GROUP", "{group}"),
        Topic::Chunk(..) => topic.name().replace(&"0".repeat(64), "{sha256}").replace("/0", "/{n}"),
    };
    let mut topics: Vec<String> = topics.into_iter().map(template).collect();
    topics.sort();
    assert_eq!(sorted(first_column("Topics")), topics);
}

#[test]
fn json_examples_are_what_the_agent_publishes() {
    let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(parse(example("alert/json")), parse(&to_json(&alert())));
    assert_eq!(parse(example("test alert")), parse(&to_json(&test_alert(Timestamp::from_secs(1_771_243_200), 1))));
    assert_eq!(parse(example("status/json")), parse(&json::status(&status())));
}

#[test]
fn json_tables_have_every_key_and_no_other() {
    let alert: Value = serde_json::from_str(&to_json(&alert())).unwrap();
    assert_eq!(sorted(first_column("alert/json")), keys(&alert));
    let status: Value = serde_json::from_str(&json::status(&status())).unwrap();
    assert_eq!(sorted(first_column("status/json")), keys(&status));
}

#[test]
fn field_tables_have_every_field_in_its_order() {
    let alert = alert();
    let rows = [SampleRow::new(Timestamp::EPOCH, &[0.0; FEATURES], None, false, RowHosts::default())];
    let samples = Samples { schema: schema_id(), flows_seen: 1, rows: rows.into_iter().collect() };
    let update = Update { release: 1, step: UpdateStep::Trial };
    let acknowledgement = Acknowledgement { run: 1, up_to: 1, also: heapless::Vec::new() };
    let message = Message { run: 1, number: 0, sent_s: 0, body: Body::Status(status()) };
    let release = SignedManifest::decode(ReleaseFile::decode(RELEASE).unwrap().signed).unwrap();
    assert_eq!(first_column("Message"), fields(&message));
    assert_eq!(first_column("Alert"), fields(&alert));
    assert_eq!(first_column("Peer"), fields(&alert.peers[0]));
    assert_eq!(first_column("Reason"), fields(&alert.reasons[0]));
    assert_eq!(first_column("Samples"), fields(&samples));
    assert_eq!(first_column("SampleRow"), fields(&samples.rows[0]));
    assert_eq!(first_column("Health"), fields(&Health::default()));
    assert_eq!(first_column("ReleaseHealth"), fields(&ReleaseHealth::default()));
    assert_eq!(first_column("DeviceHealth"), fields(&DeviceHealth::default()));
    assert_eq!(first_column("Rollout"), fields(&rollout(7, 3)));
    assert_eq!(first_column("Assignment"), fields(&assignment(7)));
    assert_eq!(first_column("Status"), fields(&status()));
    assert_eq!(first_column("Update"), fields(&update));
    assert_eq!(first_column("Acknowledgement"), fields(&acknowledgement));
    assert_eq!(first_column("Root documents"), fields(&root(1)));
    assert_eq!(first_column("Grant"), fields(&grant("k1", 1)));
    assert_eq!(first_column("Manifest"), fields(&Manifest::decode(release.manifest).unwrap()));
}

#[test]
fn update_steps_and_reasons_for_rejection_are_in_their_order() {
    let text = heapless::String::new;
    let steps = [
        UpdateStep::Downloading,
        UpdateStep::Verified,
        UpdateStep::Trial,
        UpdateStep::Confirmed,
        UpdateStep::Refused(text()),
        UpdateStep::RolledBack(text()),
    ];
    let number = |step: &UpdateStep| {
        let body = Body::Update(Update { release: 0, step: step.clone() });
        let message = Message { run: 0, number: 0, sent_s: 0, body };
        // Version byte, run, number, time, body and release take one byte each.
        usize::from(message.encode(&mut [0; 64]).unwrap()[6])
    };
    assert_eq!(steps.each_ref().map(number), [0, 1, 2, 3, 4, 5]);
    let names = steps.map(|step| format!("{step:?}").replace("(\"\")", ""));
    assert_eq!(first_column("UpdateStep"), names);
    let reasons: Vec<String> = Refusal::ALL.iter().map(|reason| format!("`{}`", reason.name())).collect();
    assert!(section("Reasons for rejected packets").contains(&format!("{}.\n", reasons.join(", "))));
}

#[test]
fn the_acknowledgement_example_decodes_to_its_description() {
    let digits: Vec<char> = example("acknowledgement").chars().filter(|character| !character.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap();
    let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
    let also = heapless::Vec::from_slice(&[12, 300]).unwrap();
    assert_eq!(Acknowledgement::decode(&bytes), Ok(Acknowledgement { run: 3, up_to: 10, also }));
}

#[test]
fn stated_limits_are_those_of_the_code() {
    let thousands = |number: usize| format!("{},{:03}", number / 1000, number % 1000);
    let limits = [
        ("Binary payloads", format!("60 KiB ({} bytes)", thousands(MESSAGE_BYTES))),
        ("Acknowledgement", format!("at most {ACKNOWLEDGEMENT_BYTES} bytes")),
        ("Signed manifest", format!("at most {} bytes", thousands(SIGNED_MANIFEST_BYTES))),
        ("Artifact chunks", format!("32 KiB ({} bytes)", thousands(CHUNK_BYTES as usize))),
    ];
    for (heading, text) in limits {
        assert!(section(heading).contains(&text), "section `{heading}` does not say `{text}`");
    }
}
