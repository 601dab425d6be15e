//! A request beyond each limit in docs/dashboard.md → its documented effect.

use super::server::{ConnectionLimits, HEAD_BYTES, HEADERS};
use super::store_reader::{ReadError, StoreReader};
use super::testing::{ask, fetch};
use super::tests::{HOSTILE_NAME, Stage, alert_with_reason, health, received_from};
use lapwing_fleet::campaign::{Action, AlertHours, Campaign, Facts, Plan, Standing, Terms};
use lapwing_shared::messages::{AlertState, Body, Health, Message};
use lapwing_store::testing::{Folder, alert, received, status};
use lapwing_store::{HeldRelease, HeldState, Limits, Received, Release, Store};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Timeout of the tests.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Time in which an expected failure to respond is checked.
const NO_RESPONSE: Duration = Duration::from_millis(200);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    stream
}

fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

/// The status line of the response, empty if the connection ends without one.
fn status_of(stream: &mut TcpStream) -> String {
    let mut response = Vec::new();
    // A server that rejects the request may reset the connection after its response.
    let _ = stream.read_to_end(&mut response);
    String::from_utf8_lossy(&response).lines().next().unwrap_or_default().to_owned()
}

fn request(head: &str) -> String {
    format!("GET /style.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n")
}

#[test]
fn a_list_has_fifty_rows_by_default_and_at_most_five_hundred() {
    let of = |number: u64| {
        let name = format!("gw-{number:03}");
        [received(&name, &status(1)), received(&name, &alert(1, 1, number, AlertState::Opened, (50, 60)))]
    };
    let stage = Stage::new(&(1..=501).flat_map(of).collect::<Vec<_>>());
    for list in ["agents", "alerts"] {
        let rows = |query: &str| {
            let page = stage.json(&format!("/api/v1/{list}{query}"));
            (page[list].as_array().unwrap().len(), page["next"].is_number())
        };
        assert_eq!(rows(""), (50, true), "{list}");
        assert_eq!(rows("?limit=4294967295"), (500, true), "{list}");
        assert_eq!(rows("?limit=0"), (1, true), "{list}");
        let page = stage.page(&format!("/{list}?limit=4294967295"));
        assert_eq!(page.matches("<tr><td").count(), 500, "{list}");
    }
    assert_eq!(
        stage.page("/").matches("<tr><td data-label").count(),
        19,
        "eight agents, eight alerts, two brokers, one release"
    );
    stage.end();
}

#[test]
fn every_agent_is_counted_and_a_search_for_a_part_of_a_name_continues() {
    let of = |number: u64| received(&format!("gw-{number:05}"), &status(1));
    let limits = Limits { agents: 20_001, ..Limits::default() };
    let stage = Stage::with(&(1..=20_001).map(of).collect::<Vec<_>>(), limits, ConnectionLimits::default());
    let list = stage.json("/api/v1/agents?limit=1");
    assert_eq!((list["counts"]["agents"].as_u64(), list["cut"].as_bool()), (Some(20_001), Some(false)));
    let (mut found, mut after) = (Vec::new(), 0);
    for _ in 0..5 {
        let list = stage.json(&format!("/api/v1/agents?agent=20001&after={after}"));
        found.extend(list["agents"].as_array().unwrap().iter().map(|agent| agent["name"].clone()));
        let Some(next) = list["next"].as_u64() else { break };
        assert!(found.is_empty() && stage.page("/agents?agent=20001").contains("The search stopped after 5,000 names"));
        after = next;
    }
    assert_eq!(found, ["gw-20001"]);
    stage.end();
}

#[test]
fn a_release_that_waits_is_shown_with_the_command_that_approves_it() {
    let stage = Stage::new(&[]);
    let handle = stage.store.handle().unwrap();
    let held = HeldRelease {
        group: "home".into(),
        version: 4,
        made_s: 1_700_000_004,
        file: "home-4.held".into(),
        reason: "schedule".into(),
        findings: "the limits moved\nthe ranges moved".into(),
        state: HeldState::Waiting,
        who: None,
    };
    handle.hold_release(&held).unwrap();
    let waiting = &stage.json("/api/v1/releases")["waiting"][0];
    assert_eq!((&waiting["version"], &waiting["findings"][1]), (&4.into(), &"the ranges moved".into()));
    assert!(stage.page("/releases").contains("lapwing-trainer approve --group home 4"));
    stage.end();
}

