//! Databases of a PostgreSQL server for tests.
//!
//! The environment variable `LAPWING_POSTGRES` names the server, by a URL whose user may create databases;
//! `tests/postgres` starts one. Without it, the tests are skipped and listed.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking; the names are the documentation")]

use crate::StoreUrl;
use crate::contract::TestStore;
use postgres::{Client, NoTls};
use std::sync::atomic::{AtomicU32, Ordering};

/// The variable that names the server.
pub const SERVER: &str = "LAPWING_POSTGRES";

/// A database of its own for one test, removed when it is dropped.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// The server that `LAPWING_POSTGRES` names; `None` without one, which is listed as skipped.
    pub fn server_url() -> Option<String> {
        let server = std::env::var(SERVER).ok().filter(|url| !url.is_empty());
        if server.is_none() {
            lapwing_skips::skip(&format!("{SERVER} names no PostgreSQL server (tests/postgres starts one)"));
        }
        server
    }

    /// A new, empty database of this server.
    pub fn create_at(server: String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("lapwing_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, name };
        // An earlier process with the same number may have left it behind.
        database.remove();
        let text = format!("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'", database.name);
        database.server().batch_execute(&text).unwrap();
        database
    }

    /// Its URL.
    pub fn url(&self) -> StoreUrl {
        self.address().parse().unwrap()
    }

    /// A connection to it, beside the store's own.
    pub fn client(&self) -> Client {
        Client::connect(&self.address(), NoTls).unwrap()
    }

    /// Its URL, with the password.
    fn address(&self) -> String {
        let (before, parameters) =
            self.server.split_once('?').map_or((self.server.as_str(), None), |(a, b)| (a, Some(b)));
        let (host, _) = before.rsplit_once('/').unwrap();
        let parameters = parameters.map_or_else(String::new, |parameters| format!("?{parameters}"));
        format!("{host}/{}{parameters}", self.name)
    }

    fn server(&self) -> Client {
        Client::connect(&self.server, NoTls).unwrap()
    }

    fn remove(&self) {
        self.server().batch_execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)).unwrap();
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.remove();
        }
    }
}

impl TestStore for Database {
    const SEVERAL_WRITERS: bool = true;

    fn is_available() -> bool {
        Self::server_url().is_some()
    }

    fn new() -> Self {
        Self::create_at(Self::server_url().unwrap())
    }

    fn url(&self) -> StoreUrl {
        self.url()
    }

    fn execute(&self, text: &str) {
        self.client().batch_execute(text).unwrap();
    }
}
