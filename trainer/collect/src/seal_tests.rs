//! Messages with right, wrong and no seals, by the identities of a store.

use super::*;
use lapwing_fleet::{Claim, Identity, TokenTerms};
use lapwing_shared::release::name::parse_name;
use lapwing_store::testing::Folder;
use lapwing_store::{Limits, Store, StoreHandle};

const TOPIC: &str = "lapwing/v1/agent/attic/alert";
const ACK: &str = "lapwing/v1/agent/attic/ack";
const FIRST: SealSecret = [1; 32];

/// A store in which agents `attic` and `loft` are enrolled.
struct Site {
    _folder: Folder,
    handle: StoreHandle,
    roster: Arc<Roster>,
    token: u32,
}

impl Site {
    fn new() -> Self {
        let folder = Folder::new();
        let handle = Store::open(folder.store(), Limits::default()).unwrap().handle().unwrap();
        let terms = TokenTerms {
            group: "home".into(),
            name: None,
            uses: 9,
            until_s: 100,
            must_be_accepted: false,
            replaces: true,
            who: "ann".into(),
        };
        let token = handle.add_token(&[5; 16], &terms, 1).unwrap();
        handle.begin_seals(&FIRST).unwrap();
        let site = Self { _folder: folder, handle, roster: Arc::default(), token };
        site.enrol("attic", 7);
        site.enrol("loft", 8);
        site
    }

    fn enrol(&self, agent: &str, key: u8) {
        let claim = Claim { token: Some(self.token), name: parse_name(agent).unwrap(), fingerprint: [key; 32] };
        self.handle.enrol(&claim, 50, 1).unwrap();
        self.refresh();
    }

    fn refresh(&self) {
        self.roster.refresh(&self.handle).unwrap();
    }

    fn set_state(&self, state: IdentityState) {
        let identity: Identity = self.handle.identity("attic").unwrap();
        self.handle.set_identity_state(&identity, state, "ann", 2).unwrap();
        self.refresh();
    }

    fn seals(&self, unsealed: Unsealed) -> Seals {
        Seals::new(Arc::clone(&self.roster), unsealed)
    }
}

fn key(secret: &SealSecret, fingerprint: u8) -> SealKey {
    SealKey::derive(secret, &[fingerprint; 32])
}

fn sealed(key: &SealKey, topic: &str, payload: &[u8]) -> Vec<u8> {
    [&key.seal(topic, payload)[..], payload].concat()
}

/// The payload behind the seal, on the topic of agent attic's alerts.
fn opened(seals: &Seals, payload: &[u8]) -> Result<Vec<u8>, Refused> {
    let mut payload = payload.to_vec();
    seals.open("attic", TOPIC, &mut payload).map(|()| payload)
}

#[test]
fn an_agent_with_a_key_is_believed_with_its_seal_only() {
    let site = Site::new();
    let seals = site.seals(Unsealed::Refuse);
    let genuine = sealed(&key(&FIRST, 7), TOPIC, b"payload");
    assert_eq!(opened(&seals, &genuine), Ok(b"payload".to_vec()));
    assert_eq!(opened(&seals, b"payload"), Err(Refused::Unsealed));
    assert_eq!(opened(&seals, &sealed(&key(&FIRST, 8), TOPIC, b"payload")), Err(Refused::Forged), "another agent's");
    assert_eq!(opened(&seals, &sealed(&key(&[2; 32], 7), TOPIC, b"payload")), Err(Refused::Forged), "another store's");
    assert_eq!(opened(&seals, &sealed(&key(&FIRST, 7), ACK, b"payload")), Err(Refused::Forged), "another topic's");
    let mut as_another = genuine.clone();
    assert_eq!(seals.open("loft", "lapwing/v1/agent/loft/alert", &mut as_another), Err(Refused::Forged));
    assert_eq!(seals.seal("attic", ACK, b"ack".to_vec()), [sealed(&key(&FIRST, 7), ACK, b"ack")]);
}

#[test]
fn agents_without_a_certificate_send_and_get_messages_without_seals() {
    let site = Site::new();
    let seals = site.seals(Unsealed::Refuse);
    let mut payload = b"payload".to_vec();
    assert_eq!(seals.open("password", TOPIC, &mut payload), Ok(()));
    assert_eq!(
        (payload.as_slice(), seals.seal("password", ACK, b"ack".to_vec())),
        (&b"payload"[..], vec![b"ack".to_vec()])
    );
    let mut foreign = sealed(&key(&FIRST, 7), TOPIC, b"payload");
    assert_eq!(seals.open("password", TOPIC, &mut foreign), Err(Refused::Unknown));
}

