use super::*;
use crate::status::Report;
use crate::status::ask::ask;

fn serve(name: &str, said: Option<WeakSender<FromPipeline>>) -> (Socket, PathBuf, Board) {
    let path = std::env::temp_dir().join(format!("lapwing-status-{name}-{}/agent.sock", std::process::id()));
    let board = Board::default();
    board.edit().release = 7;
    let socket = Listeners::open(&path, None).unwrap().serve(&board, said).unwrap();
    (socket, path, board)
}

#[test]
fn the_report_is_told_to_whoever_asks_and_nonsense_is_not() {
    let (socket, path, board) = serve("report", None);
    let report: Report = serde_json::from_str(&ask(&path, "status").unwrap()).unwrap();
    assert_eq!((report.release, report), (7, board.report()));
    assert!(ask(&path, "metrics").unwrap().contains("lapwing_release 7\n"));
    for nonsense in ["", "stat", &"x".repeat(5000)] {
        assert!(ask(&path, nonsense).is_err() || ask(&path, nonsense).unwrap().contains("expected status"));
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    assert!(Listeners::open(&path, None).is_err(), "a socket that answers is not taken away");
    drop(socket);
    assert!(!path.exists());
    std::fs::remove_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn a_socket_that_a_dead_agent_left_is_replaced() {
    let path = std::env::temp_dir().join(format!("lapwing-status-stale-{}.sock", std::process::id()));
    drop(UnixListener::bind(&path).unwrap());
    assert!(Listeners::open(&path, None).is_ok());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_test_alert_goes_the_way_of_alerts_and_is_marked() {
    let (sender, mut queue) = tokio::sync::mpsc::channel(1);
    let (_socket, path, board) = serve("alert", Some(sender.downgrade()));
    let said = ask(&path, "test-alert").unwrap();
    assert!(said.contains(r#""queued":true"#), "{said}");
    let Some(FromPipeline::Alert(alert)) = queue.blocking_recv() else { panic!("no alert") };
    assert!(crate::output::alerts::is_test(&alert));
    assert_eq!(board.report().last_alerts[0]["test"], true);
    assert!(alert.episode > 0 && ask(&path, "test-alert").unwrap().contains(r#""queued":true"#));
    let full = ask(&path, "test-alert").unwrap();
    assert!(full.contains("queue to the network is full"), "{full}");
    drop(sender);
    assert!(ask(&path, "test-alert").unwrap().contains("ending"));
}

#[test]
fn prometheus_reads_over_http_and_finds_nothing_elsewhere() {
    let board = Board::default();
    let mut answers = Vec::new();
    for path in ["/metrics", "/"] {
        let mut client = io::Cursor::new(format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes());
        http(&mut client, &board).unwrap();
        answers.push(String::from_utf8(client.into_inner()).unwrap());
    }
    assert!(answers[0].contains("200 OK") && answers[0].contains("lapwing_packets_total 0"));
    assert!(answers[1].contains("404 Not Found"));
}
