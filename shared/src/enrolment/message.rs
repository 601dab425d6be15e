//! Request and response of the enrolment port ↔ bytes: version, then postcard.

use super::certificate_request::CertificateRequestBytes;
use super::proof::Proof;
use crate::messages::AgentName;
use crate::messages::sealed::SealKey;
use crate::release::framing::{self, FrameError};
use crate::release::manifest::Name;
use crate::release::name::{NAME_RULE, is_name};
use crate::release::root::SIGNED_ROOT_BYTES;
use core::fmt;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// First byte of a request and a response; readers reject any other value.
pub const MESSAGE_VERSION: u8 = 1;
/// Longest request, bytes.
pub const REQUEST_BYTES_LIMIT: usize = 320;
/// Longest response, bytes.
pub const MESSAGE_BYTES_LIMIT: usize = 8 * 1024;
/// Longest certificate, bytes.
pub const CERTIFICATE_BYTES: usize = 768;
/// Certificates of authorities in a response: the present one and the next.
pub const AUTHORITIES: usize = 2;
/// Brokers in a response.
pub const BROKERS: usize = 4;
/// Longest URL of a broker, bytes.
const URL_BYTES: usize = 255;
/// Lines of key files in a response.
const KEYS: usize = 4;
/// Longest line of a key file, bytes.
const KEY_LINE_BYTES: usize = 192;

/// A certificate in DER.
pub type Certificate = Vec<u8, CERTIFICATE_BYTES>;

/// Length of the message behind these first bytes of a frame: two bytes, big-endian. `None` if it exceeds `limit`.
#[inline]
pub fn frame_length(head: [u8; 2], limit: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(head))).filter(|length| *length <= limit)
}

/// What an agent sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolmentRequest {
    /// Version of the agent.
    pub agent_version: String<24>,
    /// Certificate request, see [`super::CertificateRequest`].
    pub certificate_request: CertificateRequestBytes,
    /// Why the trainer should grant it.
    pub proof: Proof,
}

impl EnrolmentRequest {
    /// Writes it into `out`.
    ///
    /// # Errors
    /// [`FrameError::NoRoom`].
    #[inline]
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
        framing::encode(MESSAGE_VERSION, self, out)
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        framing::decode(MESSAGE_VERSION, bytes, REQUEST_BYTES_LIMIT)
    }
}

/// What an enrolled agent needs to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The agent's certificate.
    pub certificate: Certificate,
    /// Certificates of the authorities to trust for brokers.
    pub authorities: Vec<Certificate, AUTHORITIES>,
    /// URLs of the brokers.
    pub brokers: Vec<String<URL_BYTES>, BROKERS>,
    /// Group whose releases the agent installs.
    pub group: Name,
    /// Keys of those who may sign releases: lines of key files.
    pub keys: Vec<String<KEY_LINE_BYTES>, KEYS>,
    /// The newest signed root document, whose keys replace `keys` for releases from the broker; empty without one.
    pub root: Vec<u8, SIGNED_ROOT_BYTES>,
    /// Time of the response by the trainer's clock, seconds since the epoch.
    pub issued_s: u64,
    /// End of the certificate, seconds since the epoch.
    pub until_s: u64,
    /// Key for seals. `None`: the agent keeps the one that it has, because the response passes a broker, which would learn it.
    pub seal: Option<SealKey>,
}

/// Why the trainer refuses a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The request cannot be read.
    Malformed,
    /// No such token, or another secret.
    Token,
    /// The token's time is over.
    TokenEnded,
    /// All uses of the token are taken.
    TokenUsed,
    /// The token is for this name only.
    OtherName(AgentName),
    /// Another key has this name.
    NameTaken,
    /// The identity was revoked.
    Revoked,
    /// The trainer does not know this name with this key.
    UnknownKey,
    /// Too many failed attempts from this address.
    TooMany {
        /// Time after which the address may try again, seconds.
        retry_after_s: u32,
    },
    /// The trainer cannot answer now.
    Unavailable,
}

