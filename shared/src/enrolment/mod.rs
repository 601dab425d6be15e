//! Token of an operator → certificate of an agent: the messages of the enrolment port, and what proves them.
//!
//! An agent connects to the port with TLS, sends one [`EnrolmentRequest`] and gets one [`EnrolmentResponse`], each with
//! its length before it ([`frame_length`]). The token names the port and the authority's key; its secret never travels:
//! the request proves it with an HMAC that also covers a value of this TLS connection ([`BINDING_LABEL`]), so a recorded
//! request is worthless on another connection.

mod base64;
mod certificate_request;
mod ending;
mod message;
mod proof;
mod renewal;
mod token;

pub use certificate_request::{
    AgentKey, CERTIFICATE_REQUEST_BYTES, CertificateRequest, CertificateRequestBytes, CertificateRequestError,
};
pub use ending::{TimeLeft, ending_s};
pub use message::{
    AUTHORITIES, BROKERS, CERTIFICATE_BYTES, Certificate, Enrolled, EnrolmentRequest, EnrolmentResponse,
    MESSAGE_BYTES_LIMIT, MESSAGE_VERSION, REQUEST_BYTES_LIMIT, Refusal, ResponseError, frame_length,
};
pub use proof::{BINDING_LABEL, Binding, Proof, is_proven_by_key, is_proven_by_token, key_proof, token_proof};
pub use renewal::{
    AUTHORITY_SIGNATURE_BYTES, RENEWAL_REQUEST_BYTES, RenewalRequest, SIGNED_RESPONSE_BYTES, join_signed,
    renewal_binding, signed_part, split_signed,
};
pub use token::{ADDRESS_BYTES, SECRET_BYTES, TOKEN_BYTES, Token, TokenError};

use crate::release::digest::sha256;
use crate::release::manifest::Digest;
use heapless::Vec;

/// SHA-256 of a public key, as a `SubjectPublicKeyInfo` in DER, of which `content` is the part after tag and length. TLS
/// libraries keep only this part of a trusted certificate.
///
/// `None` if the content is longer than 255 bytes: keys of the authority are ECDSA P-256, which have 89.
#[inline]
pub fn public_key_hash(content: &[u8]) -> Option<Digest> {
    let length = u8::try_from(content.len()).ok()?;
    let head: &[u8] = if length < 128 { &[0x30, length] } else { &[0x30, 0x81, length] };
    let mut bytes: Vec<u8, 258> = Vec::new();
    bytes.extend_from_slice(head).ok()?;
    bytes.extend_from_slice(content).ok()?;
    Some(sha256(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hashed_with_its_tag_and_length() {
        assert_eq!(public_key_hash(&[7; 3]), Some(sha256(&[0x30, 3, 7, 7, 7])));
        let long = [&[0x30, 0x81, 200][..], &[7; 200]].concat();
        assert_eq!(public_key_hash(&[7; 200]), Some(sha256(&long)));
        assert_eq!(public_key_hash(&[7; 256]), None);
    }
}
