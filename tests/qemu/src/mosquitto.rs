//! An external broker: Debian's mosquitto, with TLS and a password for the gateway, plain for trainer and listener.

use anyhow::{Context, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The broker's host name in the guest; see `start`.
pub(crate) const HOST: &str = "broker.lan";
/// The gateway's credentials.
const USER: &str = "gateway";
const PASSWORD: &str = "sesame";
/// Year in which an expired certificate ended, and in which a valid one will.
const EXPIRED_YEAR: i32 = 2021;
const VALID_YEAR: i32 = 2100;
const POLL_INTERVAL: Duration = Duration::from_millis(20);
const POLLS: u32 = 500;

/// A certificate authority that the gateway trusts.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// The authority's certificate.
    pub(crate) pem: String,
}

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Issues certificate and key for the broker, valid until 1 January of a year.
    fn issue(&self, year: i32) -> anyhow::Result<[String; 2]> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
        Ok([params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()])
    }
}

/// How the broker responds to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Normal,
    /// Expects another password.
    OtherPassword,
    /// Presents an expired certificate.
    Expired,
}

/// The broker process; killed on drop.
pub(crate) struct Mosquitto {
    child: Option<Child>,
    folder: PathBuf,
    tls: u16,
    /// Address for trainer and listener.
    pub(crate) plain: SocketAddr,
}

impl Mosquitto {
    /// Starts the broker on free ports of loopback.
    pub(crate) fn start(folder: PathBuf, authority: &Authority) -> anyhow::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], free_port()?)), folder, authority)
    }

    /// Starts the broker with this plain address on loopback.
    pub(crate) fn start_at(plain: SocketAddr, folder: PathBuf, authority: &Authority) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let mut broker = Self { child: None, folder, tls: free_port()?, plain };
        broker.restart(authority, Mode::Normal)?;
        Ok(broker)
    }

    /// The broker's URL for the gateway.
    pub(crate) fn url(&self) -> String {
        format!("mqtts://{USER}:{PASSWORD}@{HOST}:{}", self.tls)
    }

    /// Kills the broker, which closes all connections, and starts it on the same ports.
    pub(crate) fn restart(&mut self, authority: &Authority, mode: Mode) -> anyhow::Result<()> {
        self.stop();
        let config = self.configure(authority, mode)?;
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().context("cannot start mosquitto; is its package installed?")?);
        for _ in 0..POLLS {
            if TcpStream::connect(self.plain).is_ok() {
                return Ok(());
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        bail!("mosquitto does not listen at {}", self.plain)
    }

    fn configure(&self, authority: &Authority, mode: Mode) -> anyhow::Result<PathBuf> {
        let path = |name: &str| self.folder.join(name);
        let [certificate, key] = authority.issue(if mode == Mode::Expired { EXPIRED_YEAR } else { VALID_YEAR })?;
        std::fs::write(path("crt"), certificate)?;
        std::fs::write(path("key"), key)?;
        let password = if mode == Mode::OtherPassword { "another" } else { PASSWORD };
        let mut create = Command::new("mosquitto_passwd");
        create.args(["-b", "-c"]).arg(path("passwords")).args([USER, password]);
        ensure!(create.status().context("mosquitto_passwd")?.success(), "mosquitto_passwd failed");
        // Without `user root`, mosquitto started by root would drop privileges and could not read these files.
        let text = format!(
            "user root\nper_listener_settings true\nlistener {} 127.0.0.1\nallow_anonymous true\n\
             listener {} 127.0.0.1\nallow_anonymous false\npassword_file {}\ncertfile {}\nkeyfile {}\n",
            self.plain.port(),
            self.tls,
            path("passwords").display(),
            path("crt").display(),
            path("key").display(),
        );
        std::fs::write(path("conf"), text)?;
        Ok(path("conf"))
    }

    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have exited already.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A currently free TCP port of loopback.
pub(crate) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
