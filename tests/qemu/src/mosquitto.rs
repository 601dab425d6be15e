//! A broker that is not the trainer's: Debian's mosquitto, with TLS and a password towards the gateway, and plain towards
//! trainer and listener on this machine.

use anyhow::{Context, bail, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Its name in the guest; see `start`.
pub(crate) const HOST: &str = "broker.lan";
/// The gateway's login there.
const USER: &str = "gateway";
const PASSWORD: &str = "sesame";
/// A year in which no certificate of this test is good any more is past, the other far ahead.
const PAST: i32 = 2021;
const AHEAD: i32 = 2100;
/// Between two looks whether it listens, and how many.
const LOOK: Duration = Duration::from_millis(20);
const LOOKS: u32 = 500;

/// An authority that the gateway trusts.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) pem: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Certificate and key for the broker, good until a year's first day.
    fn issue(&self, until: i32) -> anyhow::Result<[String; 2]> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(vec![HOST.to_owned()])?;
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        Ok([params.signed_by(&key, &self.issuer)?.pem(), key.serialize_pem()])
    }
}

/// How the broker receives the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// As it should.
    Right,
    /// With another password.
    OtherPassword,
    /// With a certificate that has expired.
    Expired,
}

/// The broker's process; ends with this.
pub(crate) struct Mosquitto {
    child: Option<Child>,
    folder: PathBuf,
    tls: u16,
    /// Where trainer and listener find it.
    pub(crate) plain: SocketAddr,
}

impl Mosquitto {
    /// Starts it on free ports of loopback.
    pub(crate) fn start(folder: PathBuf, authority: &Authority) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let [tls, plain] = [free_port()?, free_port()?];
        let mut broker = Self { child: None, folder, tls, plain: SocketAddr::from(([127, 0, 0, 1], plain)) };
        broker.start_again(authority, Manner::Right)?;
        Ok(broker)
    }

    /// The gateway's URL for it.
    pub(crate) fn url(&self) -> String {
        format!("mqtts://{USER}:{PASSWORD}@{HOST}:{}", self.tls)
    }

    /// Ends it, which all connections notice, and starts it on the same ports.
    pub(crate) fn start_again(&mut self, authority: &Authority, manner: Manner) -> anyhow::Result<()> {
        self.stop();
        let config = self.configure(authority, manner)?;
        let mut command = Command::new("mosquitto");
        command.arg("-c").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().context("mosquitto does not start; is its package installed?")?);
        for _ in 0..LOOKS {
            if TcpStream::connect(self.plain).is_ok() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("mosquitto does not listen at {}", self.plain)
    }

    fn configure(&self, authority: &Authority, manner: Manner) -> anyhow::Result<PathBuf> {
        let path = |name: &str| self.folder.join(name);
        let [certificate, key] = authority.issue(if manner == Manner::Expired { PAST } else { AHEAD })?;
        std::fs::write(path("crt"), certificate)?;
        std::fs::write(path("key"), key)?;
        let password = if manner == Manner::OtherPassword { "another" } else { PASSWORD };
        let mut make = Command::new("mosquitto_passwd");
        make.args(["-b", "-c"]).arg(path("passwords")).args([USER, password]);
        ensure!(make.status().context("mosquitto_passwd")?.success(), "mosquitto_passwd made no file");
        // Started by root it would give up root's rights, and with them the right to read these files.
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
            // It may have ended by itself.
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

/// A port of loopback that was free a moment ago.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
