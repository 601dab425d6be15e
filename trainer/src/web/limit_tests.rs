//! Every limit of the HTTP side, hit: docs/dashboard.md names them.

use super::limited::Places;
use super::reader::{ReadError, Reader};
use super::server::{HEAD_BYTES, HEADERS};
use super::testing::{ask, fetch};
use super::tests::{EVIL, Stage, explained, from_anybody, health};
use crate::store::testing::{Folder, alert, received, status};
use crate::store::{Limits, Received, ReleaseLine, Store};
use lapwing_shared::messages::{AlertState, Body, Health, Message};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Nothing here takes so long, unless it never happens.
const PATIENCE: Duration = Duration::from_secs(30);
/// What does not happen in this time is taken not to happen.
const A_WHILE: Duration = Duration::from_millis(200);

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).unwrap();
}

/// The status line of what comes, empty where the connection ends without one.
fn status_of(stream: &mut TcpStream) -> String {
    let mut found = Vec::new();
    // A server that refuses may reset the connection behind its answer.
    let _ = stream.read_to_end(&mut found);
    String::from_utf8_lossy(&found).lines().next().unwrap_or_default().to_owned()
}

fn request(head: &str) -> String {
    format!("GET /style.css HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n")
}

#[test]
fn a_list_has_fifty_lines_and_five_hundred_at_the_most() {
    let of = |number: u64| {
        let name = format!("gw-{number:03}");
        [received(&name, &status(1)), received(&name, &alert(1, 1, number, AlertState::Opened, (50, 60)))]
    };
    let stage = Stage::new(&(1..=501).flat_map(of).collect::<Vec<_>>());
    for list in ["agents", "alerts"] {
        let lines = |query: &str| {
            let found = stage.json(&format!("/api/v1/{list}{query}"));
            (found[list].as_array().unwrap().len(), found["next"].is_number())
        };
        assert_eq!(lines(""), (50, true), "{list}");
        assert_eq!(lines("?limit=4294967295"), (500, true), "{list}");
        assert_eq!(lines("?limit=0"), (1, true), "{list}");
        let page = stage.page(&format!("/{list}?limit=4294967295"));
        assert_eq!(page.matches("<tr><td").count(), 500, "{list}");
    }
    assert_eq!(stage.page("/").matches("<tr><td").count(), 17, "eight of either, and their release");
    stage.end();
}

#[test]
fn no_more_than_20_000_agents_are_looked_at() {
    let of = |number: u64| received(&format!("gw-{number}"), &status(1));
    let limits = Limits { agents: 20_001, ..Limits::default() };
    let stage = Stage::with(&(1..=20_001).map(of).collect::<Vec<_>>(), limits, Places::default());
    let found = stage.json("/api/v1/agents?limit=1");
    assert_eq!((found["counts"]["agents"].as_u64(), found["cut"].as_bool()), (Some(20_000), Some(true)));
    for page in ["/", "/agents"] {
        assert!(stage.page(page).contains("There are more than 20,000 agents"), "{page}");
    }
    stage.end();
}

#[test]
fn a_hundred_releases_are_shown_of_the_newest_thousand() {
    let stage = Stage::new(&[]);
    let desk = stage.store.desk().unwrap();
    for version in 1..=1_001 {
        let (group, file) = ("home".into(), stage.folder.path().join("home.lwr"));
        let made_s = 1_700_000_000 + version;
        desk.add_release(&ReleaseLine { group, version, manifest_sha256: [1; 32], made_s, file, reason: None })
            .unwrap();
    }
    let found = stage.json("/api/v1/releases");
    let shown = found["releases"].as_array().unwrap();
    assert_eq!((shown.len(), shown[99]["version"].as_u64()), (100, Some(902)));
    assert_eq!(desk.all_releases(1_000).unwrap().last().map(|line| line.version), Some(2));
    stage.end();
}

