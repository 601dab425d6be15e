//! Arbitrary bytes as a token, or as a message of the enrolment port or of a renewal → a value that round-trips, or an error.
#![no_main]

use lapwing_shared::enrolment::{
    AUTHORITY_SIGNATURE_BYTES, CertificateRequest, EnrolmentRequest, EnrolmentResponse, MESSAGE_BYTES_LIMIT,
    RENEWAL_REQUEST_BYTES, REQUEST_BYTES_LIMIT, RenewalRequest, Token, join_signed, split_signed,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Ok(request) = EnrolmentRequest::decode(input) {
        let mut room = vec![0; REQUEST_BYTES_LIMIT];
        let bytes = request.encode(&mut room).expect("a decoded request encodes");
        assert_eq!(EnrolmentRequest::decode(bytes).as_ref(), Ok(&request));
        let _ = CertificateRequest::parse(&request.certificate_request);
    }
    let _ = CertificateRequest::parse(input);
    if let Ok(renewal) = RenewalRequest::decode(input) {
        let mut room = [0; RENEWAL_REQUEST_BYTES];
        let bytes = renewal.encode(&mut room).expect("a decoded request encodes");
        assert_eq!(RenewalRequest::decode(bytes).as_ref(), Ok(&renewal));
    }
    if let Some((signature, response)) = split_signed(input)
        && signature.len() <= AUTHORITY_SIGNATURE_BYTES
        && response.len() <= MESSAGE_BYTES_LIMIT
    {
        assert_eq!(join_signed(signature, response).as_deref(), Some(input));
    }
    if let Ok(response) = EnrolmentResponse::decode(input) {
        let mut room = vec![0; MESSAGE_BYTES_LIMIT];
        let bytes = response.encode(&mut room).expect("a decoded response encodes");
        assert_eq!(EnrolmentResponse::decode(bytes).as_ref(), Ok(&response));
    }
    if let Some(token) = std::str::from_utf8(input).ok().and_then(|text| text.parse::<Token>().ok()) {
        assert_eq!(token.text().as_bytes(), input, "a token has one spelling");
    }
});
