//! Requests over MQTT, as the store passes them on: who gets a certificate, and that the authority signs the response.

use super::*;
use lapwing_shared::enrolment::{
    RENEWAL_REQUEST_BYTES, RenewalRequest, public_key_hash, renewal_binding, signed_part, split_signed,
};
use rustls::pki_types::alg_id;

impl Site {
    fn request(name: &str, key: &AgentKey, until_s: u64) -> Vec<u8> {
        let certificate_request = key.request(&parse_name(name).unwrap());
        let proof = key_proof(key, &certificate_request, &renewal_binding(until_s));
        let request = EnrolmentRequest { agent_version: "0.1.0".try_into().unwrap(), certificate_request, proof };
        RenewalRequest { until_s, request }.encode(&mut [0; RENEWAL_REQUEST_BYTES]).unwrap().to_vec()
    }

    /// Asks as the collector does, and waits for the response of the port.
    fn renew(&self, request: &[u8], key: &AgentKey, now_s: u64) -> Vec<u8> {
        assert!(self.handle.ask_renewal("attic", &key.fingerprint(), request, now_s).unwrap());
        let deadline = clock::after(PATIENCE);
        while clock::monotonic() < deadline {
            if let Some((agent, response)) = self.handle.take_renewals(1).unwrap().pop() {
                assert_eq!(agent, "attic");
                return response;
            }
            std::thread::yield_now();
        }
        panic!("no response");
    }

    /// Makes the end of attic's certificate lie so near that it may renew, and returns that end.
    fn age(&self, key: &AgentKey) -> u64 {
        let (name, fingerprint) = (parse_name("attic").unwrap(), key.fingerprint());
        let claim = lapwing_fleet::Claim { token: None, name, fingerprint };
        self.handle.enrol(&claim, 100 * 86_400, clock::now_s()).unwrap().1.unwrap().until_s
    }
}

#[test]
fn a_running_agent_gets_its_next_certificate_with_the_signature_of_the_authority() {
    let site = Site::new();
    let token = site.token(|_| ());
    let first = enrolled(site.enrol(&token, "attic", &key(1)));
    let early = Site::request("attic", &key(1), first.until_s);
    let now_s = clock::now_s();
    assert!(site.renew(&early, &key(1), now_s).is_empty(), "its certificate is new");

    let until_s = site.age(&key(1));
    let response = site.renew(&Site::request("attic", &key(1), until_s), &key(1), now_s + 60);
    let (signature, response) = split_signed(&response).unwrap();
    let renewed = enrolled(EnrolmentResponse::decode(response).unwrap());
    assert!(renewed.until_s > until_s && renewed.certificate != first.certificate);
    assert!(renewed.certificate.windows(32).any(|part| part == key(1).public()));

    let mut roots = RootCertStore::empty();
    roots.add(first.authorities[0].to_vec().into()).unwrap();
    let public = &roots.roots[0].subject_public_key_info;
    assert_eq!(public_key_hash(public), Some(site.hash));
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let is_p256 = |algorithm: &&&dyn rustls::pki_types::SignatureVerificationAlgorithm| {
        (algorithm.public_key_alg_id(), algorithm.signature_alg_id()) == (alg_id::ECDSA_P256, alg_id::ECDSA_SHA256)
    };
    let algorithm = algorithms.all.iter().find(is_p256).unwrap();
    let point = public.last_chunk::<65>().unwrap();
    assert!(algorithm.verify_signature(point, &signed_part(response), signature).is_ok());
    assert!(algorithm.verify_signature(point, &signed_part(&response[1..]), signature).is_err());

    // The response was lost: the same certificate, with the same end.
    let again = site.renew(&Site::request("attic", &key(1), until_s), &key(1), now_s + 120);
    let again = enrolled(EnrolmentResponse::decode(split_signed(&again).unwrap().1).unwrap());
    assert_eq!((again.until_s, site.handle.identity("attic").unwrap().issued), (renewed.until_s, 3));
    assert_eq!((site.counted("enrolment_renewed"), site.counted("enrolment_renewals_failed")), (2, 0));
}

#[test]
fn what_reached_the_store_without_a_valid_proof_gets_no_certificate() {
    let site = Site::new();
    let token = site.token(|_| ());
    enrolled(site.enrol(&token, "attic", &key(1)));
    let until_s = site.age(&key(1));
    let now_s = clock::now_s();
    let mut changed = Site::request("attic", &key(1), until_s);
    *changed.first_mut().unwrap() ^= 1;
    let requests =
        [vec![], changed, Site::request("attic", &key(2), until_s), Site::request("cellar", &key(1), until_s)];
    for (number, request) in requests.iter().enumerate() {
        assert!(site.renew(request, &key(1), now_s + 60 * number as u64).is_empty(), "request {number}");
    }
    let identity = site.handle.identity("attic").unwrap();
    let revoked_s = now_s + 600;
    assert!(site.handle.ask_renewal("attic", &key(1).fingerprint(), b"", revoked_s).unwrap());
    site.handle.set_identity_state(&identity, IdentityState::Revoked, "eve", revoked_s).unwrap();
    let asked = site.handle.ask_renewal("attic", &key(1).fingerprint(), &requests[2], revoked_s + 60);
    assert!(!asked.unwrap(), "a revoked agent");
    assert_eq!(site.counted("enrolment_renewed"), 0);
}
