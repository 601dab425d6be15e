//! Certificate of a running agent → its next one, over MQTT.
//!
//! The agent publishes a [`RenewalRequest`]. Its signature covers the end of the present certificate, so that the trainer
//! recognises a repetition: it answers with the newest certificate again, and a replay changes nothing.
//! The response is an [`super::EnrolmentResponse`] that the authority's key has signed ([`join_signed`]), because the broker
//! in between is not trusted.

use super::message::{EnrolmentRequest, MESSAGE_BYTES_LIMIT, REQUEST_BYTES_LIMIT};
use super::proof::Binding;
use crate::release::digest::sha256;
use crate::release::framing::FrameError;
use heapless::Vec;

/// Longest request, bytes.
pub const RENEWAL_REQUEST_BYTES: usize = REQUEST_BYTES_LIMIT + TIME_BYTES;
/// Longest signature of an authority, bytes: ECDSA P-256 in DER.
pub const AUTHORITY_SIGNATURE_BYTES: usize = 72;
/// Longest signed response, bytes.
pub const SIGNED_RESPONSE_BYTES: usize = 1 + AUTHORITY_SIGNATURE_BYTES + MESSAGE_BYTES_LIMIT;
const TIME_BYTES: usize = 8;
/// Prefixes of what is hashed or signed, one for each use.
const REQUEST_PREFIX: &[u8] = b"lapwing renewal request v1\0";
const RESPONSE_PREFIX: &[u8] = b"lapwing renewal response v1\0";

/// What an enrolled agent publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewalRequest {
    /// End of its newest certificate, seconds since the epoch.
    pub until_s: u64,
    /// Signed with its key, for [`renewal_binding`].
    pub request: EnrolmentRequest,
}

impl RenewalRequest {
    /// Writes it into `out`.
    ///
    /// # Errors
    /// [`FrameError::NoRoom`].
    #[inline]
    pub fn encode<'a>(&self, out: &'a mut [u8; RENEWAL_REQUEST_BYTES]) -> Result<&'a [u8], FrameError> {
        let (time, rest) = out.split_at_mut(TIME_BYTES);
        time.copy_from_slice(&self.until_s.to_be_bytes());
        let length = self.request.encode(rest)?.len();
        Ok(out.get(..TIME_BYTES + length).unwrap_or_default())
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let (time, request) = bytes.split_first_chunk().ok_or(FrameError::Malformed)?;
        Ok(Self { until_s: u64::from_be_bytes(*time), request: EnrolmentRequest::decode(request)? })
    }
}

/// What takes the place of a TLS connection's value in the proof of a request over MQTT.
#[inline]
pub fn renewal_binding(until_s: u64) -> Binding {
    let mut bytes: Vec<u8, 48> = Vec::new();
    let _ = bytes.extend_from_slice(REQUEST_PREFIX);
    let _ = bytes.extend_from_slice(&until_s.to_be_bytes());
    sha256(&bytes)
}

/// What the authority signs for a response. No certificate begins with these bytes, so that neither signature is valid for
/// the other.
#[inline]
pub fn signed_part(response: &[u8]) -> Vec<u8, 64> {
    let mut bytes = Vec::new();
    let _ = bytes.extend_from_slice(RESPONSE_PREFIX);
    let _ = bytes.extend_from_slice(&sha256(response));
    bytes
}

/// A response and its signature in one payload; `None` if the signature is too long.
pub fn join_signed(signature: &[u8], response: &[u8]) -> Option<Vec<u8, SIGNED_RESPONSE_BYTES>> {
    let length =
        u8::try_from(signature.len()).ok().filter(|length| usize::from(*length) <= AUTHORITY_SIGNATURE_BYTES)?;
    let mut bytes = Vec::new();
    bytes.push(length).ok()?;
    bytes.extend_from_slice(signature).ok()?;
    bytes.extend_from_slice(response).ok()?;
    Some(bytes)
}

/// Signature and response of a payload.
#[inline]
pub fn split_signed(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = payload.split_first()?;
    rest.split_at_checked(usize::from(*length))
}

#[cfg(test)]
mod tests {
    use super::super::{AgentKey, Proof, is_proven_by_key, key_proof};
    use super::*;
    use crate::release::digest::Hex;
    use crate::release::name::parse_name;
    use std::string::ToString;

    fn request(until_s: u64) -> RenewalRequest {
        let key = AgentKey::from_seed(&[9; 32]);
        let certificate_request = key.request(&parse_name("home-a").unwrap());
        let proof = key_proof(&key, &certificate_request, &renewal_binding(until_s));
        let agent_version = "0.1.0".try_into().unwrap();
        RenewalRequest { until_s, request: EnrolmentRequest { agent_version, certificate_request, proof } }
    }

    #[test]
    fn the_bytes_of_a_request_do_not_change() {
        let mut room = [0; RENEWAL_REQUEST_BYTES];
        let bytes = request(1_800_000_000).encode(&mut room).unwrap();
        assert_eq!(bytes.len(), 230);
        assert_eq!(RenewalRequest::decode(bytes), Ok(request(1_800_000_000)));
        assert_eq!(Hex(&bytes[..12]).to_string(), "000000006b49d2000105302e");
        for cut in 0..bytes.len() {
            assert!(RenewalRequest::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(RenewalRequest::decode(&[1; RENEWAL_REQUEST_BYTES + 1]).is_err());
    }

    #[test]
    fn the_proof_is_for_one_certificate_and_not_for_a_connection() {
        let RenewalRequest { request, .. } = request(1_000);
        let Proof::Key { signature } = &request.proof else { panic!("{:?}", request.proof) };
        let public = AgentKey::from_seed(&[9; 32]).public();
        let is_proven = |binding| is_proven_by_key(&public, signature, &request.certificate_request, &binding);
        assert!(is_proven(renewal_binding(1_000)));
        assert!(!is_proven(renewal_binding(1_001)) && !is_proven([0; 32]));
    }

    #[test]
    fn signature_and_response_come_apart_as_they_were_joined() {
        let joined = join_signed(&[7; 70], b"response").unwrap();
        assert_eq!(split_signed(&joined), Some((&[7; 70][..], &b"response"[..])));
        assert_eq!(join_signed(&[7; 73], b"response"), None);
        assert_eq!(split_signed(&[]), None);
        assert_eq!(split_signed(&[9, 1, 2]), None, "truncated");
    }

    #[test]
    fn a_signed_part_is_no_certificate() {
        let part = signed_part(b"response");
        assert_eq!(part.len(), RESPONSE_PREFIX.len() + 32);
        assert_ne!(part[0], 0x30, "a certificate is a sequence");
        assert_ne!(part, signed_part(b"responsf"));
    }
}