impl Refusal {
    /// The same request may succeed later.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::TooMany { .. } | Self::Unavailable)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => write!(f, "the trainer cannot read the request; update the older of agent and trainer"),
            Self::Token => write!(f, "the trainer does not know this token; create one with `lapwing-trainer enroll`"),
            Self::TokenEnded => write!(f, "the token has expired; create one with `lapwing-trainer enroll`"),
            Self::TokenUsed => write!(f, "the token has no uses left; create one with `lapwing-trainer enroll`"),
            Self::OtherName(name) => {
                write!(f, "expected the name {name}, of the token or of the trainer's list of identities")
            }
            Self::NameTaken => write!(
                f,
                "another key is enrolled under this name; choose another with --name, or, for new hardware, create a \
                 token with `lapwing-trainer enroll --name NAME --replace`"
            ),
            Self::Revoked => write!(f, "this identity is revoked; see `lapwing-trainer agents identities`"),
            Self::UnknownKey => write!(f, "the trainer does not know this agent's key; enrol it with a new token"),
            Self::TooMany { retry_after_s } => {
                write!(f, "too many failed attempts from this address; retry after {retry_after_s} s")
            }
            Self::Unavailable => write!(f, "the trainer cannot reach its store at present; retry later"),
        }
    }
}

/// What the trainer answers.
#[expect(clippy::large_enum_variant, reason = "no Box without an allocator; one response per connection")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnrolmentResponse {
    /// The agent is enrolled.
    Enrolled(Enrolled),
    /// An operator must accept the agent first; it then repeats its request.
    Waiting {
        /// Time until the next request, seconds.
        retry_after_s: u32,
    },
    /// Refused.
    Refused(Refusal),
}

/// Error in a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseError {
    /// In its bytes.
    Frame(FrameError),
    /// An invalid field.
    Field {
        /// The field.
        field: &'static str,
        /// What it must be.
        expected: &'static str,
    },
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "enrolment response: {error}"),
            Self::Field { field, expected } => write!(f, "enrolment response: invalid {field}, expected {expected}"),
        }
    }
}

impl core::error::Error for ResponseError {}

impl EnrolmentResponse {
    /// Writes it into `out`, for which [`MESSAGE_BYTES_LIMIT`] is always enough.
    ///
    /// # Errors
    /// [`FrameError::NoRoom`].
    pub fn encode<'a>(&self, out: &'a mut [u8]) -> Result<&'a [u8], FrameError> {
        framing::encode(MESSAGE_VERSION, self, out)
    }

    /// Reads it and checks its fields.
    ///
    /// # Errors
    /// [`ResponseError`].
    #[inline]
    pub fn decode(bytes: &[u8]) -> Result<Self, ResponseError> {
        let response = framing::decode(MESSAGE_VERSION, bytes, MESSAGE_BYTES_LIMIT).map_err(ResponseError::Frame)?;
        if let Self::Enrolled(enrolled) = &response {
            enrolled.check()?;
        }
        Ok(response)
    }
}

impl Enrolled {
    /// Checks the fields that other code relies on.
    ///
    /// # Errors
    /// [`ResponseError::Field`].
    #[inline]
    pub fn check(&self) -> Result<(), ResponseError> {
        let expect = |holds: bool, field, expected| {
            if holds { Ok(()) } else { Err(ResponseError::Field { field, expected }) }
        };
        expect(!self.certificate.is_empty(), "certificate", "a certificate")?;
        expect(!self.authorities.is_empty(), "authorities", "at least one certificate")?;
        expect(is_name(&self.group), "group", NAME_RULE)?;
        expect(self.issued_s < self.until_s, "until_s", "a time after issued_s")
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AgentKey, token_proof};
    use super::*;
    use crate::release::digest::{Hex, sha256};
    use crate::release::name::parse_name;
    use std::string::ToString;
    use std::vec;

    fn request(name: &str) -> EnrolmentRequest {
        let certificate_request = AgentKey::from_seed(&[9; 32]).request(&parse_name(name).unwrap());
        let proof = token_proof(u32::MAX, &[1; 16], &certificate_request, &[2; 32]);
        EnrolmentRequest { agent_version: "0.1.0".try_into().unwrap(), certificate_request, proof }
    }

    fn enrolled() -> Enrolled {
        Enrolled {
            certificate: Vec::from_slice(&[1; 3]).unwrap(),
            authorities: Vec::from_slice(&[Vec::from_slice(&[2; 2]).unwrap()]).unwrap(),
            brokers: Vec::from_slice(&["mqtts://hub".try_into().unwrap()]).unwrap(),
            group: parse_name("home").unwrap(),
            keys: Vec::from_slice(&["lapwing-key-v1 a 00".try_into().unwrap()]).unwrap(),
            root: Vec::from_slice(&[3; 2]).unwrap(),
            issued_s: 300,
            until_s: 301,
            seal: Some(SealKey::from_bytes([6; 32])),
        }
    }

    #[test]
    fn the_bytes_of_a_request_do_not_change() {
        let mut room = [0; REQUEST_BYTES_LIMIT];
        let bytes = request("home-a").encode(&mut room).unwrap();
        assert_eq!(bytes.len(), 194);
        assert_eq!(Hex(&sha256(bytes)).to_string(), "246d44d7a85d6d474550718c002f5bb5e987b8c48df14d5d54fa7cc6b80c0d45");
        assert_eq!(EnrolmentRequest::decode(bytes), Ok(request("home-a")));
    }

