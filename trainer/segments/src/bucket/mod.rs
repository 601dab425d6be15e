//! Names of segments ↔ objects of S3-compatible storage.
//!
//! Objects are addressed by path (`ENDPOINT/BUCKET/PREFIX/NAME`), which every implementation accepts. Storing an object is
//! atomic: it appears complete, or not at all.

mod signature;
#[cfg(test)]
mod tests;

use crate::error::SegmentError;
use crate::place::{Place, check_name, is_name};
use crate::reader::FILE_BYTES;
use lapwing_common::private_file;
use signature::{Credentials, Request, headers};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Prefix of an address.
const SCHEME: &str = "s3://";
/// Object with the number of the store that a prefix belongs to.
const OWNER: &str = "segments.store";
/// Time for one request.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Size of a page of a list, at most.
const LIST_BYTES: u64 = 8 * 1024 * 1024;
/// Pages of a list, each of at most 1,000 objects, at most.
const LIST_PAGES: usize = 1_000;

/// A prefix of a bucket.
pub struct Bucket {
    agent: Agent,
    /// `http://` or `https://`, with `://`.
    scheme: String,
    host: String,
    /// Encoded, with a slash before and none after.
    path: String,
    /// Bucket alone, encoded as [`Self::path`].
    bucket: String,
    /// Encoded; ends with a slash unless it is empty.
    prefix: String,
    credentials: Credentials,
    now_s: fn() -> u64,
}

impl Bucket {
    /// The place at `s3://BUCKET/PREFIX`, with the account in `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary
    /// credentials, `AWS_SESSION_TOKEN`. `AWS_ENDPOINT_URL` selects another service than Amazon's, `AWS_REGION` a region.
    /// `now_s` reads the clock, which signatures need.
    ///
    /// # Errors
    /// When the address is not valid, a variable is missing, or the system's certificates cannot be read.
    pub fn from_environment(address: &str, now_s: fn() -> u64) -> Result<Self, SegmentError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let needed = |name: &str| variable(name).ok_or_else(|| wrong(address, format!("needs the variable {name}")));
        let credentials = Credentials {
            key: needed("AWS_ACCESS_KEY_ID")?,
            secret: needed("AWS_SECRET_ACCESS_KEY")?,
            token: variable("AWS_SESSION_TOKEN"),
            region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".into()),
        };
        let amazon = || format!("https://s3.{}.amazonaws.com", credentials.region);
        let endpoint = variable("AWS_ENDPOINT_URL").unwrap_or_else(amazon);
        Self::new(address, &endpoint, credentials, now_s)
    }

    fn new(address: &str, endpoint: &str, credentials: Credentials, now_s: fn() -> u64) -> Result<Self, SegmentError> {
        let rest = address.strip_prefix(SCHEME).unwrap_or_default();
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        let allowed = |text: &str| text.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-_./".contains(&octet));
        if bucket.is_empty() || !allowed(bucket) || !allowed(prefix) {
            return Err(wrong(address, "is not s3://BUCKET/PREFIX of a-z A-Z 0-9 - _ . /".into()));
        }
        let endpoint = endpoint.trim_end_matches('/');
        let parts = endpoint.split_once("://").filter(|(scheme, _)| ["http", "https"].contains(scheme));
        let (scheme, host) = parts.filter(|(_, host)| !host.is_empty() && !host.contains('/')).ok_or_else(|| {
            wrong(address, format!("has the endpoint {endpoint}; expected http(s)://HOST:PORT without a path"))
        })?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        Ok(Self {
            agent: agent(scheme == "https")?,
            scheme: format!("{scheme}://"),
            host: host.to_owned(),
            path: format!("/{bucket}/{prefix}").trim_end_matches('/').to_owned(),
            bucket: format!("/{bucket}"),
            prefix,
            credentials,
            now_s,
        })
    }

    fn shown(&self, name: &str) -> String {
        format!("{SCHEME}{}/{name}", self.path.trim_start_matches('/'))
    }

    /// Sends a request and returns status and body.
    fn send(&self, method: &str, path: &str, query: &str, body: &[u8]) -> io::Result<(u16, ureq::Body)> {
        let request = Request { method, host: &self.host, path, query, body };
        let question = if query.is_empty() { "" } else { "?" };
        let url = format!("{}{}{path}{question}{query}", self.scheme, self.host);
        let mut builder = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers(&request, &self.credentials, (self.now_s)()) {
            builder = builder.header(name, value);
        }
        let sent = if method == "PUT" {
            builder
                .body(body)
                .map_err(io::Error::other)
                .and_then(|sent| self.agent.run(sent).map_err(ureq::Error::into_io))
        } else {
            builder
                .body(())
                .map_err(io::Error::other)
                .and_then(|sent| self.agent.run(sent).map_err(ureq::Error::into_io))
        };
        sent.map(|response| (response.status().as_u16(), response.into_body()))
    }

    /// As [`Self::send`]; an error for other statuses than success.
    fn request(&self, method: &str, path: &str, query: &str, body: &[u8]) -> io::Result<ureq::Body> {
        let (status, mut answer) = self.send(method, path, query, body)?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        let kind = if status == 404 { ErrorKind::NotFound } else { ErrorKind::Other };
        let text = answer.with_config().limit(4_096).read_to_string().unwrap_or_default();
        let code = between(&text, "<Code>", "</Code>").next().unwrap_or("no reason");
        Err(io::Error::new(kind, format!("the object storage answered {status}: {code}")))
    }

    fn store(&self, name: &str, bytes: &[u8]) -> Result<(), SegmentError> {
        let stored = self.request("PUT", &format!("{}/{name}", self.path), "", bytes);
        stored.map(drop).map_err(|source| SegmentError::Write { file: self.shown(name), source })
    }

    /// Names of the objects.
    fn names(&self) -> io::Result<Vec<String>> {
        let (mut names, mut token) = (Vec::new(), None::<String>);
        for _ in 0..LIST_PAGES {
            let after = token.map_or(String::new(), |token| format!("continuation-token={}&", encoded(&token)));
            let query = format!("{after}list-type=2&prefix={}", encoded(&self.prefix));
            let mut answer = self.request("GET", &self.bucket, &query, b"")?;
            let text = answer.with_config().limit(LIST_BYTES).read_to_string().map_err(ureq::Error::into_io)?;
            let keys = between(&text, "<Key>", "</Key>").filter_map(|key| key.strip_prefix(self.prefix.as_str()));
            names.extend(keys.map(str::to_owned));
            token = between(&text, "<NextContinuationToken>", "</NextContinuationToken>").next().map(str::to_owned);
            if token.is_none() {
                return Ok(names);
            }
        }
        Err(io::Error::other("the list of objects does not end"))
    }
}

