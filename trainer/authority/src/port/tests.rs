//! The port over real sockets: replayed, expired and guessed tokens, floods, and many agents at once.

use super::attempts::MOST_FAILED;
use super::*;
use lapwing_fleet::{IdentityState, TokenTerms};
use lapwing_shared::enrolment::{AgentKey, Enrolled, EnrolmentRequest, Proof, Token, key_proof, token_proof};
use lapwing_shared::messages::sealed::SealKey;
use lapwing_shared::release::name::parse_name;
use lapwing_store::testing::Folder;
use lapwing_store::{Limits, Store};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream as Socket;

const PATIENCE: Duration = Duration::from_secs(20);
const SECRET: [u8; 16] = [5; 16];

/// What a client of the port needs.
struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

struct Site {
    _folder: Folder,
    port: EnrolmentPort,
    handle: StoreHandle,
    client: Client,
    hash: [u8; 32],
}

fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    Arc::new(versions.unwrap().with_root_certificates(roots).with_no_client_auth())
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new();
        let store = Store::open(folder.store(), Limits::default()).unwrap();
        let authority = Authority::create(&folder.path().join("a"), None, clock::now_s()).unwrap();
        let (hash, mut roots) = (*authority.public_hash(), RootCertStore::empty());
        roots.add(authority.announced().next().unwrap().clone()).unwrap();
        let grants = Grants {
            brokers: vec!["mqtts://hub.lan".into()],
            keys: vec!["lapwing-key-v1 site 00".into()],
            lifetime_s: 365 * 86_400,
            reserved: Some("site-trainer".into()),
        };
        let names = vec!["hub.lan".to_owned()];
        let port = EnrolmentPort::start(authority, store.handle().unwrap(), grants, names, ([127, 0, 0, 1], 0).into())
            .unwrap();
        let handle = store.handle().unwrap();
        let client = Client { address: port.address, tls: trusting(roots) };
        Self { _folder: folder, port, handle, client, hash }
    }

    fn token(&self, change: impl FnOnce(&mut TokenTerms)) -> Token {
        let mut terms = TokenTerms {
            group: "home".into(),
            name: None,
            uses: 1,
            until_s: clock::now_s() + 600,
            must_be_accepted: false,
            replaces: false,
            who: "operator".into(),
        };
        change(&mut terms);
        let id = self.handle.add_token(&SECRET, &terms, clock::now_s()).unwrap();
        Token::new(self.hash, id, SECRET, &format!("hub.lan:{}", self.port.address.port())).unwrap()
    }

    fn send(&self, make: impl FnOnce(&Binding) -> Vec<u8>) -> EnrolmentResponse {
        self.client.send(make)
    }

    fn enrol(&self, token: &Token, name: &str, key: &AgentKey) -> EnrolmentResponse {
        self.client.send(|binding| by_token(token, name, key, binding))
    }

    fn counted(&self, name: &str) -> u64 {
        self.port.counts.named().into_iter().find(|count| count.name == name).unwrap().value
    }
}

impl Client {
    fn connect(&self) -> StreamOwned<ClientConnection, Socket> {
        let socket = Socket::connect(self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut connection =
            ClientConnection::new(Arc::clone(&self.tls), ServerName::try_from("hub.lan").unwrap()).unwrap();
        let mut socket = socket;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).unwrap();
        }
        StreamOwned::new(connection, socket)
    }

    /// Sends what `make` creates for the connection.
    fn send(&self, make: impl FnOnce(&Binding) -> Vec<u8>) -> EnrolmentResponse {
        let mut stream = self.connect();
        let binding = stream.conn.export_keying_material(Binding::default(), BINDING_LABEL, None).unwrap();
        let request = make(&binding);
        stream.write_all(&(request.len() as u16).to_be_bytes()).unwrap();
        stream.write_all(&request).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        EnrolmentResponse::decode(&response[2..]).unwrap()
    }
}

fn key(number: u32) -> AgentKey {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    AgentKey::from_seed(&seed)
}

fn encode(name: &str, key: &AgentKey, proof: impl FnOnce(&[u8]) -> Proof) -> Vec<u8> {
    let certificate_request = key.request(&parse_name(name).unwrap());
    let proof = proof(&certificate_request);
    let request = EnrolmentRequest { agent_version: "0.1.0".try_into().unwrap(), certificate_request, proof };
    request.encode(&mut [0; REQUEST_BYTES_LIMIT]).unwrap().to_vec()
}

fn by_token(token: &Token, name: &str, key: &AgentKey, binding: &Binding) -> Vec<u8> {
    encode(name, key, |request| token_proof(token.id, &token.secret, request, binding))
}

fn by_key(name: &str, key: &AgentKey, binding: &Binding) -> Vec<u8> {
    encode(name, key, |request| key_proof(key, request, binding))
}

fn enrolled(response: EnrolmentResponse) -> Enrolled {
    match response {
        EnrolmentResponse::Enrolled(enrolled) => enrolled,
        other => panic!("{other:?}"),
    }
}