#[test]
fn a_question_beyond_the_sixteen_that_are_being_answered_is_refused() {
    let folder = Folder::new();
    Store::open(&folder.store(), Limits::default()).unwrap().close().unwrap();
    let reader = Reader::new(&folder.store());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let ask = || {
            let (reader, gate) = (Arc::clone(&reader), Arc::clone(&gate));
            async move {
                let wait = move |_: &crate::store::Desk| {
                    // It ends when the other side is dropped.
                    let _ = gate.lock().unwrap().recv();
                    Ok(())
                };
                reader.ask(wait).await
            }
        };
        let asked: Vec<_> = (0..16).map(|_| tokio::spawn(ask())).collect();
        // Each has its place before this goes on: tasks of one thread take turns.
        tokio::task::yield_now().await;
        let refused = ask().await.unwrap_err();
        assert!(matches!(refused, ReadError::Busy) && refused.to_string().contains("16 questions"));
        assert_eq!(super::api::Refusal::from(refused).status().0, 503);
        drop(open);
        for one in asked {
            one.await.unwrap().unwrap();
        }
        ask().await.unwrap();
    });
}

#[test]
fn a_connection_beyond_the_hundred_and_twenty_eight_waits_for_a_place() {
    assert_eq!(Places::default().connections, 128);
    let stage = Stage::new(&[]);
    let mut held: Vec<TcpStream> = (0..128).map(|_| connect(stage.server.address)).collect();
    let mut late = connect(stage.server.address);
    say(&mut late, &request(""));
    late.set_read_timeout(Some(A_WHILE)).unwrap();
    let nothing = late.read(&mut [0; 1]).unwrap_err();
    assert!(matches!(nothing.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{nothing}");
    late.set_read_timeout(Some(PATIENCE)).unwrap();
    held.pop();
    assert_eq!(status_of(&mut late), "HTTP/1.1 200 OK");
    drop(held);
    stage.end();
}

#[test]
fn silence_ends_a_connection_and_so_does_a_word_now_and_then() {
    let places = Places::default();
    assert_eq!([places.silence, places.life, places.head].map(|span| span.as_secs()), [60, 300, 10]);
    let brief = Duration::from_millis(50);
    for places in
        [Places { silence: brief, ..places }, Places { life: brief, ..places }, Places { head: brief, ..places }]
    {
        let stage = Stage::with(&[], Limits::default(), places);
        let mut silent = connect(stage.server.address);
        assert_eq!(status_of(&mut silent), "", "{places:?}");
        stage.end();
    }
    let stage = Stage::with(&[], Limits::default(), Places { life: 4 * brief, ..places });
    let mut dripping = connect(stage.server.address);
    dripping.set_read_timeout(Some(brief / 5)).unwrap();
    say(&mut dripping, "GET /style.css HTTP/1.1\r\nHost: localhost\r\nX: ");
    // The client's own patience is the pause between two words; a connection that lives on ends the test.
    let words = (0..2_000).take_while(|_| {
        let said = dripping.write_all(b"x").is_ok();
        let heard = dripping.read(&mut [0; 1]);
        said && heard.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    });
    let words = words.count();
    assert!((1..2_000).contains(&words), "{words} words");
    stage.end();
}

#[test]
fn a_request_head_is_bounded_in_bytes_and_lines() {
    let stage = Stage::new(&[]);
    let answer = |text: &str| {
        let mut stream = connect(stage.server.address);
        // The server may have had enough before all is written.
        let _ = stream.write_all(text.as_bytes());
        status_of(&mut stream)
    };
    let lines = |count: usize| request(&"X: y\r\n".repeat(count));
    // Host and Connection are two lines more.
    assert_eq!(answer(&lines(HEADERS - 2)), "HTTP/1.1 200 OK");
    assert_eq!(answer(&lines(HEADERS - 1)), "HTTP/1.1 431 Request Header Fields Too Large");
    let long = |bytes: usize| request(&format!("X: {}\r\n", "y".repeat(bytes)));
    assert_eq!(answer(&long(HEAD_BYTES / 2)), "HTTP/1.1 200 OK");
    assert_eq!(answer(&long(2 * HEAD_BYTES)), "HTTP/1.1 431 Request Header Fields Too Large");
    let path =
        |bytes: usize| format!("GET /{} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "a".repeat(bytes));
    assert_eq!(answer(&path(HEAD_BYTES / 2)), "HTTP/1.1 404 Not Found");
    let refused = answer(&path(2 * HEAD_BYTES));
    assert!(refused.starts_with("HTTP/1.1 4") && !refused.contains("404"), "{refused}");
    for nonsense in ["\0\0\0\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &"a".repeat(4 * HEAD_BYTES)] {
        assert!(!answer(nonsense).contains(" 200 "), "{}", nonsense.len());
    }
    assert_eq!(answer(&request("")), "HTTP/1.1 200 OK", "and it goes on");
    stage.end();
}

#[test]
fn many_and_strange_parameters_are_refused_by_name_and_cost_little() {
    let stage = Stage::new(&[received("gw", &status(1))]);
    let many = "agent=a&".repeat(1_500);
    let long = "x".repeat(10_000);
    for (query, told) in [
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
        assert!(message.contains(told) && message.len() < 300, "{short}: {message}");
    }
    let (status, _, page) = fetch(stage.server.address, "GET", &format!("/agents?agent={long}"), "localhost", "");
    assert!(status == 200 && page.contains("clear the filters"));
    let (status, head, _) = fetch(stage.server.address, "GET", "/agents?agent=%ff%00%0d%0aX-Evil:1", "localhost", "");
    assert!(status == 200 && !head.contains("x-evil"), "{status} {head}");
    for (asked, told) in [("", "every 30 s"), ("?refresh=1", "every 5 s"), ("?refresh=4294967295", "every 86400 s")] {
        assert!(stage.page(&format!("/agents{asked}")).contains(told), "{asked}");
    }
    assert!(!stage.page("/agents?refresh=0").contains("http-equiv"));
    stage.end();
}

/// An agent whose every text is as long as a message can have it, and is HTML.
fn loud(number: u64) -> Vec<Received> {
    let name = format!("<b onclick=x>{number:018}");
    let mut said = status(1);
    let Body::Status(told) = &mut said.body else { unreachable!() };
    told.engine = "<i>".repeat(told.engine.capacity() / 3).as_str().try_into().unwrap();
    told.agent_version = "<u>".repeat(told.agent_version.capacity() / 3).as_str().try_into().unwrap();
    let mut opened = explained(1, number, AlertState::Opened, (u64::from(u32::MAX), u64::from(u32::MAX)));
    let Body::Alert(alert) = &mut opened.body else { unreachable!() };
    alert.resembles = "W".repeat(32).as_str().try_into().ok();
    while alert.reasons.push(alert.reasons[0]).is_ok() {}
    while alert.peers.push(alert.peers[0]).is_ok() {}
    (alert.flows, alert.odd_flows, alert.service_port) = (u32::MAX, u32::MAX, u16::MAX);
    let counters = Health { uptime_s: u64::MAX, packets: u64::MAX, kernel_drops: u64::MAX, ..Health::default() };
    let counters = Message { run: 1, number: 0, sent_s: 0, body: Body::Health(counters) };
    [said, opened, counters].iter().map(|message| from_anybody(&name, message)).collect()
}

#[test]
fn the_loudest_agents_make_no_page_large_and_none_of_their_tags_is_one() {
    let stage = Stage::new(&(0..60).flat_map(loud).collect::<Vec<_>>());
    for (path, most) in [("/", 80_000), ("/agents", 120_000), ("/alerts", 120_000), ("/releases", 20_000)] {
        let page = stage.page(path);
        assert!(page.len() < most, "{path}: {} bytes", page.len());
        for tag in ["<b ", "<i>", "<u>", "<script", "<img"] {
            assert!(!page.contains(tag), "{tag} in {path}");
        }
    }
    stage.end();
    // The same of a name that looks like a path, and of one that is there to leave its quotes.
    let stage = Stage::new(&[from_anybody("../../x?a=b#c", &status(1)), from_anybody(EVIL, &health(1, 1, false))]);
    let page = stage.page("/agents");
    assert!(page.contains("href=\"/agents/..%2F..%2Fx%3Fa%3Db%23c\"") && !page.contains("<script"), "{page}");
    stage.end();
}
