//! The brokers on which a test of identities runs: the embedded one and mosquitto, with the same agents.

use super::mosquitto::{Mosquitto, mosquitto};
use super::packets::{RawClient, connect};
use super::ports::free_port;
use super::trainer::Trainer;
use super::{Folder, PATIENCE};
use crate::identity::{ClientIdentity, client_config, enrol, token};
use lapwing_authority::{Authority, Subject};
use lapwing_common::clock;
use lapwing_fleet::IdentityState;
use lapwing_shared::enrolment::AgentKey;
use lapwing_store::{Limits, Store, StoreHandle};
use rustls::ClientConfig;
use std::fs;
use std::net::TcpStream;
use std::process::Command;
use std::sync::Arc;

/// A store, an authority, and the trainer's configuration.
pub struct Fleet {
    folder: Folder,
    /// The store, also for decisions of operators.
    pub store: StoreHandle,
    /// The authority of the agents.
    pub authority: Authority,
    trusted: String,
    /// The program that has the trainer's commands.
    program: &'static str,
    token: u32,
}

/// Time now.
pub fn now_s() -> u64 {
    clock::now_s()
}

/// Key of the agent with this number.
pub fn agent_key(number: u8) -> AgentKey {
    AgentKey::from_seed(&[number; 32])
}

impl Fleet {
    /// Without agents.
    pub fn new(name: &str, program: &'static str) -> Self {
        let folder = Folder::new(name);
        Store::open(folder.join("store.sqlite"), Limits::default()).unwrap().close().unwrap();
        let store = StoreHandle::open(folder.join("store.sqlite")).unwrap();
        let authority = Authority::create(&folder.join("authority"), None, now_s()).unwrap();
        let trusted = authority.trusted_pem().unwrap();
        let token = token(&store, 100, None, now_s()).unwrap();
        Self { folder, store, authority, trusted, program, token }
    }

    fn path(&self, name: &str) -> String {
        self.folder.join(name).to_str().unwrap().to_owned()
    }

    /// Enrols an agent; what it connects with.
    pub fn enrol(&self, name: &str, key: &AgentKey) -> Arc<ClientConfig> {
        let identity = enrol(&self.store, &self.authority, (name, self.token), key, now_s()).unwrap();
        client_config(&self.trusted, Some(identity)).unwrap()
    }

    /// Enrols an agent in the place of the one that has its name.
    pub fn replace(&self, name: &str, key: &AgentKey) -> Arc<ClientConfig> {
        let token = token(&self.store, 1, Some(name), now_s()).unwrap();
        let identity = enrol(&self.store, &self.authority, (name, token), key, now_s()).unwrap();
        client_config(&self.trusted, Some(identity)).unwrap()
    }

    /// A certificate with these times, or of another authority, whatever the store says.
    pub fn certificate(&self, authority: &Authority, name: &str, key: &AgentKey, times: [u64; 2]) -> Arc<ClientConfig> {
        let [now_s, until_s] = times;
        let identity = self.store.identity(name).map_or(1, |identity| identity.id);
        let subject = Subject { name: name.try_into().unwrap(), id: identity, issue: 0, now_s, until_s };
        let identity = ClientIdentity::issue(authority, key, &subject).unwrap();
        client_config(&self.trusted, Some(identity)).unwrap()
    }

    /// A certificate of a reader.
    pub fn reader(&self, name: &str) -> Arc<ClientConfig> {
        let issued = self.authority.issue_client_pem(name, now_s(), now_s() + 3_600).unwrap();
        let identity = ClientIdentity::from_pem(&issued.chain, &issued.key).unwrap();
        client_config(&self.trusted, Some(identity)).unwrap()
    }

    /// No certificate.
    pub fn stranger(&self) -> Arc<ClientConfig> {
        client_config(&self.trusted, None).unwrap()
    }

    /// An authority that the brokers do not trust.
    pub fn other_authority(&self) -> Authority {
        Authority::open_or_create(&self.folder.join("other"), None, now_s()).unwrap()
    }

    /// Revokes an agent in the store, as `agents revoke` does.
    pub fn revoke(&self, name: &str) {
        let identity = self.store.identity(name).unwrap();
        self.store.set_identity_state(&identity, IdentityState::Revoked, "test", now_s()).unwrap();
    }

    fn trainer(&self, arguments: &[&str]) -> String {
        let output = Command::new(self.program).arg("trainer").args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}

/// A broker that admits the agents of a fleet by their certificates.
pub trait IdentityBroker: Sized {
    /// The embedded broker says more than mosquitto: it refuses filters, names identifiers and ends sessions.
    const IS_EMBEDDED: bool;

    /// Whether it can be started here; if not, the test is listed as skipped.
    fn is_available() -> bool;

    /// Starts it.
    fn start(fleet: &Fleet) -> Self;

    /// Port for certificates.
    fn tls(&self) -> u16;