    #[test]
    fn the_bytes_of_responses_do_not_change() {
        let bytes = |response: EnrolmentResponse| {
            let mut room = vec![0; MESSAGE_BYTES_LIMIT];
            let bytes = response.encode(&mut room).unwrap();
            assert_eq!(EnrolmentResponse::decode(bytes), Ok(response));
            Hex(bytes).to_string()
        };
        let text = bytes(EnrolmentResponse::Enrolled(enrolled()));
        assert_eq!(
            text,
            "01000301010101020202010b6d717474733a2f2f68756204686f6d6501136c617077696e672d6b65792d76312061203030020303ac02ad02"
                .to_string()
                + "01" + &"06".repeat(32)
        );
        let text = bytes(EnrolmentResponse::Enrolled(Enrolled { seal: None, ..enrolled() }));
        assert!(text.ends_with("ac02ad0200"), "{text}");
        assert_eq!(bytes(EnrolmentResponse::Waiting { retry_after_s: 30 }), "01011e");
        assert_eq!(bytes(EnrolmentResponse::Refused(Refusal::TokenUsed)), "010203");
        let other = Refusal::OtherName(parse_name("b").unwrap());
        assert_eq!(bytes(EnrolmentResponse::Refused(other)), "0102040162");
        assert_eq!(bytes(EnrolmentResponse::Refused(Refusal::Unavailable)), "010209");
    }

    #[test]
    fn the_longest_messages_fit_their_limits() {
        let mut request = request("abcdefghijklmnopqrstuvwxyz012345");
        request.agent_version = "x".repeat(24).as_str().try_into().unwrap();
        request.proof = Proof::Key { signature: Vec::from_slice(&[0xff; 64]).unwrap() };
        assert!(request.encode(&mut [0; REQUEST_BYTES_LIMIT]).is_ok());
        let certificate: Certificate = Vec::from_slice(&[0xff; CERTIFICATE_BYTES]).unwrap();
        let url: String<URL_BYTES> = "x".repeat(URL_BYTES).as_str().try_into().unwrap();
        let key: String<KEY_LINE_BYTES> = "x".repeat(KEY_LINE_BYTES).as_str().try_into().unwrap();
        let longest = Enrolled {
            authorities: Vec::from_slice(&[certificate.clone(), certificate.clone()]).unwrap(),
            certificate,
            brokers: Vec::from_slice(&[(); BROKERS].map(|()| url.clone())).unwrap(),
            keys: Vec::from_slice(&[(); KEYS].map(|()| key.clone())).unwrap(),
            root: Vec::from_slice(&[0xff; SIGNED_ROOT_BYTES]).unwrap(),
            issued_s: u64::MAX - 1,
            until_s: u64::MAX,
            ..enrolled()
        };
        assert!(EnrolmentResponse::Enrolled(longest).encode(&mut vec![0; MESSAGE_BYTES_LIMIT]).is_ok());
    }

    #[test]
    fn truncated_messages_and_invalid_fields_are_errors() {
        let mut room = [0; REQUEST_BYTES_LIMIT];
        let bytes = request("home-a").encode(&mut room).unwrap();
        for cut in 0..bytes.len() {
            assert!(EnrolmentRequest::decode(&bytes[..cut]).is_err(), "cut at {cut}");
        }
        assert!(EnrolmentRequest::decode(&[1; REQUEST_BYTES_LIMIT + 1]).is_err());
        type Change = fn(&mut Enrolled);
        let invalid: [(&str, Change); 4] = [
            ("certificate", |e| e.certificate.clear()),
            ("authorities", |e| e.authorities.clear()),
            ("group", |e| e.group.clear()),
            ("until_s", |e| e.until_s = e.issued_s),
        ];
        for (name, change) in invalid {
            let mut enrolled = enrolled();
            change(&mut enrolled);
            let mut room = vec![0; MESSAGE_BYTES_LIMIT];
            let bytes = EnrolmentResponse::Enrolled(enrolled).encode(&mut room).unwrap();
            let error = EnrolmentResponse::decode(bytes).unwrap_err();
            assert!(matches!(error, ResponseError::Field { field, .. } if field == name), "{error}");
        }
    }

    #[test]
    fn a_frame_longer_than_its_limit_is_rejected() {
        assert_eq!(frame_length([1, 0], 256), Some(256));
        assert_eq!(frame_length([1, 1], 256), None);
    }
}
