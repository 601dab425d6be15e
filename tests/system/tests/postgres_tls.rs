//! A store on a PostgreSQL server that accepts TLS connections only.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use lapwing_store::{Limits, Store, StoreHandle};
use lapwing_system_tests::stage::Folder;
use lapwing_system_tests::stage::authority::Authority;
use lapwing_system_tests::stage::postgres::Postgres;
use std::fs;

/// The error when the store at `url` is opened, with its causes.
fn refused(url: &str) -> String {
    let error = Store::open(url.parse::<lapwing_store::StoreUrl>().unwrap(), Limits::default()).err().expect(url);
    format!("{error:?}")
}

#[test]
fn certificates_are_verified_with_the_host_name() {
    let folder = Folder::new("pgtls");
    let (ours, other) = (Authority::new("ours"), Authority::new("another"));
    let [trusted, foreign] = ["ours.pem", "other.pem"].map(|name| folder.join(name));
    fs::write(&trusted, ours.pem()).unwrap();
    fs::write(&foreign, other.pem()).unwrap();
    let Some((server, port)) = Postgres::start_with_tls(folder.path(), &ours) else {
        return lapwing_skips::skip("PostgreSQL is not installed");
    };
    let url = |host: &str, parameters: &str| format!("postgres://lapwing@{host}:{port}/postgres?{parameters}");
    let roots = format!("sslrootcert={}", trusted.display());

    let store = url("localhost", &format!("sslmode=verify-full&{roots}"));
    drop(Store::open(store.parse::<lapwing_store::StoreUrl>().unwrap(), Limits::default()).unwrap());
    let counts = StoreHandle::open(store.parse::<lapwing_store::StoreUrl>().unwrap()).unwrap().message_counts();
    assert_eq!(counts.unwrap(), [0; 3], "the store is made and read over TLS");

    let unknown = refused(&url("localhost", &format!("sslmode=require&sslrootcert={}", foreign.display())));
    assert!(unknown.contains("UnknownIssuer"), "{unknown}");
    let renamed = refused(&url("127.0.0.1", &format!("sslmode=require&{roots}")));
    assert!(renamed.contains("not valid for name") || renamed.contains("NotValidForName"), "{renamed}");
    let plain = refused(&url("localhost", "sslmode=disable"));
    assert!(plain.contains("pg_hba.conf"), "{plain}");
    let missing = refused(&url("localhost", "sslmode=require&sslrootcert=/nowhere.pem"));
    assert!(missing.contains("/nowhere.pem"), "{missing}");
    drop(server);
}
