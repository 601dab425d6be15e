//! A trainer with an enrolment port and a mosquitto with its access list, and agents that enrol there.

use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_shared::enrolment::{ADDRESS_BYTES, Enrolled, MESSAGE_BYTES_LIMIT};
use lapwing_shared::messages::AgentName;
use lapwing_shared::release::framing;
use lapwing_shared::release::signature::KeyUse;
use lapwing_store::{Limits, Store};
use lapwing_system_tests::stage::Folder;
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::ports::free_port;
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::trainer::Trainer;
use std::fs;
use std::net::TcpStream;
use std::process::{Command, Output};

/// A trainer with an enrolment port, and a broker that admits its agents.
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) broker: Mosquitto,
    pub(crate) enrolment: u16,
    pub(crate) process: Trainer,
}

/// The file of an agent's identity: name, key, authority, address of the port, and the last responses.
pub(crate) type Identity =
    (AgentName, [u8; 32], [u8; 32], heapless::String<ADDRESS_BYTES>, Enrolled, Option<Box<Enrolled>>);

pub(crate) const IDENTITY_BYTES: usize = 2 * MESSAGE_BYTES_LIMIT;
pub(crate) const DAY_S: u64 = 86_400;

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Site {
    pub(crate) fn path(&self, name: &str) -> String {
        path(&self.folder, name)
    }

    /// `None` without mosquitto.
    pub(crate) fn new(test: &str) -> Option<Self> {
        if mosquitto().is_none() {
            lapwing_skips::skip("no mosquitto (Debian package mosquitto)");
            return None;
        }
        let folder = Folder::new(test);
        let enrolment = free_port();
        Store::open(folder.join("store.sqlite"), Limits::default()).unwrap().close().unwrap();
        let key = ReleaseKey::generate("site").unwrap();
        key.save(&folder.join("site.key"), &folder.join("site.pub"), KeyUse::Any, None).unwrap();
        let releases = Releases::new(1);
        releases.write_public(&folder.join("test.pub"));
        fs::write(folder.join("1.lwr"), releases.release(1).file).unwrap();
        let store = path(&folder, "store.sqlite");
        let authority = path(&folder, "authority");
        let enrolling = format!("[store]\npath = '{store}'\n[enrolment]\nauthority = '{authority}'\n");
        fs::write(folder.join("trainer.toml"), &enrolling).unwrap();
        // It makes the authority, as the first start of `serve` does, too.
        trainer(&folder, &["enroll", "--group", GROUP, "--address", "localhost:1"]);
        let broker = start_broker(&folder);
        let more = format!(
            "listen = '127.0.0.1:{enrolment}'\naddress = 'localhost:{enrolment}'\nbrokers = ['mqtts://localhost:{}']\n\
             keys = ['{}', '{}']\n",
            broker.tls,
            path(&folder, "site.pub"),
            path(&folder, "test.pub")
        );
        fs::write(folder.join("trainer.toml"), enrolling + &more).unwrap();
        let process = start_trainer(&folder, &broker, enrolment);
        Some(Self { folder, broker, enrolment, process })
    }

    pub(crate) fn restart_trainer(&mut self) {
        self.process.kill();
        self.process = start_trainer(&self.folder, &self.broker, self.enrolment);
    }

    pub(crate) fn trainer(&self, arguments: &[&str]) -> String {
        trainer(&self.folder, arguments)
    }

    /// The token that `enroll` prints.
    pub(crate) fn token(&self, more: &[&str]) -> String {
        let printed = self.trainer(&[&["enroll", "--group", GROUP], more].concat());
        printed.split_whitespace().find(|word| word.starts_with("lapwing1.")).unwrap().to_owned()
    }

    /// Runs the agent's `enroll`.
    pub(crate) fn enroll(&self, agent: &str, more: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.args(["agent", "enroll", "--config", "/dev/null", "--identity-dir", &self.path(agent)]).args(more);
        program.output().unwrap()
    }

    pub(crate) fn enrolled(&self, agent: &str, more: &[&str]) -> String {
        let output = self.enroll(agent, more);
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    }

    pub(crate) fn start(&self, agent: &str, more: &[&str]) -> Gateway {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.arg("agent");
        let (release, state) = (self.path("1.lwr"), self.path(agent));
        Gateway::start(program, &[&["--release", &release, "--state-dir", &state], more].concat())
    }

    /// Sets a key of `[enrolment]` and restarts the trainer.
    pub(crate) fn set(&mut self, key: &str, value: &str) {
        let path = self.folder.join("trainer.toml");
        let text = fs::read_to_string(&path).unwrap();
        let others: Vec<&str> = text.lines().filter(|line| !line.starts_with(&format!("{key} "))).collect();
        fs::write(&path, others.join("\n") + &format!("\n{key} = {value}\n")).unwrap();
        self.restart_trainer();
    }

    pub(crate) fn identity(&self, agent: &str) -> Identity {
        let bytes = fs::read(self.folder.join(agent).join("identity")).unwrap();
        framing::decode(1, &bytes, IDENTITY_BYTES).unwrap()
    }

    /// Changes an identity while its agent does not run.
    pub(crate) fn change(&self, agent: &str, change: impl FnOnce(&mut Identity)) {
        let mut identity = self.identity(agent);
        change(&mut identity);
        let mut room = vec![0; IDENTITY_BYTES];
        let bytes = framing::encode(1, &identity, &mut room).unwrap();
        fs::write(self.folder.join(agent).join("identity"), bytes).unwrap();
    }

    /// Writes the access list again and makes the broker read it.
    pub(crate) fn reload(&self) {
        fs::write(self.folder.join("acl"), self.trainer(&["broker-config", "mosquitto-acl"])).unwrap();
        self.broker.reload();
    }
}

pub(crate) fn path(folder: &Folder, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

pub(crate) fn trainer(folder: &Folder, arguments: &[&str]) -> String {
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    let config = path(folder, "trainer.toml");
    let output = program.arg("trainer").args(arguments).args(["--config", &config]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// A trainer whose enrolment port listens.
pub(crate) fn start_trainer(folder: &Folder, broker: &Mosquitto, enrolment: u16) -> Trainer {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    serve.args(["trainer", "serve", "--log", "warn", "--config", &path(folder, "trainer.toml")]);
    let mut process = Trainer::start(serve.args(["--broker", &broker.url()]));
    while TcpStream::connect(("127.0.0.1", enrolment)).is_err() {
        process.assert_running();
        std::thread::yield_now();
    }
    process
}

/// A broker with the configuration that `broker-config` prints.
pub(crate) fn start_broker(folder: &Folder) -> Mosquitto {
    let [trusted, certificate, key, acl] = ["trusted.pem", "hub.pem", "hub.key", "acl"].map(|name| path(folder, name));
    trainer(folder, &["authority", "server", "localhost", "--certificate", &certificate, "--key", &key]);
    fs::write(&trusted, trainer(folder, &["authority", "trusted"])).unwrap();
    fs::write(&acl, trainer(folder, &["broker-config", "mosquitto-acl"])).unwrap();
    let printed =
        Command::new(env!("CARGO_BIN_EXE_lapwing-load")).args(["trainer", "broker-config", "mosquitto"]).output();
    Mosquitto::start_as_printed(folder, &text(&printed.unwrap().stdout))
}
