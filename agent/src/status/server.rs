//! Requests on the status socket and on the Prometheus port → the report in the form that was asked for.
//!
//! Each serves one client at a time: one request of one line, one answer, end of connection. Slow clients time out, so
//! clients never take more than one thread and a few hundred bytes.

use super::text::Text;
use super::{ERROR, TestAlertAnswer, metrics};
use crate::clock;
use crate::output::alerts::test_alert;
use crate::publish::FromPipeline;
use crate::report::SharedReport;
use crate::update::settings::Change;
use lapwing_shared::units::Timestamp;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::time::Duration;
use tokio::sync::mpsc::WeakSender;

/// Longest request, bytes.
const REQUEST_BYTES: u64 = 1024;
/// How long a client may take to send its request, and to read the answer.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long the network thread may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Mode of the socket: read and write for owner and group.
const MODE: u32 = 0o660;

/// The listening sockets, opened before the agent drops its privileges.
pub(crate) struct Listeners {
    unix: Option<(UnixListener, PathBuf)>,
    prometheus: Option<TcpListener>,
}

impl Listeners {
    /// Opens the sockets that are configured; an empty `socket` path disables the first. Replaces a socket file on which
    /// no agent answers.
    ///
    /// # Errors
    /// When an address is in use or not permitted. The default socket path is optional: a failure there is logged.
    pub(crate) fn open(socket: &Path, prometheus: Option<&str>) -> anyhow::Result<Self> {
        let enabled = !socket.as_os_str().is_empty();
        let unix = match enabled.then(|| listen(socket)).transpose() {
            Ok(listener) => listener.map(|listener| (listener, socket.to_owned())),
            Err(error) => {
                let message = format!(
                    "cannot open status socket {}: {error}; set status.socket to another path, or to \"\" to disable it",
                    socket.display()
                );
                // Another agent may use the default path, or only root may write there. Capturing matters more than
                // `status`.
                anyhow::ensure!(socket == crate::config::StatusSection::default().socket, message);
                tracing::warn!("{message}; continuing without a status socket");
                None
            }
        };
        let prometheus = prometheus.map(|address| {
            TcpListener::bind(address).map_err(|error| anyhow::anyhow!("status.prometheus {address}: {error}"))
        });
        Ok(Self { unix, prometheus: prometheus.transpose()? })
    }

    /// Serves requests on threads of their own until the process ends. Test alerts go to `to_network`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub(crate) fn serve(
        self,
        report: &SharedReport,
        to_network: Option<WeakSender<FromPipeline>>,
    ) -> io::Result<Socket> {
        let path = self.unix.as_ref().map(|(_, path)| path.clone());
        if let Some((listener, _)) = self.unix {
            let report = report.clone();
            std::thread::Builder::new().name("status".into()).spawn(move || {
                for mut client in listener.incoming().flatten() {
                    let limited = client.set_read_timeout(Some(TIMEOUT)).and(client.set_write_timeout(Some(TIMEOUT)));
                    // A client that disconnects early or times out gets no answer.
                    let _ = limited.and_then(|()| answer(&mut client, &report, to_network.as_ref()));
                }
            })?;
        }
        if let Some(listener) = self.prometheus {
            let report = report.clone();
            std::thread::Builder::new().name("prometheus".into()).spawn(move || {
                for mut client in listener.incoming().flatten() {
                    let limited = client.set_read_timeout(Some(TIMEOUT)).and(client.set_write_timeout(Some(TIMEOUT)));
                    let _ = limited.and_then(|()| http(&mut client, &report));
                }
            })?;
        }
        Ok(Socket(path))
    }
}

/// Deletes the socket's file when dropped.
pub(crate) struct Socket(Option<PathBuf>);

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    set_mode(path)?;
    Ok(listener)
}

/// Sets the socket's mode, through a descriptor of the socket itself: in a folder of another account, its name may lead
/// elsewhere by now.
fn set_mode(path: &Path) -> io::Result<()> {
    let socket = open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    if FileType::from_raw_mode(fstat(&socket)?.st_mode) != FileType::Socket {
        return Err(io::Error::other("it was replaced while it was being opened"));
    }
    std::fs::set_permissions(format!("/proc/self/fd/{}", socket.as_raw_fd()), Permissions::from_mode(MODE))
}

/// Reads the request's line.
fn request(client: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    while (line.len() as u64) < REQUEST_BYTES && client.read(&mut octet)? == 1 && octet != *b"\n" {
        line.extend(octet);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

fn answer(
    client: &mut (impl Read + Write),
    report: &SharedReport,
    to_network: Option<&WeakSender<FromPipeline>>,
) -> io::Result<()> {
    let text = match request(client)?.as_str() {
        "status" => serde_json::to_string(&report.snapshot()).unwrap_or_default(),
        // `picture` is the request's earlier name.
        "text" | "picture" => Text(&report.snapshot()).to_string(),
        "metrics" => metrics::text(&report.snapshot()),
        "test-alert" => serde_json::to_string(&send_test_alert(report, to_network)).unwrap_or_default(),
        "test-alert-text" => send_test_alert(report, to_network).to_string(),
        other => match other.strip_prefix("update ").and_then(Change::parse) {
            Some(change) => change_settings(change, to_network),
            None => r#"{"error": "expected status, text, metrics, test-alert or update"}"#.to_owned(),
        },
    };
    client.write_all(text.as_bytes())?;
    client.write_all(b"\n")
}

fn http(client: &mut (impl Read + Write), report: &SharedReport) -> io::Result<()> {
    let is_known = request(client)?.starts_with("GET /metrics ");
    let (status, body) =
        if is_known { ("200 OK", metrics::text(&report.snapshot())) } else { ("404 Not Found", String::new()) };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n");
    client.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())
}

/// Passes a command on to the network thread, which stores the settings; returns its answer.
fn change_settings(change: Change, to_network: Option<&WeakSender<FromPipeline>>) -> String {
    let error = |text: &str| format!("{ERROR}{text}");
    let Some(sender) = to_network else { return error("no broker is configured: there are no updates") };
    let Some(sender) = sender.upgrade() else { return error("the agent is shutting down") };
    let (answer, answers) = sync_channel(1);
    if sender.try_send(FromPipeline::Settings(change, answer)).is_err() {
        return error("the queue to the network thread is full; try again");
    }
    let answer = answers.recv_timeout(ANSWER_TIMEOUT);
    let answer = answer.unwrap_or_else(|_| Err("the network thread does not answer; see the status".into()));
    answer.unwrap_or_else(|text| error(&text))
}

fn send_test_alert(report: &SharedReport, to_network: Option<&WeakSender<FromPipeline>>) -> TestAlertAnswer {
    let now_s = clock::wall_s().unwrap_or(0);
    let episode = now_s << 32 | u64::from(fastrand::u32(..)) | 1 << 31;
    let alert = test_alert(Timestamp::from_secs(now_s), episode);
    report.add_alert(alert.clone().boxed());
    let sent = match to_network.map(WeakSender::upgrade) {
        None => Err("no broker is configured: the alert is shown by `status` only"),
        Some(None) => Err("the agent is shutting down"),
        Some(Some(sender)) => {
            sender.try_send(FromPipeline::Alert(alert)).map_err(|_| "the queue to the network thread is full")
        }
    };
    let connection = sent.is_ok().then(|| report.snapshot().broker());
    TestAlertAnswer { episode, queued: sent.is_ok(), connection, error: sent.err().map(str::to_owned) }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
