//! Arbitrary requests → the trainer's HTTP server, which answers each without a panic, a server error or text of the
//! request in HTML.

use super::Target;
use crate::load::messages::Maker;
use lapwing_shared::messages::topics::Kind;
use lapwing_shared::messages::{AgentName, Message};
use lapwing_store::{Limits, Received, Store};
use lapwing_web::{Site, WebServer};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// A request without an end waits for the rest; this client does not.
const PATIENCE: Duration = Duration::from_millis(300);
/// Patience of the well-behaved client.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What ends every request, so that the server closes the connection.
const END: &[u8] = b"\r\nConnection: close\r\n\r\n";
/// Server errors that refuse a request: unknown method, too many queries, unknown version.
const REFUSALS: [u16; 3] = [501, 503, 505];
/// No page may contain this tag unescaped.
const TAG: &str = "<fuzz";

/// A running server with one agent and its alerts.
pub(super) struct Http {
    server: WebServer,
}

impl Http {
    pub(super) fn start(folder: &Path) -> Result<Self, String> {
        let path = folder.join("store.sqlite");
        let mut store = Store::open(&path, Limits::default()).map_err(|error| error.to_string())?;
        let agent = AgentName::try_from("gw-1").map_err(|_| "an agent's name")?;
        let mut maker = Maker::new(1, 2, 2, 1);
        let received = |number| {
            let (_, payload): (Kind, &[u8]) = maker.make(number);
            let message = Message::decode(payload).map_err(|error| error.to_string())?;
            Ok(Received::new(agent.clone(), message, payload.to_vec()))
        };
        let batch: Vec<Received> = (1..40).map(received).collect::<Result<_, String>>()?;
        store.commit(&batch, 1_700_000_100).map_err(|error| error.to_string())?;
        store.close().map_err(|error| error.to_string())?;
        let site = Site { store: Some(path.into()), names: vec!["fleet.example".into()], ..Site::default() };
        let server = WebServer::start(site, (Ipv4Addr::LOCALHOST, 0).into()).map_err(|error| error.to_string())?;
        Ok(Self { server })
    }

    fn answer(&self, request: &[u8], patience: Duration) -> Result<Vec<u8>, String> {
        let address: SocketAddr = self.server.address;
        let mut stream = TcpStream::connect(address).map_err(|error| format!("cannot connect: {error}"))?;
        stream.set_read_timeout(Some(patience)).map_err(|error| error.to_string())?;
        // A server that rejects the request may close the connection before all is written or read.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Ok(answer)
    }
}

/// Status and headers in lower case, and body, of the first answer; a request can contain several.
fn parts(answer: &[u8]) -> Result<(u16, String, String), String> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.ok_or_else(|| format!("no end of the head in {:?}", String::from_utf8_lossy(answer)))?;
    let (head, body) = (String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase(), &answer[end + 4..]);
    let status = head.strip_prefix("http/1.1 ").or_else(|| head.strip_prefix("http/1.0 "));
    let status = status.and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(|| format!("no status in {head:?}"))?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
    let body = &body[..length.unwrap_or(usize::MAX).min(body.len())];
    Ok((status, head, String::from_utf8_lossy(body).into_owned()))
}

impl Target for Http {
    fn seeds(&self) -> Vec<Vec<u8>> {
        let with_carriage_returns = |text: Vec<u8>| String::from_utf8_lossy(&text).trim_end().replace('\n', "\r\n");
        super::corpus("http").into_iter().map(|text| with_carriage_returns(text).into_bytes()).collect()
    }

    fn pieces(&self) -> &'static [&'static [u8]] {
        &[
            b"/agents",
            b"/alerts",
            b"/releases",
            b"/api/v1/alerts",
            b"/api/v1/agents",
            b"/",
            b"..",
            b"%2e%2e%2f",
            b"?",
            b"&",
            b"=",
            b"agent=",
            b"group=",
            b"kind=",
            b"state=",
            b"from=",
            b"to=",
            b"before=",
            b"after=",
            b"limit=",
            b"refresh=",
            b"open",
            b"18446744073709551616",
            b"-9223372036854775808",
            b"2026-11-21T16:44",
            b"9999-99-99",
            b"<fuzz>",
            b"%3Cfuzz%3E",
            b"\"",
            b"'",
            b"%",
            b"%00",
            b"%ff",
            b"\xff",
            b"\0",
            b"\r\n",
            b"\r\n\r\n",
            b" ",
            b"+",
            b"Host: ",
            b"localhost",
            b"evil.example",
            b"[::1]:80",
            b"Content-Length: 5",
            b"Transfer-Encoding: chunked",
            b"HEAD",
            b"POST",
            b"HTTP/1.0",
            b"HTTP/2.0",
            b"Expect: 100-continue",
            b"Range: bytes=0-",
            b"\xc3\xa9",
        ]
    }

    fn run(&mut self, input: &[u8]) -> Result<(), String> {
        let answer = self.answer(&[input, END].concat(), PATIENCE)?;
        if answer.is_empty() {
            return Ok(());
        }
        let (status, head, body) = parts(&answer)?;
        if status >= 500 && !REFUSALS.contains(&status) {
            return Err(format!("status {status}: {body}"));
        }
        let is_page = head.contains("content-type: text/html");
        if is_page && body.contains(TAG) {
            return Err(format!("text of the request in a page: {body}"));
        }
        Ok(())
    }

    fn check(&mut self) -> Result<(), String> {
        for (host, expected) in [("localhost", 200), ("evil.example", 421)] {
            let request = format!("GET /alerts?limit=5 HTTP/1.1\r\nHost: {host}");
            let answer = self.answer(&[request.as_bytes(), END].concat(), TIMEOUT)?;
            let (status, head, body) = parts(&answer)?;
            if status != expected || !head.contains("x-frame-options: deny") {
                return Err(format!("Host {host}: expected {expected} with security headers, found {head} {body}"));
            }
        }
        Ok(())
    }

    fn stop(self: Box<Self>) -> Result<(), String> {
        self.server.stop().map_err(|error| error.to_string())
    }
}
