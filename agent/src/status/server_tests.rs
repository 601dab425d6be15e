//! Clients of the status socket and of the Prometheus port.

use super::*;
use crate::status::ask::{ask, test_alert as ask_for_alert, update as ask_for_update};
use serde_json::Value;

fn serve(name: &str, to_network: Option<WeakSender<FromPipeline>>) -> (Socket, PathBuf, SharedReport) {
    let path = std::env::temp_dir().join(format!("lapwing-status-{name}-{}/agent.sock", std::process::id()));
    let report = SharedReport::default();
    report.edit().release = 7;
    let socket = Listeners::open(&path, None).unwrap().serve(&report, to_network).unwrap();
    (socket, path, report)
}

#[test]
fn the_socket_answers_requests_and_rejects_unknown_ones() {
    let (socket, path, report) = serve("report", None);
    let status: Value = serde_json::from_str(&ask(&path, "status").unwrap()).unwrap();
    assert_eq!((&status["release"], &status), (&7.into(), &serde_json::to_value(report.snapshot()).unwrap()));
    assert_eq!(ask(&path, "text").unwrap(), format!("{}\n", Text(&report.snapshot())));
    assert!(ask(&path, "metrics").unwrap().contains("lapwing_release 7\n"));
    for unknown in ["", "stat", &"x".repeat(5000)] {
        assert!(ask(&path, unknown).is_err() || ask(&path, unknown).unwrap().contains("expected status"));
    }
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, MODE);
    assert!(Listeners::open(&path, None).is_err(), "a socket in use is not replaced");
    drop(socket);
    assert!(!path.exists());
    std::fs::remove_dir(path.parent().unwrap()).unwrap();
}

#[test]
fn the_socket_file_of_a_dead_agent_is_replaced() {
    let path = std::env::temp_dir().join(format!("lapwing-status-stale-{}.sock", std::process::id()));
    drop(UnixListener::bind(&path).unwrap());
    assert!(Listeners::open(&path, None).is_ok());
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_test_alert_is_queued_like_other_alerts_and_marked() {
    let (sender, mut queue) = tokio::sync::mpsc::channel(1);
    let (_socket, path, report) = serve("alert", Some(sender.downgrade()));
    let answer = ask(&path, "test-alert").unwrap();
    assert!(answer.contains(r#""queued":true"#), "{answer}");
    let Some(FromPipeline::Alert(alert)) = queue.blocking_recv() else { panic!("no alert") };
    assert!(crate::output::alerts::is_test(&alert));
    assert!(crate::output::alerts::is_test(&report.snapshot().last_alerts[0]));
    assert!(ask(&path, "status").unwrap().contains(r#""test":true"#));
    assert!(alert.episode > 0 && ask(&path, "test-alert").unwrap().contains(r#""queued":true"#));
    let full = ask(&path, "test-alert").unwrap();
    assert!(full.contains("queue to the network thread is full"), "{full}");
    let error = ask_for_alert(&path).unwrap_err().to_string();
    assert!(error.starts_with("the queue to the network thread is full"), "{error}");
    assert!(queue.blocking_recv().is_some());
    let line = ask_for_alert(&path).unwrap();
    assert!(line.starts_with("test alert ") && line.contains(" queued; broker: ") && line.ends_with('\n'), "{line}");
    drop(sender);
    assert!(ask(&path, "test-alert").unwrap().contains("shutting down"));
}

#[test]
fn a_change_of_the_settings_is_passed_on_and_its_answer_is_shown() {
    let (sender, mut queue) = tokio::sync::mpsc::channel(1);
    let (_socket, path, _) = serve("update", Some(sender.downgrade()));
    let answers = std::thread::spawn(move || {
        while let Some(FromPipeline::Settings(change, answer)) = queue.blocking_recv() {
            answer.send(if change == Change::Hold { Ok("held".into()) } else { Err("no room".into()) }).unwrap();
        }
    });
    assert_eq!(ask_for_update(&path, "hold").unwrap(), "held\n");
    assert_eq!(ask_for_update(&path, "release").unwrap_err().to_string(), "no room");
    assert!(ask(&path, "update pin 3").unwrap().contains("expected status"));
    drop(sender);
    answers.join().unwrap();
    assert!(ask_for_update(&path, "hold").unwrap_err().to_string().contains("shutting down"));
}

#[test]
fn the_prometheus_port_serves_metrics_and_nothing_else() {
    let report = SharedReport::default();
    let mut answers = Vec::new();
    for path in ["/metrics", "/"] {
        let mut client = io::Cursor::new(format!("GET {path} HTTP/1.1\r\n\r\n").into_bytes());
        http(&mut client, &report).unwrap();
        answers.push(String::from_utf8(client.into_inner()).unwrap());
    }
    assert!(answers[0].contains("200 OK") && answers[0].contains("lapwing_packets_total 0"));
    assert!(answers[1].contains("404 Not Found"));
}