impl Place for Bucket {
    fn claim(&self, store_id: u64, is_empty: bool) -> Result<(), SegmentError> {
        let read = |source| SegmentError::Read { file: self.shown(OWNER), source };
        let owner = match self.request("GET", &format!("{}/{OWNER}", self.path), "", b"") {
            Ok(mut answer) => {
                answer.with_config().limit(64).read_to_string().map_err(ureq::Error::into_io).map_err(read)?
            }
            Err(error) if error.kind() == ErrorKind::NotFound && is_empty => {
                return self.store(OWNER, format!("{store_id}\n").as_bytes());
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(wrong(&self.shown(""), "has no segments of this store; copy them there".into()));
            }
            Err(error) => return Err(read(error)),
        };
        if owner.trim_end() == store_id.to_string() {
            return Ok(());
        }
        Err(wrong(&self.shown(""), "has the segments of another store; set store.segments to another prefix".into()))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<(), SegmentError> {
        check_name(name)?;
        self.store(name, bytes)
    }

    /// Downloads the object to a temporary file without a name.
    fn open(&self, name: &str) -> Result<File, SegmentError> {
        check_name(name)?;
        let read = |source| SegmentError::Read { file: self.shown(name), source };
        let answer = self.request("GET", &format!("{}/{name}", self.path), "", b"").map_err(read)?;
        let mut file = unnamed_file().map_err(read)?;
        io::copy(&mut answer.into_reader().take(FILE_BYTES + 1), &mut file).map_err(read)?;
        file.rewind().map_err(read)?;
        Ok(file)
    }

    fn remove(&self, name: &str) -> Result<bool, SegmentError> {
        check_name(name)?;
        match self.request("DELETE", &format!("{}/{name}", self.path), "", b"") {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(SegmentError::Write { file: self.shown(name), source }),
        }
    }

    fn remove_unknown(&self, known: &BTreeSet<String>) -> Result<usize, SegmentError> {
        let listed = self.names().map_err(|source| SegmentError::Read { file: self.shown(""), source })?;
        let unknown = listed.iter().filter(|name| is_name(name) && !known.contains(*name));
        unknown.map(|name| self.remove(name).map(usize::from)).sum()
    }
}

fn wrong(address: &str, what: String) -> SegmentError {
    SegmentError::Owner { place: address.to_owned(), what, expected: "see docs/operations.md".into() }
}

fn agent(is_https: bool) -> Result<Agent, SegmentError> {
    let mut tls = TlsConfig::builder();
    if is_https {
        let found = rustls_native_certs::load_native_certs().certs;
        let roots = found.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        tls =
            tls.root_certs(RootCerts::Specific(Arc::new(roots.collect()))).unversioned_rustls_crypto_provider(provider);
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .tls_config(tls.build())
        .build();
    Ok(config.into())
}

/// The texts between two marks.
fn between<'t>(text: &'t str, start: &'t str, end: &'t str) -> impl Iterator<Item = &'t str> {
    text.split(start).skip(1).filter_map(move |rest| rest.split_once(end).map(|(found, _)| found))
}

/// Percent-encoding of everything but unreserved characters (RFC 3986).
fn encoded(text: &str) -> String {
    let octet = |octet: u8| match octet {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(octet).to_string(),
        _ => format!("%{octet:02X}"),
    };
    text.bytes().map(octet).collect()
}

/// A file in the system's temporary folder, which disappears when it is closed.
fn unnamed_file() -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("lapwing-segment-{}-{number}", std::process::id()));
    let file = private_file::create_new(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}