#[test]
fn a_campaign_is_shown_with_the_reason_of_its_last_change() {
    let stage = Stage::new(&[]);
    let handle = stage.store.handle().unwrap();
    let standing = Standing { agents: 1, rows_per_day: 2_000_000, reported: 0, now_s: 1_700_000_000 };
    let rollout = standing.first("home".try_into().unwrap(), 3, 0);
    let made_by = "<b>ann</b>".into();
    let terms = Terms { version: 4, plan: Plan::default(), salt: [0; 8], made_by, rollout };
    let draft = Campaign::draft(terms, 1_700_000_000).unwrap();
    let facts = Facts { agents: &[], alerts: &AlertHours::default(), reported: 0 };
    let started = draft.act(Action::Submit, "ann", &facts, 1_700_000_000).unwrap();
    let stored = handle.add_campaign(&started, None, 1_700_000_000).unwrap().unwrap();
    let pause = stored.campaign.clone().act(Action::Pause, "<b>bob</b>", &facts, 1_700_000_060).unwrap();
    handle.save_campaign(stored.change(&pause), 1_700_000_060).unwrap();
    let campaign = &stage.json("/api/v1/releases")["campaigns"][0];
    assert_eq!(
        (&campaign["state"], &campaign["wave"], &campaign["reason"]),
        (&"paused".into(), &1.into(), &"paused".into())
    );
    assert_eq!(campaign["made_by"], "<b>ann</b>");
    let page = stage.page("/releases");
    assert!(page.contains("paused, wave 1 delivering") && !page.contains("<b>ann"), "{page}");
    stage.end();
}

#[test]
fn a_hundred_of_the_newest_thousand_releases_are_shown() {
    let stage = Stage::new(&[]);
    let handle = stage.store.handle().unwrap();
    for version in 1..=1_001 {
        let (group, file) = ("home".into(), stage.folder.path().join("home.lwr"));
        let made_s = 1_700_000_000 + version;
        let release = Release { group, version, manifest_sha256: [1; 32], made_s, file, reason: None };
        handle.add_release(&release, "serve", made_s).unwrap();
    }
    let list = stage.json("/api/v1/releases");
    let shown = list["releases"].as_array().unwrap();
    assert_eq!((shown.len(), shown[99]["version"].as_u64()), (100, Some(902)));
    assert_eq!(handle.all_releases(1_000).unwrap().last().map(|line| line.version), Some(2));
    stage.end();
}

#[test]
fn the_seventeenth_concurrent_query_is_rejected() {
    let folder = Folder::new();
    Store::open(folder.store(), Limits::default()).unwrap().close().unwrap();
    let reader = StoreReader::new(&folder.store().into());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let (starts, mut started) = tokio::sync::mpsc::unbounded_channel();
        let query = || {
            let (reader, gate, starts) = (Arc::clone(&reader), Arc::clone(&gate), starts.clone());
            async move {
                let wait = move |_: &lapwing_store::StoreHandle| {
                    starts.send(()).unwrap();
                    // Returns when the sender is dropped.
                    let _ = gate.lock().unwrap().recv();
                    Ok(())
                };
                reader.read(wait).await
            }
        };
        let running: Vec<_> = (0..16).map(|_| tokio::spawn(query())).collect();
        for _ in 0..16 {
            started.recv().await.unwrap();
        }
        let error = query().await.unwrap_err();
        assert!(matches!(error, ReadError::Busy) && error.to_string().contains("16 queries"));
        assert_eq!(super::api::RequestError::from(error).status().0, 503);
        drop(open);
        for query in running {
            query.await.unwrap().unwrap();
        }
        query().await.unwrap();
    });
}

