//! Certificates that other programs accept, keys that others cannot read, and rotation.

use super::*;
use lapwing_shared::enrolment::{AgentKey, CertificateRequest, public_key_hash};
use lapwing_shared::release::name::parse_name;
use lapwing_store::testing::Folder;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use webpki::anchor_from_trusted_cert;

const NOW_S: u64 = 1_800_000_000;
const DAY_S: u64 = 86_400;

fn request(name: &str) -> CertificateRequest {
    CertificateRequest::parse(&AgentKey::from_seed(&[9; 32]).request(&parse_name(name).unwrap())).unwrap()
}

fn subject(name: &str) -> Subject {
    Subject { name: parse_name(name).unwrap(), id: 7, issue: 2, now_s: NOW_S, until_s: NOW_S + 365 * DAY_S }
}

fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Writes a certificate as a PEM file.
fn write_pem(folder: &Path, name: &str, der: &[u8]) -> PathBuf {
    let (raw, path) = (folder.join(format!("{name}.der")), folder.join(format!("{name}.pem")));
    fs::write(&raw, der).unwrap();
    openssl(&["x509", "-inform", "DER", "-in", raw.to_str().unwrap(), "-out", path.to_str().unwrap()]);
    path
}

fn passphrase(folder: &Path, text: &str) -> Result<Passphrase, AuthorityError> {
    let path = folder.join("passphrase");
    let _ = fs::remove_file(&path);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Passphrase::read(&path)
}

#[test]
fn openssl_verifies_a_certificate_with_name_serial_and_use() {
    let folder = Folder::new();
    let authority = Authority::create(&folder.path().join("a"), None, NOW_S).unwrap();
    let certificate = authority.issue(&request("attic"), &subject("attic")).unwrap();
    assert!(certificate.len() <= 380, "{} bytes", certificate.len());
    let path = write_pem(folder.path(), "attic", &certificate);
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, authority.trusted_pem().unwrap()).unwrap();
    let time = (NOW_S + DAY_S).to_string();
    let verify = ["verify", "-x509_strict", "-attime", &time, "-purpose", "sslclient", "-CAfile"];
    openssl(&[&verify[..], &[trusted.to_str().unwrap(), path.to_str().unwrap()]].concat());
    let text = openssl(&[
        "x509",
        "-in",
        path.to_str().unwrap(),
        "-noout",
        "-subject",
        "-serial",
        "-dates",
        "-ext",
        "extendedKeyUsage",
    ]);
    assert!(text.contains("CN = attic") || text.contains("CN=attic"), "{text}");
    assert!(text.contains("serial=0700000002"), "{text}");
    assert!(text.contains("notBefore=Jan 14 08:00:00 2027 GMT"), "{text}");
    assert!(text.contains("TLS Web Client Authentication") && !text.contains("Server"), "{text}");
}

#[test]
fn a_request_with_another_name_gets_no_certificate() {
    let folder = Folder::new();
    let authority = Authority::create(&folder.path().join("a"), None, NOW_S).unwrap();
    let error = authority.issue(&request("attic"), &subject("cellar")).unwrap_err().to_string();
    assert!(error.contains("the request is for attic, the certificate for cellar"), "{error}");
    let late = Subject { until_s: u64::MAX, ..subject("attic") };
    assert!(authority.issue(&request("attic"), &late).is_err());
}

#[test]
fn the_hash_in_tokens_is_the_one_that_agents_compute() {
    let folder = Folder::new();
    let authority = Authority::create(&folder.path().join("a"), None, NOW_S).unwrap();
    let chain = authority.issue_server(&["hub.lan".into(), "192.0.2.1".into()], NOW_S).unwrap().chain;
    let anchor = anchor_from_trusted_cert(&chain[1]).unwrap();
    assert_eq!(public_key_hash(&anchor.subject_public_key_info).as_ref(), Some(authority.public_hash()));
    let path = write_pem(folder.path(), "server", &chain[0]);
    let text = openssl(&["x509", "-in", path.to_str().unwrap(), "-noout", "-ext", "subjectAltName,extendedKeyUsage"]);
    assert!(text.contains("DNS:hub.lan, IP Address:192.0.2.1") && text.contains("TLS Web Server"), "{text}");
    assert!(authority.issue_server(&["ä".into()], NOW_S).is_err());
}

