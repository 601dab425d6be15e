//! Trainer and agents as processes, without another broker: an agent enrols with a token, reports to the embedded broker with
//! its certificate, and is locked out when it is revoked.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_common::clock;
use lapwing_store::StoreHandle;
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::ports::free_port;
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::stores::stored_messages;
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, PATIENCE, wait_for};
use std::fs;
use std::net::TcpStream;
use std::process::Command;

fn trainer(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lapwing-load")).arg("trainer").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn start_trainer(config: &str, enrolment: u16) -> Trainer {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    let mut process = Trainer::start(serve.args(["trainer", "serve", "--log", "warn", "--config", config]));
    let deadline = clock::after(PATIENCE);
    while TcpStream::connect(("127.0.0.1", enrolment)).is_err() {
        process.assert_running();
        assert!(clock::monotonic() < deadline, "the enrolment port does not listen");
        std::thread::yield_now();
    }
    process
}

#[test]
fn an_agent_enrols_reports_and_is_locked_out_without_another_broker() {
    let folder = Folder::new("embedded-identities");
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let releases = Releases::new(1);
    releases.write_public(&folder.join("test.pub"));
    fs::write(folder.join("1.lwr"), releases.release(1).file).unwrap();
    let [plain, tls, enrolment] = [free_port(), free_port(), free_port()];
    let (config, store) = (path("trainer.toml"), path("store.sqlite"));
    let text = format!(
        "[store]\npath = '{store}'\n[broker]\nlisten = '127.0.0.1:{plain}'\ntls-listen = '127.0.0.1:{tls}'\n[enrolment]\n\
         listen = '127.0.0.1:{enrolment}'\naddress = 'localhost:{enrolment}'\nauthority = '{}'\nkeys = ['{}']\n",
        path("authority"),
        path("test.pub")
    );
    fs::write(&config, text).unwrap();
    let mut process = start_trainer(&config, enrolment);

    let printed = trainer(&["enroll", "--group", GROUP, "--name", "attic", "--config", &config]);
    let token = printed.split_whitespace().find(|word| word.starts_with("lapwing1.")).unwrap();
    let mut enroll = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
    enroll.args(["agent", "enroll", "--config", "/dev/null", "--identity-dir", &path("attic"), token]);
    let output = enroll.output().unwrap();
    let enrolled = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(enrolled.contains(&format!("mqtts://localhost:{tls}")), "{enrolled} {output:?}");

    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
    program.arg("agent");
    let mut agent = Gateway::start(program, &["--release", &path("1.lwr"), "--state-dir", &path("attic")]);
    agent.until_logged("connected to the broker");
    agent.play();
    let handle = StoreHandle::open(folder.join("store.sqlite")).unwrap();
    wait_for("the agent's messages in the store", folder.path(), || {
        let is_online = trainer(&["agents", "--config", &config])
            .lines()
            .any(|line| line.starts_with("attic ") && line.contains("online"));
        (is_online && stored_messages(&handle) > 0).then_some(())
    });

    trainer(&["agents", "revoke", "attic", "--config", &config]);
    agent.until_logged("not authorized, 0x87");
    agent.kill();
    process.assert_running();
}