#[test]
fn the_129th_connection_waits_until_another_one_ends() {
    assert_eq!(ConnectionLimits::default().connections, 128);
    let stage = Stage::new(&[]);
    let mut open: Vec<TcpStream> = (0..128).map(|_| connect(stage.server.address)).collect();
    let mut late = connect(stage.server.address);
    send(&mut late, &request(""));
    late.set_read_timeout(Some(NO_RESPONSE)).unwrap();
    let error = late.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}");
    late.set_read_timeout(Some(TIMEOUT)).unwrap();
    open.pop();
    assert_eq!(status_of(&mut late), "HTTP/1.1 200 OK");
    drop(open);
    stage.end();
}

#[test]
fn idle_connections_end_and_slow_ones_end_after_their_lifetime() {
    let limits = ConnectionLimits::default();
    assert_eq!([limits.idle, limits.lifetime, limits.head].map(|span| span.as_secs()), [60, 300, 10]);
    let brief = Duration::from_millis(50);
    for limits in [
        ConnectionLimits { idle: brief, ..limits },
        ConnectionLimits { lifetime: brief, ..limits },
        ConnectionLimits { head: brief, ..limits },
    ] {
        let stage = Stage::with(&[], Limits::default(), limits);
        let mut silent = connect(stage.server.address);
        assert_eq!(status_of(&mut silent), "", "{limits:?}");
        stage.end();
    }
    // On a busy machine, the first byte may need longer than a brief lifetime.
    let lifetime = Duration::from_secs(1);
    let stage = Stage::with(&[], Limits::default(), ConnectionLimits { lifetime, ..limits });
    let mut slow = connect(stage.server.address);
    slow.set_read_timeout(Some(brief / 5)).unwrap();
    send(&mut slow, "GET /style.css HTTP/1.1\r\nHost: localhost\r\nX: ");
    // The read timeout is the pause between two bytes; a connection without a maximum lifetime takes all of them.
    let bytes = (0..2_000).take_while(|_| {
        let sent = slow.write_all(b"x").is_ok();
        let response = slow.read(&mut [0; 1]);
        sent && response.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    });
    let bytes = bytes.count();
    assert!((1..2_000).contains(&bytes), "{bytes} bytes");
    stage.end();
}

#[test]
fn a_request_head_is_limited_in_bytes_and_lines() {
    let stage = Stage::new(&[]);
    let answer = |text: &str| {
        let mut stream = connect(stage.server.address);
        // The server may close the connection before everything is written.
        let _ = stream.write_all(text.as_bytes());
        status_of(&mut stream)
    };
    let lines = |count: usize| request(&"X: y\r\n".repeat(count));
    // Host and Connection are two more lines.
    assert_eq!(answer(&lines(HEADERS - 2)), "HTTP/1.1 200 OK");
    assert_eq!(answer(&lines(HEADERS - 1)), "HTTP/1.1 431 Request Header Fields Too Large");
    let long = |bytes: usize| request(&format!("X: {}\r\n", "y".repeat(bytes)));
    assert_eq!(answer(&long(HEAD_BYTES / 2)), "HTTP/1.1 200 OK");
    assert_eq!(answer(&long(2 * HEAD_BYTES)), "HTTP/1.1 431 Request Header Fields Too Large");
    let path =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "a".repeat(bytes));
    assert_eq!(answer(&path(HEAD_BYTES / 2)), "HTTP/1.1 404 Not Found");
    let status = answer(&path(2 * HEAD_BYTES));
    assert!(status.starts_with("HTTP/1.1 4") && !status.contains("404"), "{status}");
    for nonsense in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &"a".repeat(4 * HEAD_BYTES)] {
        assert!(!answer(nonsense).contains(" 200 "), "{}", nonsense.len());
    }
    assert_eq!(answer(&request("")), "HTTP/1.1 200 OK", "the server still works");
    stage.end();
}