#[test]
fn only_the_owner_can_read_a_key_and_files_of_others_are_rejected() {
    let folder = Folder::new();
    let (place, key) = (folder.path().join("a"), folder.path().join("a/authority.key"));
    assert!(matches!(Authority::open(&place, None), Err(AuthorityError::Missing { .. })));
    let hash = *Authority::open_or_create(&place, None, NOW_S).unwrap().public_hash();
    assert_eq!(*Authority::open_or_create(&place, None, NOW_S + 1).unwrap().public_hash(), hash, "the same authority");
    assert!(matches!(Authority::create(&place, None, NOW_S), Err(AuthorityError::Exists { .. })));
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(&place).unwrap().count(), 1, "no files are left over");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(Authority::open(&place, None), Err(AuthorityError::Exposed { mode: 0o640, .. })));
}

#[test]
fn a_damaged_file_is_an_error_that_names_it() {
    let folder = Folder::new();
    let key = folder.path().join("a/authority.key");
    Authority::create(&folder.path().join("a"), None, NOW_S).unwrap();
    let good = fs::read_to_string(&key).unwrap();
    Authority::create(&folder.path().join("b"), None, NOW_S).unwrap();
    let other = fs::read_to_string(folder.path().join("b/authority.key")).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let mixed = format!("{}{end}{}", good.split_once(end).unwrap().0, other.split_once(end).unwrap().1);
    for damaged in ["", "x", &good[..good.len() / 2], &good[..good.len() - 40], &mixed] {
        fs::write(&key, damaged).unwrap();
        let error = Authority::open(&folder.path().join("a"), None).err().unwrap().to_string();
        assert!(error.contains("authority.key: expected a certificate"), "{error}");
    }
}

#[test]
fn a_passphrase_encrypts_the_key_and_openssl_reads_it() {
    let folder = Folder::new();
    let place = folder.path().join("a");
    let right = passphrase(folder.path(), "correct horse battery\n").unwrap();
    let hash = *Authority::create(&place, Some(&right), NOW_S).unwrap().public_hash();
    assert_eq!(*Authority::open(&place, Some(&right)).unwrap().public_hash(), hash);
    let key = place.join("authority.key");
    assert!(fs::read_to_string(&key).unwrap().contains("BEGIN ENCRYPTED PRIVATE KEY"));
    openssl(&["pkey", "-in", key.to_str().unwrap(), "-passin", "pass:correct horse battery", "-noout"]);
    assert!(matches!(Authority::open(&place, None), Err(AuthorityError::Encrypted { .. })));
    let wrong = passphrase(folder.path(), "wrong horse battery").unwrap();
    assert!(matches!(Authority::open(&place, Some(&wrong)), Err(AuthorityError::Passphrase { .. })));
    assert!(matches!(passphrase(folder.path(), "short"), Err(AuthorityError::NoPassphrase { .. })));
}

#[test]
fn a_rotation_announces_the_next_authority_and_brokers_trust_all() {
    let folder = Folder::new();
    let place = folder.path().join("a");
    let first = Authority::create(&place, None, NOW_S).unwrap();
    let (hash, old) = (*first.public_hash(), first.issue(&request("attic"), &subject("attic")).unwrap());
    assert_eq!(first.announced().count(), 1);
    let announced = first.announce_next(None, NOW_S).unwrap();
    assert_eq!((announced.announced().count(), *announced.public_hash()), (2, hash));
    let next = announced.announced().nth(1).unwrap().clone();
    let switched = announced.switch(None).unwrap();
    assert_ne!(*switched.public_hash(), hash);
    assert_eq!(switched.announced().collect::<Vec<_>>(), [&next]);
    let new = switched.issue(&request("attic"), &subject("attic")).unwrap();
    let trusted = folder.path().join("trusted.pem");
    fs::write(&trusted, switched.trusted_pem().unwrap()).unwrap();
    for (name, certificate) in [("old", old), ("new", new)] {
        let path = write_pem(folder.path(), name, &certificate);
        let time = NOW_S.to_string();
        openssl(&["verify", "-attime", &time, "-CAfile", trusted.to_str().unwrap(), path.to_str().unwrap()]);
    }
    assert!(matches!(switched.switch(None), Err(AuthorityError::Rotation(_))));
}
