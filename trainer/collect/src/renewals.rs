//! Agents' requests for their next certificates → the store, and its responses → the agents.
//!
//! Processes with the authority's key read the requests from the store and write the responses, so that this process needs
//! no key. Nothing is repeated here: agents ask again until they have a certificate.

use super::counts::Counts;
use super::link::Outlet;
use lapwing_common::clock;
use lapwing_shared::enrolment::{CertificateRequest, Proof, RenewalRequest, is_proven_by_key, renewal_binding};
use lapwing_shared::messages::AgentName;
use lapwing_shared::messages::topics::{Kind, agent_topic};
use lapwing_shared::release::name::parse_name;
use lapwing_store::{StoreError, StoreHandle};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Interval between two looks for responses.
const INTERVAL: Duration = Duration::from_secs(1);
/// Requests that wait for the thread; further ones are dropped.
const QUEUE: usize = 256;
/// Responses to send at a time.
const RESPONSES: u32 = 64;
/// Interval between two warnings that the store cannot be used.
const WARNING_INTERVAL: Duration = Duration::from_secs(60);

/// What the thread needs.
pub struct RenewalEnds {
    /// Requests and responses.
    pub store: StoreHandle,
    /// One for each broker: an agent may use any of them.
    pub outlets: Vec<Box<dyn Outlet>>,
}

/// A request, and the agent on whose topic it was published.
type Asked = (AgentName, Vec<u8>);

/// Takes requests from the intakes.
#[derive(Clone)]
pub(super) struct Inbox(SyncSender<Asked>);

impl Inbox {
    /// Adds a request; false if there is no room.
    pub(super) fn add(&self, agent: AgentName, request: Vec<u8>) -> bool {
        !matches!(self.0.try_send((agent, request)), Err(TrySendError::Full(_)))
    }
}

/// Starts the thread, which ends when every inbox is dropped.
pub(super) fn start(ends: RenewalEnds, counts: Arc<Counts>) -> std::io::Result<(Inbox, JoinHandle<()>)> {
    let (inbox, requests) = sync_channel(QUEUE);
    let worker = Worker { ends, counts, warned: None };
    let thread = thread::Builder::new().name("renewals".into()).spawn(move || worker.run(&requests))?;
    Ok((Inbox(inbox), thread))
}

struct Worker {
    ends: RenewalEnds,
    counts: Arc<Counts>,
    /// Last warning about the store.
    warned: Option<Instant>,
}

impl Worker {
    fn run(mut self, requests: &Receiver<Asked>) {
        let mut next = clock::monotonic();
        loop {
            match requests.recv_timeout(INTERVAL) {
                Ok((agent, request)) => {
                    let asked = self.ask(&agent, &request, clock::now_s());
                    self.tolerate(asked, clock::monotonic());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let now = clock::monotonic();
            if now >= next {
                next = now + INTERVAL;
                let sent = self.send();
                self.tolerate(sent, now);
            }
        }
    }

    fn ask(&self, agent: &AgentName, request: &[u8], now_s: u64) -> Result<(), StoreError> {
        let is_stored = match proven(agent, request) {
            Some(found) => self.ends.store.ask_renewal(agent, &found.fingerprint(), request, now_s)?,
            None => false,
        };
        if !is_stored {
            self.counts.renewal_rejections.add(1);
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), StoreError> {
        for (agent, response) in self.ends.store.take_renewals(RESPONSES)? {
            let Some(agent) = parse_name(&agent).filter(|_| !response.is_empty()) else { continue };
            let topic = agent_topic(&agent, Kind::IdentitySet);
            for outlet in &mut self.ends.outlets {
                // A broker without a connection has no agent to answer, or the agent asks again.
                drop(outlet.publish(&topic, response.clone(), false));
            }
            self.counts.renewals.add(1);
        }
        Ok(())
    }

    /// Logs an error of the store, once in an interval.
    fn tolerate(&mut self, result: Result<(), StoreError>, now: Instant) {
        let Err(error) = result else { return };
        if self.warned.is_none_or(|at| now.duration_since(at) >= WARNING_INTERVAL) {
            self.warned = Some(now);
            tracing::warn!(%error, "cannot pass on requests for certificates; agents repeat them");
        }
    }
}

/// The certificate request, if it is for this agent and signed with its own key, for a renewal.
fn proven(agent: &AgentName, request: &[u8]) -> Option<CertificateRequest> {
    let RenewalRequest { until_s, request } = RenewalRequest::decode(request).ok()?;
    let Proof::Key { signature } = &request.proof else { return None };
    let found = CertificateRequest::parse(&request.certificate_request).ok()?;
    let binding = renewal_binding(until_s);
    let is_proven = is_proven_by_key(&found.public, signature, &request.certificate_request, &binding);
    (is_proven && found.name == *agent).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapwing_shared::enrolment::{AgentKey, EnrolmentRequest, RENEWAL_REQUEST_BYTES, key_proof, token_proof};

    fn request(name: &str, bound_to: u64, proof: impl FnOnce(&AgentKey, &[u8]) -> Proof) -> Vec<u8> {
        let key = AgentKey::from_seed(&[9; 32]);
        let certificate_request = key.request(&parse_name(name).unwrap());
        let proof = proof(&key, &certificate_request);
        let request = EnrolmentRequest { agent_version: "1".try_into().unwrap(), certificate_request, proof };
        let request = RenewalRequest { until_s: bound_to, request };
        request.encode(&mut [0; RENEWAL_REQUEST_BYTES]).unwrap().to_vec()
    }

    #[test]
    fn only_a_request_on_its_own_topic_with_the_proof_of_a_renewal_is_passed_on() {
        let attic = parse_name("attic").unwrap();
        let by_key = |until_s| move |key: &AgentKey, bytes: &[u8]| key_proof(key, bytes, &renewal_binding(until_s));
        assert!(proven(&attic, &request("attic", 7, by_key(7))).is_some());
        assert!(proven(&attic, &request("cellar", 7, by_key(7))).is_none(), "the topic of another agent");
        assert!(proven(&attic, &request("attic", 8, by_key(7))).is_none(), "of another certificate");
        let recorded = |key: &AgentKey, bytes: &[u8]| key_proof(key, bytes, &[3; 32]);
        assert!(proven(&attic, &request("attic", 7, recorded)).is_none(), "for the enrolment port");
        let by_token = |_: &AgentKey, bytes: &[u8]| token_proof(1, &[1; 16], bytes, &renewal_binding(7));
        assert!(proven(&attic, &request("attic", 7, by_token)).is_none());
        assert!(proven(&attic, b"").is_none() && proven(&attic, &[0xff; RENEWAL_REQUEST_BYTES]).is_none());
    }
}