    /// Port without TLS, at which the test sees everything.
    fn plain(&self) -> u16;

    /// Does what the documents say about a revocation, besides `agents revoke`.
    fn revoked(&self, fleet: &Fleet);

    /// A connection with this certificate as the agent `name`.
    ///
    /// # Panics
    /// When it is refused.
    fn agent(&self, config: &Arc<ClientConfig>, name: &str) -> RawClient {
        let mut client = RawClient::with_tls(self.tls(), config);
        let answer = client.connect(&connect(name));
        assert_eq!(answer.map(|(code, _)| code), Some(0), "{name}");
        client
    }

    /// A client that receives everything.
    ///
    /// # Panics
    /// When it cannot connect.
    fn watcher(&self) -> RawClient {
        let mut watcher = RawClient::plain(self.plain());
        assert_eq!(watcher.connect(&connect("watcher")).map(|(code, _)| code), Some(0));
        assert!(watcher.subscribe("#").is_some_and(|code| code < 0x80));
        watcher
    }
}

/// The trainer's own broker.
pub struct Embedded {
    tls: u16,
    plain: u16,
    process: Trainer,
}

impl Embedded {
    /// Asserts that it runs.
    pub fn assert_running(&mut self) {
        self.process.assert_running();
    }
}

impl IdentityBroker for Embedded {
    const IS_EMBEDDED: bool = true;

    fn is_available() -> bool {
        true
    }

    fn start(fleet: &Fleet) -> Self {
        let [tls, plain] = [free_port(), free_port()];
        let (store, authority) = (fleet.path("store.sqlite"), fleet.path("authority"));
        let config = format!(
            "[store]\npath = '{store}'\n[broker]\nlisten = '127.0.0.1:{plain}'\ntls-listen = '127.0.0.1:{tls}'\n\
             names = ['localhost']\nreaders = ['_hass']\n[enrolment]\nauthority = '{authority}'\n"
        );
        fs::write(fleet.path("trainer.toml"), config).unwrap();
        let mut program = Command::new(fleet.program);
        program.args(["trainer", "serve", "--log", "warn", "--config", &fleet.path("trainer.toml")]);
        let mut process = Trainer::start(&mut program);
        let deadline = clock::after(PATIENCE);
        while TcpStream::connect(("127.0.0.1", plain)).is_err() {
            process.assert_running();
            assert!(clock::monotonic() < deadline, "the broker does not listen");
            std::thread::yield_now();
        }
        Self { tls, plain, process }
    }

    fn tls(&self) -> u16 {
        self.tls
    }

    fn plain(&self) -> u16 {
        self.plain
    }

    fn revoked(&self, _fleet: &Fleet) {}
}

impl IdentityBroker for Mosquitto {
    const IS_EMBEDDED: bool = false;

    fn is_available() -> bool {
        let is_installed = mosquitto().is_some();
        if !is_installed {
            lapwing_skips::skip("no mosquitto (Debian package mosquitto)");
        }
        is_installed
    }

    fn start(fleet: &Fleet) -> Self {
        let [trusted, certificate, key] = ["trusted.pem", "hub.pem", "hub.key"].map(|name| fleet.path(name));
        let issued = fleet.authority.issue_server_pem(&["localhost".into()], now_s()).unwrap();
        fs::write(&trusted, &fleet.trusted).unwrap();
        fs::write(&certificate, issued.chain).unwrap();
        fs::write(&key, issued.key).unwrap();
        write_list(fleet);
        Self::start_as_printed(&fleet.folder, &fleet.trainer(&["broker-config", "mosquitto"]))
    }

    fn tls(&self) -> u16 {
        self.tls
    }

    fn plain(&self) -> u16 {
        self.plain
    }

    fn revoked(&self, fleet: &Fleet) {
        write_list(fleet);
        self.reload();
    }
}

/// Writes mosquitto's access list.
fn write_list(fleet: &Fleet) {
    let store = fleet.path("store.sqlite");
    let list = fleet.trainer(&["broker-config", "mosquitto-acl", "--store", &store, "--reader", "_hass"]);
    fs::write(fleet.path("acl"), list).unwrap();
}

/// Two `#[test]`s of each function, one for each broker. The function takes the broker, an [`IdentityBroker`], as type
/// parameter.
///
/// Without mosquitto, its tests are skipped and listed.
#[macro_export]
macro_rules! on_each_broker {
    ($($test:ident),+ $(,)?) => {
        mod embedded {
            $crate::on_each_broker! { $crate::stage::brokers::Embedded; $($test),+ }
        }
        mod on_mosquitto {
            $crate::on_each_broker! { $crate::stage::mosquitto::Mosquitto; $($test),+ }
        }
    };
    ($broker:ty; $($test:ident),+) => {
        $(
            #[test]
            fn $test() {
                if <$broker as $crate::stage::brokers::IdentityBroker>::is_available() {
                    super::$test::<$broker>();
                }
            }
        )+
    };
}
