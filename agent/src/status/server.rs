//! The socket where the report is asked for, and the loopback port where Prometheus reads it.
//!
//! One client at a time, one request of one line, one answer, then the connection ends; whoever is slow is left. So
//! clients take one thread and a few hundred bytes, however many there are.

use super::{Board, ask, metrics};
use crate::clock;
use crate::output::alerts::test_alert;
use crate::publish::FromPipeline;
use lapwing_shared::units::Timestamp;
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc::WeakSender;

/// Longest request, bytes.
const REQUEST_BYTES: u64 = 1024;
/// A client may take so long to ask and to listen.
const PATIENCE: Duration = Duration::from_secs(1);
/// The socket is its owner's and group's.
const MODE: u32 = 0o660;

/// The listening sockets, opened before privileges go.
pub struct Listeners {
    unix: Option<(UnixListener, PathBuf)>,
    prometheus: Option<TcpListener>,
}

impl Listeners {
    /// Opens both where they are wanted. A socket that an earlier run left is taken away; one that answers is not.
    ///
    /// # Errors
    /// When an address is taken or not allowed.
    pub fn open(socket: &Path, prometheus: Option<&str>) -> anyhow::Result<Self> {
        let wanted = !socket.as_os_str().is_empty();
        let unix = match wanted.then(|| listen(socket)).transpose() {
            Ok(listener) => listener.map(|listener| (listener, socket.to_owned())),
            Err(error) => {
                let told = format!(
                    "status socket {}: {error}; set status.socket to another path, or to \"\"",
                    socket.display()
                );
                // Nobody asked for the usual place by name: another agent has it, or only root may write there. Watching
                // goes before being asked.
                anyhow::ensure!(socket == crate::config::StatusSection::default().socket, told);
                tracing::warn!("{told}; goes on without one");
                None
            }
        };
        let prometheus = prometheus.map(|address| {
            TcpListener::bind(address).map_err(|error| anyhow::anyhow!("status.prometheus {address}: {error}"))
        });
        Ok(Self { unix, prometheus: prometheus.transpose()? })
    }

    /// Answers from now on, until the process ends.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn serve(self, board: &Board, said: Option<WeakSender<FromPipeline>>) -> io::Result<Socket> {
        let path = self.unix.as_ref().map(|(_, path)| path.clone());
        if let Some((listener, _)) = self.unix {
            let board = board.clone();
            std::thread::Builder::new().name("status".into()).spawn(move || {
                for mut client in listener.incoming().flatten() {
                    let patient = client.set_read_timeout(Some(PATIENCE)).and(client.set_write_timeout(Some(PATIENCE)));
                    // Whoever leaves early has chosen so.
                    let _ = patient.and_then(|()| answer(&mut client, &board, said.as_ref()));
                }
            })?;
        }
        if let Some(listener) = self.prometheus {
            let board = board.clone();
            std::thread::Builder::new().name("prometheus".into()).spawn(move || {
                for mut client in listener.incoming().flatten() {
                    let patient = client.set_read_timeout(Some(PATIENCE)).and(client.set_write_timeout(Some(PATIENCE)));
                    let _ = patient.and_then(|()| http(&mut client, &board));
                }
            })?;
        }
        Ok(Socket(path))
    }
}

/// Takes the socket's file away at the end.
pub struct Socket(Option<PathBuf>);

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
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket());
    if is_socket && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

fn request(client: &mut impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    let mut octet = [0];
    while (line.len() as u64) < REQUEST_BYTES && client.read(&mut octet)? == 1 && octet != *b"\n" {
        line.extend(octet);
    }
    Ok(String::from_utf8_lossy(&line).trim().to_owned())
}

fn answer(client: &mut (impl Read + Write), board: &Board, said: Option<&WeakSender<FromPipeline>>) -> io::Result<()> {
    let text = match request(client)?.as_str() {
        "status" => serde_json::to_string(&board.report()).unwrap_or_default(),
        "picture" => ask::picture(&board.report()),
        "metrics" => metrics::text(&board.report()),
        "test-alert" => send_test_alert(board, said),
        _ => r#"{"error": "expected status, picture, metrics or test-alert"}"#.to_owned(),
    };
    client.write_all(text.as_bytes())?;
    client.write_all(b"\n")
}

fn http(client: &mut (impl Read + Write), board: &Board) -> io::Result<()> {
    let found = request(client)?.starts_with("GET /metrics ");
    let (status, body) =
        if found { ("200 OK", metrics::text(&board.report())) } else { ("404 Not Found", String::new()) };
    let length = body.len();
    let head = format!("HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {length}\r\n");
    client.write_all(format!("{head}Connection: close\r\n\r\n{body}").as_bytes())
}

fn send_test_alert(board: &Board, said: Option<&WeakSender<FromPipeline>>) -> String {
    let now_s = clock::wall_s().unwrap_or(0);
    let number = now_s << 32 | u64::from(fastrand::u32(..)) | 1 << 31;
    let alert = test_alert(Timestamp::from_secs(now_s), number);
    board.alert(alert.clone().boxed());
    let sent = match said.map(WeakSender::upgrade) {
        None => Err("no broker is configured: the alert stands in the status only"),
        Some(None) => Err("the agent is ending"),
        Some(Some(said)) => said.try_send(FromPipeline::Alert(alert)).map_err(|_| "the queue to the network is full"),
    };
    match sent {
        Ok(()) => serde_json::json!({ "episode": number, "queued": true, "connection": board.report().connection }),
        Err(error) => serde_json::json!({ "episode": number, "queued": false, "error": error }),
    }
    .to_string()
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
