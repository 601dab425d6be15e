//! Trainer, mosquitto and an enrolled agent as processes: a release key is stolen and withdrawn over MQTT, and the next
//! release has another key, without a change on the gateway.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_pipeline::release::keys::ReleaseKey;
use lapwing_pipeline::release::read;
use lapwing_shared::release::digest::sha256;
use lapwing_store::{Limits, Release as Line, Store, StoreHandle};
use lapwing_system_tests::stage::gateway::Gateway;
use lapwing_system_tests::stage::mosquitto::{Mosquitto, mosquitto};
use lapwing_system_tests::stage::ports::free_port;
use lapwing_system_tests::stage::releases::{GROUP, Releases};
use lapwing_system_tests::stage::trainer::Trainer;
use lapwing_system_tests::stage::{Folder, wait_for};
use std::fs;
use std::net::TcpStream;
use std::process::Command;

/// A trainer with a root document, a broker that admits its agents, and keys A, B and of the root.
struct Site {
    folder: Folder,
    broker: Mosquitto,
    _process: Trainer,
}

fn path(folder: &Folder, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

/// Runs a subcommand of the trainer in a folder, where words that begin with `@` are files.
fn trainer(folder: &Folder, line: &str) -> String {
    let words = line.split(' ').map(|word| word.strip_prefix('@').map_or(word.to_owned(), |name| path(folder, name)));
    let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
    let output = program.arg("trainer").args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Site {
    /// `None` without mosquitto.
    fn new() -> Option<Self> {
        if mosquitto().is_none() {
            lapwing_skips::skip("no mosquitto (Debian package mosquitto)");
            return None;
        }
        let folder = Folder::new("keys");
        let enrolment = free_port();
        Store::open(folder.join("store.sqlite"), Limits::default()).unwrap().close().unwrap();
        for name in ["a", "b", "root"] {
            trainer(&folder, &format!("keys new {name} --secret @{name}.key --public @{name}.pub"));
        }
        let [store, authority, releases, public] =
            ["store.sqlite", "authority", "releases", "a.pub"].map(|name| path(&folder, name));
        let config = format!(
            "[store]\npath = '{store}'\n[retrain]\ngroup = '{GROUP}'\nreleases = '{releases}'\n\
             [enrolment]\nauthority = '{authority}'\nkeys = ['{public}']\n"
        );
        fs::write(folder.join("trainer.toml"), &config).unwrap();
        trainer(&folder, &format!("enroll --group {GROUP} --address localhost:1 --config @trainer.toml"));
        trainer(&folder, "keys root new @site.root --root @root.key --key @a.pub");
        trainer(&folder, "keys publish @site.root --config @trainer.toml");
        let broker = start_broker(&folder);
        let more = format!(
            "listen = '127.0.0.1:{enrolment}'\naddress = 'localhost:{enrolment}'\nbrokers = ['mqtts://localhost:{}']\n",
            broker.tls
        );
        fs::write(folder.join("trainer.toml"), config + &more).unwrap();
        let mut serve = Command::new(env!("CARGO_BIN_EXE_lapwing-load"));
        serve.args(["trainer", "serve", "--log", "warn", "--config", &path(&folder, "trainer.toml")]);
        let mut process = Trainer::start(serve.args(["--broker", &broker.url()]));
        while TcpStream::connect(("127.0.0.1", enrolment)).is_err() {
            process.assert_running();
            std::thread::yield_now();
        }
        Some(Self { folder, broker, _process: process })
    }

    fn trainer(&self, line: &str) -> String {
        trainer(&self.folder, &format!("{line} --config @trainer.toml"))
    }

    /// Enrols agent attic and starts it.
    fn start(&self) -> Gateway {
        let state = path(&self.folder, "attic");
        let printed = self.trainer(&format!("enroll --group {GROUP} --name attic"));
        let token = printed.split_whitespace().find(|word| word.starts_with("lapwing1.")).unwrap();
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.args(["agent", "enroll", "--config", "/dev/null", "--identity-dir", &state, token]);
        let output = program.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.restart()
    }

    fn restart(&self) -> Gateway {
        let mut program = Command::new(env!("CARGO_BIN_EXE_lapwing-demo"));
        program.arg("agent");
        Gateway::start(program, &["--state-dir", &path(&self.folder, "attic")])
    }

    /// Publishes a release that this key signs, as whoever has the key and the trainer's disk can.
    fn publish(&self, key: &str, version: u64) {
        let key = ReleaseKey::load(&self.folder.join(format!("{key}.key"))).unwrap();
        let file = Releases::signed_by(key).release(version).file;
        let place = self.folder.join("releases").join(format!("{GROUP}-{version}.lwr"));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, &file).unwrap();
        let manifest_sha256 = sha256(read(&file).unwrap().0.signed);
        let group = GROUP.to_owned();
        let line = Line { group, version, manifest_sha256, made_s: version, file: place, reason: None };
        StoreHandle::open(self.folder.join("store.sqlite").as_path()).unwrap().add_release(&line, "test", 1).unwrap();
    }
}

/// A broker with the configuration that `broker-config` prints.
fn start_broker(folder: &Folder) -> Mosquitto {
    trainer(folder, "authority server localhost --certificate @hub.pem --key @hub.key --config @trainer.toml");
    fs::write(path(folder, "trusted.pem"), trainer(folder, "authority trusted --config @trainer.toml")).unwrap();
    fs::write(path(folder, "acl"), trainer(folder, "broker-config mosquitto-acl --config @trainer.toml")).unwrap();
    Mosquitto::start_as_printed(folder, &trainer(folder, "broker-config mosquitto"))
}

/// Plays packets until the release on trial is confirmed.
fn confirm(site: &Site, gateway: &mut Gateway, version: u64) {
    gateway.until_logged(&format!("update release={version} step=Trial"));
    gateway.play_until_logged(&format!("update release={version} step=Confirmed"));
    wait_for("the release in the trainer's list", site.folder.path(), || {
        site.trainer("agents").contains(&version.to_string()).then_some(())
    });
}

#[test]
fn a_stolen_release_key_is_withdrawn_over_mqtt_without_touching_the_gateway() {
    let Some(site) = Site::new() else { return };
    let mut attic = site.start();
    attic.until_logged("connected to the broker");
    site.publish("a", 1);
    confirm(&site, &mut attic, 1);

    // Key A is stolen. Its successor comes with the next root document.
    trainer(&site.folder, "keys rotate @site.root a @b.pub --root @root.key");
    site.trainer("keys publish @site.root --who ann");
    attic.until_logged("new root document");
    site.publish("a", 2);
    let refused = attic.until_logged("manifest rejected");
    assert!(refused.contains("key a, which is not among the trusted keys"), "{refused}");

    // After a restart, the release in use and the withdrawal are still there.
    attic.kill();
    let mut attic = site.restart();
    let refused = attic.until_logged("manifest rejected");
    assert!(refused.contains("key a, which is not among the trusted keys"), "{refused}");
    site.publish("b", 3);
    confirm(&site, &mut attic, 3);
    attic.kill();
    let audit = site.trainer("audit");
    assert!(audit.contains("publish-root") && audit.contains("ann"), "{audit}");
    drop(site.broker);
}
