//! The trainer's program under hostile clients and with few open files: it keeps running, within its memory, and serves
//! agents and dashboard.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_system_tests::load::{LoadOptions, Running};
use lapwing_system_tests::on_each_store;
use lapwing_system_tests::stage::packets::{connect, publish, subscribe};
use lapwing_system_tests::stage::stores::{TestStore, argument};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, PATIENCE, wait_for};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

/// Open files that the trainer may have: fewer than the idle connections of the test.
const OPEN_FILES: usize = 400;
/// Resident memory that it may reach, KiB; a build without optimisation included.
const MEMORY_KIB: u64 = 300 * 1024;

struct Site {
    trainer: Trainer,
    broker: SocketAddr,
    dashboard: SocketAddr,
}

impl Site {
    fn start(folder: &Folder, store: &impl TestStore) -> Self {
        let limited = format!("ulimit -n {OPEN_FILES} && exec \"$0\" \"$@\"");
        let mut program = Command::new("sh");
        program
            .args(["-c", &limited, env!("CARGO_BIN_EXE_lapwing-load"), "trainer", "serve", "--log", "error"])
            .args(["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--store"])
            .arg(argument(store))
            .arg("--address-file")
            .arg(folder.join("broker"))
            .arg("--http-address-file")
            .arg(folder.join("dashboard"));
        let trainer = Trainer::start(&mut program);
        let mut site = Self { trainer, broker: ([0; 4], 0).into(), dashboard: ([0; 4], 0).into() };
        let [broker, dashboard] = ["broker", "dashboard"].map(|file| {
            wait_for(file, folder.path(), || {
                site.trainer.assert_running();
                fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
            })
        });
        (site.broker, site.dashboard) = (broker, dashboard);
        site
    }

    /// Highest resident memory so far, KiB.
    fn memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.trainer.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn open(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends until the server closes the connection or everything is sent, and reads what it answers.
fn send_all(address: SocketAddr, packets: impl Iterator<Item = Vec<u8>>) {
    let mut stream = open(address);
    let mut reader = stream.try_clone().unwrap();
    let answers = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap_or_default());
    for packet in packets {
        if stream.write_all(&packet).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(std::net::Shutdown::Write);
    answers.join().unwrap();
}

fn abuse(broker: SocketAddr) {
    for bytes in [b"\x20\x01\0".as_slice(), b"\xb0\x01\0", b"\x90\x03\0\x01\0", b"GET / HTTP/1.1\r\n\r\n"] {
        send_all(broker, [bytes.to_vec()].into_iter());
    }
    let payload = vec![7; 60_000];
    let hello = |client: &str| std::iter::once(connect(client));
    let share = ["$share/lapwing-collectors-alert/lapwing/v1/agent/+/alert", "é/#"].map(subscribe);
    send_all(broker, hello("lapwing-collector").chain(share));
    send_all(broker, hello("lapwing-releases").chain([publish(0x33, "é", &payload)]));
    let retained = |number: u32| publish(0x33, &format!("lapwing/v1/agent/flood/x{number}"), &payload);
    send_all(broker, hello("flood").chain((0..2_000).map(retained)));
    let twice = |_| publish(0x34, "lapwing/v1/agent/flood/alert", &payload);
    send_all(broker, hello("flood").chain((0..2_000).map(twice)));
    let filter = |number: u32| subscribe(&format!("lapwing/{number}/{}/#", "x".repeat(90)));
    send_all(broker, hello("flood").chain((0..20_000).map(filter)));
    for number in 0..200 {
        send_all(broker, hello(&format!("{number}{}", "n".repeat(60_000))));
        send_all(broker, hello(&format!("{number}{}", "n".repeat(100))));
    }
}

fn page(dashboard: SocketAddr) -> String {
    let mut stream = open(dashboard);
    stream.write_all(b"GET /agents HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

on_each_store!(hostile_clients_end_neither_the_trainer_nor_its_service_to_agents);

fn hostile_clients_end_neither_the_trainer_nor_its_service_to_agents<S: TestStore>() {
    let (folder, store) = (Folder::new("hostile"), S::new());
    let mut site = Site::start(&folder, &store);
    let idle: Vec<TcpStream> = (0..800).filter_map(|_| TcpStream::connect(site.broker).ok()).collect();
    abuse(site.broker);
    let load = Running::start(&LoadOptions {
        brokers: vec![site.broker],
        authority: None,
        store: None,
        agents: 20,
        rate: 400,
        seconds: 600,
        rows: 1,
        alert_every: 2,
        health_every_s: 0,
        cut_after_s: 0,
        look_ms: 100,
        window: 64,
        patience_seconds: 60,
        run: 1,
        seal_secret: None,
        ledger: None,
        report_every: 0,
    });
    load.wait_for_acknowledgements(400).unwrap();
    let report = load.end().unwrap();
    assert_eq!(report.unacknowledged, 0, "{report}");
    assert!(page(site.dashboard).contains("load-7"), "the dashboard lists the agents");
    site.trainer.assert_running();
    let memory = site.memory_kib();
    assert!(memory < MEMORY_KIB, "{memory} KiB");
    println!("{memory} KiB, {report}");
    drop(idle);
}