fn refused(response: EnrolmentResponse) -> Refusal {
    match response {
        EnrolmentResponse::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn no_agent_gets_the_trainers_client_identifier() {
    let site = Site::new();
    let key = AgentKey::from_seed(&[1; 32]);
    let token = site.token(|_| ());
    assert_eq!(site.enrol(&token, "site-trainer", &key), EnrolmentResponse::Refused(Refusal::NameTaken));
    assert!(site.handle.identity("site-trainer").is_err());
    assert!(matches!(site.enrol(&token, "attic", &key), EnrolmentResponse::Enrolled(_)), "the token was not used");
    let named = site.token(|terms| terms.name = Some("cellar".into()));
    let other = EnrolmentResponse::Refused(Refusal::OtherName(parse_name("cellar").unwrap()));
    assert_eq!(site.enrol(&named, "site-trainer", &AgentKey::from_seed(&[2; 32])), other, "it asks again as cellar");
}

#[test]
fn a_token_gives_one_agent_its_certificate_brokers_group_and_keys() {
    let site = Site::new();
    let token = site.token(|_| ());
    let first = enrolled(site.enrol(&token, "attic", &key(1)));
    assert_eq!((first.group.as_str(), first.brokers[0].as_str()), ("home", "mqtts://hub.lan"));
    assert_eq!((first.keys[0].as_str(), first.authorities.len()), ("lapwing-key-v1 site 00", 1));
    assert!(first.until_s > first.issued_s + 364 * 86_400);
    // The response was lost: the same key may ask again, another may not.
    assert_ne!(enrolled(site.enrol(&token, "attic", &key(1))).certificate, first.certificate);
    assert_eq!(refused(site.enrol(&token, "cellar", &key(2))), Refusal::TokenUsed);
    assert_eq!(refused(site.enrol(&token, "attic", &key(2))), Refusal::TokenUsed);
    assert_eq!((site.counted("enrolment_issued"), site.counted("enrolment_refused")), (2, 2));
    site.port.stop().unwrap();
}

#[test]
fn a_recorded_request_is_rejected_on_another_connection() {
    let site = Site::new();
    let token = site.token(|terms| terms.uses = 9);
    let mut recorded = Vec::new();
    enrolled(site.send(|binding| {
        recorded = by_token(&token, "attic", &key(1), binding);
        recorded.clone()
    }));
    assert_eq!(refused(site.send(|_| recorded)), Refusal::Token);
    let mut recorded = Vec::new();
    enrolled(site.send(|binding| {
        recorded = by_key("attic", &key(1), binding);
        recorded.clone()
    }));
    assert_eq!(refused(site.send(|_| recorded)), Refusal::UnknownKey);
    assert_eq!(site.counted("enrolment_unproven"), 2);
}

#[test]
fn a_request_for_another_name_or_after_the_end_is_refused() {
    let site = Site::new();
    let named = site.token(|terms| terms.name = Some("attic".into()));
    let other = Refusal::OtherName(parse_name("attic").unwrap());
    assert_eq!(refused(site.enrol(&named, "cellar", &key(1))), other);
    enrolled(site.enrol(&named, "attic", &key(1)));
    let counted = ["enrolment_other_name", "enrolment_refused", "enrolment_issued"].map(|name| site.counted(name));
    assert_eq!(counted, [1, 0, 1], "asking again with the name of the token is no refusal");
    // A valid proof, but the name in the certificate request was changed afterwards.
    let token = site.token(|terms| terms.uses = 9);
    let changed = site.send(|binding| {
        let mut bytes = by_token(&token, "garage", &key(2), binding);
        let at = bytes.windows(6).position(|part| part == b"garage").unwrap();
        bytes[at..at + 6].copy_from_slice(b"attic2");
        bytes
    });
    assert_eq!(refused(changed), Refusal::Malformed);
    assert_eq!(refused(site.enrol(&token, "attic", &key(2))), Refusal::NameTaken);
    let ended = site.token(|terms| terms.until_s = clock::now_s());
    assert_eq!(refused(site.enrol(&ended, "garage", &key(3))), Refusal::TokenEnded);
}

#[test]
fn a_thousand_guesses_are_stopped_after_ten_and_then_a_valid_token_waits_too() {
    let site = Site::new();
    let token = site.token(|_| ());
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for guess in 0..1_000_u32 {
        let mut secret = [0; 16];
        secret[..4].copy_from_slice(&guess.to_be_bytes());
        let wrong = Token::new(site.hash, token.id + guess % 3, secret, token.address()).unwrap();
        let answer = match refused(site.enrol(&wrong, "attic", &key(1))) {
            Refusal::TooMany { .. } => "wait".to_owned(),
            other => format!("{other:?}"),
        };
        *answers.entry(answer).or_default() += 1;
    }
    assert!(answers["Token"] >= MOST_FAILED && answers["Token"] <= 2 * MOST_FAILED, "{answers:?}");
    assert_eq!(answers.values().sum::<u32>(), 1_000);
    assert_eq!(answers.len(), 2, "{answers:?}");
    assert!(matches!(refused(site.enrol(&token, "attic", &key(1))), Refusal::TooMany { retry_after_s: 1..=60 }));
    assert_eq!(site.counted("enrolment_limited"), u64::from(answers["wait"]) + 1);
    assert!(site.handle.identities(&all()).unwrap().is_empty());
}

fn all() -> lapwing_store::traits::IdentityFilter {
    lapwing_store::traits::IdentityFilter { limit: 10_000, ..Default::default() }
}

#[test]
fn an_agent_waits_until_it_is_accepted_and_a_revoked_one_gets_nothing() {
    let site = Site::new();
    let token = site.token(|terms| terms.must_be_accepted = true);
    let waits =
        |response| assert!(matches!(response, EnrolmentResponse::Waiting { retry_after_s: 30 }), "{response:?}");
    waits(site.enrol(&token, "attic", &key(1)));
    waits(site.send(|binding| by_key("attic", &key(1), binding)));
    let identity = site.handle.identity("attic").unwrap();
    assert_eq!(identity.fingerprint, key(1).fingerprint());
    site.handle.set_identity_state(&identity, IdentityState::Accepted, "eve", clock::now_s()).unwrap();
    let certificate = enrolled(site.send(|binding| by_key("attic", &key(1), binding)));
    assert_eq!(certificate.group, "home");
    let identity = site.handle.identity("attic").unwrap();
    site.handle.set_identity_state(&identity, IdentityState::Revoked, "eve", clock::now_s()).unwrap();
    assert_eq!(refused(site.send(|binding| by_key("attic", &key(1), binding))), Refusal::Revoked);
    assert_eq!(refused(site.enrol(&token, "attic", &key(1))), Refusal::Revoked);
    assert_eq!(refused(site.send(|binding| by_key("attic", &key(2), binding))), Refusal::UnknownKey);
}

#[test]
fn hostile_bytes_end_their_own_connection() {
    let site = Site::new();
    for bytes in [&b""[..], b"POST /enroll HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff, 0], &[0; 4096]] {
        let mut socket = Socket::connect(site.port.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let _ = socket.write_all(bytes);
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    for request in [vec![], vec![1], vec![0xff; REQUEST_BYTES_LIMIT]] {
        assert_eq!(refused(site.send(|_| request)), Refusal::Malformed);
    }
    let mut stream = site.client.connect();
    stream.write_all(&[0xff, 0xff]).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0, "a request that is too long is not read");
    let token = site.token(|_| ());
    enrolled(site.enrol(&token, "attic", &key(1)));
    assert_eq!(site.counted("enrolment_broken"), 5);
}

#[test]
fn a_thousand_agents_enrol_with_one_token_each_with_its_own_certificate() {
    let site = Site::new();
    let token = site.token(|terms| terms.uses = 1_000);
    let start = clock::monotonic();
    let certificates: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8_u32)
            .map(|thread| {
                let (token, client) = (&token, &site.client);
                scope.spawn(move || {
                    let agents = thread * 125..(thread + 1) * 125;
                    let enrol = |number: u32| {
                        let name = format!("gw-{number}");
                        enrolled(client.send(|binding| by_token(token, &name, &key(number), binding)))
                    };
                    agents.map(|number| enrol(number).certificate.to_vec()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let took = start.elapsed();
    let different: std::collections::BTreeSet<_> = certificates.iter().collect();
    assert_eq!((different.len(), site.handle.identities(&all()).unwrap().len()), (1_000, 1_000));
    assert_eq!(refused(site.enrol(&token, "one-more", &key(5_000))), Refusal::TokenUsed);
    eprintln!("1,000 agents enrolled in {took:?}");
    assert!(took < Duration::from_secs(120), "{took:?}");
}

#[test]
fn an_agent_gets_the_key_for_seals_that_collectors_derive_and_a_new_one_after_a_replacement() {
    let site = Site::new();
    let token = site.token(|terms| terms.uses = 2);
    let seal = |response| match response {
        EnrolmentResponse::Enrolled(enrolled) => enrolled.seal.unwrap(),
        other => panic!("{other:?}"),
    };
    let (first, other) = (key(1), key(2));
    let issued = seal(site.enrol(&token, "attic", &first));
    let derived = |secret: &[u8; 32]| SealKey::derive(secret, &first.fingerprint());
    let secrets = site.handle.seal_secrets().unwrap();
    assert_eq!((secrets.len(), &issued), (1, &derived(&secrets[0])));
    assert_ne!(seal(site.enrol(&token, "loft", &other)), issued);
    assert_eq!(seal(site.send(|binding| by_key("attic", &first, binding))), issued, "a renewal");
    site.handle.replace_seals(&[3; 32], "ann", 1).unwrap();
    assert_eq!(seal(site.send(|binding| by_key("attic", &first, binding))), derived(&[3; 32]));
}
#[path = "renewal_tests.rs"]
mod renewal_tests;