#[test]
fn invalid_parameters_are_rejected_by_name() {
    let stage = Stage::new(&[received("gw", &status(1))]);
    let many = "agent=a&".repeat(1_500);
    let long = "x".repeat(10_000);
    for (query, expected) in [
        (many.as_str(), "duplicate field `agent`"),
        ("agnet=x", "unknown field `agnet`"),
        ("limit=99999999999", "limit"),
        ("limit=5%00", "limit"),
        ("after=-1", "after"),
        ("state=%F0%9F%90%A6", "state"),
        (&format!("refresh={long}"), "refresh: a value of 10000 bytes"),
    ] {
        let (status, body) = ask(stage.server.address, "GET", &format!("/api/v1/agents?{query}"), "");
        let short: String = query.chars().take(40).collect();
        assert_eq!(status, 400, "{short}");
        let message = body["message"].as_str().unwrap();
        assert!(message.contains(expected) && message.len() < 300, "{short}: {message}");
    }
    let (status, _, page) = fetch(stage.server.address, "GET", &format!("/agents?agent={long}"), "localhost", "");
    assert!(status == 200 && page.contains("match these filters"));
    let (status, head, _) = fetch(stage.server.address, "GET", "/agents?agent=%ff%00%0d%0aX-Evil:1", "localhost", "");
    assert!(status == 200 && !head.contains("x-evil"), "{status} {head}");
    for (query, expected) in [("", "every 30 s"), ("?refresh=1", "every 5 s"), ("?refresh=4294967295", "every 86400 s")]
    {
        assert!(stage.page(&format!("/agents{query}")).contains(expected), "{query}");
    }
    assert!(!stage.page("/agents?refresh=0").contains("http-equiv"));
    stage.end();
}

/// Messages of an agent whose texts are HTML and as long as a message permits.
fn longest_messages(number: u64) -> Vec<Received> {
    let name = format!("<b onclick=x>{number:018}");
    let mut message = status(1);
    let Body::Status(status) = &mut message.body else { unreachable!() };
    status.engine = "<i>".repeat(status.engine.capacity() / 3).as_str().try_into().unwrap();
    status.agent_version = "<u>".repeat(status.agent_version.capacity() / 3).as_str().try_into().unwrap();
    let mut opened = alert_with_reason(1, number, AlertState::Opened, (u64::from(u32::MAX), u64::from(u32::MAX)));
    let Body::Alert(alert) = &mut opened.body else { unreachable!() };
    alert.resembles = "W".repeat(32).as_str().try_into().ok();
    while alert.reasons.push(alert.reasons[0]).is_ok() {}
    while alert.peers.push(alert.peers[0]).is_ok() {}
    (alert.flows, alert.odd_flows, alert.service_port) = (u32::MAX, u32::MAX, u16::MAX);
    let counters = Health { uptime_s: u64::MAX, packets: u64::MAX, kernel_drops: u64::MAX, ..Health::default() };
    let counters = Message { run: 1, number: 0, sent_s: 0, body: Body::Health(counters) };
    [message, opened, counters].iter().map(|message| received_from(&name, message)).collect()
}

#[test]
fn the_longest_texts_keep_pages_small_and_are_escaped() {
    let stage = Stage::new(&(0..60).flat_map(longest_messages).collect::<Vec<_>>());
    for (path, most) in [("/", 80_000), ("/agents", 120_000), ("/alerts", 120_000), ("/releases", 20_000)] {
        let page = stage.page(path);
        assert!(page.len() < most, "{path}: {} bytes", page.len());
        for tag in ["<b ", "<i>", "<u>", "<script", "<img"] {
            assert!(!page.contains(tag), "{tag} in {path}");
        }
    }
    stage.end();
    // A name that looks like a path, and one that tries to end an attribute.
    let stage =
        Stage::new(&[received_from("../../x?a=b#c", &status(1)), received_from(HOSTILE_NAME, &health(1, 1, false))]);
    let page = stage.page("/agents");
    assert!(page.contains("href=\"/agents/..%2F..%2Fx%3Fa%3Db%23c\"") && !page.contains("<script"), "{page}");
    stage.end();
}