#[test]
fn unsealed_messages_are_accepted_if_the_operator_says_so_and_forged_ones_never() {
    let site = Site::new();
    let seals = site.seals(Unsealed::Accept);
    assert_eq!(opened(&seals, b"payload"), Ok(b"payload".to_vec()));
    assert_eq!(opened(&seals, &sealed(&key(&FIRST, 8), TOPIC, b"payload")), Err(Refused::Forged));
}

#[test]
fn an_agent_that_has_not_read_its_key_yet_gets_acknowledgements_if_its_messages_are_accepted() {
    let site = Site::new();
    let seals = site.seals(Unsealed::Accept);
    let sealed_ack = sealed(&key(&FIRST, 7), ACK, b"ack");
    assert_eq!(opened(&seals, b"payload"), Ok(b"payload".to_vec()));
    assert_eq!(seals.seal("attic", ACK, b"ack".to_vec()), [sealed_ack.clone(), b"ack".to_vec()]);
    // Its status has a seal after its restart, even if its other messages have none.
    assert!(opened(&seals, &sealed(&key(&FIRST, 7), TOPIC, b"status")).is_ok());
    assert_eq!(seals.seal("attic", ACK, b"ack".to_vec()), [sealed_ack]);
}

#[test]
fn nothing_of_a_revoked_agent_is_accepted_in_any_mode() {
    let site = Site::new();
    site.set_state(IdentityState::Revoked);
    for unsealed in [Unsealed::Refuse, Unsealed::Accept] {
        let seals = site.seals(unsealed);
        assert_eq!(opened(&seals, &sealed(&key(&FIRST, 7), TOPIC, b"payload")), Err(Refused::Revoked));
        assert_eq!(opened(&seals, b"payload"), Err(Refused::Revoked));
        assert!(seals.seal("attic", ACK, b"ack".to_vec()).is_empty());
    }
}

#[test]
fn of_two_secrets_an_acknowledgement_has_the_one_that_its_agent_uses() {
    let site = Site::new();
    let seals = site.seals(Unsealed::Refuse);
    let second = [2; 32];
    let acks = |seals: &Seals| seals.seal("attic", ACK, b"ack".to_vec());
    let (old, new) = (key(&FIRST, 7), key(&second, 7));
    assert_eq!(opened(&seals, &sealed(&old, TOPIC, b"1")), Ok(b"1".to_vec()));
    site.handle.replace_seals(&second, "ann", 3).unwrap();
    site.refresh();
    assert_eq!(acks(&seals), [sealed(&new, ACK, b"ack"), sealed(&old, ACK, b"ack")], "it has not sent since");
    assert_eq!(opened(&seals, &sealed(&old, TOPIC, b"2")), Ok(b"2".to_vec()));
    assert_eq!(acks(&seals), [sealed(&old, ACK, b"ack")]);
    assert_eq!(opened(&seals, &sealed(&new, TOPIC, b"3")), Ok(b"3".to_vec()));
    assert_eq!(acks(&seals), [sealed(&new, ACK, b"ack")]);
    site.handle.replace_seals(&[3; 32], "ann", 4).unwrap();
    site.refresh();
    assert_eq!(opened(&seals, &sealed(&old, TOPIC, b"4")), Err(Refused::Forged), "two rotations later");
}

#[test]
fn a_replaced_key_is_refused_from_the_next_refresh_on() {
    let site = Site::new();
    let seals = site.seals(Unsealed::Refuse);
    let (old, new) = (sealed(&key(&FIRST, 7), TOPIC, b"old"), sealed(&key(&FIRST, 9), TOPIC, b"new"));
    assert_eq!((opened(&seals, &old), opened(&seals, &new)), (Ok(b"old".to_vec()), Err(Refused::Forged)));
    site.enrol("attic", 9);
    assert_eq!((opened(&seals, &old), opened(&seals, &new)), (Err(Refused::Forged), Ok(b"new".to_vec())));
}

#[test]
fn a_store_without_a_secret_has_given_no_keys() {
    let site = Site { roster: Arc::default(), ..Site::new() };
    let handle = Store::open(Folder::new().store(), Limits::default()).unwrap().handle().unwrap();
    site.roster.refresh(&handle).unwrap();
    assert_eq!(opened(&site.seals(Unsealed::Refuse), b"payload"), Ok(b"payload".to_vec()));
}
